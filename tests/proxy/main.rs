//! The proxy over real sockets, before scripted coordinators. Each test starts its own; what is waited for is a condition,
//! never a time.

mod coordinator;
mod gateway;

mod admin;
mod drain;
mod health;
mod messages;
mod paths;
mod polls;
mod reload;
mod standalone;
mod statements;
mod tls;
