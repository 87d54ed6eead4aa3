//! The operator is killed at its writes, and loses connections at them: it always reaches the state of the undisturbed run,
//! and leaves nothing behind.

use std::time::Duration;

use crate::{
    Operator,
    acts::{Act, Trial, trials},
    condition,
    faults::{At, Cut},
    quickstart,
    server::Server,
    until_deployments,
};

const CUTS: [Cut; 3] = [Cut::Killed, Cut::AnswerLost, Cut::RequestLost];

/// Cuts one write after the other, from the `first` on each `stride`th, until a run ends before its write comes; returns the
/// number of runs.
fn cut_one_by_one(trial: &Trial, cut: Cut, first: usize, stride: usize) -> usize {
    for (runs, write) in (1..).zip((first..).step_by(stride)) {
        let trouble = |server: &Server| server.faults.cut(cut, At::Write(write));
        if trial.run(&format!("{cut:?} at write {write}"), trouble, |server| server.faults.cuts()) == 0 {
            return runs;
        }
    }
    unreachable!("a run ends")
}

/// Cuts one write in three, all the time.
fn cut_again_and_again(trial: &Trial, cut: Cut, seed: u64) {
    let trouble = |server: &Server| server.faults.cut(cut, At::dice(seed));
    let cuts =
        trial.run(&format!("{cut:?} at one write in three, seed {seed}"), trouble, |server| server.faults.cuts());
    println!("{:?}: {cut:?} at {cuts} writes, seed {seed}", trial.act);
}

/// Killed at each of its writes, the operator gets no further than one write in a life, and still gets to the end: nothing that
/// it notes for later is noted anew by the next one.
#[test]
fn an_operator_that_lives_for_one_write_at_a_time_gets_there_too() {
    for trial in trials() {
        let cuts = trial.run(
            "killed at each write",
            |server| server.faults.cut(Cut::Killed, At::Each),
            |server| server.faults.cuts(),
        );
        println!("{:?}: killed at each of {cuts} writes", trial.act);
    }
}

/// A sample: one write in nine for each kind of cut, another one for each. [`each_write_is_cut`] does all.
#[test]
fn whatever_write_is_cut_the_same_state_is_reached() {
    for trial in trials() {
        for (cut, first) in CUTS.into_iter().zip([1, 4, 7]) {
            cut_one_by_one(&trial, cut, first, 9);
        }
    }
}

#[test]
#[ignore = "takes a minute; hack/soak.sh runs it"]
fn each_write_is_cut() {
    let trials = trials();
    let all = trials.iter().flat_map(|trial| CUTS.map(|cut| cut_one_by_one(trial, cut, 1, 1)));
    println!("\nruns: {}", all.sum::<usize>());
}

#[test]
fn an_operator_that_dies_and_a_network_that_loses_writes_all_the_time_cost_time_alone() {
    for trial in trials() {
        for (cut, seed) in CUTS.into_iter().zip(1..) {
            cut_again_and_again(&trial, cut, seed);
        }
    }
}

#[test]
#[ignore = "takes minutes; hack/soak.sh runs it"]
fn writes_are_cut_again_and_again() {
    for trial in trials() {
        for seed in 0..50 {
            for cut in CUTS {
                cut_again_and_again(&trial, cut, seed);
            }
        }
    }
    println!("\nruns: {}", Act::ALL.len() * 50 * CUTS.len());
}

#[tokio::test(start_paused = true)]
async fn what_the_api_server_refuses_is_told_and_not_tried_again_and_again() {
    let server = Server::new();
    server.faults.refuse(Some("trinoclusters"));
    quickstart(&server);
    let operator = Operator::start(&server, "warren:1");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let group = server.get("trinoclustergroups", "adhoc").expect("there");
    let (status, reason, message) = condition(&group, "Stalled").expect("a condition");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Forbidden"), "{message}");
    let tries = server.faults.refusals();
    assert!((20..=40).contains(&tries), "{tries} tries in an hour");
    assert_eq!(group["status"]["lastOrdinal"], 1, "no number is lost to them");
    server.faults.refuse(None);
    server.edit("trinoclustergroups", "adhoc", |group| group["spec"]["template"]["spec"]["version"] = "477".into());
    let begin = tokio::time::Instant::now();
    until_deployments(&server, 3).await;
    assert!(begin.elapsed() < Duration::from_secs(5), "an edit is looked at at once");
    operator.stop().await;
}
