//! The paths that tokens name: in expressions and types, in `use` trees, in attributes, in macros.

use proc_macro2::{Delimiter, Group, TokenTree};

use crate::source::{is_ident, is_punct, line};

/// A path as it is written, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPath {
    pub segments: Vec<String>,
    pub line: usize,
    /// Modules between the file's own and the path: blocks of `mod name { … }`.
    pub inside: Vec<String>,
    /// Whether it is a leaf of a `use` tree.
    pub used: bool,
    /// Whether all below it is named too: `…::*`.
    pub glob: bool,
    /// Whether it gets another name: `… as other`.
    pub renamed: bool,
}

/// All paths of the tokens. A name alone counts only where it is imported: elsewhere it is a local one.
pub fn paths(tokens: &[TokenTree]) -> Vec<NamedPath> {
    let mut found = Walk::default();
    found.tokens(tokens);
    found.paths
}

#[derive(Default)]
struct Walk {
    paths: Vec<NamedPath>,
    inside: Vec<String>,
}

impl Walk {
    fn tokens(&mut self, tokens: &[TokenTree]) {
        let mut at = 0;
        while at < tokens.len() {
            at = match &tokens[at] {
                TokenTree::Ident(word) if word == "use" && !followed_by(tokens, at, '<') => {
                    let end = position(tokens, at, |token| is_punct(token, ';'));
                    self.use_tree(&tokens[at + 1..end], &[]);
                    end
                }
                TokenTree::Ident(word)
                    if word == "extern" && tokens.get(at + 1).is_some_and(|next| is_ident(next, "crate")) =>
                {
                    let end = position(tokens, at, |token| is_punct(token, ';'));
                    self.use_tree(&tokens[at + 2..end], &[]);
                    end
                }
                TokenTree::Ident(word) if word == "mod" => self.inline_module(tokens, at),
                TokenTree::Ident(_) => self.path(tokens, at),
                TokenTree::Punct(punct) if punct.as_char() == '#' => self.attribute(tokens, at),
                TokenTree::Group(group) => {
                    self.group(group);
                    at + 1
                }
                _ => at + 1,
            };
        }
    }

    fn group(&mut self, group: &Group) {
        self.tokens(&group.stream().into_iter().collect::<Vec<_>>());
    }

    /// `mod name { … }`; a declaration names nothing.
    fn inline_module(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        if let (Some(TokenTree::Ident(name)), Some(TokenTree::Group(body))) = (tokens.get(at + 1), tokens.get(at + 2)) {
            self.inside.push(name.to_string());
            self.group(body);
            self.inside.pop();
            return at + 3;
        }
        at + 2
    }

    /// Paths in attributes also stand in texts, as in `#[serde(with = "crate::x")]`.
    fn attribute(&mut self, tokens: &[TokenTree], at: usize) -> usize {
        let inner = usize::from(tokens.get(at + 1).is_some_and(|next| is_punct(next, '!')));
        let Some(TokenTree::Group(group)) = tokens.get(at + 1 + inner) else { return at + 1 };
        let content: Vec<_> = group.stream().into_iter().collect();
        if !content.first().is_some_and(|first| is_ident(first, "doc")) {
            self.tokens(&content);
            self.texts(&content);
        }
        at + 2 + inner
    }

    fn texts(&mut self, tokens: &[TokenTree]) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.texts(&group.stream().into_iter().collect::<Vec<_>>()),
                TokenTree::Literal(literal) => {
                    let text = literal.to_string();
                    let text = text.trim_matches('"').trim_start_matches("::");
                    let is_word =
                        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || c == '_');
                    if text.contains("::") && text.split("::").all(is_word) {
                        self.push(text.split("::").map(str::to_owned).collect(), line(token));
                    }
                }
                _ => {}
            }
        }
    }

    /// A path in an expression, a type or a pattern; returns where the tokens go on.
    fn path(&mut self, tokens: &[TokenTree], start: usize) -> usize {
        let mut segments = vec![tokens[start].to_string()];
        let mut at = start + 1;
        while is_path_separator(tokens, at) {
            let Some(TokenTree::Ident(segment)) = tokens.get(at + 2) else { break };
            segments.push(segment.to_string());
            at += 3;
        }
        if segments.len() > 1 {
            self.push(segments, line(&tokens[start]));
        }
        at
    }

    /// The branches of a `use` tree below `prefix`.
    fn use_tree(&mut self, tokens: &[TokenTree], prefix: &[String]) {
        for branch in tokens.split(|token| is_punct(token, ',')) {
            let mut segments = prefix.to_vec();
            let mut leaf = true;
            let (mut glob, mut renamed) = (false, false);
            for token in branch {
                match token {
                    TokenTree::Ident(word) if word == "as" => {
                        renamed = true;
                        break;
                    }
                    TokenTree::Ident(word) if word == "self" && !segments.is_empty() => {}
                    TokenTree::Ident(word) => segments.push(word.to_string()),
                    TokenTree::Punct(punct) if punct.as_char() == '*' => glob = true,
                    TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                        self.use_tree(&group.stream().into_iter().collect::<Vec<_>>(), &segments);
                        leaf = false;
                    }
                    _ => {}
                }
            }
            if let Some(first) = branch.first().filter(|_| leaf) {
                let (line, inside) = (line(first), self.inside.clone());
                self.paths.push(NamedPath { segments, line, inside, used: true, glob, renamed });
            }
        }
    }

    fn push(&mut self, segments: Vec<String>, line: usize) {
        let inside = self.inside.clone();
        self.paths.push(NamedPath { segments, line, inside, used: false, glob: false, renamed: false });
    }
}

fn is_path_separator(tokens: &[TokenTree], at: usize) -> bool {
    followed_by(tokens, at.wrapping_sub(1), ':') && followed_by(tokens, at, ':')
}

fn followed_by(tokens: &[TokenTree], at: usize, character: char) -> bool {
    tokens.get(at.wrapping_add(1)).is_some_and(|next| is_punct(next, character))
}

fn position(tokens: &[TokenTree], from: usize, is: impl Fn(&TokenTree) -> bool) -> usize {
    tokens[from..].iter().position(is).map_or(tokens.len(), |length| from + length)
}
