//! The lifecycle of a group's clusters, model-checked: every interleaving of edits, starts, queries, drains, faults and
//! crashes of the operator, for a bounded fleet. What `lifecycle::plan` decides is done write by write, as the operator does
//! it, and may be cut off after each of them.

use std::collections::BTreeSet;

use stateright::{Checker, Model, Property};
use warren::lifecycle::{Asked, Intake, Member, plan};

/// The revision that never becomes ready.
const BAD: u8 = 2;
/// What the operator may have decided and not yet done is never more than this.
const MOST_CLUSTERS: usize = 5;
/// How many clusters there may be beyond what is asked for.
const SURGE: usize = 1;
/// After so many rounds of writes, starts and ends of queries nothing is left to do.
const ROUNDS: usize = 10;

/// A bounded world.
#[derive(Clone, Debug)]
struct Group {
    edits: u8,
    crashes: u8,
    /// How often a ready cluster may become unready, and a drain may end by its deadline.
    faults: u8,
    most_replicas: usize,
    /// How many clusters' nodes may be drained.
    moves: u8,
    /// A new revision takes over only when it was promoted.
    canary: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    replicas: usize,
    revision: u8,
    edits: u8,
    crashes: u8,
    faults: u8,
    moves: u8,
    canary: bool,
    promoted: bool,
    last: i64,
    clusters: Vec<Cluster>,
    pending: Vec<Write>,
    /// Something took queries once.
    served: bool,
    broken: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "what can be true of it is independent")]
struct Cluster {
    ordinal: i64,
    revision: u8,
    was_ready: bool,
    is_ready: bool,
    intake: Intake,
    has_query: bool,
    overdue: bool,
    /// No canary holds it back.
    proven: bool,
    leaving: bool,
}

/// A write of the operator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Write {
    Keep(String, bool),
    Drain(String),
    /// As it was seen: one that has changed since stays.
    Remove(Cluster),
    Create(bool),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Action {
    Edit(u8),
    Scale(usize),
    Promote,
    Decide,
    Write,
    Crash,
    Ready(usize),
    Unready(usize),
    Query(usize),
    QueryEnds(usize),
    Drained(usize),
    Overdue(usize),
    Leave(usize),
}

impl Cluster {
    fn name(&self) -> String {
        format!("c-{}", self.ordinal)
    }

    /// Whether new queries come to it, beyond the share of a canary.
    fn takes_queries(&self) -> bool {
        self.is_ready && self.intake == Intake::Open && self.proven
    }

    fn member(&self) -> Member {
        Member {
            name: self.name(),
            ordinal: self.ordinal,
            revision: self.revision.to_string(),
            was_ready: self.was_ready,
            is_ready: self.is_ready,
            intake: self.intake,
            proven: self.proven,
            leaving: self.leaving,
        }
    }
}

impl State {
    fn is_promoted(&self) -> bool {
        self.promoted || self.needs_no_canary()
    }

    /// The revision has served already, or there is nothing to compare it with.
    fn needs_no_canary(&self) -> bool {
        let served = |it: &&Cluster| it.was_ready && it.proven;
        let (new, old): (Vec<_>, Vec<_>) =
            self.clusters.iter().filter(served).partition(|it| it.revision == self.revision);
        !new.is_empty() || old.is_empty()
    }

