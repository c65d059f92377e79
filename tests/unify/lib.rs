//! Nothing: the crate is there for what its manifest asks for.
