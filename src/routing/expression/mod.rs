//! The expression of a rule: CEL (cel-spec), compiled once and evaluated for each query. Nothing here panics on what a
//! client sends, and no text that it makes holds a value that a client sent.

mod probe;
mod references;
mod scope;
mod variables;

use cel::{ExecutionError, Program, Value};

pub(super) use scope::{Scope, SqlFacts, View};

/// The longest expression, in bytes.
const LONGEST: usize = 4096;

/// Why an expression cannot be used, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ExpressionError {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// A compiled expression.
#[derive(Debug)]
pub(super) struct Expression {
    program: Program,
    reads_sql: bool,
}

impl Expression {
    /// Compiles `source`: its names must be known, its types must fit, and it must be true or false.
    pub(super) fn compile(source: &str) -> Result<Self, ExpressionError> {
        if source.trim().is_empty() {
            return Err(start("say for which queries the rule is; `true` is for all".to_owned()));
        }
        if source.len() > LONGEST {
            return Err(start(format!("it has {} bytes, and {LONGEST} are the most", source.len())));
        }
        // With the macros left as they were written, names and places are the user's own.
        let written = variables::environment_without_macros().compile(source).map_err(|errors| syntax(&errors))?;
        let reads_sql = references::check(&written)?;
        let program = variables::environment().compile(source).map_err(|errors| syntax(&errors))?;
        probe::check(&program)?;
        Ok(Self { program, reads_sql })
    }

    /// Whether it looks at the statement.
    pub(super) fn reads_sql(&self) -> bool {
        self.reads_sql
    }

    /// Whether it holds in `scope`.
    ///
    /// # Errors
    /// With the reason when it cannot be told.
    pub(super) fn holds(&self, scope: &Scope) -> Result<bool, String> {
        match self.program.execute(scope.context()) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(_) => Err("it is neither true nor false".to_owned()),
            Err(error) => Err(describe(&error)),
        }
    }
}

fn start(message: String) -> ExpressionError {
    ExpressionError { line: 1, column: 1, message }
}

/// The first fault that the parser found.
fn syntax(errors: &cel::ParseErrors) -> ExpressionError {
    let Some(error) = errors.errors.first() else { return start("it cannot be parsed".to_owned()) };
    let from_one = |number: isize| usize::try_from(number).unwrap_or(0).max(1);
    ExpressionError { line: from_one(error.pos.0), column: from_one(error.pos.1), message: error.msg.clone() }
}

