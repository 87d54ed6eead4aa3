//! Finds the tables of a query, or of what stands in a statement's expressions, without recursion.
//!
//! In Trino's grammar a table is named only after FROM, JOIN and TABLE and after commas of a FROM, and all words that
//! matter for that are reserved. So it is enough to know, for each open parenthesis, what may come next; expressions
//! are passed over. What this accepts beyond Trino's grammar, Trino refuses.

use std::collections::HashMap;

use super::{
    error::Error,
    found::{Found, Name},
    skip_group,
    token::{Kind, Token, Tokens},
    unexpected,
};

/// Open parentheses and brackets at a time. Trino itself gives up at fewer: its parser recurses.
const DEPTH: usize = 5_000;

/// What the next token is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// SELECT, TABLE, VALUES or a query in parentheses must follow; WITH may come before.
    Query,
    /// A name of a WITH list was taken: a comma or the query itself must follow.
    WithList { recursive: bool },
    /// Functions or session properties of a WITH; the query begins at the first word that can begin one.
    Routine,
    /// The select list: FROM may follow.
    Select,
    /// A relation must follow.
    Relation,
    /// As `Relation`, in parentheses: it may be a query.
    RelationOrQuery,
    /// Aliases, samples and join criteria; a comma or a JOIN begins another relation.
    AfterRelation,
    /// As `Expression`, in parentheses: it may be a query.
    ExpressionOrQuery,
    /// Anything else.
    Expression,
}

/// What stands between two parentheses, or outside all of them.
struct Frame {
    place: Place,
    close: Option<u8>,
    /// It is a query, so UNION, INTERSECT and EXCEPT set another beside it.
    query: bool,
    /// A comma in `AfterRelation` begins a relation: not so in MERGE.
    commas: bool,
    /// It began the frame below, which is a query if this one is.
    first: bool,
    /// The name of the WITH query that it is the text of.
    named: Option<String>,
    /// The name by which a recursive WITH query calls itself.
    recursive: Option<String>,
    /// The names that stop being visible at its end.
    names: Vec<String>,
}

impl Frame {
    fn new(place: Place, close: Option<u8>) -> Self {
        let names = Vec::new();
        Self { place, close, query: false, commas: false, first: false, named: None, recursive: None, names }
    }
}

pub(super) struct Walk<'t, 'a, 'c> {
    tokens: &'t mut Tokens<'a>,
    found: &'t mut Found<'c>,
    frames: Vec<Frame>,
    top: Frame,
    /// Names of WITH queries that may be used now, each as often as it is shadowed.
    visible: HashMap<String, usize>,
    /// The token before was DISTINCT, so that a FROM belongs to `IS DISTINCT FROM`.
    distinct: bool,
}

/// Walks to the statement's end from a place.
pub(super) fn walk(tokens: &mut Tokens<'_>, found: &mut Found<'_>, place: Place) -> Result<(), Error> {
    let top = Frame::new(place, None);
    let mut walk = Walk { tokens, found, frames: Vec::new(), top, visible: HashMap::new(), distinct: false };
    loop {
        let token = walk.tokens.next()?;
        match token.kind {
            Kind::End => return walk.end(token),
            Kind::Symbol(b';') if walk.top.place != Place::Routine => return walk.end(token),
            Kind::Symbol(open @ (b'(' | b'[')) => walk.open(open, token)?,
            Kind::Symbol(close @ (b')' | b']')) => walk.close(close, token)?,
            _ => walk.step(token)?,
        }
        walk.distinct = token.is("DISTINCT");
    }
}

impl<'a> Walk<'_, 'a, '_> {
    fn end(&mut self, token: Token<'a>) -> Result<(), Error> {
        let ended = token.kind == Kind::End || self.tokens.next()?.kind == Kind::End;
        if !ended {
            return Err(unexpected(token)); // one statement at a time; a last semicolon does no harm
        }
        if self.frames.is_empty() && self.may_end() { Ok(()) } else { Err(Error::Ended) }
    }

    fn may_end(&self) -> bool {
        match self.top.place {
            Place::Routine | Place::Select | Place::AfterRelation | Place::Expression | Place::ExpressionOrQuery => {
                true
            }
            Place::Query | Place::WithList { .. } | Place::Relation | Place::RelationOrQuery => false,
        }
    }

