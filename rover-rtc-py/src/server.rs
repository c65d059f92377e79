//! Hubs.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use rover_rtc::pull;

use crate::config;
use crate::error::Failure;
use crate::fork::Here;

/// A hub that serves, with threads of its own. Letting go of it stops it and waits for that.
#[pyclass(frozen, module = "rover_rtc._native")]
pub(crate) struct Server {
    server: Here<pull::Server>,
}

#[pymethods]
impl Server {
    /// Opens the sockets and serves.
    #[staticmethod]
    fn start(py: Python<'_>, config: &Bound<'_, PyDict>) -> Result<Self, Failure> {
        let config = config::server(config)?;
        let server = py.detach(|| pull::Server::start(config))?;
        Ok(Self { server: Here::new(server) })
    }

    /// Where HTTP listens, `address:port`.
    #[getter]
    fn address(&self) -> Result<String, Failure> {
        Ok(self.server.get()?.http_address().to_string())
    }

    /// The UDP addresses that clients are told.
    #[getter]
    fn udp(&self) -> Result<Vec<String>, Failure> {
        Ok(self.server.get()?.udp_addresses().iter().map(ToString::to_string).collect())
    }

    /// How it fares, as JSON. Waits for at most a second.
    fn status(&self, py: Python<'_>) -> Result<String, Failure> {
        let server = self.server.get()?;
        let status = py.detach(|| server.status());
        let status = status.ok_or_else(|| Failure::closed("the hub does not answer"))?;
        Ok(String::from_utf8_lossy(&status).into_owned())
    }

    /// Says good-bye to the clients, ends the threads and waits for that. Without effect the second
    /// time.
    fn stop(&self, py: Python<'_>) -> Result<(), Failure> {
        let server = self.server.get()?;
        py.detach(|| server.stop());
        Ok(())
    }
}
