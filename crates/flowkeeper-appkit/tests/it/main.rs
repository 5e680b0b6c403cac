//! Binders and guards against real message systems and real processes.
//!
//! `FLOWKEEPER_TEST_KAFKA=host:port` names a Kafka broker; without it the Kafka tests say that they were skipped.

mod fence_file;
mod kafka;
