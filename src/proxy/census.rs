//! How many queries a coordinator says it has, running and queued: the queries of other proxies are in that number.

use http::{HeaderValue, StatusCode};

use super::{
    Settings,
    backend::Backend,
    check::{Question, ask},
};

/// The two gauges alone: all metrics of a coordinator are over a megabyte (Trino 476).
const METRICS: &str = "/metrics?name%5B%5D=trino_execution_name_QueryManager_RunningQueries\
                       &name%5B%5D=trino_execution_name_QueryManager_QueuedQueries";

/// The user that asks; with authentication on, the coordinator refuses, and what the proxy knows itself must do.
const USER: HeaderValue = HeaderValue::from_static("warren");

/// Asks the coordinator, and notes what it says.
pub(super) async fn take(backend: &Backend, settings: &Settings) {
    let asked = ask(backend, settings, Question::page(METRICS, Some(USER), settings)).await;
    backend.report(match asked {
        Ok((head, body)) if head.status == StatusCode::OK => count(&String::from_utf8_lossy(&body)),
        Ok(_) | Err(_) => None,
    });
}

/// The sum of both gauges in OpenMetrics text; none unless both are there.
fn count(metrics: &str) -> Option<u32> {
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
}