/// Why an evaluation failed, without the values: they may be a client's secrets, and this goes to logs.
fn describe(error: &ExecutionError) -> String {
    match error {
        ExecutionError::NoSuchKey(key) => format!("there is no {key:?}; has(…) or `in` tells whether there is"),
        ExecutionError::NoSuchOverload(error) => error.to_string(),
        ExecutionError::UndeclaredReference(name) => format!("there is no {name:?}"),
        ExecutionError::FunctionError { function, .. } => {
            format!("{function} cannot make anything of what it is given")
        }
        ExecutionError::DivisionByZero(_) | ExecutionError::RemainderByZero(_) => "division by zero".to_owned(),
        ExecutionError::Overflow(..) => "a number is too large".to_owned(),
        ExecutionError::IndexOutOfBounds(_) => "the list is shorter than that".to_owned(),
        ExecutionError::ValuesNotComparable(..) => "the two sides cannot be compared".to_owned(),
        ExecutionError::UnsupportedBinaryOperator(operator, ..) => format!("{operator} does not fit its two sides"),
        _ => "the types do not fit".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::routing::{Facts, Origin, Statement, Unread};

    fn facts() -> Facts {
        Facts {
            user: "ann".into(),
            source: "airflow".into(),
            tags: vec!["etl".into(), "night".into()],
            client_info: "Nightly Load".into(),
            catalog: "hive".into(),
            schema: String::new(),
            session: [("query_max_run_time".to_owned(), "10m".to_owned())].into(),
            resource_estimates: [("PEAK_MEMORY".to_owned(), "1GB".to_owned())].into(),
            prepared: BTreeMap::new(),
            headers: [("x-team".to_owned(), "7".to_owned())].into(),
            origin: Origin {
                remote: "::ffff:10.1.2.3".parse().unwrap(),
                listener: Some("bi".into()),
                port: 8081,
                host: Some("trino.example.com".into()),
                sni: None,
                // A Wednesday, 23:30 in UTC: Thursday, 00:30 in Berlin.
                now: "2026-01-14T23:30:00.5Z".parse().unwrap(),
            },
            statement: Statement::Unread(Unread::NotAsked),
        }
    }

    fn sql() -> SqlFacts {
        SqlFacts {
            kind: "INSERT".into(),
            catalogs: vec!["hive".into()],
            schemas: vec!["hive.web".into()],
            tables: vec!["hive.web.clicks".into()],
            why_unknown: None,
        }
    }

    fn holds(source: &str) -> Result<bool, String> {
        let expression = Expression::compile(source).unwrap_or_else(|error| panic!("{source}: {error}"));
        let mut scope = Scope::of(&facts());
        scope.see(View::WithSql, &sql());
        expression.holds(&scope)
    }

    fn refusal(source: &str) -> String {
        Expression::compile(source).expect_err(source).to_string()
    }

    #[test]
    fn every_variable_has_its_value() {
        for source in [
            r#"query.source == "airflow" && user.name == "ann" && !user.verified"#,
            r#""etl" in query.tags && query.tags.exists(t, t.startsWith("ni")) && size(query.tags) == 2"#,
            r#"query.clientInfo.lowerAscii().contains("nightly")"#,
            r#"query.catalog == "hive" && query.schema == """#,
            r#"query.session["query_max_run_time"] == "10m" && query.session.query_max_run_time != "1h""#,
            r#"query.resourceEstimates["PEAK_MEMORY"] == "1GB""#,
            r#"query.type == "INSERT" && query.catalogs == ["hive"] && "hive.web" in query.schemas"#,
            r#"query.tables.all(t, ["hive.", "lake."].exists(p, t.startsWith(p)))"#,
            r#"request.headers["x-team"] == "7" && has(request.headers.host) == false && int(request.headers["x-team"]) > 6"#,
            r#"request.host.endsWith(".example.com") && request.sni == "" && request.listener == "bi""#,
            r#"request.port == 8081 && request.remoteAddress == "10.1.2.3""#,
            r#"request.remoteAddress.inNetwork("10.0.0.0/8") && !request.remoteAddress.inNetwork("10.0.0.0/16")"#,
            r"request.time.getHours() == 23 && request.time.getDayOfWeek() == 3",
            r#"request.time.getHours("Europe/Berlin") == 0 && request.time.getDayOfWeek("Europe/Berlin") == 4"#,
            r#"request.time > timestamp("2026-01-14T23:30:00Z") && request.time < timestamp("2026-01-14T23:30:01Z")"#,
            r#"user.name.matches("^a.n$") ? true : false"#,
            "true",
        ] {
            assert_eq!(holds(source), Ok(true), "{source}");
        }
        assert_eq!(
            holds(r#"query.tags.exists_one(t, t == "x") || query.tags.filter(t, t == "etl").size() > 1"#),
            Ok(false)
        );
    }

    #[test]
    fn an_expression_that_cannot_be_told_says_why_and_tells_no_value() {
        for (source, why) in [
            (r#"query.session["x"] == "1""#, r#"there is no "x"; has(…) or `in` tells whether there is"#),
            (r"int(query.source) > 1", "int cannot make anything of what it is given"),
            (r#"query.tags[7] == "a""#, "the list is shorter than that"),
            (r"1 / (request.port - 8081) == 1", "division by zero"),
            (r"request.time.getHours(query.source) == 1", "timezone cannot make anything of what it is given"),
        ] {
            assert_eq!(holds(source), Err(why.to_owned()), "{source}");
        }
    }

    #[test]
    fn without_the_statement_only_what_does_not_depend_on_it_has_a_value() {
        let value = |source: &str| Expression::compile(source).unwrap().holds(&Scope::of(&facts())).ok();
        for (source, expected) in [
            (r#"query.type == "DROP""#, None),
            (r#"query.type == "DROP" && user.name == "bob""#, Some(false)),
            (r#"user.name == "bob" && query.type == "DROP""#, Some(false)),
            (r#"query.type == "DROP" || user.name == "ann""#, Some(true)),
            (r#"query.type == "DROP" && user.name == "ann""#, None),
            (r#"query.tables.exists(t, t.startsWith("secret."))"#, None),
            (r#"user.name == "ann""#, Some(true)),
        ] {
            assert_eq!(value(source), expected, "{source}");
        }
    }

    #[test]
    fn it_is_known_whether_an_expression_looks_at_the_statement() {
        let reads = |source: &str| Expression::compile(source).unwrap().reads_sql();
        assert!(reads(r#"user.name == "ann" || size(query.tables) > 9"#));
        assert!(reads(r"has(query.type)"));
        assert!(!reads(r#"query.tags.exists(t, t == "type")"#));
        assert!(!reads(r#"query.source == "query.type""#));
    }

    #[test]
    fn a_fault_has_its_place_and_the_names_that_would_do() {
        for (source, fault) in [
            ("", "line 1, column 1: say for which queries the rule is; `true` is for all"),
            (
                r#"user.name == "a" && query.sorce == "b""#,
                "line 1, column 21: there is no query.sorce; there is query.source, query.tags, query.clientInfo, \
                 query.catalog, query.schema, query.session, query.resourceEstimates, query.type, query.catalogs, \
                 query.schemas, query.tables",
            ),
            (
                "true &&\n  usr.name == 'ä'",
                "line 2, column 3: there is no \"usr\"; the variables are query, user, request",
            ),
            ("query == 1", "line 1, column 1: query alone says nothing; write one of query.source"),
            (r#"user["name"] == "a""#, "user has fields: write one of user.name, user.verified"),
            (r#"query.source.startWith("a")"#, r#"there is no function "startWith"; the functions are contains, "#),
            (r"query.tags.map(t, t) == []", r#"there is no function "map"; a rule only asks: write exists or filter"#),
            (r"query.tags.exists(t)", "exists is written list.exists(x, condition of x)"),
            (r#"query.tags.exists(user, user == "a")"#, "line 1, column 19: user is a variable already"),
            (
                r"query.tags.exists(t, query.tables.exists(u, u == t))",
                "of exists within another, one of the two lists must be written out",
            ),
            (r#"user.name.matches("a(")"#, r#""a(" is no regular expression"#),
            (r#"request.time > timestamp("noon")"#, r#""noon" is no time such as"#),
            (r#"request.time.getHours("Berlin") > 1"#, r#""Berlin" is no time zone such as Europe/Berlin"#),
            (r#"request.remoteAddress.inNetwork("10.0.0.0/33")"#, r#""10.0.0.0/33" is no network"#),
            (r#"request.port == "8080""#, "a number is never equal to a text"),
            (r#"query.tags == "etl""#, "a list is never equal to a text"),
            (r#"user.name == "ä" || query.source"#, "line 1, column 21: it must be true or false, and is a text"),
            (r#""etl" in query.source"#, "found no matching overload for '@in' applied to '(string, string)'"),
            (r"query.source > 1", "line 1, column"),
            (r"query.tags.all(t, t > 1)", "line 1, column"),
            (r#"query.source =! "a""#, "line 1, column 14: "),
            (r#""ä" == query.source =! "a""#, "line 1, column 21: "),
            (r#"query.?source == "a""#, "line 1, column 6: "),
            (&"(".repeat(3000), "line 1, column"),
            (&"a".repeat(5000), "it has 5000 bytes, and 4096 are the most"),
        ] {
            let found = refusal(source);
            assert!(
                found.starts_with(fault) || (!fault.starts_with("line") && found.contains(fault)),
                "{source}: {found}"
            );
        }
    }

    #[test]
    fn the_users_page_names_every_variable_and_function() {
        let page = include_str!("../../../docs/routing.md");
        for variable in variables::VARIABLES {
            let name = format!("`{}.{}`", variable.root, variable.field);
            assert!(page.contains(&name), "docs/routing.md does not name {name}");
        }
        for function in variables::FUNCTIONS {
            assert!(page.contains(&format!("`{function}`")), "docs/routing.md does not name `{function}`");
        }
    }

    #[test]
    fn nothing_that_fits_into_a_rule_overflows_the_stack() {
        // A thread of a server has 2 MiB of stack, as this one has.
        let deep = |open: &str, times: usize, core: &str, close: &str| {
            format!("{}{core}{}", open.repeat(times), close.repeat(times))
        };
        for source in [
            deep("(", 2000, "true", ")"),
            deep("!", 4000, "true", ""),
            deep("-", 4000, "1", ""),
            deep("[", 2000, "1", "]"),
            deep("true || ", 500, "true", ""),
            deep("1 + ", 1000, "1 == 1", ""),
            deep("true ? true : ", 280, "true", ""),
            deep("size(", 600, "'a'", ")"),
            format!("query{}", ".a".repeat(2000)),
            format!("query.tags{}", "[0]".repeat(1300)),
            format!("'a'{} == 'a'", ".trim()".repeat(500)),
        ] {
            let scope = Scope::of(&facts());
            let done = Expression::compile(&source).map(|expression| expression.holds(&scope));
            assert!(done.is_err() || done == Ok(Ok(true)), "{}", &source[..20]);
        }
        assert_eq!(holds(&deep("true && ", 500, "true", "")), Ok(true), "long rules are not deep ones");
    }
}
