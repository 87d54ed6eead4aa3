//! Reads what users wrote for Kubernetes' own types, which the CRDs take as it is: what a type does not know would be dropped
//! in silence, so it is refused with its path. Pure.

use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use serde_path_to_error::Segment;

/// Why a value is not what its type takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Misfit {
    /// It has a field that the type does not know.
    Unknown {
        /// Path of the field, from the value on.
        path: String,
    },
    /// Something in it has another type.
    Type {
        /// Path of it, from the value on; empty for the value itself.
        path: String,
        /// What was found and what is wanted.
        fault: String,
    },
}

/// `written` as a `T`, all of it.
pub(super) fn read<T: DeserializeOwned + Serialize>(written: &Value) -> Result<T, Misfit> {
    let read: T = serde_path_to_error::deserialize(written).map_err(|error| {
        let segments = error.path().iter().map(|segment| match segment {
            Segment::Map { key } => Step::Field(key.clone()),
            Segment::Seq { index } => Step::Item(*index),
            Segment::Enum { variant } => Step::Field(variant.clone()),
            Segment::Unknown => Step::Field("?".to_owned()),
        });
        Misfit::Type { path: path_text(written, segments), fault: error.inner().to_string() }
    })?;
    let known = serde_json::to_value(&read).map_err(|error| {
        // What was just read from JSON is JSON.
        Misfit::Type { path: String::new(), fault: error.to_string() }
    })?;
    match unknown(written, &known) {
        Some(mut steps) => {
            steps.reverse();
            Err(Misfit::Unknown { path: path_text(written, steps.into_iter()) })
        }
        None => Ok(read),
    }
}

enum Step {
    Field(String),
    Item(usize),
}

/// A path as people read it: an item of a list by its name, where it has one.
fn path_text(value: &Value, steps: impl Iterator<Item = Step>) -> String {
    let (mut text, mut at) = (String::new(), Some(value));
    for step in steps {
        match step {
            Step::Field(key) => {
                at = at.and_then(|value| value.get(&key));
                if !text.is_empty() {
                    text.push('.');
                }
                text.push_str(&key);
            }
            Step::Item(index) => {
                at = at.and_then(|value| value.get(index));
                let name = at.and_then(|item| item.get("name")?.as_str());
                let name = name.map_or_else(|| index.to_string(), str::to_owned);
                text.extend(["[", &name, "]"]);
            }
        }
    }
    text
}

/// The way to the first field of `written` that is missing in `known`, the last step first.
fn unknown(written: &Value, known: &Value) -> Option<Vec<Step>> {
    let below = |step: Step, written: &Value, known: &Value| {
        unknown(written, known).map(|mut steps| {
            steps.push(step);
            steps
        })
    };
    match (written, known) {
        (Value::Object(written), Value::Object(known)) => written.iter().find_map(|(key, value)| {
            let step = Step::Field(key.clone());
            let Some(known) = known.get(key) else { return (!value.is_null()).then(|| vec![step]) };
            below(step, value, known)
        }),
        (Value::Array(written), Value::Array(known)) => {
            let pairs = written.iter().zip(known).enumerate();
            pairs.into_iter().find_map(|(index, (written, known))| below(Step::Item(index), written, known))
        }
        _ => None,
    }
}
