//! The proxy over real sockets, before scripted coordinators. Each test starts its own; what is waited for is a condition,
//! never a time.

#![expect(clippy::unwrap_used, reason = "clippy knows test functions, and not what they share")]

mod coordinator;
mod gateway;

mod admin;
mod drain;
mod health;
mod messages;
mod paths;
mod polls;
mod reload;
mod rules;
mod standalone;
mod statements;
mod tls;