    fn open(&mut self, open: u8, token: Token<'a>) -> Result<(), Error> {
        // What may stand inside, and what comes after.
        let (inside, after) = match self.top.place {
            other if open == b'[' => (Place::Expression, other),
            Place::Query | Place::WithList { .. } => (Place::Query, Place::Expression),
            Place::Relation | Place::RelationOrQuery => (Place::RelationOrQuery, Place::AfterRelation),
            Place::ExpressionOrQuery => (Place::ExpressionOrQuery, Place::Expression),
            other => (Place::ExpressionOrQuery, other),
        };
        let first = matches!(inside, Place::Query) || self.top.place != after;
        self.top.place = after;
        let mut frame = Frame::new(inside, Some(if open == b'[' { b']' } else { b')' }));
        frame.first = first;
        self.push(frame, token)
    }

    fn push(&mut self, frame: Frame, token: Token<'a>) -> Result<(), Error> {
        if self.frames.len() == DEPTH {
            return Err(Error::TooDeep { limit: DEPTH, at: token.at });
        }
        self.frames.push(std::mem::replace(&mut self.top, frame));
        Ok(())
    }

    fn close(&mut self, close: u8, token: Token<'a>) -> Result<(), Error> {
        if self.top.close != Some(close) || !self.may_end() {
            return Err(unexpected(token));
        }
        let Some(below) = self.frames.pop() else { return Err(unexpected(token)) };
        let Frame { query, first, named, names, .. } = std::mem::replace(&mut self.top, below);
        for name in names {
            self.hide(&name);
        }
        self.top.query |= query && first;
        if let Some(name) = named {
            self.show(name);
        }
        Ok(())
    }

    /// Lets a name be used until the end of the frame at the top.
    fn show(&mut self, name: String) {
        *self.visible.entry(name.clone()).or_default() += 1;
        self.top.names.push(name);
    }

    fn hide(&mut self, name: &str) {
        if let Some(times) = self.visible.get_mut(name) {
            *times -= 1;
            if *times == 0 {
                self.visible.remove(name);
            }
        }
    }

    /// A table, unless a WITH query goes by that name here.
    fn table(&mut self, name: &Name) {
        if !name.single().is_some_and(|name| self.visible.contains_key(name)) {
            self.found.table(name);
        }
    }

    /// Any token but a parenthesis, a bracket and the end.
    fn step(&mut self, token: Token<'a>) -> Result<(), Error> {
        let begins_query = self.begins_query(token);
        match self.top.place {
            Place::Query => self.query(token),
            Place::RelationOrQuery | Place::ExpressionOrQuery | Place::Routine if begins_query => self.query(token),
            Place::WithList { recursive } => self.with_list(token, recursive),
            Place::Relation | Place::RelationOrQuery => self.relation(token),
            Place::Routine => Ok(()),
            Place::ExpressionOrQuery => {
                self.top.place = Place::Expression;
                self.clause(token)
            }
            Place::Select | Place::AfterRelation | Place::Expression => self.clause(token),
        }
    }

    fn begins_query(&mut self, token: Token<'a>) -> bool {
        let next = self.tokens.peek(0);
        if token.is("WITH") {
            // In a routine: `WITH (handler = '…')`, and the type `TIMESTAMP WITH TIME ZONE`.
            let of_type = next.is("TIME") && self.tokens.peek(1).is("ZONE");
            return !of_type && !next.is_symbol(b'(');
        }
        token.is_any(&["SELECT", "VALUES"]) || (token.is("TABLE") && !next.is_symbol(b'('))
    }

    /// The beginning of a query, or of one after UNION, INTERSECT or EXCEPT.
    fn query(&mut self, token: Token<'a>) -> Result<(), Error> {
        if token.is("WITH") && !self.top.query {
            return self.with();
        }
        if self.top.query && token.is_any(&["ALL", "DISTINCT", "CORRESPONDING"]) {
            let columns = token.is("CORRESPONDING") && self.tokens.take("BY")?;
            return if columns { skip_group(self.tokens) } else { Ok(()) };
        }
        self.top.query = true;
        if token.is("SELECT") {
            self.top.place = Place::Select;
        } else if token.is("VALUES") {
            self.top.place = Place::Expression;
        } else if token.is("TABLE") {
            let name = Name::take(self.tokens)?;
            self.table(&name);
            self.top.place = Place::Expression;
        } else {
            return Err(unexpected(token));
        }
        Ok(())
    }

