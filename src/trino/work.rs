//! What a coordinator has to do, and with whom: its list of queries, how many it counts, the workers that it watches.

use std::time::Duration;

use serde::Deserialize;

use super::parse_duration;

/// The coordinator's list of queries, those included that ended a moment ago (Trino 476).
pub const QUERIES: &str = "/v1/query";

/// How many queries it has: two gauges alone, for all metrics of a coordinator are over a megabyte (Trino 476).
pub const COUNTS: &str = "/metrics?name%5B%5D=trino_execution_name_QueryManager_RunningQueries\
                          &name%5B%5D=trino_execution_name_QueryManager_QueuedQueries";

/// What became of its queries since it started, and how long they took in the last five minutes (Trino 476).
pub const OUTCOMES: &str = "/metrics?name%5B%5D=trino_execution_name_QueryManager_CompletedQueries\
                            &name%5B%5D=trino_execution_name_QueryManager_InternalFailures\
                            &name%5B%5D=trino_execution_name_QueryManager_ExternalFailures\
                            &name%5B%5D=trino_execution_name_QueryManager_InsufficientResourcesFailures\
                            &name%5B%5D=trino_execution_name_QueryManager_ExecutionTime_FiveMinutes";

/// The workers that its failure detector watches (Trino 470 and 476).
pub const WATCHED: &str = "/v1/node";

/// Who asks, where no authentication is set.
pub const USER: &str = "warren";

/// A query that has not ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Its id.
    pub id: String,
    /// Who runs it.
    pub user: Option<String>,
    /// When it was made, as RFC 3339 says it.
    pub created: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Listed {
    query_id: String,
    state: String,
    #[serde(default)]
    session: Option<Session>,
    #[serde(default)]
    query_stats: Option<Stats>,
}

#[derive(Deserialize)]
struct Session {
    user: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    create_time: Option<String>,
}

/// The queries in the answer to [`QUERIES`] that have not ended. The list holds what the asking user may see.
///
/// # Errors
/// When it is no such list.
pub fn unfinished(list: &[u8]) -> Result<Vec<Unfinished>, serde_json::Error> {
    let listed: Vec<Listed> = serde_json::from_slice(list)?;
    // All other states can still fail or be cancelled (io.trino.execution.QueryState, Trino 476).
    let open = listed.into_iter().filter(|query| !matches!(query.state.as_str(), "FINISHED" | "FAILED"));
    let unfinished = |query: Listed| Unfinished {
        id: query.query_id,
        user: query.session.and_then(|session| session.user),
        created: query.query_stats.and_then(|stats| stats.create_time),
    };
    Ok(open.map(unfinished).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Watched {
    age: String,
    recent_failure_ratio: f64,
}

/// The default of `failure-detector.threshold`.
const FAILING: f64 = 0.1;

/// For how long each worker in the answer to [`WATCHED`] has been watched, but for those that fail.
///
/// # Errors
/// When it is no such list.
pub fn watched(list: &[u8]) -> Result<Vec<Duration>, serde_json::Error> {
    let watched: Vec<Watched> = serde_json::from_slice(list)?;
    let sound = watched.into_iter().filter(|worker| worker.recent_failure_ratio <= FAILING);
    Ok(sound.filter_map(|worker| parse_duration(&worker.age)).collect())
}

/// Whether the answer to [`QUERIES`] holds a query, ended or not.
///
/// # Errors
/// When it is no such list.
pub fn lists(list: &[u8], id: &str) -> Result<bool, serde_json::Error> {
    let listed: Vec<Listed> = serde_json::from_slice(list)?;
    Ok(listed.iter().any(|query| query.query_id == id))
}

/// What became of a coordinator's queries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcomes {
    /// Those that ended, since it started.
    pub ended: u64,
    /// Those of them that failed by no fault of their user.
    pub failed: u64,
    /// Those that ended in the last five minutes, about.
    pub recent: f64,
    /// How long nine in ten of these took at most.
    pub latency: Option<Duration>,
}

/// The outcomes in the answer to [`OUTCOMES`], OpenMetrics text; none unless all are there.
pub fn outcomes(metrics: &str) -> Option<Outcomes> {
    let value = |name: &str| -> Option<f64> {
        let mut lines = metrics.lines().filter_map(|line| line.strip_prefix("trino_execution_name_QueryManager_"));
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(" "))?.trim().parse().ok()
    };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count; Trino counts in 64 bits")]
    let count = |name: &str| value(name).map(|value| value as u64);
    let failures = ["InternalFailures", "ExternalFailures", "InsufficientResourcesFailures"];
    let millis = value("ExecutionTime_FiveMinutes{quantile=\"0.9\"}");
    Some(Outcomes {
        ended: count("CompletedQueries")?,
        failed: failures.into_iter().map(count).sum::<Option<u64>>()?,
        recent: value("ExecutionTime_FiveMinutes_count")?,
        // Of no queries it is NaN.
        latency: millis.and_then(|millis| Duration::try_from_secs_f64(millis / 1000.0).ok()),
    })
}

