//! Tests of the engine from outside.

mod binding;
mod lease_model;
