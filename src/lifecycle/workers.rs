//! Which workers of a cluster leave, which are taken back, and how many its Deployment is to have: one pure function, with no
//! I/O and no clock of its own.
//!
//! A Deployment chooses by itself which pod goes when it is to have one less. So a worker is counted out only when it is
//! drained and stands at the head of the queue (its deletion cost), and who really went shows in the next look.

use std::{cmp::Reverse, time::Duration};

use jiff::Timestamp;

use super::passed;

/// What a cluster's workers are to come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Number of workers that are asked for.
    pub wanted: usize,
    /// Number that the Deployment has now.
    pub replicas: usize,
    /// How long a worker may take to drain.
    pub timeout: Duration,
}

/// A worker that is not being deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// The name of its pod.
    pub name: String,
    /// Since when it is to leave; none while it stays.
    pub leaving: Option<Timestamp>,
    /// It stands at the head of those that Kubernetes removes: it was drained, or its time was over.
    pub released: bool,
    /// What it says of itself.
    pub state: State,
    /// Whether Kubernetes finds it ready.
    pub is_ready: bool,
    /// When its pod was made.
    pub created: Option<Timestamp>,
}

/// What a worker says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Its container does not run: it has no task.
    Idle,
    /// It takes tasks.
    Active,
    /// It takes no tasks, and ends those that it has.
    Draining,
    /// It has no task, and gets none.
    Drained,
    /// Nobody knows: it was not asked, or did not answer. That is never taken for drained.
    Unknown,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Number of workers that the Deployment is to have.
    pub replicas: usize,
    /// Workers that leave from now on.
    pub leave: Vec<String>,
    /// Workers to ask to drain, those of `leave` among them.
    pub drain: Vec<String>,
    /// Workers to put at the head of those that Kubernetes removes.
    pub release: Vec<String>,
    /// Those of `release` that are not drained: their time is over.
    pub overdue: Vec<String>,
    /// Workers that stay after all. They take tasks again before they are no longer marked as leaving.
    pub back: Vec<String>,
    /// Workers that leave and are still there.
    pub leaving: Vec<String>,
}

/// Decides what to do about `workers`. Applied again and again it settles, wherever it was cut off in between.
///
/// It never has more workers leave than are too many, and never lowers the Deployment by more than have nothing to lose.
pub fn plan(asked: &Asked, workers: &[Worker], now: Timestamp) -> Plan {
    let surplus = workers.len().saturating_sub(asked.wanted);
    let mut order: Vec<&Worker> = workers.iter().collect();
    order.sort_by_key(|worker| rank(worker));
    let (leaving, staying) = order.split_at(surplus);
    let mut plan = Plan::default();
    let mut gone = 0;
    for worker in leaving {
        let name = || worker.name.clone();
        let overdue = worker.leaving.is_some_and(|since| passed(since, now) >= asked.timeout);
        let free = matches!(worker.state, State::Idle | State::Drained);
        let at_work = matches!(worker.state, State::Active | State::Draining);
        plan.leaving.push(name());
        if worker.leaving.is_none() {
            plan.leave.push(name());
        }
        if worker.released && (overdue || !at_work) {
            gone += 1;
            continue;
        }
        if !worker.released && (free || overdue) {
            plan.release.push(name());
        }
        if !worker.released && overdue && !free {
            plan.overdue.push(name());
        }
        let unasked = worker.leaving.is_none() && worker.state == State::Unknown;
        if worker.state == State::Active || unasked {
            plan.drain.push(name());
        }
    }
    plan.back = staying.iter().filter(|worker| worker.leaving.is_some()).map(|worker| worker.name.clone()).collect();
    // Not more than there are now: a pod that the Deployment has removed already is not made again.
    plan.replicas = asked.wanted.max(asked.replicas.min(asked.wanted + surplus - gone));
    plan
}

