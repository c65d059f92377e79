//! Links with other peers, and with the hub.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use rover_rtc::pull;

use crate::channel::Channel;
use crate::error::Failure;
use crate::fork::Here;
use crate::{config, stats};

/// A link with another peer, or with the hub.
#[pyclass(frozen, module = "rover_rtc._native")]
pub(crate) struct Link {
    link: Here<pull::Link>,
}

impl Link {
    pub(crate) fn new(link: pull::Link) -> Self {
        crate::tag::name_once(|| link.tag(), |tag| link.set_tag(tag));
        Self { link: Here::new(link) }
    }

    pub(crate) fn inner(&self) -> Result<&pull::Link, Failure> {
        self.link.get()
    }
}

#[pymethods]
impl Link {
    /// A number that no other link of this process has.
    #[getter]
    fn id(&self) -> Result<usize, Failure> {
        Ok(self.inner()?.tag())
    }

    /// The other peer's name; empty for the hub.
    #[getter]
    fn name(&self) -> Result<&str, Failure> {
        Ok(self.inner()?.name())
    }

    /// The other peer's key; None for the hub, and as long as it is not known.
    fn fingerprint(&self, py: Python<'_>) -> Result<Option<String>, Failure> {
        let link = self.inner()?;
        let known = py.detach(|| link.fingerprint())?;
        Ok(known.map(|fingerprint| fingerprint.to_string()))
    }

    /// A channel by its label, or None.
    fn channel(&self, label: &str) -> Result<Option<Channel>, Failure> {
        Ok(self.inner()?.channel(label).map(Channel::new))
    }

    /// Opens a further channel.
    fn open(&self, py: Python<'_>, config: &Bound<'_, PyDict>) -> Result<Channel, Failure> {
        let (link, config) = (self.inner()?, config::channel(config)?);
        Ok(Channel::new(py.detach(|| link.open(config))?))
    }

    /// Counters and paths as of now.
    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let link = self.inner()?;
        let stats = py.detach(|| link.stats()).map_err(Failure::from)?;
        stats::of_link(py, &stats)
    }

    /// Begins to close it; the event CLOSED follows.
    fn close(&self, py: Python<'_>) -> Result<(), Failure> {
        let link = self.inner()?;
        py.detach(|| link.close());
        Ok(())
    }
}
