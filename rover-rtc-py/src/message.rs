//! Received messages.

use std::fmt::Write as _;

use pyo3::exceptions::{PyTypeError, PyUnicodeDecodeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use rover_rtc::Message as Inner;

use crate::error::Failure;
use crate::fork::Here;

/// A message that was received.
///
/// `msg.data` (or `bytes(msg)`) has its bytes, `msg.text` its text, `len(msg)` its size in bytes.
#[pyclass(frozen, module = "rover_rtc", freelist = 256)]
pub(crate) struct Message {
    data: Py<PyBytes>,
    is_text: bool,
    number: u64,
    key: Option<Py<PyBytes>>,
    /// Without its bytes; there while the program has to acknowledge it.
    receipt: Option<Here<Inner>>,
}

impl Message {
    /// Of a channel whose messages the program acknowledges itself, or not.
    pub(crate) fn new(py: Python<'_>, mut message: Inner, manual_ack: bool) -> Self {
        let bytes = |bytes: &[u8]| PyBytes::new(py, bytes).unbind();
        let data = bytes(&message.data);
        let key = (!message.key.is_empty()).then(|| bytes(&message.key));
        let (is_text, number) = (!message.binary, message.number);
        let receipt = manual_ack.then(|| {
            message.data = bytes::Bytes::new();
            Here::new(message)
        });
        Self { data, is_text, number, key, receipt }
    }
}

#[pymethods]
impl Message {
    /// Its bytes; of a text its UTF-8.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> &Bound<'py, PyBytes> {
        self.data.bind(py)
    }

    /// Its text.
    ///
    /// Raises UnicodeDecodeError if it is binary and no UTF-8.
    #[getter]
    fn text<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        let bytes = self.data.as_bytes(py);
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(PyString::new(py, text)),
            Err(error) => {
                let error = PyUnicodeDecodeError::new_utf8(py, bytes, error)?;
                Err(PyErr::from_value(error.into_any()))
            }
        }
    }

    /// Whether it was sent as text.
    #[getter]
    fn is_text(&self) -> bool {
        self.is_text
    }

    /// Its number, which rises from message to message, and is the same when it comes once more
    /// after a restart of this process; 0 on plain channels.
    #[getter]
    fn number(&self) -> u64 {
        self.number
    }

    /// Its key, on a channel of mode "latest"; empty elsewhere.
    #[getter]
    fn key<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        match &self.key {
            Some(key) => key.bind(py).clone(),
            None => PyBytes::new(py, b""),
        }
    }

    /// Acknowledges it, on a channel with `manual_ack`; elsewhere it was when it was taken.
    ///
    /// The sender keeps a message until it, and all before it, are acknowledged. On a durable
    /// channel one that was not comes again after a restart of this process.
    fn ack(&self) -> Result<(), Failure> {
        if let Some(receipt) = &self.receipt {
            receipt.get()?.ack();
        }
        Ok(())
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        self.data.bind(py).clone()
    }

    fn __len__(&self, py: Python<'_>) -> usize {
        self.data.as_bytes(py).len()
    }

    /// A message without content is one, too.
    fn __bool__(&self) -> bool {
        true
    }

    fn __reduce__(&self) -> PyResult<()> {
        Err(PyTypeError::new_err("a Message cannot be pickled or copied: take its data"))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let data = self.data.as_bytes(py);
        let mut text = String::from("<Message ");
        let shown = if data.len() > SHOWN { &data[..SHOWN] } else { data };
        if self.is_text {
            let shown = String::from_utf8_lossy(shown);
            text += &PyString::new(py, &shown).repr()?.to_string_lossy();
        } else {
            text += &PyBytes::new(py, shown).repr()?.to_string_lossy();
        }
        let dots = if data.len() > SHOWN { "..." } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(text, "{dots} {} bytes", data.len());
        if self.number > 0 {
            let _ = write!(text, ", number {}", self.number);
        }
        Ok(text + ">")
    }
}

/// Bytes in a repr.
const SHOWN: usize = 40;