/// Who leaves first: who was released, has no task anyway, is under way already, or is the least use: not ready, then the
/// youngest. The name decides between equals, so that two looks choose alike.
fn rank(worker: &Worker) -> impl Ord + use<> {
    let step = match worker {
        Worker { released: true, leaving: Some(_), .. } => 0,
        Worker { state: State::Idle, .. } => 1,
        Worker { state: State::Drained, leaving: Some(_), .. } => 2,
        Worker { leaving: Some(_), .. } => 3,
        Worker { is_ready: false, .. } => 4,
        Worker { .. } => 5,
    };
    (step, worker.leaving, Reverse(worker.created), worker.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: i64 = 600;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn asked(wanted: usize, replicas: usize) -> Asked {
        Asked { wanted, replicas, timeout: Duration::from_secs(600) }
    }

    /// A ready worker that stays; greater numbers are younger.
    fn worker(number: i64) -> Worker {
        Worker {
            name: format!("w-{number}"),
            leaving: None,
            released: false,
            state: State::Unknown,
            is_ready: true,
            created: Some(at(number)),
        }
    }

    fn leaving(number: i64, state: State) -> Worker {
        Worker { leaving: Some(at(100)), state, ..worker(number) }
    }

    fn names(numbers: &[i64]) -> Vec<String> {
        numbers.iter().map(|number| format!("w-{number}")).collect()
    }

    #[test]
    fn what_is_asked_for_and_there_is_left_alone() {
        let plan_then = plan(&asked(2, 2), &[worker(1), worker(2)], at(100));
        assert_eq!(plan_then, Plan { replicas: 2, ..Plan::default() });
        assert_eq!(plan(&asked(5, 2), &[worker(1), worker(2)], at(100)).replicas, 5, "more come at once");
        assert_eq!(plan(&asked(1, 3), &[worker(1)], at(100)).replicas, 1, "what is not there yet need not come");
    }

    #[test]
    fn the_youngest_leave_and_the_deployment_waits_until_they_are_drained() {
        let first = plan(&asked(1, 3), &[worker(1), worker(2), worker(3)], at(100));
        let both = names(&[3, 2]);
        assert_eq!((first.replicas, &first.leave, &first.drain, &first.leaving), (3, &both, &both, &both));
        let during = [worker(1), leaving(2, State::Draining), leaving(3, State::Draining)];
        let then = plan(&asked(1, 3), &during, at(200));
        assert_eq!((then.replicas, then.leave, then.drain, then.release), (3, vec![], vec![], vec![]));
    }

    #[test]
    fn of_two_that_leave_the_drained_one_is_released_and_only_then_counted_out() {
        let drained = leaving(2, State::Drained);
        let first = plan(&asked(1, 3), &[worker(1), drained.clone(), leaving(3, State::Draining)], at(200));
        assert_eq!((first.replicas, first.release), (3, names(&[2])));
        let released = Worker { released: true, ..drained };
        let then = plan(&asked(1, 3), &[worker(1), released, leaving(3, State::Draining)], at(200));
        assert_eq!((then.replicas, then.release), (2, vec![]));
    }

    #[test]
    fn whoever_is_ready_last_or_has_no_container_goes_first() {
        let idle = Worker { state: State::Idle, is_ready: false, ..worker(1) };
        let first = plan(&asked(2, 3), &[idle, worker(2), worker(3)], at(100));
        assert_eq!((&first.leave, &first.release, &first.drain), (&names(&[1]), &names(&[1]), &vec![]));
        let unready = Worker { is_ready: false, ..worker(2) };
        assert_eq!(plan(&asked(2, 3), &[worker(1), unready, worker(3)], at(100)).drain, names(&[2]));
    }

    #[test]
    fn those_that_drain_are_taken_back_when_they_are_wanted_again() {
        let workers = [worker(1), leaving(2, State::Drained), leaving(3, State::Draining)];
        let some = plan(&asked(2, 3), &workers, at(200));
        assert_eq!((&some.back, &some.leaving, some.replicas), (&names(&[3]), &names(&[2]), 3));
        let all = plan(&asked(4, 3), &workers, at(200));
        assert_eq!((all.back.len(), all.leaving.len(), all.replicas), (2, 0, 4));
    }

    #[test]
    fn who_does_not_answer_is_not_drained_until_its_time_is_over() {
        let silent = leaving(2, State::Unknown);
        let workers = [worker(1), silent.clone()];
        let early = plan(&asked(1, 2), &workers, at(99 + TIMEOUT));
        assert_eq!((early.replicas, early.release, early.drain), (2, vec![], vec![]));
        let late = plan(&asked(1, 2), &workers, at(100 + TIMEOUT));
        assert_eq!((late.replicas, &late.release, &late.overdue), (2, &names(&[2]), &names(&[2])));
        let released = [worker(1), Worker { released: true, ..silent }];
        let then = plan(&asked(1, 2), &released, at(105 + TIMEOUT));
        assert_eq!((then.replicas, then.overdue), (1, vec![]), "the Event comes once");
    }

    #[test]
    fn a_worker_that_began_anew_is_asked_again() {
        let plan_then = plan(&asked(1, 2), &[worker(1), leaving(2, State::Active)], at(200));
        assert_eq!((plan_then.drain, plan_then.leave, plan_then.replicas), (names(&[2]), vec![], 2));
        let released = Worker { released: true, ..leaving(2, State::Active) };
        let plan_then = plan(&asked(1, 2), &[worker(1), released], at(200));
        assert_eq!((plan_then.drain, plan_then.replicas), (names(&[2]), 2));
    }

    #[test]
    fn a_pod_that_the_deployment_is_about_to_remove_is_neither_made_again_nor_taken_back() {
        let ending = Worker { released: true, ..leaving(2, State::Unknown) };
        let plan_then = plan(&asked(1, 1), &[worker(1), ending], at(200));
        assert_eq!((plan_then.replicas, plan_then.back), (1, vec![]));
    }

    #[test]
    fn when_kubernetes_took_another_one_the_drained_one_takes_tasks_again() {
        let drained = Worker { released: true, ..leaving(2, State::Drained) };
        let plan_then = plan(&asked(1, 1), &[drained], at(200));
        assert_eq!((plan_then.replicas, plan_then.back), (1, names(&[2])));
    }

    /// A small world: workers with tasks, a controller that removes pods as Kubernetes does, and an operator that may be cut
    /// off between any two of its writes.
    struct World {
        workers: Vec<Worker>,
        tasks: Vec<(String, i64)>,
        replicas: usize,
        wanted: usize,
        made: i64,
        now: i64,
        seed: u64,
        lost: Vec<String>,
    }

    impl World {
        fn random(&mut self, below: u64) -> u64 {
            self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.seed >> 33) % below
        }

        /// One look; `writes` of what it decides are done.
        fn operate(&mut self, writes: usize) {
            let plan = plan(&asked(self.wanted, self.replicas), &self.workers, at(self.now));
            let surplus = self.workers.len().saturating_sub(self.wanted);
            assert_eq!(plan.leaving.len(), surplus);
            assert!(plan.replicas >= self.wanted);
            let now = self.now;
            let mut left = writes;
            let mut each = |names: &[String], write: &dyn Fn(&mut Worker)| {
                for worker in self.workers.iter_mut().filter(|worker| names.contains(&worker.name)) {
                    if left > 0 {
                        write(worker);
                    }
                    left = left.saturating_sub(1);
                }
            };
            each(&plan.leave, &|worker| worker.leaving = Some(at(now)));
            each(&plan.release, &|worker| worker.released = true);
            each(&plan.drain, &|worker| worker.state = State::Draining);
            each(&plan.back, &|worker| {
                *worker = Worker { leaving: None, released: false, state: State::Unknown, ..worker.clone() };
            });
            if left > 0 {
                self.replicas = plan.replicas;
            }
        }

        /// Tasks end; drained workers say so; Kubernetes makes and removes pods, by deletion cost and then by age.
        fn turn(&mut self) {
            self.now += 5;
            self.tasks.retain(|(_, end)| *end > self.now);
            for worker in &mut self.workers {
                if worker.state == State::Draining && !self.tasks.iter().any(|(name, _)| *name == worker.name) {
                    worker.state = State::Drained;
                }
                if worker.leaving.is_some() && worker.state == State::Unknown {
                    worker.state = State::Active;
                }
            }
            while self.workers.len() < self.replicas {
                self.made += 1;
                self.workers.push(worker(self.made));
                let busy = i64::try_from(self.random(300)).expect("small");
                self.tasks.push((format!("w-{}", self.made), self.now + busy));
            }
            while self.workers.len() > self.replicas {
                let cost = |worker: &Worker| (!worker.released, worker.leaving.is_none(), Reverse(worker.created));
                let next = self.workers.iter().min_by_key(|worker| cost(worker)).expect("one at least").clone();
                self.workers.retain(|worker| worker.name != next.name);
                if self.tasks.iter().any(|(name, _)| *name == next.name) {
                    self.lost.push(next.name);
                }
            }
        }
    }

    #[test]
    fn whatever_is_asked_for_and_wherever_it_is_cut_off_no_task_is_lost_and_it_settles() {
        for seed in 0..2000 {
            let mut world =
                World { workers: vec![], tasks: vec![], replicas: 3, wanted: 3, made: 0, now: 0, seed, lost: vec![] };
            for _ in 0..40 {
                world.turn();
                if world.random(8) == 0 {
                    world.wanted = usize::try_from(world.random(6)).expect("small") + 1;
                }
                let writes = if world.random(4) == 0 { world.random(4) } else { 100 };
                world.operate(usize::try_from(writes).expect("small"));
            }
            for _ in 0..200 {
                world.turn();
                world.operate(100);
            }
            assert_eq!(world.lost, [] as [String; 0], "seed {seed}");
            assert_eq!((world.workers.len(), world.replicas), (world.wanted, world.wanted), "seed {seed}");
            assert!(world.workers.iter().all(|worker| worker.leaving.is_none()), "seed {seed}: all are taken back");
        }
    }
}
