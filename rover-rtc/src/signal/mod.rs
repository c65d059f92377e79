//! Signaling: how two peers find each other before they have a path.

mod answer;
mod backend;
pub mod client;
mod connection;
mod debt;
mod door;
mod guard;
mod http;
pub mod letter;
pub mod message;
pub mod post;
mod request;
mod seats;
mod ways;

pub use http::{Exchange, HttpError, HttpLimits, HttpServer, Reply};
