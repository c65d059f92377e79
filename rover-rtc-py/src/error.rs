//! Why a call failed, as Python sees it.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyTuple;
use rover_rtc::{DialError, SendError, WebrtcError};

/// A kind, which is the name of the C interface's status (`ROVER_RTC_...`), and a text.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: &'static str,
    text: String,
}

impl Failure {
    pub(crate) fn new(kind: &'static str, text: impl Into<String>) -> Self {
        Self { kind, text: text.into() }
    }

    pub(crate) fn invalid(text: impl Into<String>) -> Self {
        Self::new(INVALID, text)
    }

    pub(crate) fn closed(text: impl Into<String>) -> Self {
        Self::new(CLOSED, text)
    }

    pub(crate) fn io(error: &std::io::Error) -> Self {
        Self::new(NETWORK, error.to_string())
    }
}

impl From<WebrtcError> for Failure {
    fn from(error: WebrtcError) -> Self {
        let kind = match &error {
            WebrtcError::Server(_) => "SERVER",
            WebrtcError::Sdp(_) => "SDP",
            WebrtcError::Network(_) => NETWORK,
            WebrtcError::Send(error) => of_send(error),
            WebrtcError::Dial(DialError::Closed) | WebrtcError::Closed => CLOSED,
            WebrtcError::Dial(DialError::BadName(_) | DialError::Oneself(_)) => INVALID,
            WebrtcError::Dial(DialError::TimedOut { .. }) => "AGAIN",
            WebrtcError::Dial(_) => "DIAL",
            WebrtcError::Identity(_) | WebrtcError::Table(_) => "IDENTITY",
            WebrtcError::NoJournal(_) | WebrtcError::Journal(_) => "NOT_STORED",
            _ => INVALID,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        Self::new(of_send(&error), error.to_string())
    }
}

fn of_send(error: &SendError) -> &'static str {
    match error {
        SendError::Full => "FULL",
        SendError::Empty | SendError::Key => "BAD_MESSAGE",
        SendError::TooLarge { .. } => "TOO_LARGE",
        SendError::NotStored(_) => "NOT_STORED",
        SendError::Closed => CLOSED,
        _ => INVALID,
    }
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        Python::attach(|py| {
            // Classes are Python's, where they can also be builtin ones (`ConnectionError`).
            let made = MAKER.import(py, "rover_rtc.errors", "_of_kind").and_then(|maker| {
                maker.call1(PyTuple::new(py, [failure.kind, failure.text.as_str()])?)
            });
            made.map_or_else(|error| error, Self::from_value)
        })
    }
}

static MAKER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

const INVALID: &str = "INVALID";
const CLOSED: &str = "CLOSED";
const NETWORK: &str = "NETWORK";
