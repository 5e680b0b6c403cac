//! Binders against real message systems.
//!
//! `FLOWKEEPER_TEST_KAFKA=host:port` names a Kafka broker; without it the Kafka tests say that they were skipped.

mod kafka;
