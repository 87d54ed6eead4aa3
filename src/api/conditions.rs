//! The three conditions that every kind carries, after kstatus, so that Argo CD and Flux judge Warren's objects rightly.

use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

/// `True` when the object does what its spec asks for.
pub const READY: ConditionType = ConditionType("Ready");
/// `True` while work is under way that needs no one's help.
pub const RECONCILING: ConditionType = ConditionType("Reconciling");
/// `True` when nothing goes on until somebody mends something; the message says what.
pub const STALLED: ConditionType = ConditionType("Stalled");

/// `True` when every proxy applied the settings that its ProxyGroup's spec gives.
pub const CONFIG_ACCEPTED: ConditionType = ConditionType("ConfigAccepted");

/// The type of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConditionType(pub &'static str);

/// The state of an object in one of three words, each of which sets all three conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conditions {
    /// All is as asked for.
    Ready {
        /// One word in CamelCase.
        reason: &'static str,
        /// A sentence for people.
        message: String,
    },
    /// Under way: `Ready` is `False`, or `True` when the object serves meanwhile.
    Reconciling {
        /// Whether what served before goes on serving.
        serving: bool,
        /// One word in CamelCase.
        reason: &'static str,
        /// What is waited for.
        message: String,
    },
    /// Left alone, as its spec asks for.
    Paused {
        /// Whether what served before goes on serving.
        serving: bool,
    },
    /// Somebody must mend something.
    Stalled {
        /// Whether what served before goes on serving.
        serving: bool,
        /// One word in CamelCase.
        reason: &'static str,
        /// The field and the mend.
        message: String,
    },
}

impl Conditions {
    /// The reason, one word in CamelCase.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Paused { .. } => "Paused",
            Self::Ready { reason, .. } | Self::Reconciling { reason, .. } | Self::Stalled { reason, .. } => reason,
        }
    }

    /// The message for people.
    pub fn message(&self) -> &str {
        match self {
            Self::Paused { .. } => {
                "nothing of this object is changed until spec.paused is false or gone; what runs goes on"
            }
            Self::Ready { message, .. } | Self::Reconciling { message, .. } | Self::Stalled { message, .. } => message,
        }
    }

    /// Whether the object serves: whether `Ready` is `True`.
    pub fn serves(&self) -> bool {
        match self {
            Self::Ready { .. } => true,
            Self::Reconciling { serving, .. } | Self::Paused { serving } | Self::Stalled { serving, .. } => *serving,
        }
    }

    /// The list for `status.conditions`. A condition whose status is the one in `previous` keeps its
    /// `lastTransitionTime`; the others get `now`.
    pub fn to_list(&self, previous: &[Condition], generation: Option<i64>, now: Timestamp) -> Vec<Condition> {
        let (reconciling, stalled) = match self {
            Self::Ready { .. } | Self::Paused { .. } => (false, false),
            Self::Reconciling { .. } => (true, false),
            Self::Stalled { .. } => (false, true),
        };
        let ready = self.serves();
        [(READY, ready), (RECONCILING, reconciling), (STALLED, stalled)]
            .into_iter()
            .map(|(type_, holds)| {
                let judged = (holds, self.reason(), self.message().to_owned());
                type_.judged(judged, previous, generation, now)
            })
            .collect()
    }
}

impl ConditionType {
    /// The condition of this type with status `holds`. One whose status is that in `previous` keeps its
    /// `lastTransitionTime`; another gets `now`.
    pub fn judged(
        self,
        (holds, reason, message): (bool, &str, String),
        previous: &[Condition],
        generation: Option<i64>,
        now: Timestamp,
    ) -> Condition {
        let status = if holds { "True" } else { "False" };
        let since = previous
            .iter()
            .find(|condition| condition.type_ == self.0 && condition.status == status)
            .map_or(Time(now), |condition| condition.last_transition_time.clone());
        Condition {
            type_: self.0.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message,
            observed_generation: generation,
            last_transition_time: since,
        }
    }

    /// Whether the condition of this type stands in `conditions` with status `True`.
    pub fn holds(self, conditions: &[Condition]) -> bool {
        conditions.iter().any(|condition| condition.type_ == self.0 && condition.status == "True")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    #[test]
    fn a_transition_time_changes_with_the_status_only() {
        let waiting = Conditions::Reconciling { serving: false, reason: "Starting", message: "one of two".into() };
        let first = waiting.to_list(&[], Some(1), at(10));
        let still = Conditions::Reconciling { serving: false, reason: "Starting", message: "two of two".into() };
        let second = still.to_list(&first, Some(2), at(20));
        assert!(second.iter().all(|condition| condition.last_transition_time.0 == at(10)));
        let ready = Conditions::Ready { reason: "Available", message: "serves".into() };
        let third = ready.to_list(&second, Some(2), at(30));
        let times: Vec<_> = third.iter().map(|condition| condition.last_transition_time.0).collect();
        assert_eq!(times, [at(30), at(30), at(10)], "Ready and Reconciling changed, Stalled did not");
    }

    #[test]
    fn stalled_objects_may_go_on_serving() {
        let stalled = Conditions::Stalled { serving: true, reason: "Invalid", message: "mend it".into() };
        let list = stalled.to_list(&[], None, at(0));
        assert!(READY.holds(&list) && STALLED.holds(&list) && !RECONCILING.holds(&list));
    }
}
