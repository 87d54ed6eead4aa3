//! Statements that define objects: CREATE, DROP, ALTER, COMMENT and their like, and the kinds of objects.

use super::{error::Error, found::Name, query::Place, skip_group, statement::Statement, token::Kind, unexpected};

/// The kinds of objects that CREATE, DROP and ALTER know; branches are newer than Trino 476.
const DEFINED: &[&str] = &["BRANCH", "CATALOG", "FUNCTION", "MATERIALIZED VIEW", "ROLE", "SCHEMA", "TABLE", "VIEW"];

impl Statement<'_, '_, '_> {
    /// The kind of an object, of one word or two.
    pub(super) fn object<'o>(&mut self, objects: &[&'o str]) -> Result<&'o str, Error> {
        let first = self.tokens.next()?;
        for object in objects {
            let mut words = object.split(' ');
            if !words.next().is_some_and(|word| first.is(word)) {
                continue;
            }
            match words.next() {
                None => return Ok(object),
                Some(second) if self.tokens.take(second)? => return Ok(object),
                Some(_) => {}
            }
        }
        Err(unexpected(first))
    }

    fn if_exists(&mut self) -> Result<(), Error> {
        if self.tokens.peek(0).is("IF") && self.tokens.peek(1).is_any(&["NOT", "EXISTS"]) {
            self.tokens.next()?;
            self.tokens.take("NOT")?;
            self.expect("EXISTS")?;
        }
        Ok(())
    }

    /// The name of an object of some kind, and what of it is recorded.
    pub(super) fn object_name(&mut self, object: &str) -> Result<Name, Error> {
        let name = Name::take(&mut self.tokens)?;
        match object {
            "TABLE" | "VIEW" | "MATERIALIZED VIEW" => self.found.table(&name),
            "COLUMN" => self.found.table(&name.clone().parent()),
            "SCHEMA" => self.found.schema(&name),
            "CATALOG" => name.single().into_iter().for_each(|name| self.found.catalog(name)),
            "FUNCTION" => self.found.function(&name),
            "BRANCH" => {
                self.expect("IN")?;
                self.expect("TABLE")?;
                self.table()?;
            }
            _ => {}
        }
        Ok(name)
    }

    pub(super) fn objects(&mut self, objects: &[&str]) -> Result<String, Error> {
        let object = self.object(objects)?;
        self.object_name(object)?;
        self.rest(Place::Expression)?;
        Ok(object.to_owned())
    }

    pub(super) fn create(&mut self) -> Result<String, Error> {
        if self.tokens.take("OR")? {
            self.expect("REPLACE")?;
        }
        let object = self.object(DEFINED)?;
        self.if_exists()?;
        self.object_name(object)?;
        match object {
            "TABLE" | "VIEW" | "MATERIALIZED VIEW" => self.definition(),
            "FUNCTION" => self.rest(Place::Routine),
            "ROLE" => self.in_catalog(),
            _ => self.rest(Place::Expression),
        }?;
        Ok(object.to_owned())
    }

    /// Columns, properties and comment, then perhaps AS and a query.
    fn definition(&mut self) -> Result<(), Error> {
        if self.tokens.peek(0).is_symbol(b'(') {
            self.table_elements()?;
        }
        loop {
            let token = self.tokens.peek(0);
            if token.is_symbol(b'(') {
                skip_group(&mut self.tokens)?;
            } else if token.kind == Kind::End || token.is_symbol(b';') {
                return self.rest(Place::Expression);
            } else if self.tokens.next()?.is("AS") {
                return self.rest(Place::Query);
            }
        }
    }

    /// The columns of a table, of which each may be `LIKE other_table`.
    fn table_elements(&mut self) -> Result<(), Error> {
        let mut depth = 0_usize;
        let mut begins = false;
        loop {
            let token = self.tokens.next()?;
            match token.kind {
                Kind::Symbol(b'(') => depth += 1,
                Kind::Symbol(b')') => depth -= 1, // at least 1 before, since it returns at 0
                Kind::End => return Err(Error::Ended),
                _ if begins && token.is("LIKE") => self.table()?,
                _ => {}
            }
            if depth == 0 {
                return Ok(());
            }
            begins = depth == 1 && (token.is_symbol(b'(') || token.is_symbol(b','));
        }
    }

    pub(super) fn drop(&mut self) -> Result<String, Error> {
        let object = self.object(DEFINED)?;
        self.if_exists()?;
        self.object_name(object)?;
        let rest = if object == "ROLE" { self.in_catalog() } else { self.rest(Place::Expression) };
        rest?;
        Ok(object.to_owned())
    }

    pub(super) fn alter(&mut self) -> Result<String, Error> {
        let word = self.tokens.peek(0);
        let object = if word.is_name()
            && !DEFINED.contains(&word.text.to_ascii_uppercase().as_str())
            && !word.is("MATERIALIZED")
        {
            self.tokens.next()?;
            &word.text.to_ascii_uppercase() // Trino takes any word before SET AUTHORIZATION
        } else {
            self.object(DEFINED)?
        };
        self.if_exists()?;
        let name = self.object_name(object)?;
        if self.tokens.peek(0).is("RENAME") && self.tokens.peek(1).is("TO") {
            self.tokens.next()?;
            self.tokens.next()?;
            let new = Name::take(&mut self.tokens)?;
            match object {
                "SCHEMA" => self.found.schema(&name.parent().child(&new)),
                _ => self.found.renamed(&name, &new),
            }
        }
        self.rest(Place::Expression)?;
        Ok(object.to_owned())
    }

    pub(super) fn comment(&mut self) -> Result<String, Error> {
        self.expect("ON")?;
        self.objects(&["TABLE", "VIEW", "COLUMN"])
    }
}
