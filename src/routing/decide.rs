//! Which rule decides of a query: they are tried in their order, and what was found of each is kept for an explanation.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    decision::{Decision, Fault, Outcome},
    expression::{Scope, SqlFacts, View},
    facts::{Facts, MOST_ENTRIES, Statement},
    rule::{CompiledRule, Then},
    table::OnUnknown,
};
use crate::trino::sql::{Analysis, Context, analyze};

/// What became of the rules that were tried.
pub(super) struct Trial {
    pub decision: Decision,
    /// One for each rule that was tried, in their order.
    pub steps: Vec<Step>,
    /// What is known of the statement, if a rule asked.
    pub sql: Option<SqlFacts>,
}

/// A rule that was tried.
pub(super) struct Step {
    pub rule: Arc<str>,
    pub verdict: Verdict,
}

/// What a rule says of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Matched,
    NotMatched,
    /// It cannot be told since the statement is not understood, for this reason.
    Unknown(String),
    /// It cannot be told since the expression failed, for this reason.
    Failed(String),
}

/// Tries `rules` on the query of `facts`; `otherwise` is what becomes of one that none matches.
pub(super) fn decide(rules: &[CompiledRule], facts: &Facts, draw: f64, otherwise: Outcome) -> Trial {
    decide_with(rules, facts, draw, otherwise, analysis)
}

/// As [`decide`], with the analysis of the statement as it is made.
fn decide_with(
    rules: &[CompiledRule],
    facts: &Facts,
    draw: f64,
    otherwise: Outcome,
    analysis: impl Fn(&Facts) -> SqlFacts,
) -> Trial {
    let mut trial = Trial {
        decision: Decision { rule: None, outcome: otherwise, faults: Vec::new() },
        steps: Vec::new(),
        sql: None,
    };
    if rules.is_empty() {
        return trial;
    }
    let mut scope = Scope::of(facts);
    for rule in rules {
        let verdict = if rule.reads_sql() {
            let sql = trial.sql.get_or_insert_with(|| analysis(facts));
            on_sql(rule, &mut scope, sql)
        } else {
            verdict(rule, &scope)
        };
        trial.steps.push(Step { rule: rule.name.clone(), verdict: verdict.clone() });
        let outcome = outcome(rule, &verdict, draw);
        if let Verdict::Unknown(message) | Verdict::Failed(message) = verdict {
            trial.decision.faults.push(Fault { rule: rule.name.clone(), message });
        }
        if let Some(outcome) = outcome {
            trial.decision.rule = Some(rule.name.clone());
            trial.decision.outcome = outcome;
            break;
        }
    }
    trial
}

fn verdict(rule: &CompiledRule, scope: &Scope) -> Verdict {
    match rule.when.holds(scope) {
        Ok(true) => Verdict::Matched,
        Ok(false) => Verdict::NotMatched,
        Err(message) => Verdict::Failed(message),
    }
}

/// A rule that rejects is not told by a statement that is not understood: it matches, does not, or depends on it. To one
/// that only sends a query somewhere such a statement is of the kind `UNKNOWN`.
fn on_sql(rule: &CompiledRule, scope: &mut Scope, sql: &SqlFacts) -> Verdict {
    if let (Then::Reject { .. }, Some(why)) = (&rule.then, &sql.why_unknown) {
        scope.see(View::WithoutSql, sql);
        return match verdict(rule, scope) {
            Verdict::Failed(_) => Verdict::Unknown(why.clone()),
            told => told,
        };
    }
    scope.see(View::WithSql, sql);
    verdict(rule, scope)
}

/// What follows from a verdict; none when the next rule is tried.
fn outcome(rule: &CompiledRule, verdict: &Verdict, draw: f64) -> Option<Outcome> {
    match (&rule.then, verdict) {
        (Then::To(destination), Verdict::Matched) => Some(destination.outcome(draw)),
        (Then::Reject { message, .. }, Verdict::Matched) => Some(Outcome::Reject { message: message.clone() }),
        (Then::Reject { message, on_unknown: OnUnknown::Reject }, Verdict::Unknown(why) | Verdict::Failed(why)) => {
            // Whoever is refused by mistake must see that it is one.
            Some(Outcome::Reject { message: format!("{message} (it cannot be told whether this applies: {why})") })
        }
        (Then::To(_) | Then::Reject { .. }, _) => None,
    }
}

