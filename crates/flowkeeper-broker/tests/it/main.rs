//! The broker as librdkafka sees it: an independently written client, over real sockets.

mod disk;
mod librdkafka;
mod raw;
