//! A page of a statement's answer, as clients read it; see `io.trino.client.QueryResults`, Trino 476.

use http::{Uri, uri::PathAndQuery};
use serde::Deserialize;
use serde_json::Value;

/// The most characters of Trino's message that are told.
const MAX_MESSAGE: usize = 300;

/// What a page says of its query.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Page {
    /// The query's id.
    pub id: String,
    /// Where the next page is; none when the query has ended.
    pub next_uri: Option<String>,
    /// Its rows.
    #[serde(default)]
    pub data: Vec<Vec<Value>>,
    /// Why it failed.
    pub error: Option<QueryError>,
}

/// Why a query failed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryError {
    #[serde(default)]
    message: String,
    #[serde(default)]
    error_name: String,
}

impl QueryError {
    /// Trino's name of the error, such as `SYNTAX_ERROR`: at most 64 characters.
    pub fn name(&self) -> String {
        plain(&self.error_name, 64)
    }

    /// Trino's message in one line: at most 300 characters.
    pub fn message(&self) -> String {
        plain(&self.message, MAX_MESSAGE)
    }
}

fn plain(text: &str, most: usize) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(most).collect()
}

/// Where the coordinator itself has the page at `uri`: whatever host that names, and without the prefix that it was told to
/// put before it. None for what is no page of a statement.
pub fn at_the_coordinator(uri: &str, prefix: &str) -> Option<PathAndQuery> {
    let uri: Uri = uri.parse().ok()?;
    let target = uri.path_and_query()?;
    let below = target.as_str().strip_prefix(prefix).unwrap_or(target.as_str());
    let is_page = below.starts_with("/v1/statement/") && !below.contains("/../");
    if is_page { below.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_asked_for_at_the_coordinator_whatever_host_its_uri_names() {
        let at = |uri| at_the_coordinator(uri, "/c/blue").map(|target| target.to_string());
        let page = Some("/v1/statement/queued/q/s/1?slug=%2F".to_owned());
        assert_eq!(at("https://evil.example.com:1/c/blue/v1/statement/queued/q/s/1?slug=%2F"), page);
        assert_eq!(at("http://10.0.0.1:8080/v1/statement/queued/q/s/1?slug=%2F"), page);
        assert_eq!(at("/v1/statement/queued/q/s/1?slug=%2F"), page);
        for other in ["http://blue/v1/query/q", "http://blue/c/green/v1/statement/x", "//", "", "http://blue", "a b"] {
            assert_eq!(at(other), None, "{other}");
        }
        assert_eq!(at("http://blue/v1/statement/../info"), None);
    }

    #[test]
    fn what_trino_says_of_a_failure_is_told_in_one_line_and_not_without_end() {
        let text = format!(r#"{{"message": "line 1:8\n{}", "errorName": "SYNTAX_ERROR"}}"#, "x".repeat(1000));
        let error: QueryError = serde_json::from_str(&text).unwrap();
        assert_eq!(error.name(), "SYNTAX_ERROR");
        assert!(error.message().starts_with("line 1:8x") && error.message().len() == MAX_MESSAGE);
    }
}