fn analysis(facts: &Facts) -> SqlFacts {
    let given = |text: &'_ String| (!text.is_empty()).then(|| text.clone());
    let (catalog, schema) = (given(&facts.catalog), given(&facts.schema));
    match &facts.statement {
        Statement::Unread(reason) => SqlFacts::unknown(reason.to_string()),
        Statement::Text(text) => {
            let context = Context { catalog: catalog.as_deref(), schema: schema.as_deref(), prepared: &facts.prepared };
            SqlFacts::of(analyze(text, &context))
        }
    }
}

impl SqlFacts {
    fn unknown(why: String) -> Self {
        let none = Vec::new;
        Self { kind: "UNKNOWN".to_owned(), catalogs: none(), schemas: none(), tables: none(), why_unknown: Some(why) }
    }

    /// A client shall not decide how long a rule takes: a statement of very many tables counts as not understood.
    fn of(analysis: Analysis) -> Self {
        if let Some(why) = analysis.why_unknown {
            return Self::unknown(why);
        }
        let most = [&analysis.catalogs, &analysis.schemas, &analysis.tables].map(BTreeSet::len).into_iter().max();
        if most > Some(MOST_ENTRIES) {
            return Self::unknown(format!("the statement names more than {MOST_ENTRIES} tables"));
        }
        Self {
            kind: analysis.kind,
            catalogs: analysis.catalogs.into_iter().collect(),
            schemas: analysis.schemas.into_iter().collect(),
            tables: analysis.tables.into_iter().collect(),
            why_unknown: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use http::HeaderMap;
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::routing::{Origin, RoutingTable, Unread};

    fn facts(user: &str) -> Facts {
        let mut headers = HeaderMap::new();
        headers.insert("x-trino-user", user.parse().unwrap());
        let origin = Origin {
            remote: [127, 0, 0, 1].into(),
            listener: None,
            port: 8080,
            host: None,
            sni: None,
            now: Timestamp::UNIX_EPOCH,
        };
        Facts::of(&headers, origin, Statement::Unread(Unread::TooLarge))
    }

    fn rules(rules: &serde_json::Value) -> Vec<CompiledRule> {
        let table = json!({"groups": [{"name": "etl"}, {"name": "adhoc"}], "routing": {"rules": rules}});
        CompiledRule::all(&serde_json::from_value::<RoutingTable>(table).unwrap()).unwrap()
    }

    fn drop_table() -> SqlFacts {
        let tables = vec!["hive.web.clicks".to_owned()];
        SqlFacts { kind: "DROP".into(), catalogs: vec![], schemas: vec![], tables, why_unknown: None }
    }

    fn decided(rules: &[CompiledRule], user: &str, sql: &SqlFacts) -> (Option<String>, Outcome, Vec<String>) {
        let trial = decide_with(rules, &facts(user), 0.0, Outcome::NoRoute, |_| sql.clone());
        let Decision { rule, outcome, faults } = trial.decision;
        let faults = faults.into_iter().map(|fault| format!("{}: {}", fault.rule, fault.message)).collect();
        (rule.map(|name| name.to_string()), outcome, faults)
    }

    #[test]
    fn the_first_rule_that_matches_decides_and_one_that_fails_is_passed_over_and_told() {
        let rules = rules(&json!([
            {"name": "broken", "when": "query.session['x'] == '1'", "to": {"group": "adhoc"}},
            {"name": "ann", "when": "user.name == 'ann'", "to": {"group": "etl"}},
            {"name": "all", "when": "true", "to": {"group": "adhoc"}},
        ]));
        let fault = r#"broken: there is no "x"; has(…) or `in` tells whether there is"#.to_owned();
        let never = SqlFacts::unknown("nobody asks".into());
        assert_eq!(decided(&rules, "ann", &never), (Some("ann".into()), Outcome::Group(0), vec![fault.clone()]));
        assert_eq!(decided(&rules, "bob", &never), (Some("all".into()), Outcome::Group(1), vec![fault]));
    }

    #[test]
    fn a_statement_is_analysed_once_and_only_for_a_rule_that_is_reached() {
        let rules = rules(&json!([
            {"name": "ann", "when": "user.name == 'ann'", "to": {"group": "etl"}},
            {"name": "a", "when": "query.type == 'SELECT'", "to": {"group": "adhoc"}},
            {"name": "b", "when": "query.type == 'DROP'", "to": {"group": "adhoc"}},
        ]));
        for (user, analyses) in [("ann", 0), ("bob", 1)] {
            let count = Cell::new(0);
            let analysis = |_: &Facts| {
                count.set(count.get() + 1);
                drop_table()
            };
            let trial = decide_with(&rules, &facts(user), 0.0, Outcome::NoRoute, analysis);
            assert_eq!((count.get(), trial.sql.is_some()), (analyses, analyses > 0), "{user}");
        }
    }

    fn no_drop(on_unknown: &str) -> Vec<CompiledRule> {
        rules(&json!([
            {"name": "no-drop", "when": "query.type == 'DROP' && user.name != 'admin'",
                "reject": {"message": "No.", "onUnknown": on_unknown}},
            {"name": "unknown", "when": "query.type == 'UNKNOWN'", "to": {"group": "adhoc"}},
            {"name": "else", "when": "size(query.tables) == 1", "to": {"group": "etl"}},
        ]))
    }

    #[test]
    fn a_reject_rule_refuses_what_it_matches_and_nothing_else() {
        let rules = no_drop("Reject");
        let rejected = Outcome::Reject { message: "No.".into() };
        assert_eq!(decided(&rules, "ann", &drop_table()), (Some("no-drop".into()), rejected, vec![]));
        assert_eq!(decided(&rules, "admin", &drop_table()), (Some("else".into()), Outcome::Group(0), vec![]));
    }

    #[test]
    fn a_statement_that_is_not_understood_is_refused_or_passed_as_the_rule_says() {
        let unknown = SqlFacts::unknown("the statement is not UTF-8".into());
        let fault = "no-drop: the statement is not UTF-8".to_owned();
        let message = "No. (it cannot be told whether this applies: the statement is not UTF-8)".to_owned();
        let refused = (Some("no-drop".into()), Outcome::Reject { message }, vec![fault.clone()]);
        assert_eq!(decided(&no_drop("Reject"), "ann", &unknown), refused);
        assert_eq!(
            decided(&no_drop("Pass"), "ann", &unknown),
            (Some("unknown".into()), Outcome::Group(1), vec![fault])
        );
        // Whatever the statement is, the rule is not for this user.
        for on_unknown in ["Reject", "Pass"] {
            assert_eq!(
                decided(&no_drop(on_unknown), "admin", &unknown),
                (Some("unknown".into()), Outcome::Group(1), vec![])
            );
        }
    }

    #[test]
    fn a_reject_rule_that_fails_follows_on_unknown_too() {
        let failing = |on_unknown: &str| {
            rules(&json!([{"name": "r", "when": "query.session['x'] == '1'",
                "reject": {"message": "No.", "onUnknown": on_unknown}}]))
        };
        let sql = drop_table();
        assert!(matches!(decided(&failing("Reject"), "ann", &sql).1, Outcome::Reject { .. }));
        assert_eq!(decided(&failing("Pass"), "ann", &sql).1, Outcome::NoRoute);
    }

    #[test]
    fn what_is_not_read_or_names_very_many_tables_is_unknown() {
        assert_eq!(analysis(&facts("ann")).why_unknown.unwrap(), "the statement is larger than the proxy keeps");
        let nothing = std::collections::BTreeMap::new();
        let mut many = analyze("", &Context { catalog: None, schema: None, prepared: &nothing });
        many.why_unknown = None;
        many.tables = (0..MOST_ENTRIES).map(|n| n.to_string()).collect();
        assert_eq!(SqlFacts::of(many.clone()).tables.len(), MOST_ENTRIES);
        many.tables.insert("one more".into());
        assert_eq!(SqlFacts::of(many).why_unknown.unwrap(), "the statement names more than 256 tables");
    }
}