    fn asked<'a>(&self, revision: &'a str) -> Asked<'a> {
        Asked { replicas: self.replicas, revision, surge: SURGE, promoted: self.is_promoted() }
    }

    /// What is wrong with what is decided now: that it takes capacity away, or takes up too much.
    fn fault(&self) -> Option<&'static str> {
        let members: Vec<_> = self.clusters.iter().map(Cluster::member).collect();
        let plan = plan(&self.asked(&self.revision.to_string()), &members);
        let before = self.clusters.iter().filter(|it| it.takes_queries()).count();
        // Who is kept is taken off probation before others drain.
        let promoted = |it: &Cluster| self.is_promoted() && plan.keep.contains(&it.name());
        let stays = |it: &&Cluster| {
            let serves = it.is_ready && it.intake == Intake::Open && (it.proven || promoted(it));
            serves && !plan.drain.contains(&it.name())
        };
        let after = self.clusters.iter().filter(stays).count();
        let left = self.clusters.len() - plan.remove.len();
        if after < before.min(self.replicas) {
            return Some("fewer clusters than asked for take queries");
        }
        (plan.create > 0 && left + plan.create > self.replicas + SURGE).then_some("more clusters than the surge allows")
    }

    fn decide(&self) -> Vec<Write> {
        let members: Vec<_> = self.clusters.iter().map(Cluster::member).collect();
        let plan = plan(&self.asked(&self.revision.to_string()), &members);
        // In the order in which `reconcile::group` does it; what stands so already is no write.
        let open = |name: &String| {
            let differs = |it: &Cluster| it.intake != Intake::Open || it.proven != self.is_promoted();
            self.clusters.iter().any(|it| it.name() == *name && differs(it))
        };
        let seen = |name: String| self.clusters.iter().find(|it| it.name() == name).cloned();
        let keep = plan.keep.into_iter().filter(open).map(|name| Write::Keep(name, self.is_promoted()));
        let drain = plan.drain.into_iter().map(Write::Drain);
        let remove = plan.remove.into_iter().filter_map(seen).map(Write::Remove);
        keep.chain(drain).chain(remove).chain((0..plan.create).map(|_| Write::Create(self.is_promoted()))).collect()
    }

    fn write(&mut self, write: Write) {
        let at = |clusters: &[Cluster], name: &str| clusters.iter().position(|it| it.name() == name);
        match write {
            Write::Create(proven) => {
                self.last += 1;
                self.clusters.push(Cluster {
                    ordinal: self.last,
                    revision: self.revision,
                    was_ready: false,
                    is_ready: false,
                    intake: Intake::Open,
                    has_query: false,
                    overdue: false,
                    proven,
                    leaving: false,
                });
            }
            Write::Keep(name, proven) => {
                let Some(index) = at(&self.clusters, &name) else { return };
                (self.clusters[index].intake, self.clusters[index].overdue) = (Intake::Open, false);
                self.clusters[index].proven = proven;
            }
            Write::Drain(name) => {
                let Some(index) = at(&self.clusters, &name) else { return };
                self.clusters[index].intake = Intake::Draining;
            }
            Write::Remove(seen) => {
                let Some(index) = at(&self.clusters, &seen.name()) else { return };
                // The API server knows nothing of queries: that one began or ended changes no object.
                let now = Cluster { has_query: seen.has_query, ..self.clusters[index].clone() };
                if now != seen {
                    return;
                }
                let gone = self.clusters.remove(index);
                if gone.has_query && !gone.overdue {
                    self.broken = Some("a cluster is removed with a query whose time is not over");
                }
                if gone.was_ready && gone.intake != Intake::Drained {
                    self.broken = Some("a cluster that may have served is removed undrained");
                }
            }
        }
    }

    /// What comes of it when nobody edits any more, nothing fails, and every query ends.
    fn at_rest(&self) -> Self {
        let mut state = Self { promoted: true, ..self.clone() };
        for _ in 0..ROUNDS {
            for write in std::mem::take(&mut state.pending) {
                state.write(write);
            }
            for cluster in &mut state.clusters {
                cluster.has_query = false;
                if cluster.revision != BAD {
                    (cluster.was_ready, cluster.is_ready) = (true, true);
                }
                if cluster.intake == Intake::Draining {
                    cluster.intake = Intake::Drained;
                }
            }
            state.pending = state.decide();
        }
        state
    }

    fn settles(&self) -> bool {
        let rest = self.at_rest();
        let asked =
            rest.clusters.iter().filter(|it| it.revision == rest.revision && !it.leaving).count() == rest.replicas;
        let serving = rest.clusters.iter().filter(|it| it.takes_queries()).count();
        if rest.revision == BAD {
            // The old ones go on, and no more of the new ones are made than the surge allows.
            let full = asked || rest.clusters.len() == rest.replicas + SURGE;
            return rest.pending.is_empty() && full && (serving > 0 || !self.clusters.iter().any(|it| it.was_ready));
        }
        rest.pending.is_empty() && asked && rest.clusters.len() == rest.replicas && serving == rest.replicas
    }
}

