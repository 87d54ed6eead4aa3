//! `warren route explain`: where a query would go, by the same code that routes. It asks no cluster and no API server.

use std::{
    fmt::{self, Write as _},
    io::IsTerminal as _,
    net::{IpAddr, Ipv4Addr},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand, ValueEnum};
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;

use super::Failure;
use crate::{
    follow::Standalone,
    routing::{Explanation, Facts, Load, Origin, OutcomeExplanation, Pick, Router, RoutingTable, Statement, Unread},
};

const CLIENT_PORT: u16 = 8080;

/// Tells where queries go.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Explain(Explain),
}

/// Tells where a query would go, and why: what each rule says of it, and which clusters it tries.
///
/// All clusters count as healthy and idle. Example:
///
/// warren route explain --config warren.yaml --header 'X-Trino-User: ann' --sql 'SELECT 1'
#[derive(Debug, Args)]
struct Explain {
    #[command(flatten)]
    source: Source,
    /// A header of the query, as `Name: value`; may be repeated.
    #[arg(long = "header", value_name = "HEADER", value_parser = parse_header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The statement.
    #[arg(long, value_name = "TEXT")]
    sql: Option<String>,
    /// The client's address.
    #[arg(long, value_name = "IP", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    remote: IpAddr,
    /// Name of the listener that it came to.
    #[arg(long, value_name = "NAME")]
    listener: Option<String>,
    /// Port of the listener that it came to.
    #[arg(long, value_name = "PORT", default_value_t = CLIENT_PORT)]
    port: u16,
    /// The host that the client named.
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// When it came, for example 2026-01-31T12:00:00Z [default: now].
    #[arg(long, value_name = "TIME")]
    time: Option<Timestamp>,
    /// For targets of several groups: where between 0 and 1 the draw falls.
    #[arg(long, value_name = "NUMBER", default_value_t = 0.0, value_parser = parse_draw)]
    draw: f64,
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Source {
    /// A standalone file, in YAML (see examples/standalone.yaml).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A routing table as the operator publishes it, in JSON.
    #[arg(long, value_name = "FILE")]
    table: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Explains.
pub(super) fn run(arguments: Arguments) -> Result<(), Failure> {
    let Arguments { command: Command::Explain(explain) } = arguments;
    let router = open(&explain.source).map_err(Failure::Usage)?;
    let explanation = router.explain(&explain.facts(&router), explain.draw, Pick::default(), |_| Some(Load::default()));
    let text = match explain.output {
        Output::Text => Text { explanation: &explanation, said_sql: explain.sql.is_some() }.to_string(),
        Output::Json => {
            let json = serde_json::to_string_pretty(&explanation).context("the explanation as JSON");
            json.map_err(Failure::Runtime)? + "\n"
        }
    };
    print!("{text}");
    if std::io::stderr().is_terminal() && matches!(explanation.outcome, OutcomeExplanation::NoRoute) {
        eprintln!("hint: give `routing.default` in the table, so that every query has a place");
    }
    Ok(())
}

fn open(source: &Source) -> anyhow::Result<Router> {
    let (file, table) = match (&source.config, &source.table) {
        (Some(file), _) => (file, Standalone::read(file)?.table),
        (None, Some(file)) => (file, read_table(file)?),
        (None, None) => return Err(anyhow!("--config or --table is needed")),
    };
    Router::compile(table).map_err(|fault| anyhow!("{}: {fault}", file.display()))
}

fn read_table(file: &Path) -> anyhow::Result<RoutingTable> {
    let json = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
    RoutingTable::decode(Some(&json), None).map_err(|fault| anyhow!("{}: {fault}", file.display()))
}

impl Explain {
    fn facts(&self, router: &Router) -> Facts {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        let origin = Origin {
            remote: self.remote,
            listener: self.listener.clone(),
            port: self.port,
            host: self.host.clone(),
            sni: None,
            now: self.time.unwrap_or_else(Timestamp::now),
        };
        let statement = self.sql.clone().map_or(Statement::Unread(Unread::NotAsked), Statement::Text);
        router.facts(&headers, origin, statement)
    }
}

/// An explanation for people.
struct Text<'a> {
    explanation: &'a Explanation,
    said_sql: bool,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rules(f)?;
        self.statement(f)?;
        self.outcome(f)?;
        self.clusters(f)
    }
}

