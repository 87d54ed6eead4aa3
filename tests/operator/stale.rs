//! What the operator sees is old, comes in another order than it happened, or is lost with a connection; or the API server
//! is away. It reaches the state of the undisturbed run afterwards, and removes nothing that serves meanwhile.

use std::time::Duration;

use crate::{
    acts::{Act, Trial, trials},
    faults::{At, Cut},
    server::Server,
};

/// Watches lag by up to 20 s, each kind by itself, break every few seconds, and must begin anew now and then.
fn lag(trial: &Trial, seed: u64) {
    trial.run(&format!("watches lag, seed {seed}"), |server: &Server| server.faults.lag(seed), |_| ());
}

/// The same, and the operator is killed now and then.
fn lag_and_die(trial: &Trial, seed: u64) {
    let trouble = |server: &Server| {
        server.faults.lag(seed);
        server.faults.cut(Cut::Killed, At::dice(seed));
    };
    trial.run(&format!("watches lag and the operator dies, seed {seed}"), trouble, |_| ());
}

/// The server is away for five minutes, `after` seconds into the act.
fn away(trial: &Trial, after: u64) {
    let trouble = |server: &Server| {
        let server = server.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(after)).await;
            server.go_away(Duration::from_secs(300));
        });
    };
    trial.run(&format!("the API server goes away after {after} s"), trouble, |_| ());
}

#[test]
fn whatever_is_seen_late_or_never_the_same_state_is_reached() {
    for trial in trials() {
        for seed in 0..2 {
            lag(&trial, seed);
            lag_and_die(&trial, seed);
        }
    }
}

#[test]
#[ignore = "takes minutes; hack/soak.sh runs it"]
fn watches_lag_in_many_ways() {
    for trial in trials() {
        for seed in 0..100 {
            lag(&trial, seed);
            lag_and_die(&trial, seed);
        }
    }
    println!("\nruns: {}", Act::ALL.len() * 100 * 2);
}

#[test]
fn an_api_server_that_is_away_for_five_minutes_costs_time_alone() {
    for trial in trials() {
        for after in [1, 4, 15] {
            away(&trial, after);
        }
    }
}