    fn with(&mut self) -> Result<(), Error> {
        let next = self.tokens.peek(1);
        let routine = self.tokens.peek(0).is_any(&["FUNCTION", "SESSION"]) && !next.is("AS") && !next.is_symbol(b'(');
        if routine {
            self.top.place = Place::Routine;
            return Ok(());
        }
        self.top.recursive = None; // Trino takes no query with a WITH of its own as recursive
        let recursive = self.tokens.take("RECURSIVE")?;
        self.named_query(recursive)
    }

    /// `name (columns) AS (`, up to and with the last parenthesis.
    fn named_query(&mut self, recursive: bool) -> Result<(), Error> {
        let token = self.tokens.next()?;
        if !token.is_name() {
            return Err(unexpected(token));
        }
        let name = token.name();
        if self.tokens.peek(0).is_symbol(b'(') {
            skip_group(self.tokens)?;
        }
        let (word, open) = (self.tokens.next()?, self.tokens.next()?);
        if !word.is("AS") || !open.is_symbol(b'(') {
            return Err(unexpected(word));
        }
        self.top.place = Place::WithList { recursive };
        let mut frame = Frame::new(Place::Query, Some(b')'));
        frame.recursive = recursive.then(|| name.clone());
        frame.named = Some(name);
        self.push(frame, open)
    }

    fn with_list(&mut self, token: Token<'a>, recursive: bool) -> Result<(), Error> {
        if token.is_symbol(b',') {
            return self.named_query(recursive);
        }
        self.top.place = Place::Query;
        if token.is("WITH") { Err(unexpected(token)) } else { self.query(token) }
    }

    fn relation(&mut self, token: Token<'a>) -> Result<(), Error> {
        let call = self.tokens.peek(0).is_symbol(b'(');
        self.top.place = Place::AfterRelation;
        if call && token.is("TABLE") {
            let open = self.tokens.next()?;
            let function = Name::take(self.tokens)?;
            self.found.function(&function);
            if !self.tokens.peek(0).is_symbol(b'(') {
                return Err(unexpected(self.tokens.peek(0)));
            }
            return self.push(Frame::new(Place::Expression, Some(b')')), open);
        }
        if call && token.is_any(&["UNNEST", "LATERAL", "JSON_TABLE"]) {
            return Ok(());
        }
        let name = Name::starting(token, self.tokens)?;
        if self.tokens.peek(0).is_symbol(b'(') {
            return Err(unexpected(self.tokens.peek(0)));
        }
        self.table(&name);
        Ok(())
    }

    /// A token of a query after its first word, or of an expression.
    fn clause(&mut self, token: Token<'a>) -> Result<(), Error> {
        let place = self.top.place;
        if token.is_symbol(b',') && place == Place::AfterRelation && self.top.commas {
            self.top.place = Place::Relation;
        }
        if token.kind != Kind::Word {
            return Ok(());
        }
        if token.is("FROM") && place == Place::Select && !self.distinct {
            self.top.place = Place::Relation;
            self.top.commas = true;
        } else if token.is("JOIN") && self.top.place == Place::AfterRelation {
            self.top.place = Place::Relation;
        } else if self.ends_relations(token) {
            self.top.place = Place::Expression;
        } else if self.top.query && token.is_any(&["UNION", "INTERSECT", "EXCEPT"]) {
            self.set_operation(token);
        } else if token.is("TABLE") {
            self.table_argument(token)?;
        } else if token.is("SELECT") {
            return Err(unexpected(token));
        }
        Ok(())
    }

    /// WHERE, GROUP BY and so on: after them a comma begins no relation any more.
    fn ends_relations(&mut self, token: Token<'a>) -> bool {
        let window = token.is("WINDOW") && self.tokens.peek(0).is_name() && self.tokens.peek(1).is("AS");
        let by = token.is_any(&["GROUP", "ORDER"]) && self.tokens.peek(0).is("BY");
        window || by || token.is_any(&["WHERE", "HAVING"])
    }

    /// In a recursive WITH query its own name means itself right of the UNION, and a table left of it
    /// (`StatementAnalyzer`: the query is analyzed as any other unless it is a UNION).
    fn set_operation(&mut self, token: Token<'a>) {
        self.top.place = Place::Query;
        if token.is("UNION")
            && let Some(name) = self.top.recursive.take()
        {
            self.show(name);
        }
    }

    /// `TABLE(name)` or `TABLE(query)` as an argument of a table function.
    fn table_argument(&mut self, token: Token<'a>) -> Result<(), Error> {
        let open = self.tokens.next()?;
        if !open.is_symbol(b'(') {
            return Err(unexpected(token));
        }
        self.push(Frame::new(Place::RelationOrQuery, Some(b')')), open)
    }
}
