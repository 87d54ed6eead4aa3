//! Results: as tables for people, and as JSON.

use std::{
    collections::BTreeMap,
    fmt::{self, Write as _},
};

use serde::Serialize;

use crate::contestant::Kind;

/// All of a run.
#[derive(Debug, Serialize)]
pub struct Report {
    /// When and where.
    pub about: String,
    /// The machine's load average before and after.
    pub load: [String; 2],
    pub scenarios: Vec<Section>,
}

/// What one scenario found.
#[derive(Debug, Serialize)]
pub struct Section {
    pub name: &'static str,
    pub what: String,
    pub rows: Vec<Row>,
    pub aims: Vec<Aim>,
}

/// One quantity of each contestant that has it.
#[derive(Debug, Serialize)]
pub struct Row {
    pub what: &'static str,
    pub values: BTreeMap<Kind, f64>,
    /// What the values are the medians of.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub rounds: BTreeMap<Kind, Vec<f64>>,
    /// Digits after the point in the table.
    #[serde(skip)]
    pub digits: usize,
}

/// What a value is to be, and what it is.
#[derive(Debug, Serialize)]
pub struct Aim {
    pub what: &'static str,
    pub value: f64,
    pub bound: Bound,
    pub met: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Aim {
    pub fn new(what: &'static str, value: f64, bound: Bound) -> Self {
        // What could not be measured is not met: no comparison with NaN holds.
        let met = match bound {
            Bound::AtLeast(bound) => value >= bound,
            Bound::AtMost(bound) => value <= bound,
        };
        Self { what, value, bound, met }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtLeast(bound) => write!(f, "≥ {bound}"),
            Self::AtMost(bound) => write!(f, "≤ {bound}"),
        }
    }
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, what, rows, aims } = self;
        writeln!(f, "### {name}\n\n{what}\n")?;
        let kinds: Vec<Kind> =
            Kind::ALL.into_iter().filter(|kind| rows.iter().any(|row| row.values.contains_key(kind))).collect();
        line(f, "", kinds.iter().map(|kind| kind.name().to_owned()))?;
        line(f, "---", kinds.iter().map(|_| "---:".to_owned()))?;
        for Row { what, values, digits, rounds: _ } in rows {
            line(
                f,
                what,
                kinds.iter().map(|kind| values.get(kind).map_or_else(String::new, |v| format!("{v:.digits$}"))),
            )?;
        }
        writeln!(f)?;
        line(f, "Warren", ["measured", "aim", ""].map(str::to_owned))?;
        line(f, "---", ["---:", "---:", "---"].map(str::to_owned))?;
        for Aim { what, value, bound, met } in aims {
            let verdict = if *met { "PASS" } else { "short of it" };
            line(f, what, [format!("{value:.2}"), bound.to_string(), verdict.to_owned()])?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, first: &str, cells: impl IntoIterator<Item = String>) -> fmt::Result {
    let mut text = format!("| {first} |");
    for cell in cells {
        write!(text, " {cell} |")?;
    }
    writeln!(f, "{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aim_is_met_at_its_bound_and_not_beyond() {
        let met = |value, bound| Aim::new("", value, bound).met;
        assert!(met(1.0, Bound::AtLeast(1.0)) && !met(0.99, Bound::AtLeast(1.0)));
        assert!(met(1.25, Bound::AtMost(1.25)) && !met(1.26, Bound::AtMost(1.25)));
        assert!(!met(f64::NAN, Bound::AtMost(1.0)) && !met(f64::NAN, Bound::AtLeast(1.0)));
    }

    #[test]
    fn a_section_is_two_tables() {
        let section = Section {
            name: "small",
            what: "Short answers.".to_owned(),
            rows: vec![Row {
                what: "queries/s",
                values: BTreeMap::from([(Kind::Warren, 2.0), (Kind::Nginx, 4.0)]),
                rounds: BTreeMap::new(),
                digits: 1,
            }],
            aims: vec![Aim::new("queries/s, to nginx's", 0.5, Bound::AtLeast(1.0))],
        };
        assert_eq!(
            section.to_string(),
            "### small\n\nShort answers.\n\n|  | nginx | Warren |\n| --- | ---: | ---: |\n| queries/s | 4.0 | 2.0 |\n\n\
             | Warren | measured | aim |  |\n| --- | ---: | ---: | --- |\n| queries/s, to nginx's | 0.50 | ≥ 1 | short \
             of it |\n"
        );
    }
}