impl Text<'_> {
    fn rules(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules = &self.explanation.rules;
        if rules.is_empty() {
            return writeln!(f, "There are no rules.");
        }
        writeln!(f, "Rules, in their order:")?;
        for rule in rules {
            let result = match rule.result {
                "notMatched" => "no match",
                other => other,
            };
            let when = rule.when.split_whitespace().collect::<Vec<_>>().join(" ");
            writeln!(f, "  {:<18} {result:<13} {when}", rule.name)?;
            if let Some(reason) = &rule.reason {
                writeln!(f, "  {:<18} {:<13} because {reason}", "", "")?;
            }
        }
        Ok(())
    }

    fn statement(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(statement) = &self.explanation.statement else { return Ok(()) };
        write!(f, "Statement: {}", statement.kind)?;
        match &statement.why_unknown {
            Some(_) if !self.said_sql => writeln!(f, ": a rule looks at it; give it with --sql")?,
            Some(why) => writeln!(f, ": {why}")?,
            None if statement.tables.is_empty() => writeln!(f, ", no tables")?,
            None => writeln!(f, " on {}", statement.tables.join(", "))?,
        }
        Ok(())
    }

    fn outcome(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = match &self.explanation.decided_by {
            Some(by) => format!("Decided by {by}: "),
            None => "No rule matches, and there is no default: ".to_owned(),
        };
        if self.explanation.fallback {
            line.push_str("nothing healthy there, so routing.fallback: ");
        }
        match &self.explanation.outcome {
            OutcomeExplanation::Group(name) => write!(line, "group {name}")?,
            OutcomeExplanation::Cluster(name) => write!(line, "cluster {name} and no other")?,
            OutcomeExplanation::Reject(message) => write!(line, "refused with {message:?}")?,
            OutcomeExplanation::NoRoute => line.push_str("refused"),
        }
        writeln!(f, "{line}")
    }

    fn clusters(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let goes = matches!(self.explanation.outcome, OutcomeExplanation::Group(_) | OutcomeExplanation::Cluster(_));
        if !goes {
            return Ok(());
        }
        let (tried, passed): (Vec<_>, Vec<_>) =
            self.explanation.clusters.iter().partition(|cluster| cluster.passed_over.is_none());
        if tried.is_empty() {
            writeln!(f, "\nNo cluster there takes new queries: it is answered with 503.")?;
        } else {
            writeln!(f, "\nClusters, in the order in which they are tried:")?;
        }
        for cluster in tried {
            writeln!(f, "  {:<18} weight {}", cluster.name, cluster.weight)?;
        }
        if let Some(because) = &self.explanation.picked_because {
            writeln!(f, "{because}")?;
        }
        if !passed.is_empty() {
            writeln!(f, "\nPassed over:")?;
        }
        for cluster in passed {
            writeln!(f, "  {:<18} {}", cluster.name, cluster.passed_over.unwrap_or_default())?;
        }
        Ok(())
    }
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let mend = || format!("{text:?} is no header: write 'Name: value', as 'X-Trino-User: ann'");
    let (name, value) = text.split_once(':').ok_or_else(mend)?;
    let name = name.trim().parse().map_err(|_| mend())?;
    Ok((name, HeaderValue::from_bytes(value.trim().as_bytes()).map_err(|_| mend())?))
}

fn parse_draw(text: &str) -> Result<f64, String> {
    let draw = text.parse::<f64>().ok().filter(|draw| (0.0..=1.0).contains(draw));
    draw.ok_or_else(|| format!("{text:?} is no number from 0 to 1"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        explain: Explain,
    }

    fn text(line: &[&str]) -> String {
        let table = json!({
            "listeners": [{"name": "nightly", "source": "airflow"}],
            "groups": [
                {"name": "etl", "clusters": [{"name": "e1", "url": "http://e1"}, {"name": "e2", "url": "http://e2"}]},
                {"name": "adhoc", "clusters": [{"name": "old", "url": "http://a1", "serving": "Draining"}]},
            ],
            "routing": {"rules": [
                {"name": "airflow", "when": "query.source == 'airflow'", "to": {"group": "etl"}},
                {"name": "night", "when": "request.time.getHours() < 6 &&\n  request.listener == 'bi'", "to": {"group": "adhoc"}},
                {"name": "no-drop", "when": "query.type == 'DROP' || query.session['x'] == '1'", "reject": {"message": "No."}},
            ]},
        });
        let router = Router::compile(serde_json::from_value(table).unwrap()).unwrap();
        let line = ["explain", "--config", "x"].iter().chain(line);
        let Line { explain } = Line::try_parse_from(line).unwrap();
        let explanation =
            router.explain(&explain.facts(&router), explain.draw, Pick::default(), |_| Some(Load::default()));
        Text { explanation: &explanation, said_sql: explain.sql.is_some() }.to_string()
    }

    #[test]
    fn a_newcomer_reads_which_rule_decided_and_what_is_tried() {
        let expected = "\
Rules, in their order:
  airflow            matched       query.source == 'airflow'
Decided by rule airflow: group etl

Clusters, in the order in which they are tried:
  e1                 weight 1
  e2                 weight 1
RoundRobin: it is the turn of e1; the next query begins with the next one
";
        assert_eq!(text(&["--header", "X-Trino-Source: airflow"]), expected);
        assert_eq!(text(&["--listener", "nightly"]), expected, "the listener presets the source");
    }

    #[test]
    fn what_takes_no_query_is_told_with_the_reason() {
        let expected = "\
Rules, in their order:
  airflow            no match      query.source == 'airflow'
  night              matched       request.time.getHours() < 6 && request.listener == 'bi'
Decided by rule night: group adhoc

No cluster there takes new queries: it is answered with 503.

Passed over:
  old                it drains: it takes no new queries
";
        assert_eq!(text(&["--listener", "bi", "--time", "2026-01-01T03:00:00Z"]), expected);
    }

    #[test]
    fn a_statement_that_a_rule_asks_for_is_asked_for() {
        let found = text(&["--time", "2026-01-01T12:00:00Z"]);
        assert!(found.contains("no-drop            unknown "), "{found}");
        assert!(found.contains("Statement: UNKNOWN: a rule looks at it; give it with --sql\n"), "{found}");
        assert!(found.contains("Decided by rule no-drop: refused with \"No. (it cannot be told"), "{found}");
    }

    #[test]
    fn headers_and_draws_are_checked() {
        assert_eq!(parse_header("X-Trino-User: a: b").map(|(_, value)| value), Ok("a: b".parse().unwrap()));
        assert!(parse_header("X-Trino-User").is_err() && parse_header("X Y: a").is_err());
        assert_eq!(parse_draw("0.5"), Ok(0.5));
        assert!(parse_draw("2").is_err() && parse_draw("NaN").is_err());
    }
}
