//! The reasons of conditions, which `docs/troubleshooting.md` explains.

use proc_macro2::TokenTree;

use crate::{
    Finding,
    source::{SourceFile, is_ident, is_punct, line},
};

/// Reasons in `src/reconcile` (`reason: "…"`, and the texts in a function `reason`) that the page does not name.
pub fn unexplained(file: &SourceFile, page: &str) -> Vec<Finding> {
    if file.row() != Some("reconcile") {
        return Vec::new();
    }
    let mut reasons = Vec::new();
    collect(&file.tokens, &mut reasons);
    let missing = reasons.into_iter().filter(|(reason, _)| !page.contains(&format!("`{reason}`")));
    let finding = |(reason, line)| Finding {
        file: file.file.clone(),
        line,
        message: format!(
            "docs/troubleshooting.md does not explain `{reason}`; say there what it means and how to mend it"
        ),
    };
    missing.map(finding).collect()
}

fn collect(tokens: &[TokenTree], reasons: &mut Vec<(String, usize)>) {
    for (at, token) in tokens.iter().enumerate() {
        let before = |distance: usize| at.checked_sub(distance).map(|at| &tokens[at]);
        let named = before(1).is_some_and(|token| is_punct(token, ':'))
            && before(2).is_some_and(|token| is_ident(token, "reason"));
        match token {
            TokenTree::Literal(_) if named => reasons.extend(text(token)),
            TokenTree::Group(group) => {
                let inner: Vec<_> = group.stream().into_iter().collect();
                collect(&inner, reasons);
                if is_body_of_reason(&tokens[..at]) {
                    texts(&inner, reasons);
                }
            }
            _ => {}
        }
    }
}

/// Whether a group after these tokens is the body of a function `reason`.
fn is_body_of_reason(before: &[TokenTree]) -> bool {
    let start = before.iter().rposition(|token| is_ident(token, "fn"));
    let ended = |from: usize| {
        before[from..]
            .iter()
            .any(|token| matches!(token, TokenTree::Group(group) if group.delimiter() == proc_macro2::Delimiter::Brace))
    };
    start.is_some_and(|at| {
        before.get(at + 1).is_some_and(|name| is_ident(name, "reason")) && before.len() > at + 2 && !ended(at)
    })
}

fn texts(tokens: &[TokenTree], reasons: &mut Vec<(String, usize)>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => texts(&group.stream().into_iter().collect::<Vec<_>>(), reasons),
            token => reasons.extend(text(token)),
        }
    }
}

/// The text of a literal, where it is one word.
fn text(token: &TokenTree) -> Option<(String, usize)> {
    let TokenTree::Literal(literal) = token else { return None };
    let text = literal.to_string();
    let word = text.strip_prefix('"')?.strip_suffix('"')?;
    word.chars().all(char::is_alphanumeric).then(|| (word.to_owned(), line(token)))
}
