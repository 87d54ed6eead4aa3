//! The source files, lexed, without what only tests see.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// One file of `src/`.
pub struct SourceFile {
    /// Path from the crate's root, with `/`.
    pub file: String,
    /// Its module, such as `["proxy", "health"]`; empty for `lib.rs`.
    pub module: Vec<String>,
    pub text: String,
    /// The tokens without items under `#[cfg(test)]` or `#[test]`.
    pub tokens: Vec<TokenTree>,
    /// The lines of those items.
    pub test_lines: usize,
    /// Modules in files of their own that only tests see.
    test_modules: Vec<String>,
}

impl SourceFile {
    /// # Panics
    /// When the text is no Rust.
    pub fn new(file: &str, text: &str) -> Self {
        let stream: TokenStream = text.parse().unwrap_or_else(|error| panic!("{file} is no Rust: {error}"));
        let mut tests = Tests::default();
        let tokens = tests.strip(stream);
        Self {
            file: file.to_owned(),
            module: module(file),
            text: text.to_owned(),
            tokens,
            test_lines: tests.lines,
            test_modules: tests.modules,
        }
    }

    /// The first segment of the module: the row that speaks of this file. `lib.rs` has none, since it only lists modules.
    pub fn row(&self) -> Option<&str> {
        self.module.first().map(String::as_str)
    }
}

/// All files of `src/` but those that only tests see.
pub fn all() -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    collect(&root.join("src"), &mut paths);
    paths.sort();
    let read = |path: &PathBuf| {
        let relative = path.strip_prefix(root).expect("below the root").components();
        let segments: Vec<_> = relative.map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
        SourceFile::new(&segments.join("/"), &fs::read_to_string(path).expect("a source file can be read"))
    };
    without_test_files(paths.iter().map(read).collect())
}

/// Drops the files that are declared by `#[cfg(test)] mod name;`, and those below them.
pub fn without_test_files(mut files: Vec<SourceFile>) -> Vec<SourceFile> {
    let of_tests: BTreeSet<Vec<String>> = files
        .iter()
        .flat_map(|file| file.test_modules.iter().map(|name| [&file.module[..], std::slice::from_ref(name)].concat()))
        .collect();
    files.retain(|file| !of_tests.iter().any(|module| file.module.starts_with(module)));
    files
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("src can be read") {
        let path = entry.expect("an entry of src").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The module of a file: `src/proxy/health.rs` is `proxy::health`, `src/proxy/mod.rs` is `proxy`.
fn module(file: &str) -> Vec<String> {
    let path = file.trim_start_matches("src/").trim_end_matches(".rs");
    let mut module: Vec<_> = path.split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| last == "mod") || module == ["lib"] {
        module.pop();
    }
    module
}

/// What only tests see, as it is taken away.
#[derive(Default)]
struct Tests {
    lines: usize,
    modules: Vec<String>,
}

impl Tests {
    fn strip(&mut self, stream: TokenStream) -> Vec<TokenTree> {
        let tokens: Vec<_> = stream.into_iter().collect();
        let mut kept = Vec::new();
        let mut at = 0;
        while at < tokens.len() {
            if is_punct(&tokens[at], '#') && tokens.get(at + 1).is_some_and(is_test_attribute) {
                let end = end_of_item(&tokens, at);
                self.take(&tokens[at..=end]);
                at = end + 1;
                continue;
            }
            kept.push(match &tokens[at] {
                TokenTree::Group(group) => {
                    let mut stripped = Group::new(group.delimiter(), self.strip(group.stream()).into_iter().collect());
                    stripped.set_span(group.span());
                    TokenTree::Group(stripped)
                }
                token => token.clone(),
            });
            at += 1;
        }
        kept
    }

    fn take(&mut self, item: &[TokenTree]) {
        let (Some(first), Some(last)) = (item.first(), item.last()) else { return };
        self.lines += last.span().end().line - first.span().start().line + 1;
        let name = item.windows(2).find(|pair| is_ident(&pair[0], "mod")).map(|pair| pair[1].to_string());
        if is_punct(last, ';') {
            self.modules.extend(name);
        }
    }
}

/// `[test]`, `[tokio::test]` or `[cfg(test)]`, also within `all(…)`.
fn is_test_attribute(token: &TokenTree) -> bool {
    let TokenTree::Group(group) = token else { return false };
    if group.delimiter() != Delimiter::Bracket {
        return false;
    }
    let tokens: Vec<_> = group.stream().into_iter().collect();
    match &tokens[..] {
        [first, TokenTree::Group(conditions)] if is_ident(first, "cfg") => asks_for_test(conditions.stream()),
        [.., name, TokenTree::Group(_)] | [.., name] => is_ident(name, "test"),
        [] => false,
    }
}

fn asks_for_test(conditions: TokenStream) -> bool {
    let tokens: Vec<_> = conditions.into_iter().collect();
    tokens.iter().enumerate().any(|(at, token)| match token {
        TokenTree::Ident(ident) => ident == "test",
        TokenTree::Group(group) => at > 0 && is_ident(&tokens[at - 1], "all") && asks_for_test(group.stream()),
        _ => false,
    })
}

/// The last token of the item that begins at `start`: its block or its semicolon.
fn end_of_item(tokens: &[TokenTree], start: usize) -> usize {
    let ends = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        token => is_punct(token, ';'),
    };
    tokens[start..].iter().position(ends).map_or(tokens.len() - 1, |length| start + length)
}

/// Whether the token is this character.
pub fn is_punct(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

/// Whether the token is this word.
pub fn is_ident(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}

/// The line on which the token begins.
pub fn line(token: &TokenTree) -> usize {
    token.span().start().line
}
