//! Statements that show or change what a session sees: SHOW, DESCRIBE, SET and CALL, and those on who may do what.

use super::{error::Error, found::Name, query::Place, statement::Statement, token::Kind};

/// What SHOW shows, but for what CREATE made.
const SHOWN: &[&str] = &[
    "BRANCHES",
    "CATALOGS",
    "COLUMNS",
    "CURRENT ROLES",
    "FUNCTIONS",
    "GRANTS",
    "ROLE GRANTS",
    "ROLES",
    "SCHEMAS",
    "SESSION",
    "STATS FOR",
    "TABLES",
];

impl Statement<'_, '_, '_> {
    pub(super) fn show(&mut self) -> Result<String, Error> {
        if self.tokens.take("CREATE")? {
            let object = self.objects(&["TABLE", "VIEW", "MATERIALIZED VIEW", "SCHEMA", "FUNCTION"])?;
            return Ok(format!("CREATE {object}"));
        }
        let object = self.object(SHOWN)?;
        match object {
            "STATS FOR" => {
                let of_query = self.tokens.peek(0).is_symbol(b'(');
                let rest = if of_query { self.rest(Place::Query) } else { self.named() };
                return rest.map(|()| "STATS".to_owned());
            }
            "GRANTS" if self.tokens.take("ON")? => self.grant_object().map(drop)?,
            _ => self.shown(object)?,
        }
        self.rest(Place::Expression)?;
        Ok(object.to_owned())
    }

    /// Where what is shown lies: the name after FROM or IN, or the session's.
    fn shown(&mut self, object: &str) -> Result<(), Error> {
        if !self.tokens.take("FROM")? && !self.tokens.take("IN")? {
            match object {
                "TABLES" => self.found.current_schema(),
                "SCHEMAS" => self.found.current_catalog(),
                _ => {}
            }
            return Ok(());
        }
        let of = match object {
            "COLUMNS" => "TABLE",
            "TABLES" | "FUNCTIONS" => "SCHEMA",
            "BRANCHES" => {
                self.expect("TABLE")?;
                "TABLE"
            }
            _ => "CATALOG",
        };
        self.object_name(of).map(drop)
    }

    pub(super) fn describe(&mut self) -> Result<Option<String>, Error> {
        let direction = self.tokens.peek(0);
        if !direction.is_any(&["INPUT", "OUTPUT"]) || !self.tokens.peek(1).is_name() {
            self.named()?;
            return Ok(None);
        }
        self.tokens.next()?;
        let name = self.tokens.next()?;
        self.rest(Place::Expression)?;
        match self.prepared(name) {
            Ok(_) | Err(Error::NotPrepared) => {} // Trino will say so; that it is a DESCRIBE is certain
            Err(error) => return Err(error),
        }
        Ok(Some(direction.text.to_ascii_uppercase()))
    }

    pub(super) fn call(&mut self) -> Result<(), Error> {
        let name = Name::take(&mut self.tokens)?;
        self.found.procedure(&name);
        self.rest(Place::Expression)
    }

    /// Privileges on an object, or roles.
    pub(super) fn grant(&mut self) -> Result<String, Error> {
        loop {
            let token = self.tokens.next()?;
            if token.kind == Kind::End {
                return Err(Error::Ended);
            }
            if token.is("ON") {
                let object = self.grant_object()?;
                self.rest(Place::Expression)?;
                return Ok(object);
            }
            if token.is_any(&["TO", "FROM"]) {
                self.in_catalog()?;
                return Ok("ROLE".to_owned());
            }
        }
    }

    /// A name, with the kind of object before it unless it is a table; what kind it is.
    fn grant_object(&mut self) -> Result<String, Error> {
        let (kind, next) = (self.tokens.peek(0), self.tokens.peek(1));
        let before_name = next.is_name() && (!next.is("TO") || self.tokens.peek(2).is("TO"));
        let has_kind = kind.is("TABLE") || (kind.is_name() && before_name);
        let object = if has_kind { self.tokens.next()?.name().to_uppercase() } else { "TABLE".to_owned() };
        self.object_name(&object)?;
        Ok(object)
    }

    /// The catalog of a role, which is last: `… IN catalog`.
    pub(super) fn in_catalog(&mut self) -> Result<(), Error> {
        while !matches!(self.tokens.peek(0).kind, Kind::End | Kind::Symbol(b';')) {
            if self.tokens.next()?.is("IN") {
                self.object_name("CATALOG")?;
            }
        }
        self.rest(Place::Expression)
    }

    pub(super) fn set(&mut self) -> Result<String, Error> {
        let object = self.object(&["SESSION AUTHORIZATION", "SESSION", "ROLE", "PATH", "TIME ZONE"])?;
        match object {
            "SESSION" => {
                let name = Name::take(&mut self.tokens)?;
                self.found.property(&name);
            }
            "ROLE" => self.in_catalog()?,
            _ => {}
        }
        self.rest(Place::Expression)?;
        Ok(object.to_owned())
    }
}
