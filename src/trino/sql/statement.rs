//! The statements of Trino's grammar, by their verb: what stands before others (EXPLAIN, PREPARE), what changes rows, and
//! what is prepared. `definition` and `session` have the rest; queries and expressions go on in `query`.

use super::{
    Context,
    error::Error,
    found::{Found, Name, part},
    packed,
    query::{Place, walk},
    skip_group,
    token::{Kind, Token, Tokens},
    unexpected,
};

/// What a statement is: its verb, and what the verb is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verb {
    pub kind: String,
    pub object: Option<String>,
}

impl Verb {
    pub(super) fn alone(kind: &str) -> Self {
        Self { kind: kind.to_owned(), object: None }
    }

    pub(super) fn of(kind: &str, object: &str) -> Self {
        Self { kind: kind.to_owned(), object: Some(object.to_owned()) }
    }
}

/// Words that begin a statement; a parenthesis may too.
const VERBS: &[&str] = &[
    "ALTER",
    "ANALYZE",
    "CALL",
    "COMMENT",
    "COMMIT",
    "CREATE",
    "DEALLOCATE",
    "DELETE",
    "DENY",
    "DESC",
    "DESCRIBE",
    "DROP",
    "EXECUTE",
    "EXPLAIN",
    "GRANT",
    "INSERT",
    "MERGE",
    "PREPARE",
    "REFRESH",
    "RESET",
    "REVOKE",
    "ROLLBACK",
    "SELECT",
    "SET",
    "SHOW",
    "START",
    "TABLE",
    "TRUNCATE",
    "UPDATE",
    "USE",
    "VALUES",
    "WITH",
];

pub(super) struct Statement<'a, 'f, 'c> {
    pub(super) tokens: Tokens<'a>,
    pub(super) found: &'f mut Found<'c>,
    context: &'c Context<'c>,
    /// It is the text of a prepared statement, which cannot execute another one.
    prepared: bool,
}

/// Reads a statement to its end.
pub(super) fn read<'c>(
    sql: &str,
    found: &mut Found<'c>,
    context: &'c Context<'c>,
    prepared: bool,
) -> Result<Verb, Error> {
    Statement { tokens: Tokens::new(sql), found, context, prepared }.read()
}

