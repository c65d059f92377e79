//! The HTTP front over 127.0.0.1: what it answers, and what attacks do to it.
//!
//! Attacks go to a hub in a process of its own (this test program, started again), so that its
//! memory and its descriptors can be measured and limited apart from the attacker's.
#![allow(clippy::unwrap_used)]

#[cfg(target_os = "linux")]
mod attacks;
mod behaviour;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rover_rtc::http::server::{Exchange, HttpError, HttpLimits, HttpServer, Reply};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
const SOON: Duration = Duration::from_secs(5);

async fn serve(handler: impl Fn(Exchange) + Send + Sync + 'static) -> HttpServer {
    HttpServer::bind(ANY_PORT, HttpLimits::default(), handler).await.unwrap()
}

/// A response, as far as it came.
#[derive(Debug)]
struct Response {
    head: String,
    body: Vec<u8>,
}

impl Response {
    fn status(&self) -> u16 {
        self.head.get(9..12).and_then(|it| it.parse().ok()).unwrap_or(0)
    }

    fn text(&self) -> &str {
        str::from_utf8(&self.body).unwrap()
    }
}

/// Reads until the server closes.
async fn read_response(stream: &mut TcpStream) -> Response {
    let mut bytes = Vec::new();
    timeout(SOON, stream.read_to_end(&mut bytes)).await.expect("the server closes").unwrap();
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n").map_or(bytes.len(), |at| at + 4);
    let body = bytes.split_off(end);
    Response { head: String::from_utf8(bytes).unwrap(), body }
}

async fn send(to: SocketAddr, request: impl AsRef<[u8]>) -> Response {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(request.as_ref()).await.unwrap();
    read_response(&mut stream).await
}

async fn get(to: SocketAddr, target: &str) -> Response {
    send(to, format!("GET {target} HTTP/1.1\r\nHost: hub\r\n\r\n")).await
}
