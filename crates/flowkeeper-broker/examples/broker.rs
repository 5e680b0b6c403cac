//! Runs the embedded broker alone: `broker FOLDER [ADDRESS]`. Ends on SIGTERM or Ctrl-C.

use std::error::Error;

use flowkeeper_broker::{Config, start};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let data = args.next().ok_or("usage: broker FOLDER [ADDRESS]")?.into();
    let listen = args.next().unwrap_or_else(|| "127.0.0.1:9092".to_owned()).parse()?;
    let broker = start(Config { data, listen, ..Config::default() }).await?;
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        error = broker.failed() => Err(error.into()),
        _ = term.recv() => Ok(broker.stop().await?),
        _ = int.recv() => Ok(broker.stop().await?),
    }
}
