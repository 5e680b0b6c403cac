//! A session as bytes, so that the next process of an installation can go on with it.
//!
//! The client crate lets a session be re-attached ([`SessionInfo`]) but gives its password neither out nor in. Both do
//! pass over its wire, so both are had by a handshake with ourselves: one connection over the loopback address, which ends
//! when the handshake is over. A number that nobody else knows, sent as the session timeout, tells our own connection from
//! a stranger's.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::str::FromStr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use zookeeper_client::{Client, Connector, Error, SessionInfo};

use crate::proto::connect::{ConnectRequest, ConnectResponse, PASSWORD_LEN};
use crate::proto::jute::{Decoder, Encoder, put_frame};

/// A handshake within this process takes no longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// No message of a handshake is longer.
const MAX_FRAME: usize = 1024;
/// `xid` of a ping and of its answer.
const PING_XID: i32 = -2;

/// Id and password of a session. As text: both in hex with a colon between them. Whoever has it can take the session over, so
/// it belongs into a file that only its owner may read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SavedSession {
    pub id: i64,
    pub password: [u8; PASSWORD_LEN],
}

/// A text is no saved session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it must be a session id and a password in hex, with a colon between them")]
pub struct NotASession;

impl fmt::Debug for SavedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SavedSession({:#x})", self.id)
    }
}

impl fmt::Display for SavedSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}:", self.id)?;
        self.password.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for SavedSession {
    type Err = NotASession;

    fn from_str(text: &str) -> Result<SavedSession, NotASession> {
        let (id, digits) = text.trim().split_once(':').ok_or(NotASession)?;
        if digits.len() != 2 * PASSWORD_LEN || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotASession);
        }
        let id = u64::from_str_radix(id, 16).map_err(|_| NotASession)?.cast_signed();
        let mut password = [0; PASSWORD_LEN];
        for (at, byte) in password.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).map_err(|_| NotASession)?;
        }
        Ok(SavedSession { id, password })
    }
}

impl SavedSession {
    /// Reads a session out of the client.
    pub(super) async fn of(info: &SessionInfo) -> Result<SavedSession, Error> {
        let nonce = nonce();
        let (listener, hosts) = listen().await?;
        // Boxed: with TLS in it, this future is large.
        let client = Box::pin(connector(nonce).with_session(info.clone()).connect(&hosts));
        let heard = async {
            loop {
                let (_, request) = accept(&listener).await?;
                if request.timeout == nonce && request.id == info.id().0 {
                    return Ok(SavedSession { id: request.id, password: request.password });
                }
            }
        };
        in_time(async {
            tokio::select! {
                heard = heard => heard,
                // Nobody answers it.
                failed = client => Err(failed.err().unwrap_or(Error::ConnectionLoss)),
            }
        })
        .await
    }

    /// Makes the client's form of it.
    pub(super) async fn to_info(self) -> Result<SessionInfo, Error> {
        let nonce = nonce();
        let (listener, hosts) = listen().await?;
        let client = Box::pin(connector(nonce).connect(&hosts));
        let answered = async {
            // Ends with an error only.
            loop {
                let (stream, request) = accept(&listener).await?;
                if request.timeout == nonce && request.id == 0 {
                    self.answer(stream).await.map_err(|error| failed(&error))?;
                }
            }
        };
        let client = in_time(async {
            tokio::select! {
                client = client => client,
                Err::<(), _>(error) = answered => Err(error),
            }
        })
        .await?;
        Ok(client.into_session())
    }

    /// Plays the server until the client is content: the session, then the answer to one ping.
    async fn answer(self, mut stream: TcpStream) -> std::io::Result<()> {
        let response = ConnectResponse {
            timeout: 6000,
            session: self.id,
            password: self.password,
            read_only: Some(false),
        };
        let mut out = Vec::new();
        put_frame(&mut out, |body| response.encode(&mut Encoder::new(body)));
        stream.write_all(&out).await?;
        read_frame(&mut stream).await?;
        out.clear();
        put_frame(&mut out, |body| {
            let mut encoder = Encoder::new(body);
            encoder.i32(PING_XID);
            encoder.i64(0);
            encoder.i32(0);
        });
        stream.write_all(&out).await?;
        // Until the client has read it.
        read_frame(&mut stream).await.map(drop)
    }
}

/// What matters of a connect request.
struct Asked {
    id: i64,
    password: [u8; PASSWORD_LEN],
    timeout: i32,
}

fn connector(nonce: i32) -> Connector {
    // Never closed at the "server": ours has no sessions.
    Client::connector()
        .with_session_timeout(Duration::from_millis(u64::from(nonce.unsigned_abs())))
        .with_detached()
        .with_fail_eagerly()
}

async fn listen() -> Result<(TcpListener, String), Error> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(|error| failed(&error))?;
    let addr = listener.local_addr().map_err(|error| failed(&error))?;
    Ok((listener, addr.to_string()))
}

/// The next connection that speaks like a client.
async fn accept(listener: &TcpListener) -> Result<(TcpStream, Asked), Error> {
    loop {
        let (mut stream, _) = listener.accept().await.map_err(|error| failed(&error))?;
        // A stranger that says nothing must not be waited for: ours speaks at once.
        let frame = tokio::time::timeout(Duration::from_secs(1), read_frame(&mut stream)).await;
        let Ok(Ok(frame)) = frame else { continue };
        let Ok(request) = ConnectRequest::decode(&mut Decoder::new(&frame)) else { continue };
        let Ok(password) = request.password.try_into() else { continue };
        return Ok((stream, Asked { id: request.session, password, timeout: request.timeout }));
    }
}

async fn read_frame(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let length = usize::try_from(stream.read_i32().await?).unwrap_or(usize::MAX);
    if length > MAX_FRAME {
        return Err(std::io::ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).await?;
    Ok(frame)
}

/// Between 1 and 13 days in milliseconds: long enough to be no timeout, and unknown to others.
fn nonce() -> i32 {
    let random = RandomState::new().build_hasher().finish();
    (1 << 27) + i32::try_from(random % (1 << 30)).unwrap_or_default()
}

async fn in_time<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(PATIENCE, work).await.map_err(|_| Error::Timeout)?
}

fn failed(error: &std::io::Error) -> Error {
    Error::UnexpectedError(format!(
        "a session could not be saved or taken up again over the loopback address: {error}"
    ))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[tokio::test]
    async fn a_session_goes_into_the_client_and_comes_out_again() {
        let saved = SavedSession { id: -0x1234_5678_9abc, password: *b"0123456789abcdef" };
        let info = saved.to_info().await.unwrap();
        assert_eq!(info.id().0, saved.id);
        assert_eq!(SavedSession::of(&info).await.unwrap(), saved);
    }

    proptest! {
        #[test]
        fn text_is_read_back(id: i64, password: [u8; PASSWORD_LEN]) {
            let saved = SavedSession { id, password };
            prop_assert_eq!(saved.to_string().parse(), Ok(saved));
            let (printed, text) = (format!("{saved:?}"), saved.to_string());
            prop_assert!(!printed.contains(&text[17..]));
        }

        #[test]
        fn other_text_is_refused(text in "\\PC{0,60}") {
            if let Ok(saved) = text.parse::<SavedSession>() {
                prop_assert_eq!(saved.to_string().parse(), Ok(saved));
            }
        }
    }
}
