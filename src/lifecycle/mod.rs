//! Which clusters of a group are made, take queries, drain and go: one pure function, with no I/O and no clock of its own.
//! [`verify`] says when a cluster can take queries, [`canary`] when a revision has proven itself, [`drain`] when one is drained,
//! [`workers`] which of its workers go.
//!
//! It is the only place that decides this. What it promises: a cluster that was never verified takes no traffic from one that
//! was; clusters of the old revision drain only as far as new ones stand in for them; what took queries is removed drained.

pub mod canary;
pub mod drain;
pub mod verify;
pub mod workers;

use std::time::Duration;

use jiff::Timestamp;

/// How long after `since` `now` is; zero if it is before.
pub fn passed(since: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(since)).unwrap_or_default()
}

/// What a group asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked<'a> {
    /// Number of clusters.
    pub replicas: usize,
    /// The revision of the template as it stands now.
    pub revision: &'a str,
    /// How many clusters there may be beyond `replicas`, at least one.
    pub surge: usize,
    /// Whether clusters of `revision` may stand in for those of another: no canary holds them back.
    pub promoted: bool,
}

/// A cluster of the group, as it was last seen. Clusters that are being deleted are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "what can be true of it is independent")]
pub struct Member {
    /// Its name.
    pub name: String,
    /// The number in its name; newer clusters have greater ones.
    pub ordinal: i64,
    /// The revision it was made from.
    pub revision: String,
    /// Whether it was ever verified: it may then serve queries.
    pub was_ready: bool,
    /// Whether it was verified and is ready now.
    pub is_ready: bool,
    /// What it was told about new queries.
    pub intake: Intake,
    /// Whether it takes its full part: no canary holds it back.
    pub proven: bool,
    /// Whether its node is to go: another cluster takes its place, whatever becomes of the node.
    pub leaving: bool,
}

impl Member {
    /// Whether it is what is asked for.
    fn is_asked_for(&self, asked: &Asked<'_>) -> bool {
        self.revision == asked.revision && !self.leaving
    }

    /// Whether it takes new queries.
    fn serves(&self) -> bool {
        self.is_ready && self.intake == Intake::Open
    }
}

/// Whether a cluster takes new queries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Intake {
    /// It takes them, or is to once it is ready.
    Open,
    /// It takes none, and its queries go on.
    Draining,
    /// None is left, or the time for them is over.
    Drained,
}

/// What is to be done, each cluster in at most one of the lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// How many clusters of the asked revision to make.
    pub create: usize,
    /// Clusters that take new queries, or are to once they are ready.
    pub keep: Vec<String>,
    /// Whether those that are made and kept get only what a canary gives them.
    pub on_probation: bool,
    /// Clusters of another revision, or that leave, and go on taking new queries until others stand in for them.
    pub hold: Vec<String>,
    /// Clusters that from now on take no new queries.
    pub drain: Vec<String>,
    /// Clusters that drain already, and go on doing so.
    pub draining: Vec<String>,
    /// Clusters to remove.
    pub remove: Vec<String>,
}

impl Plan {
    /// Whether all that is asked for is there and ready, and nothing else is left.
    pub fn is_settled(&self) -> bool {
        self.create == 0
            && self.hold.is_empty()
            && self.drain.is_empty()
            && self.draining.is_empty()
            && self.remove.is_empty()
    }
}