impl Statement<'_, '_, '_> {
    /// EXPLAIN and PREPARE stand before another statement. They may stand before each other any number of times, so
    /// this is a loop.
    fn read(&mut self) -> Result<Verb, Error> {
        let mut outer: Option<&str> = None;
        loop {
            if self.tokens.peek(0).kind == Kind::End {
                return Err(Error::Ended);
            }
            if self.explain_analyze()? {
                continue;
            }
            if self.tokens.take("EXPLAIN")? {
                self.explain_options()?;
                outer.get_or_insert("EXPLAIN");
            } else if self.tokens.take("PREPARE")? {
                part(self.tokens.next()?)?;
                self.expect("FROM")?;
                outer.get_or_insert("PREPARE");
            } else {
                let inner = self.verb()?;
                return Ok(match outer {
                    Some(kind) => Verb::of(kind, &inner.kind),
                    None => inner,
                });
            }
        }
    }

    /// EXPLAIN ANALYZE runs the statement, so it is as good as that statement. `EXPLAIN ANALYZE orders` is EXPLAIN of
    /// an ANALYZE.
    fn explain_analyze(&mut self) -> Result<bool, Error> {
        if !self.tokens.peek(0).is("EXPLAIN") || !self.tokens.peek(1).is("ANALYZE") {
            return Ok(false);
        }
        let verbose = self.tokens.peek(2).is("VERBOSE");
        let words = if verbose { 3 } else { 2 };
        let (next, then) = (self.tokens.peek(words), self.tokens.peek(words + 1));
        let is_table = next.is_name() && (then.kind == Kind::End || then.is_symbol(b'.')); // called `show`, say
        let before_statement = next.is_symbol(b'(') || (next.is_any(VERBS) && !is_table);
        if before_statement {
            for _ in 0..words {
                self.tokens.next()?;
            }
        }
        Ok(before_statement)
    }

    fn explain_options(&mut self) -> Result<(), Error> {
        let options = self.tokens.peek(0).is_symbol(b'(') && self.tokens.peek(1).is_any(&["TYPE", "FORMAT"]);
        if options { skip_group(&mut self.tokens) } else { Ok(()) }
    }

    fn verb(&mut self) -> Result<Verb, Error> {
        let token = self.tokens.peek(0);
        if token.is_symbol(b'(') || token.is_any(&["SELECT", "WITH", "TABLE", "VALUES"]) {
            self.rest(Place::Query)?;
            return Ok(Verb::alone("SELECT"));
        }
        self.tokens.next()?;
        let object = match token.text.to_ascii_uppercase().as_str() {
            _ if token.kind != Kind::Word => return Err(unexpected(token)),
            "CREATE" => Some(self.create()?),
            "DROP" => Some(self.drop()?),
            "ALTER" => Some(self.alter()?),
            "TRUNCATE" => Some(self.objects(&["TABLE"])?),
            "COMMENT" => Some(self.comment()?),
            "REFRESH" => Some(self.objects(&["MATERIALIZED VIEW"])?),
            "SHOW" => Some(self.show()?),
            "DESCRIBE" | "DESC" => self.describe()?,
            "GRANT" | "REVOKE" | "DENY" => Some(self.grant()?),
            "SET" | "RESET" => Some(self.set()?),
            "START" => Some(self.start()?),
            "EXECUTE" => return self.execute(),
            _ => {
                self.without_object(token)?;
                None
            }
        };
        let kind = if token.is("DESC") { "DESCRIBE".to_owned() } else { token.text.to_ascii_uppercase() };
        Ok(Verb { kind, object })
    }

    fn without_object(&mut self, verb: Token<'_>) -> Result<(), Error> {
        match verb.text.to_ascii_uppercase().as_str() {
            "INSERT" => self.insert(),
            "DELETE" => {
                self.expect("FROM")?;
                self.named()
            }
            "UPDATE" | "ANALYZE" => self.named(),
            "MERGE" => self.merge(),
            "USE" => {
                self.object_name("SCHEMA")?;
                self.rest(Place::Expression)
            }
            "CALL" => self.call(),
            "COMMIT" | "ROLLBACK" => self.rest(Place::Expression),
            "DEALLOCATE" => {
                self.expect("PREPARE")?;
                self.rest(Place::Expression)
            }
            _ => Err(unexpected(verb)),
        }
    }

    pub(super) fn expect(&mut self, keyword: &str) -> Result<(), Error> {
        let token = self.tokens.next()?;
        if token.is(keyword) { Ok(()) } else { Err(unexpected(token)) }
    }

    /// Walks to the end of the statement.
    pub(super) fn rest(&mut self, place: Place) -> Result<(), Error> {
        walk(&mut self.tokens, self.found, place)
    }

    pub(super) fn table(&mut self) -> Result<(), Error> {
        let name = Name::take(&mut self.tokens)?;
        self.found.table(&name);
        Ok(())
    }

    /// A table and whatever follows.
    pub(super) fn named(&mut self) -> Result<(), Error> {
        self.table()?;
        self.rest(Place::Expression)
    }

    fn start(&mut self) -> Result<String, Error> {
        let object = self.object(&["TRANSACTION"])?;
        self.rest(Place::Expression)?;
        Ok(object.to_owned())
    }

    fn insert(&mut self) -> Result<(), Error> {
        self.expect("INTO")?;
        self.table()?;
        if self.tokens.peek(0).is_symbol(b'@') {
            self.tokens.next()?; // a branch of the table
            part(self.tokens.next()?)?;
        }
        let next = self.tokens.peek(1);
        let begins_query = next.is_symbol(b'(') || next.is_any(&["SELECT", "WITH", "TABLE", "VALUES"]);
        if self.tokens.peek(0).is_symbol(b'(') && !begins_query {
            skip_group(&mut self.tokens)?; // the columns
        }
        self.rest(Place::Query)
    }

    fn merge(&mut self) -> Result<(), Error> {
        self.expect("INTO")?;
        self.table()?;
        while !self.tokens.take("USING")? {
            let alias = self.tokens.next()?;
            if !alias.is("AS") && !alias.is_name() {
                return Err(unexpected(alias));
            }
        }
        self.rest(Place::Relation)
    }

    /// EXECUTE is the statement that it executes.
    fn execute(&mut self) -> Result<Verb, Error> {
        let name = self.tokens.next()?;
        let literal = self.tokens.peek(0);
        if name.is("IMMEDIATE") && literal.kind == Kind::String && literal.text.starts_with('\'') {
            self.tokens.next()?;
            self.rest(Place::Expression)?;
            return self.resolve(&literal.unquoted());
        }
        self.rest(Place::Expression)?;
        self.prepared(name)
    }

    /// The prepared statement of this name, which keeps its case (`Identifier.getValue`).
    pub(super) fn prepared(&mut self, name: Token<'_>) -> Result<Verb, Error> {
        part(name)?;
        let name = if name.kind == Kind::Quoted { name.unquoted() } else { name.text.to_owned() };
        let sql = self.context.prepared.get(&name).ok_or(Error::NotPrepared)?;
        // Here and not before: at most one of a request's is unpacked, and only if its text matters.
        self.resolve(&packed::unpack(sql)?)
    }

    fn resolve(&mut self, sql: &str) -> Result<Verb, Error> {
        if self.prepared {
            return Err(Error::Nested);
        }
        super::bounded(sql)?;
        read(sql, self.found, self.context, true)
    }
}
