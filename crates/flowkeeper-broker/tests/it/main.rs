//! The broker as librdkafka sees it: an independently written client, over real sockets.

mod librdkafka;
mod raw;