/// Decides what to do about `members`. Applied again and again it settles.
pub fn plan(asked: &Asked<'_>, members: &[Member]) -> Plan {
    let mut plan = Plan { on_probation: !asked.promoted, ..Plan::default() };
    let (kept, others) = choose(asked, members);
    plan.keep = kept.iter().map(|member| member.name.clone()).collect();
    let stand_in = kept.iter().filter(|member| member.serves()).count();
    let complete = stand_in == asked.replicas;
    // What serves beyond what is asked for; without promotion the new revision counts for nothing.
    let stands = |member: &&&Member| !member.is_asked_for(asked) && member.proven && member.serves();
    let serving = others.iter().filter(stands).count();
    let counted = serving + if asked.promoted { stand_in } else { 0 };
    let mut spare = counted.saturating_sub(asked.replicas);
    for member in others {
        let surplus = member.is_asked_for(asked);
        let list = match member.intake {
            _ if !member.was_ready => &mut plan.remove,
            // A canary that was given up goes, whatever it is that comes next.
            Intake::Open if surplus || !member.proven || (complete && asked.promoted) => &mut plan.drain,
            Intake::Open if member.serves() && spare > 0 => {
                spare -= 1;
                &mut plan.drain
            }
            Intake::Open => &mut plan.hold,
            Intake::Draining => &mut plan.draining,
            Intake::Drained => &mut plan.remove,
        };
        list.push(member.name.clone());
    }
    let room = (asked.replicas + asked.surge.max(1)).saturating_sub(members.len() - plan.remove.len());
    plan.create = (asked.replicas - kept.len()).min(room);
    plan
}