impl Model for Group {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            replicas: 1,
            revision: 0,
            edits: self.edits,
            crashes: self.crashes,
            faults: self.faults,
            moves: self.moves,
            canary: self.canary,
            promoted: true,
            last: 0,
            clusters: Vec::new(),
            pending: Vec::new(),
            served: false,
            broken: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.edits > 0 {
            actions.extend((0..=BAD).filter(|revision| *revision != state.revision).map(Action::Edit));
            actions.extend((1..=self.most_replicas).filter(|count| *count != state.replicas).map(Action::Scale));
        }
        if !state.promoted {
            actions.push(Action::Promote);
        }
        if state.pending.is_empty() {
            actions.push(Action::Decide);
        } else {
            actions.push(Action::Write);
            if state.crashes > 0 {
                actions.push(Action::Crash);
            }
        }
        for (index, cluster) in state.clusters.iter().enumerate() {
            if !cluster.is_ready && cluster.revision != BAD {
                actions.push(Action::Ready(index));
            }
            if cluster.is_ready && state.faults > 0 {
                actions.push(Action::Unready(index));
            }
            if state.moves > 0 && !cluster.leaving {
                actions.push(Action::Leave(index));
            }
            match (cluster.has_query, cluster.intake) {
                (false, Intake::Open) if cluster.is_ready => actions.push(Action::Query(index)),
                (true, _) => actions.push(Action::QueryEnds(index)),
                _ => {}
            }
            if cluster.intake == Intake::Draining {
                if !cluster.has_query {
                    actions.push(Action::Drained(index));
                } else if state.faults > 0 {
                    actions.push(Action::Overdue(index));
                }
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Edit(revision) => {
                (next.revision, next.edits) = (revision, next.edits - 1);
                next.promoted = !next.canary;
            }
            Action::Promote => next.promoted = true,
            Action::Scale(replicas) => (next.replicas, next.edits) = (replicas, next.edits - 1),
            Action::Decide => (next.pending, next.broken) = (state.decide(), state.broken.or(state.fault())),
            Action::Write => {
                let write = next.pending.remove(0);
                next.write(write);
            }
            Action::Crash => (next.pending, next.crashes) = (Vec::new(), next.crashes - 1),
            Action::Ready(index) => {
                (next.clusters[index].was_ready, next.clusters[index].is_ready) = (true, true);
            }
            Action::Unready(index) => (next.clusters[index].is_ready, next.faults) = (false, next.faults - 1),
            Action::Query(index) => next.clusters[index].has_query = true,
            Action::QueryEnds(index) => next.clusters[index].has_query = false,
            Action::Drained(index) => next.clusters[index].intake = Intake::Drained,
            Action::Leave(index) => (next.clusters[index].leaving, next.moves) = (true, next.moves - 1),
            Action::Overdue(index) => {
                (next.clusters[index].intake, next.clusters[index].overdue) = (Intake::Drained, true);
                next.faults -= 1;
            }
        }
        next.served |= next.clusters.iter().any(Cluster::takes_queries);
        (next != *state).then_some(next)
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.clusters.len() <= MOST_CLUSTERS
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no write does harm", |_, state: &State| state.broken.is_none()),
            Property::always(
                "without faults something always serves once something did",
                |group: &Self, state: &State| {
                    group.faults > 0 || !state.served || state.clusters.iter().any(Cluster::takes_queries)
                },
            ),
            Property::always("names are never used again", |_, state: &State| {
                let names: BTreeSet<_> = state.clusters.iter().map(|it| it.ordinal).collect();
                names.len() == state.clusters.len() && names.iter().all(|ordinal| *ordinal <= state.last)
            }),
            Property::always("it settles on the newest edit", |_, state: &State| state.settles()),
            Property::sometimes(
                "an exchange ends",
                |_, state: &State| matches!(&state.clusters[..], [only] if only.revision == 1 && only.takes_queries()),
            ),
        ]
    }
}

fn check(group: Group) {
    let checker = group.checker().threads(2).spawn_bfs().join();
    checker.assert_properties();
    println!("{} states", checker.unique_state_count());
    assert!(checker.unique_state_count() > 10_000, "only {} states", checker.unique_state_count());
}

#[test]
fn no_order_of_edits_and_crashes_loses_a_query_or_the_service() {
    check(Group { edits: 3, crashes: 2, faults: 0, most_replicas: 2, moves: 0, canary: false });
}

#[test]
fn no_order_of_edits_crashes_and_faults_loses_a_query_before_its_time() {
    check(Group { edits: 3, crashes: 1, faults: 1, most_replicas: 2, moves: 0, canary: false });
}

#[test]
fn what_is_not_promoted_takes_nothing_from_what_serves() {
    check(Group { edits: 3, crashes: 1, faults: 0, most_replicas: 2, moves: 0, canary: true });
}

#[test]
fn what_leaves_its_node_is_replaced_whatever_else_is_edited() {
    check(Group { edits: 2, crashes: 1, faults: 0, most_replicas: 2, moves: 1, canary: false });
}
