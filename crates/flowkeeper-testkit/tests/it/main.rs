//! Suites about the whole; one binary, so that it is linked once.

mod tidy;
