//! A rule made ready for use, and how it is told of a query: rules are tried in turn until one matches.

use std::sync::Arc;

use super::{
    TableError,
    check::Destination,
    expression::Expression,
    table::{OnUnknown, RoutingTable, Rule},
};

/// A rule whose expression is compiled and whose target resolves.
#[derive(Debug)]
pub(super) struct CompiledRule {
    pub name: Arc<str>,
    pub when: Expression,
    pub then: Then,
}

/// What becomes of the queries that a rule matches.
#[derive(Debug)]
pub(super) enum Then {
    To(Destination),
    Reject { message: String, on_unknown: OnUnknown },
}

impl CompiledRule {
    /// The rules of `table`, in their order.
    pub(super) fn all(table: &RoutingTable) -> Result<Vec<Self>, TableError> {
        let rules = &table.routing.rules;
        for (index, rule) in rules.iter().enumerate() {
            if rule.name.trim().is_empty() {
                return Err(TableError::RuleUnnamed(index));
            }
            if rules[..index].iter().any(|other| other.name == rule.name) {
                return Err(TableError::RuleTwice(rule.name.clone()));
            }
        }
        rules.iter().map(|rule| Self::of(table, rule)).collect()
    }

    fn of(table: &RoutingTable, rule: &Rule) -> Result<Self, TableError> {
        let then = match (&rule.to, &rule.reject) {
            (Some(to), None) => Then::To(Destination::of(table, &rule.field("to"), to)?),
            (None, Some(reject)) if reject.message.trim().is_empty() => {
                return Err(TableError::RejectMessage(rule.name.clone()));
            }
            (None, Some(reject)) => Then::Reject { message: reject.message.clone(), on_unknown: reject.on_unknown },
            (Some(_), Some(_)) | (None, None) => return Err(TableError::RuleEnd(rule.name.clone())),
        };
        let fault = |fault| TableError::Expression { rule: rule.name.clone(), fault };
        let when = Expression::compile(&rule.when).map_err(fault)?;
        Ok(Self { name: rule.name.as_str().into(), when, then })
    }

    /// Whether it looks at the statement.
    pub(super) fn reads_sql(&self) -> bool {
        self.when.reads_sql()
    }
}
