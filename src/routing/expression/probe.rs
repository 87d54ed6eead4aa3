//! Whether the types of an expression fit. CEL in Rust has no type checker, so each part that is true or false by itself
//! is evaluated once for a query that is made up: types are the same for every query.

use std::collections::BTreeMap;

use cel::{
    ExecutionError, IdedExpr, Program, Value,
    common::ast::{Expr, operators},
};
use jiff::Timestamp;

use super::{ExpressionError, Scope, SqlFacts, View, describe, references::place};
use crate::routing::{Facts, Origin, Statement, Unread};

/// Checks the types in `program`.
pub fn check(program: &Program) -> Result<(), ExpressionError> {
    let mut scope = Scope::of(&made_up());
    let one = || vec![String::new()];
    let sql = SqlFacts { kind: String::new(), catalogs: one(), schemas: one(), tables: one(), why_unknown: None };
    scope.see(View::WithSql, &sql);
    condition(program.expression(), &scope).map_err(|(node, message)| {
        let (line, column) = place(program.source_info(), node);
        ExpressionError { line, column, message }
    })
}

/// A query with one entry in every list, so that what is said of the entries is checked too.
fn made_up() -> Facts {
    Facts {
        user: String::new(),
        source: String::new(),
        tags: vec![String::new()],
        client_info: String::new(),
        catalog: String::new(),
        schema: String::new(),
        session: BTreeMap::new(),
        resource_estimates: BTreeMap::new(),
        prepared: BTreeMap::new(),
        headers: BTreeMap::new(),
        origin: Origin {
            remote: std::net::Ipv4Addr::LOCALHOST.into(),
            listener: None,
            port: 0,
            host: None,
            sni: None,
            now: Timestamp::UNIX_EPOCH,
        },
        statement: Statement::Unread(Unread::NotAsked),
    }
}

type Checked<'a> = Result<(), (&'a IdedExpr, String)>;

/// Checks what must be true or false.
fn condition<'a>(node: &'a IdedExpr, scope: &Scope) -> Checked<'a> {
    if let Expr::Call(call) = &node.expr {
        match (call.func_name.as_str(), call.args.as_slice()) {
            (
                operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT | operators::CONDITIONAL,
                parts,
            ) => {
                return parts.iter().try_for_each(|part| condition(part, scope));
            }
            (operators::EQUALS | operators::NOT_EQUALS, [left, right]) => comparable(node, (left, right), scope)?,
            _ => {}
        }
    }
    match scope.context().resolve(node) {
        Ok(Value::Bool(_)) => Ok(()),
        Ok(other) => Err((node, format!("it must be true or false, and is {}", kind(&other)))),
        Err(error) if is_of_types(&error) => Err((node, describe(&error))),
        // A key that is not there, or a text that is no number: real queries may have it.
        Err(_) => Ok(()),
    }
}

/// CEL lets any two values be compared, and those of two types are never equal: nobody means that.
fn comparable<'a>(node: &'a IdedExpr, (left, right): (&IdedExpr, &IdedExpr), scope: &Scope) -> Checked<'a> {
    let sides = [left, right].map(|side| scope.context().resolve(side));
    let [Ok(left), Ok(right)] = sides else { return Ok(()) };
    let number = |value: &Value| matches!(value, Value::Int(_) | Value::UInt(_) | Value::Float(_));
    let same = std::mem::discriminant(&left) == std::mem::discriminant(&right) || (number(&left) && number(&right));
    if same { Ok(()) } else { Err((node, format!("{} is never equal to {}", kind(&left), kind(&right)))) }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::List(_) => "a list",
        Value::Map(_) => "a map",
        Value::Int(_) | Value::UInt(_) | Value::Float(_) => "a number",
        Value::String(_) => "a text",
        Value::Bool(_) => "true or false",
        Value::Timestamp(_) => "a time",
        Value::Duration(_) => "a duration",
        _ => "something else",
    }
}

fn is_of_types(error: &ExecutionError) -> bool {
    matches!(
        error,
        ExecutionError::InvalidArgumentCount { .. }
            | ExecutionError::UnsupportedTargetType { .. }
            | ExecutionError::NotSupportedAsMethod { .. }
            | ExecutionError::UnsupportedKeyType(_)
            | ExecutionError::UnexpectedType { .. }
            | ExecutionError::NoSuchOverload(_)
            | ExecutionError::UndeclaredReference(_)
            | ExecutionError::MissingArgumentOrTarget
            | ExecutionError::ValuesNotComparable(..)
            | ExecutionError::UnsupportedBinaryOperator(..)
            | ExecutionError::UnsupportedIndex(..)
    )
}