/// The members to keep and the others. Of the asked revision those are kept that serve, then those that are ready, then those
/// that were, then the oldest: a scale-in takes the newest, and going back to a revision that still drains takes its clusters back.
fn choose<'a>(asked: &Asked<'_>, members: &'a [Member]) -> (Vec<&'a Member>, Vec<&'a Member>) {
    let (mut current, mut others): (Vec<_>, Vec<_>) = members.iter().partition(|member| member.is_asked_for(asked));
    current.sort_by_key(|member| (!member.serves(), !member.is_ready, !member.was_ready, member.ordinal));
    let surplus = current.split_off(asked.replicas.min(current.len()));
    others.extend(surplus);
    current.sort_by_key(|member| member.ordinal);
    others.sort_by_key(|member| member.ordinal);
    (current, others)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(replicas: usize, revision: &str) -> Asked<'_> {
        Asked { replicas, revision, surge: 1, promoted: true }
    }

    fn ready(ordinal: i64, revision: &str) -> Member {
        Member {
            name: format!("c-{ordinal}"),
            ordinal,
            revision: revision.to_owned(),
            was_ready: true,
            is_ready: true,
            intake: Intake::Open,
            proven: true,
            leaving: false,
        }
    }

    fn starting(ordinal: i64, revision: &str) -> Member {
        Member { was_ready: false, is_ready: false, ..ready(ordinal, revision) }
    }

    fn draining(ordinal: i64, revision: &str) -> Member {
        Member { intake: Intake::Draining, ..ready(ordinal, revision) }
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn an_empty_group_makes_what_is_asked_for() {
        assert_eq!(plan(&asked(2, "a"), &[]), Plan { create: 2, ..Plan::default() });
    }

    #[test]
    fn what_is_there_and_ready_is_settled() {
        let plan = plan(&asked(1, "a"), &[ready(1, "a")]);
        assert_eq!(plan, Plan { keep: names(&["c-1"]), ..Plan::default() });
        assert!(plan.is_settled());
    }

    #[test]
    fn the_old_revision_serves_until_the_new_one_is_complete() {
        let plan_then = plan(&asked(1, "b"), &[ready(1, "a"), starting(2, "b")]);
        assert_eq!(plan_then, Plan { keep: names(&["c-2"]), hold: names(&["c-1"]), ..Plan::default() });
        let plan_later = plan(&asked(1, "b"), &[ready(1, "a"), ready(2, "b")]);
        assert_eq!(plan_later, Plan { keep: names(&["c-2"]), drain: names(&["c-1"]), ..Plan::default() });
    }

    #[test]
    fn a_replaced_cluster_goes_when_it_is_drained_and_not_before() {
        let during = plan(&asked(1, "b"), &[draining(1, "a"), ready(2, "b")]);
        assert_eq!((during.draining, during.remove), (names(&["c-1"]), vec![]));
        let drained = Member { intake: Intake::Drained, ..ready(1, "a") };
        let after = plan(&asked(1, "b"), &[drained, ready(2, "b")]);
        assert_eq!((after.draining, after.remove), (vec![], names(&["c-1"])));
    }

    #[test]
    fn a_revision_that_never_was_ready_goes_at_once_with_the_next_edit() {
        let members = [ready(1, "a"), starting(2, "bad")];
        let mended = plan(&asked(1, "c"), &members);
        assert_eq!(mended, Plan { create: 1, hold: names(&["c-1"]), remove: names(&["c-2"]), ..Plan::default() });
    }

    #[test]
    fn going_back_takes_the_draining_clusters_back_before_others_drain() {
        let back = plan(&asked(1, "a"), &[draining(1, "a"), ready(2, "b")]);
        assert_eq!((back.create, back.keep, back.hold), (0, names(&["c-1"]), names(&["c-2"])));
        let then = plan(&asked(1, "a"), &[ready(1, "a"), ready(2, "b")]);
        assert_eq!((then.keep, then.drain), (names(&["c-1"]), names(&["c-2"])));
    }

    #[test]
    fn one_cluster_after_the_other_stands_in_for_an_old_one() {
        let of = |surge, members: &[Member]| plan(&Asked { surge, ..asked(2, "b") }, members);
        let old = [ready(1, "a"), ready(2, "a")];
        assert_eq!((of(1, &old).create, of(2, &old).create, of(9, &old).create), (1, 2, 2));
        let first = of(1, &[old[0].clone(), old[1].clone(), ready(3, "b")]);
        assert_eq!((first.create, first.drain, first.hold), (0, names(&["c-1"]), names(&["c-2"])));
        let draining = of(1, &[draining(1, "a"), old[1].clone(), ready(3, "b")]);
        assert_eq!((draining.create, draining.hold), (0, names(&["c-2"])), "what drains takes up room");
        let then = of(1, &[old[1].clone(), ready(3, "b")]);
        assert_eq!((then.create, then.hold), (1, names(&["c-2"])));
    }

    #[test]
    fn a_canary_that_was_given_up_stands_in_for_nothing() {
        let aborted = Member { proven: false, ..ready(2, "b") };
        let edited = plan(&Asked { promoted: false, ..asked(1, "c") }, &[ready(1, "a"), aborted]);
        assert_eq!((edited.hold, edited.drain, edited.create), (names(&["c-1"]), names(&["c-2"]), 0));
    }

    #[test]
    fn a_cluster_whose_node_goes_is_replaced_before_it_drains() {
        let leaving = Member { leaving: true, ..ready(1, "a") };
        let first = plan(&asked(1, "a"), std::slice::from_ref(&leaving));
        assert_eq!((first.create, first.keep, first.hold), (1, vec![], names(&["c-1"])));
        let then = plan(&asked(1, "a"), &[leaving.clone(), ready(2, "a")]);
        assert_eq!((then.create, then.keep, then.drain), (0, names(&["c-2"]), names(&["c-1"])));
        let starting = Member { leaving: true, ..starting(1, "a") };
        let never_served = plan(&asked(1, "a"), &[starting]);
        assert_eq!((never_served.create, never_served.remove), (1, names(&["c-1"])));
    }

    #[test]
    fn what_is_not_promoted_stands_in_for_nothing() {
        let canary = Asked { promoted: false, ..asked(1, "b") };
        let plan = plan(&canary, &[ready(1, "a"), ready(2, "b")]);
        assert_eq!((plan.keep, plan.hold, plan.drain), (names(&["c-2"]), names(&["c-1"]), vec![]));
    }

    #[test]
    fn a_scale_in_takes_the_newest_but_keeps_what_is_ready() {
        let in_order = plan(&asked(1, "a"), &[ready(1, "a"), ready(2, "a")]);
        assert_eq!((in_order.keep, in_order.drain), (names(&["c-1"]), names(&["c-2"])));
        let first_is_down = Member { is_ready: false, ..ready(1, "a") };
        let by_health = plan(&asked(1, "a"), &[first_is_down, ready(2, "a")]);
        assert_eq!((by_health.keep, by_health.drain), (names(&["c-2"]), names(&["c-1"])));
    }

    #[test]
    fn scaled_to_none_everything_drains() {
        let none = plan(&asked(0, "a"), &[ready(1, "a")]);
        assert_eq!((none.create, none.drain), (0, names(&["c-1"])));
    }
}
