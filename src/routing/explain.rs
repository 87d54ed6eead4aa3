//! Why a query goes where it goes, for people: what each rule said, what is known of the statement, and why one cluster
//! is picked. It decides nothing itself: it tells what [`Router::decide`] and [`Router::order`] found.

use serde::Serialize;

use super::{
    Router,
    decide::{Step, Verdict},
    decision::{Load, Outcome, Pick},
    expression::SqlFacts,
    facts::Facts,
    router::takes_new_queries,
    strategy,
    table::{Cluster, Serving, Strategy},
};
use crate::trino::ClusterName;

/// Why a query goes where it goes.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The rules that were tried, in their order; none after the one that matched.
    pub rules: Vec<RuleExplanation>,
    /// What is known of the statement, if a rule asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<StatementExplanation>,
    /// Who decided: `rule …`, `routing.default`, or nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// What becomes of the query.
    pub outcome: OutcomeExplanation,
    /// Whether `routing.fallback` took the place of what was decided, since that has no healthy cluster.
    pub fallback: bool,
    /// The clusters of the destination: first those that the query tries, in that order, then those that it does not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<ClusterExplanation>,
    /// Why the first one is the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub picked_because: Option<String>,
}

/// What a rule said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleExplanation {
    /// Its name.
    pub name: String,
    /// Its expression.
    pub when: String,
    /// `matched`, `notMatched`, `unknown` (the statement is not understood) or `failed`.
    pub result: &'static str,
    /// Why it is `unknown` or `failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What is known of a statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatementExplanation {
    /// `query.type`.
    #[serde(rename = "type")]
    pub kind: String,
    /// `query.catalogs`.
    pub catalogs: Vec<String>,
    /// `query.schemas`.
    pub schemas: Vec<String>,
    /// `query.tables`.
    pub tables: Vec<String>,
    /// Why it is `UNKNOWN`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why_unknown: Option<String>,
}

/// What becomes of a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum OutcomeExplanation {
    /// It goes to a cluster of this group.
    Group(String),
    /// It goes to this cluster or nowhere.
    Cluster(String),
    /// It is refused with this message.
    Reject(String),
    /// It is refused, since nothing matches it.
    NoRoute,
}

/// A cluster of the destination.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterExplanation {
    /// Its name.
    pub name: String,
    /// Its weight.
    pub weight: u32,
    /// Queries under way there; none when it takes no query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queries: Option<u32>,
    /// Why it takes no query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passed_over: Option<&'static str>,
}

impl Router {
    /// Why the query of `facts` goes where it goes. It is what [`Router::decide`], [`Router::candidates`] and, when that
    /// finds no cluster, [`Router::fallback`] say for the same arguments.
    pub fn explain(
        &self,
        facts: &Facts,
        draw: f64,
        pick: Pick,
        load: impl Fn(&ClusterName) -> Option<Load>,
    ) -> Explanation {
        let trial = self.try_rules(facts, draw);
        let decided_by = match (&trial.decision.rule, &trial.decision.outcome) {
            (Some(rule), _) => Some(format!("rule {rule}")),
            (None, Outcome::NoRoute) => None,
            (None, _) => Some("routing.default".to_owned()),
        };
        let mut outcome = trial.decision.outcome;
        let mut candidates = self.candidates(&outcome, pick, &load);
        let goes_on = matches!(outcome, Outcome::Group(_) | Outcome::Cluster(_));
        let fallback = self.fallback(draw).filter(|_| goes_on && candidates.is_empty());
        let falls_back = fallback.is_some();
        if let Some(fallback) = fallback {
            candidates = self.candidates(&fallback, pick, &load);
            outcome = fallback;
        }
        Explanation {
            rules: trial.steps.into_iter().map(|step| self.explain_step(step)).collect(),
            statement: trial.sql.map(StatementExplanation::from),
            decided_by,
            clusters: self.explain_clusters(&outcome, &candidates, &load),
            picked_because: self.explain_pick(&outcome, &candidates, &load),
            outcome: self.explain_outcome(outcome),
            fallback: falls_back,
        }
    }

