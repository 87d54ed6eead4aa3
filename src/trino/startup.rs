//! Why a Trino server did not start, read from the end of its log.

/// The reason that the end of a server's log gives for not starting, in one line of at most 600 characters; none when
/// the log gives none.
///
/// Trino prints its configuration errors as `1) Error: Configuration property 'x' was not used` (470) or
/// `1) Configuration property 'x' was not used` below a line `Configuration errors:`; anything else ends with the
/// message of the exception that `io.trino.server.Server` logged.
pub fn failure(log: &str) -> Option<String> {
    let numbered: Vec<&str> = log.lines().filter_map(numbered_error).collect();
    if !numbered.is_empty() {
        return Some(shorten(&numbered.join("; ")));
    }
    let last_error = log.lines().rev().find_map(error_line);
    last_error.map(shorten)
}

fn numbered_error(line: &str) -> Option<&str> {
    let (number, text) = line.trim_start().split_once(") ")?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let text = text.strip_prefix("Error: ").unwrap_or(text).trim();
    (is_number && !text.is_empty()).then_some(text)
}

fn error_line(line: &str) -> Option<&str> {
    let fields: Vec<&str> = line.splitn(5, '\t').collect();
    if let [_, "ERROR", _, _, message] = fields.as_slice() {
        return Some(message.trim());
    }
    ["Caused by: ", "Error: ", "ERROR: "].iter().find_map(|prefix| line.trim().strip_prefix(prefix)).map(str::trim)
}

fn shorten(text: &str) -> String {
    text.chars().take(600).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Recorded from Trino 476 with `query.max-memroy=1GB` in config.properties.
    const UNUSED_PROPERTY: &str = "2026-11-01T10:00:00.000Z\tERROR\tmain\tio.trino.server.Server\tConfiguration is invalid\n\
==========\n\nErrors:\n\n1) Configuration property 'query.max-memroy' was not used\n\n\
2) Invalid value 'x' for type int (property 'task.concurrency')\n\n==========\n";

    #[test]
    fn each_configuration_error_is_named() {
        assert_eq!(
            failure(UNUSED_PROPERTY).as_deref(),
            Some(
                "Configuration property 'query.max-memroy' was not used; \
                 Invalid value 'x' for type int (property 'task.concurrency')"
            )
        );
    }

    #[test]
    fn else_the_last_error_counts() {
        let log = "2026-11-01T10:00:00.000Z\tINFO\tmain\tBootstrap\tx\n\
                   2026-11-01T10:00:00.000Z\tERROR\tmain\tio.trino.server.Server\tNo factory for connector 'tpchh'\n\
                   java.lang.IllegalArgumentException: No factory for connector 'tpchh'\n\tat somewhere\n";
        assert_eq!(failure(log).as_deref(), Some("No factory for connector 'tpchh'"));
        assert_eq!(
            failure("Error: Could not find or load main class x\n").as_deref(),
            Some("Could not find or load main class x")
        );
        assert_eq!(failure("all is well\n"), None);
    }
}
