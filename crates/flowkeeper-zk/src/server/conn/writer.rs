//! The writing half of a connection: what the core releases, to the client.

use std::io;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{CLOGGED, Connection, Flow, Packet};
use crate::server::complaints::complain;
use crate::server::core::Input;

pub(super) struct Writer<'a> {
    pub(super) conn: &'a Connection,
    pub(super) flow: &'a Flow,
}

impl Writer<'_> {
    /// Writes until the core hangs up (true), or the client takes no more (false).
    pub(super) async fn run(
        &self,
        socket: &mut (impl AsyncWrite + Unpin),
        packets: &mut mpsc::UnboundedReceiver<Packet>,
    ) -> bool {
        while let Some(mut packet) = packets.recv().await {
            while packet.bytes.len() < CLOGGED {
                let Ok(mut next) = packets.try_recv() else { break };
                packet.bytes.append(&mut next.bytes);
                packet.answers.add(next.answers);
                packet.since = packet.since.or(next.since);
            }
            if let Err(error) = self.write(socket, &packet.bytes).await {
                if error.kind() == io::ErrorKind::TimedOut {
                    let (client, waiting) = (self.conn.peer, self.flow.queued.load(Ordering::SeqCst));
                    complain!(
                        self.conn.complaints, SlowReader, %client, waiting,
                        "client does not read its replies, closing"
                    );
                }
                return false;
            }
            let answers = packet.answers;
            let took = packet.since.map(|since| since.elapsed());
            self.conn.counters.answered(answers.requests, answers.is_update, took);
            if let Some(took) = took {
                self.flow.latency.record(took);
            }
            self.flow.window.add_permits(answers.requests);
            self.flow.room.add_permits(answers.bytes);
            let left = self.flow.queued.fetch_sub(packet.bytes.len(), Ordering::SeqCst) - packet.bytes.len();
            if left <= CLOGGED / 2
                && self.flow.core_waits.swap(false, Ordering::SeqCst)
                && self.conn.core.send(Input::Drained { conn: self.conn.id }).await.is_err()
            {
                return false;
            }
        }
        true
    }

    async fn write(&self, socket: &mut (impl AsyncWrite + Unpin), mut bytes: &[u8]) -> io::Result<()> {
        let time = self.conn.limits.write_time;
        while !bytes.is_empty() {
            match timeout(time, socket.write(bytes)).await?? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => bytes = &bytes[n..],
            }
        }
        // TLS keeps what the socket did not take yet.
        timeout(time, socket.flush()).await?
    }
}
