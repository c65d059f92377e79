//! The hub's HTTP server: a guard that faces the network, and `tiny_http` behind a private socket.

mod answer;
mod backend;
mod connection;
mod exchange;
mod guard;
mod pending_reply;
mod private_socket;
mod request;
mod slots;

pub use exchange::{Exchange, HttpError, HttpLimits, HttpServer, Reply};
