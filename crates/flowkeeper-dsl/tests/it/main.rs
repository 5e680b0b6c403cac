//! Tests of the language from outside: recorded behaviour of SCDF, its error pictures, and laws.

mod completion_laws;
mod completion_vectors;
mod error_pictures;
mod laws;
mod property_vectors;
mod stream_vectors;
mod vectors;
