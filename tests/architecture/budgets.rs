//! Sizes, the opening of a file, and what must not be left behind.

use proc_macro2::{Delimiter, Group, TokenTree};

use crate::{
    ARGUMENTS, FILE_LINES, FUNCTION_LINES, FUNCTION_LINES_GOAL, Finding,
    source::{SourceFile, is_ident, is_punct, line},
};

/// Lines of `//!` with which a file opens, at most.
const OPENING_LINES: usize = 6;

/// A function with a body.
struct Function {
    name: String,
    line: usize,
    /// Lines between its braces.
    lines: usize,
    arguments: usize,
}

/// Files and functions over their limits.
pub fn sizes(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = file.text.lines().count() - file.test_lines;
    if lines > FILE_LINES {
        let message = format!("{lines} lines without tests, and {FILE_LINES} are the limit; split the file by duty");
        findings.push(finding(file, 1, message));
    }
    for function in functions(&file.tokens) {
        let Function { name, line, lines, arguments } = function;
        if lines > FUNCTION_LINES {
            let message = format!("{name} has {lines} lines, and {FUNCTION_LINES} are the limit; split it by step");
            findings.push(finding(file, line, message));
        }
        if arguments > ARGUMENTS {
            let message = format!("{name} takes {arguments} arguments, and {ARGUMENTS} are the limit; pass a struct");
            findings.push(finding(file, line, message));
        }
    }
    findings
}

/// Functions within the limit and over the goal.
pub fn over_the_goal(file: &SourceFile) -> Vec<Finding> {
    let functions = functions(&file.tokens).into_iter();
    let long = functions.filter(|function| (FUNCTION_LINES_GOAL + 1..=FUNCTION_LINES).contains(&function.lines));
    let note = |function: Function| {
        format!("{} has {} lines; the goal is {FUNCTION_LINES_GOAL}", function.name, function.lines)
    };
    long.map(|function| finding(file, function.line, note(function))).collect()
}

/// A file that does not open by saying what it is for.
pub fn opening(file: &SourceFile) -> Vec<Finding> {
    let lines = file.text.lines().take_while(|line| line.starts_with("//!")).count();
    let message = match lines {
        0 => "does not open with `//!`; say its duty and what it must not do, in 1 to 5 lines".to_owned(),
        1..=OPENING_LINES => return Vec::new(),
        _ => format!("opens with {lines} lines of `//!`; say its duty in 1 to 5 and move the rest to docs/"),
    };
    vec![finding(file, 1, message)]
}

/// What a finished program has no place for.
pub fn unfinished(file: &SourceFile) -> Vec<Finding> {
    let mut findings = Vec::new();
    each_run(&file.tokens, &mut |tokens| {
        for (at, token) in tokens.iter().enumerate() {
            let next = |offset: usize| tokens.get(at + offset);
            let is_macro = next(1).is_some_and(|token| is_punct(token, '!'));
            let is_method = at > 0 && (is_punct(&tokens[at - 1], '.') || is_punct(&tokens[at - 1], ':'));
            let mend = match token {
                TokenTree::Ident(word) if word == "unwrap" && is_method => {
                    ".unwrap(): return an error, or use expect with the reason why it cannot fail"
                }
                TokenTree::Ident(word) if is_macro && (word == "todo" || word == "unimplemented") => {
                    "unfinished code: write it, or return an error that says what is not supported"
                }
                TokenTree::Ident(word) if is_macro && word == "dbg" => "dbg!: remove it, or log through tracing",
                _ => continue,
            };
            findings.push(finding(file, line(token), mend.to_owned()));
        }
    });
    findings
}

fn finding(file: &SourceFile, line: usize, message: String) -> Finding {
    Finding { file: file.file.clone(), line, message }
}

fn functions(tokens: &[TokenTree]) -> Vec<Function> {
    let mut functions = Vec::new();
    each_run(tokens, &mut |tokens| {
        for at in 0..tokens.len() {
            functions.extend(function(&tokens[at..]));
        }
    });
    functions
}

/// The function whose `fn` is the first of the tokens. A type `fn(…)` and a declaration without a body are none.
fn function(tokens: &[TokenTree]) -> Option<Function> {
    let [first, TokenTree::Ident(name), rest @ ..] = tokens else { return None };
    if !is_ident(first, "fn") {
        return None;
    }
    let mut angles = Angles::default();
    let arguments = rest.iter().position(|token| {
        let outside = !angles.inside();
        angles.pass(token);
        outside && matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis)
    })?;
    let TokenTree::Group(list) = &rest[arguments] else { return None };
    let body =
        rest[arguments + 1..].iter().take_while(|token| !is_punct(token, ';')).find_map(|token| match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(group),
            _ => None,
        })?;
    let lines = (body.span_close().start().line - body.span_open().start().line).saturating_sub(1);
    Some(Function { name: name.to_string(), line: line(first), lines, arguments: count(list) })
}

/// The arguments of a list: what its commas part, but for those between `<` and `>`.
fn count(list: &Group) -> usize {
    let (mut angles, mut arguments, mut empty) = (Angles::default(), 0, true);
    for token in list.stream() {
        if is_punct(&token, ',') && !angles.inside() {
            empty = true;
            continue;
        }
        angles.pass(&token);
        if empty {
            arguments += 1;
            empty = false;
        }
    }
    arguments
}

/// How deep the tokens are in `<…>`; the `>` of `->` closes nothing.
#[derive(Default)]
struct Angles {
    depth: usize,
    after_dash: bool,
}

impl Angles {
    fn pass(&mut self, token: &TokenTree) {
        if is_punct(token, '<') {
            self.depth += 1;
        } else if is_punct(token, '>') && !self.after_dash {
            self.depth = self.depth.saturating_sub(1);
        }
        self.after_dash = is_punct(token, '-');
    }

    fn inside(&self) -> bool {
        self.depth > 0
    }
}

/// Calls with the tokens and with those of each group in them.
fn each_run(tokens: &[TokenTree], visit: &mut impl FnMut(&[TokenTree])) {
    visit(tokens);
    for token in tokens {
        if let TokenTree::Group(group) = token {
            each_run(&group.stream().into_iter().collect::<Vec<_>>(), visit);
        }
    }
}
