//! What a statement names: catalogs, schemas and tables, completed by the session's catalog and schema.

use std::collections::BTreeSet;

use super::{
    Context,
    error::Error,
    token::{Token, Tokens},
    unexpected,
};

/// A name of one part or of several, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name(Vec<String>);

/// Parts of a name that are kept. No table's name has more than three; a column's has a fourth, and its fields more.
const PARTS: usize = 4;

impl Name {
    /// Takes a name such as `catalog.schema.table`.
    pub fn take(tokens: &mut Tokens<'_>) -> Result<Self, Error> {
        let first = tokens.next()?;
        Self::starting(first, tokens)
    }

    /// As [`Name::take`], with a first part that was taken already.
    pub fn starting(first: Token<'_>, tokens: &mut Tokens<'_>) -> Result<Self, Error> {
        let mut parts = vec![part(first)?];
        while tokens.peek(0).is_symbol(b'.') {
            tokens.next()?;
            let part = part(tokens.next()?)?;
            if parts.len() <= PARTS {
                parts.push(part);
            }
        }
        Ok(Self(parts))
    }

    /// The name's only part, if it has just one: what may be the name of a WITH query.
    pub fn single(&self) -> Option<&str> {
        match self.0.as_slice() {
            [name] => Some(name),
            _ => None,
        }
    }

    /// Another name below this one.
    pub fn child(mut self, name: &Self) -> Self {
        self.0.extend_from_slice(&name.0);
        self
    }

    /// The name without its last part: of a column its table, of a procedure its schema.
    pub fn parent(mut self) -> Self {
        self.0.pop();
        self
    }
}

pub(super) fn part(token: Token<'_>) -> Result<String, Error> {
    if token.is_name() { Ok(token.name()) } else { Err(unexpected(token)) }
}

/// What was found so far.
pub(super) struct Found<'a> {
    context: &'a Context<'a>,
    pub catalogs: BTreeSet<String>,
    pub schemas: BTreeSet<String>,
    pub tables: BTreeSet<String>,
}

impl<'a> Found<'a> {
    pub fn new(context: &'a Context<'a>) -> Self {
        Self { context, catalogs: BTreeSet::new(), schemas: BTreeSet::new(), tables: BTreeSet::new() }
    }

    /// A table, a view or a materialized view. A name of more than three parts is none: Trino answers "Too many dots".
    pub fn table(&mut self, name: &Name) {
        if let [schema @ .., _] = name.0.as_slice()
            && name.0.len() <= 3
        {
            let schema = self.complete(schema, 2);
            self.add_schema(&schema);
            let last = &name.0[name.0.len() - 1..];
            self.tables.insert([schema.as_slice(), last].concat().join("."));
        }
    }

    /// The two names of a RENAME. What the new one lacks comes from the old one, not from the session
    /// (`createTargetQualifiedObjectName` in trino-main).
    pub fn renamed(&mut self, from: &Name, to: &Name) {
        self.table(from);
        let whole = self.complete(&from.0, 3);
        let missing = whole.len().saturating_sub(to.0.len());
        self.table(&Name([&whole[..missing], &to.0].concat()));
    }

    pub fn schema(&mut self, name: &Name) {
        if (1..=2).contains(&name.0.len()) {
            let schema = self.complete(&name.0, 2);
            self.add_schema(&schema);
        }
    }

    /// The session's schema, for a statement that acts on it without a name.
    pub fn current_schema(&mut self) {
        let schema = self.complete(&[], 2);
        self.add_schema(&schema);
    }

    pub fn catalog(&mut self, name: &str) {
        self.catalogs.insert(name.to_owned());
    }

    pub fn current_catalog(&mut self) {
        self.catalogs.extend(self.context.catalog.map(str::to_lowercase));
    }

    /// The catalog that a session property belongs to: `catalog.property`. One without is the system's.
    pub fn property(&mut self, name: &Name) {
        if let [catalog, _] = name.0.as_slice() {
            self.catalogs.insert(catalog.clone());
        }
    }

    /// The schema of a function. One without a schema is found by the path, which is not known here.
    pub fn function(&mut self, name: &Name) {
        if name.0.len() == 3 {
            self.schema(&name.clone().parent());
        }
    }

    /// A procedure's schema, which the session completes as it does a table's.
    pub fn procedure(&mut self, name: &Name) {
        match name.0.len() {
            1 => self.current_schema(),
            2 | 3 => self.schema(&name.clone().parent()),
            _ => {}
        }
    }

    /// Puts the session's catalog and schema before the last `levels` of a name, as far as they are set.
    fn complete(&self, name: &[String], levels: usize) -> Vec<String> {
        let own = levels.saturating_sub(name.len());
        let session = [self.context.catalog, self.context.schema];
        let session = session.iter().take(own).flatten().map(|part| part.to_lowercase());
        session.chain(name.iter().cloned()).collect()
    }

    /// Adds a schema, and its catalog; one whose catalog is not known has neither.
    fn add_schema(&mut self, schema: &[String]) {
        if let [catalog, _] = schema {
            self.catalogs.insert(catalog.clone());
            self.schemas.insert(schema.join("."));
        }
    }
}