    fn explain_step(&self, step: Step) -> RuleExplanation {
        let Step { rule, verdict } = step;
        let (result, reason) = match verdict {
            Verdict::Matched => ("matched", None),
            Verdict::NotMatched => ("notMatched", None),
            Verdict::Unknown(reason) => ("unknown", Some(reason)),
            Verdict::Failed(reason) => ("failed", Some(reason)),
        };
        let written = self.table().routing.rules.iter().find(|written| *written.name == *rule);
        let when = written.map(|written| written.when.clone()).unwrap_or_default();
        RuleExplanation { name: rule.to_string(), when, result, reason }
    }

    fn explain_outcome(&self, outcome: Outcome) -> OutcomeExplanation {
        match outcome {
            Outcome::Group(group) => {
                let group = self.table().groups.get(group);
                OutcomeExplanation::Group(group.map(|group| group.name.clone()).unwrap_or_default())
            }
            Outcome::Cluster(name) => OutcomeExplanation::Cluster(name.to_string()),
            Outcome::Reject { message } => OutcomeExplanation::Reject(message),
            Outcome::NoRoute => OutcomeExplanation::NoRoute,
        }
    }

    fn explain_clusters(
        &self,
        outcome: &Outcome,
        candidates: &[&ClusterName],
        load: impl Fn(&ClusterName) -> Option<Load>,
    ) -> Vec<ClusterExplanation> {
        let all: Vec<&Cluster> = match outcome {
            Outcome::Group(group) => self.table().groups.get(*group).iter().flat_map(|group| &group.clusters).collect(),
            Outcome::Cluster(name) => self.cluster(name.as_str()).map(|cluster| &**cluster).into_iter().collect(),
            Outcome::Reject { .. } | Outcome::NoRoute => Vec::new(),
        };
        let tried = candidates.iter().filter_map(|name| self.cluster(name.as_str()).map(|cluster| &**cluster));
        let others = all.into_iter().filter(|cluster| !candidates.contains(&&cluster.name));
        tried
            .chain(others)
            .map(|cluster| {
                let load = load(&cluster.name);
                let open = takes_new_queries(cluster) && load.is_some();
                ClusterExplanation {
                    name: cluster.name.to_string(),
                    weight: cluster.weight,
                    queries: load.filter(|_| open).map(|load| load.queries),
                    passed_over: (!open).then(|| passed_over(cluster)),
                }
            })
            .collect()
    }

    fn explain_pick(
        &self,
        outcome: &Outcome,
        candidates: &[&ClusterName],
        load: impl Fn(&ClusterName) -> Option<Load>,
    ) -> Option<String> {
        let first = self.cluster(candidates.first()?.as_str())?;
        let group = match outcome {
            Outcome::Group(group) => self.table().groups.get(*group)?,
            _ => return Some(format!("{} is where the query is pinned to", first.name)),
        };
        if candidates.len() == 1 {
            return Some(format!("{} is the only cluster of the group that takes new queries", first.name));
        }
        if let Some(canary) = &group.canary {
            let drawn = if canary.clusters.contains(&first.name) { "was drawn for" } else { "was not drawn for" };
            return Some(format!(
                "the query {drawn} the canary, which gets {} % of the group's; of those, {} is next by {:?}",
                canary.percent, first.name, group.strategy
            ));
        }
        let load = load(&first.name)?;
        Some(match group.strategy {
            Strategy::RoundRobin => {
                format!("RoundRobin: it is the turn of {}; the next query begins with the next one", first.name)
            }
            Strategy::Random => format!("Random: {} was drawn; each is as likely as the other", first.name),
            Strategy::Weighted => format!("Weighted: {} was drawn, with its weight of {}", first.name, first.weight),
            Strategy::LeastQueries if candidates.len() > strategy::TWO_CHOICES_OVER => format!(
                "LeastQueries: {} has the fewer queries for its weight of two that were drawn ({} under way)",
                first.name, load.queries
            ),
            Strategy::LeastQueries => format!(
                "LeastQueries: {} has the fewest queries for its weight ({} under way, weight {})",
                first.name, load.queries, first.weight
            ),
        })
    }
}

