//! The proxy over real sockets, before scripted coordinators. Each test starts its own; what is waited for is a condition,
//! never a time.

#![expect(clippy::unwrap_used, reason = "clippy knows test functions, and not what they share")]

mod coordinator;
mod gateway;
mod recorder;

mod admin;
mod balance;
mod credentials;
mod doors;
mod drain;
mod events;
mod forwarding;
mod frames;
mod framing;
mod health;
mod live;
mod logins;
mod messages;
mod paths;
mod paths_hostile;
mod polls;
mod probes;
mod reload;
mod rewriting;
mod rules;
mod slow;
mod standalone;
mod statements;
mod tls;
mod traces;
mod transactions;