/// The sum of both gauges in the answer to [`COUNTS`], OpenMetrics text; none unless both are there.
pub fn count(metrics: &str) -> Option<u32> {
    let gauge = |name: &str| {
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        // Numbers are written as floating ones: what is no whole number of queries is none.
        value.trim().strip_suffix(".0")?.parse::<u32>().ok()
    };
    let running = gauge("trino_execution_name_QueryManager_RunningQueries")?;
    Some(running.saturating_add(gauge("trino_execution_name_QueryManager_QueuedQueries")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn running_and_queued_queries_add_up() {
        // As Trino 476 answers.
        let metrics = "# TYPE trino_execution_name_QueryManager_RunningQueries gauge\n\
                       trino_execution_name_QueryManager_RunningQueries 3.0\n\
                       # TYPE trino_execution_name_QueryManager_QueuedQueries gauge\n\
                       trino_execution_name_QueryManager_QueuedQueries 39.0\n# EOF\n";
        assert_eq!(count(metrics), Some(42));
        assert_eq!(count(&metrics.replace("3.0\n#", "NaN\n#")), None);
        assert_eq!(count("trino_execution_name_QueryManager_RunningQueries 3.0\n"), None);
        assert_eq!(count("<html>"), None);
    }

    #[test]
    fn outcomes_are_counted_and_timed() {
        // Shortened from an answer of Trino 476.
        let metrics = "# TYPE trino_execution_name_QueryManager_InternalFailures counter\n\
            trino_execution_name_QueryManager_InternalFailures 1\n\
            trino_execution_name_QueryManager_ExternalFailures 2\n\
            trino_execution_name_QueryManager_InsufficientResourcesFailures 4\n\
            trino_execution_name_QueryManager_CompletedQueries 300\n\
            # TYPE trino_execution_name_QueryManager_ExecutionTime_FiveMinutes summary\n\
            trino_execution_name_QueryManager_ExecutionTime_FiveMinutes_count 2\n\
            trino_execution_name_QueryManager_ExecutionTime_FiveMinutes{quantile=\"0.5\"} 1066.5281198035887\n\
            trino_execution_name_QueryManager_ExecutionTime_FiveMinutes{quantile=\"0.9\"} 4068.154614\n# EOF\n";
        let found = outcomes(metrics).unwrap();
        assert_eq!((found.ended, found.failed, found.latency.map(|latency| latency.as_millis())), (300, 7, Some(4068)));
        assert!((found.recent - 2.0).abs() < f64::EPSILON);
        assert_eq!(outcomes(&metrics.replace("CompletedQueries 300", "")), None);
        assert_eq!(outcomes(&metrics.replace("4068.154614", "NaN")).unwrap().latency, None);
    }

    #[test]
    fn workers_are_watched_for_some_time() {
        // As Trino 476 answers.
        let list = br#"[{"uri": "http://10.244.0.1:28181/v1/status", "recentRequests": 39.89, "recentFailures": 0.0,
            "recentSuccesses": 39.89, "lastRequestTime": "2026-11-21T17:59:07.336Z",
            "lastResponseTime": "2026-11-21T17:59:07.366Z", "recentFailureRatio": 0.0, "age": "24.44s",
            "recentFailuresByType": {}}, {"recentFailureRatio": 0.5, "age": "1.00m"}]"#;
        assert_eq!(watched(list).unwrap(), [Duration::from_millis(24_440)]);
        assert!(watched(b"<html>").is_err());
    }

    #[test]
    fn what_has_not_ended_is_unfinished() {
        // Shortened from an answer of Trino 476.
        let list = br#"[
            {"queryId": "20250805_101112_00003_abcde", "session": {"user": "ann", "source": "x"}, "state": "FINISHING",
             "queryStats": {"createTime": "2025-08-05T10:11:12.345Z", "elapsedTime": "1.00s"}, "query": "SELECT 1"},
            {"queryId": "20250805_101112_00002_abcde", "session": {"user": "bob"}, "state": "FAILED"},
            {"queryId": "20250805_101112_00001_abcde", "session": {"user": "bob"}, "state": "FINISHED"},
            {"queryId": "20250805_101112_00004_abcde", "state": "WAITING_FOR_RESOURCES"}]"#;
        let unfinished = unfinished(list).unwrap();
        assert_eq!(unfinished.iter().map(|query| &query.id[16..21]).collect::<Vec<_>>(), ["00003", "00004"]);
        assert_eq!(unfinished[0].user.as_deref(), Some("ann"));
        assert_eq!(unfinished[0].created.as_deref(), Some("2025-08-05T10:11:12.345Z"));
        assert!(
            lists(list, "20250805_101112_00002_abcde").unwrap() && !lists(list, "20250805_101112_00009_abcde").unwrap()
        );
        assert!(super::unfinished(b"<html>").is_err() && super::unfinished(b"{}").is_err());
    }
}