fn passed_over(cluster: &Cluster) -> &'static str {
    match cluster {
        Cluster { serving: Serving::Draining, .. } => "it drains: it takes no new queries",
        Cluster { weight: 0, .. } => "its weight is 0: it takes no new queries",
        _ => "it is not healthy",
    }
}

impl From<SqlFacts> for StatementExplanation {
    fn from(SqlFacts { kind, catalogs, schemas, tables, why_unknown }: SqlFacts) -> Self {
        Self { kind, catalogs, schemas, tables, why_unknown }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::routing::{Origin, Statement};

    fn router() -> Router {
        let cluster = |name: &str| json!({"name": name, "url": format!("http://{name}:8080")});
        let mut closed = cluster("closed");
        closed["weight"] = 0.into();
        let mut old = cluster("old");
        old["serving"] = "Draining".into();
        let table = json!({
            "groups": [
                {"name": "adhoc", "strategy": "LeastQueries", "clusters": [cluster("a"), cluster("b"), cluster("down"), closed, old]},
                {"name": "spare", "clusters": [cluster("c")]},
            ],
            "routing": {
                "rules": [
                    {"name": "session", "when": "query.session['x'] == '1'", "to": {"group": "spare"}},
                    {"name": "bob", "when": "user.name == 'bob'", "to": {"cluster": "down"}},
                    {"name": "no-drop", "when": "query.type == 'DROP'", "reject": {"message": "No.", "onUnknown": "Pass"}},
                ],
                "default": {"group": "adhoc"},
                "fallback": {"group": "spare"},
            },
        });
        Router::compile(serde_json::from_value(table).unwrap()).unwrap()
    }

    fn explain(user: &str) -> serde_json::Value {
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
        let facts = Facts::of(&headers, origin, Statement::Unread(crate::routing::Unread::TooLarge));
        let load = |name: &ClusterName| match name.as_str() {
            "down" => None,
            "a" => Some(Load { queries: 3, ..Load::default() }),
            _ => Some(Load::default()),
        };
        serde_json::to_value(router().explain(&facts, 0.0, Pick::default(), load)).unwrap()
    }

    #[test]
    fn an_explanation_tells_the_rules_the_statement_and_why_a_cluster_is_picked() {
        assert_eq!(
            explain("ann"),
            json!({
                "rules": [
                    {"name": "session", "when": "query.session['x'] == '1'", "result": "failed",
                        "reason": "there is no \"x\"; has(…) or `in` tells whether there is"},
                    {"name": "bob", "when": "user.name == 'bob'", "result": "notMatched"},
                    {"name": "no-drop", "when": "query.type == 'DROP'", "result": "unknown",
                        "reason": "the statement is larger than the proxy keeps"},
                ],
                "statement": {"type": "UNKNOWN", "catalogs": [], "schemas": [], "tables": [],
                    "whyUnknown": "the statement is larger than the proxy keeps"},
                "decidedBy": "routing.default",
                "outcome": {"group": "adhoc"},
                "fallback": false,
                "clusters": [
                    {"name": "b", "weight": 1, "queries": 0},
                    {"name": "a", "weight": 1, "queries": 3},
                    {"name": "down", "weight": 1, "passedOver": "it is not healthy"},
                    {"name": "closed", "weight": 0, "passedOver": "its weight is 0: it takes no new queries"},
                    {"name": "old", "weight": 1, "passedOver": "it drains: it takes no new queries"},
                ],
                "pickedBecause": "LeastQueries: b has the fewest queries for its weight (0 under way, weight 1)",
            })
        );
    }

    #[test]
    fn a_fallback_is_told() {
        let explained = explain("bob");
        assert_eq!((&explained["decidedBy"], &explained["fallback"]), (&json!("rule bob"), &json!(true)));
        assert_eq!(explained["outcome"], json!({"group": "spare"}));
        assert_eq!(explained["clusters"][0]["name"], "c");
        assert_eq!(explained["rules"].as_array().unwrap().len(), 2, "none after the one that matched");
    }
}
