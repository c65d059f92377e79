//! What Python programs send: text, or anything that has bytes.

use bytes::Bytes;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView, PyString};
use rover_rtc::Message;

/// A message with a copy of what was given: of text for `str`, else binary.
pub(crate) fn message(data: &Bound<'_, PyAny>) -> PyResult<Message> {
    if let Ok(text) = data.cast::<PyString>() {
        return Ok(Message::text(&*text.to_cow()?));
    }
    bytes(data).map(Message::binary)
}

/// A copy of what has bytes; exactly one.
pub(crate) fn bytes(data: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    if let Ok(bytes) = data.cast::<PyBytes>() {
        return Ok(Bytes::copy_from_slice(bytes.as_bytes()));
    }
    if let Ok(array) = data.cast::<PyByteArray>() {
        return Ok(array.to_vec().into());
    }
    // The stable ABI of Python 3.9 has no buffers, so Python makes the copy, and it stays where it
    // is. Whichever thread lets go of it, pyo3 gives it back to Python when Python calls here next.
    let view = PyMemoryView::from(data).map_err(|error| of_type(data, error))?;
    let copy = view.call_method0("tobytes")?.cast_into::<PyBytes>()?;
    Ok(Bytes::from_owner(PyBackedBytes::from(copy)))
}

fn of_type(data: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    match data.get_type().name() {
        Ok(name) => pyo3::exceptions::PyTypeError::new_err(format!(
            "a message is str, bytes, or anything with a buffer such as a memoryview or a NumPy array, \
             not {name}"
        )),
        Err(_) => error,
    }
}
