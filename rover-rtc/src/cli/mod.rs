//! Commands of the command line that only use the library.

pub(crate) mod bench;
pub(crate) mod demo;
pub(crate) mod files;
pub(crate) mod key;
