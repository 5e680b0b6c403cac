//! The session handshake: first message in each direction, without request or reply header.

use super::jute::{DecodeError, Decoder, Encoder};

/// Length of a session password.
pub const PASSWORD_LEN: usize = 16;

/// What a client sends first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectRequest<'a> {
    /// Always 0.
    pub protocol_version: i32,
    /// Highest zxid the client has seen.
    pub last_zxid_seen: i64,
    /// Session timeout asked for, in milliseconds.
    pub timeout: i32,
    /// Session to re-attach to, or 0 for a new one.
    pub session: i64,
    /// Password of that session; anything for a new one.
    pub password: &'a [u8],
    /// Whether a read-only server would do. Clients of 2011 do not send it, and then it is not answered.
    pub read_only: Option<bool>,
}

impl<'a> ConnectRequest<'a> {
    /// Reads the record.
    pub fn decode(d: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            protocol_version: d.i32()?,
            last_zxid_seen: d.i64()?,
            timeout: d.i32()?,
            session: d.i64()?,
            password: d.buffer()?.unwrap_or_default(),
            read_only: if d.rest().is_empty() { None } else { Some(d.bool()?) },
        })
    }

    /// Appends the record.
    pub fn encode(&self, e: &mut Encoder<'_>) {
        e.i32(self.protocol_version);
        e.i64(self.last_zxid_seen);
        e.i32(self.timeout);
        e.i64(self.session);
        e.buffer(Some(self.password));
        if let Some(read_only) = self.read_only {
            e.bool(read_only);
        }
    }
}

/// What the server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectResponse {
    /// Negotiated timeout in milliseconds; 0 says that the session is gone.
    pub timeout: i32,
    /// The session, or 0.
    pub session: i64,
    /// What the client must present to re-attach.
    pub password: [u8; PASSWORD_LEN],
    /// Whether this server is read-only; sent only to clients that asked.
    pub read_only: Option<bool>,
}

impl ConnectResponse {
    /// The refusal of a session that does not exist any more, or whose password is wrong.
    pub fn refused(read_only: Option<bool>) -> Self {
        Self { timeout: 0, session: 0, password: [0; PASSWORD_LEN], read_only }
    }

    /// Reads the record.
    pub fn decode(d: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        d.i32()?;
        let (timeout, session) = (d.i32()?, d.i64()?);
        let given = d.buffer()?.unwrap_or_default();
        let mut password = [0; PASSWORD_LEN];
        let n = given.len().min(PASSWORD_LEN);
        password[..n].copy_from_slice(&given[..n]);
        let read_only = if d.rest().is_empty() { None } else { Some(d.bool()?) };
        Ok(Self { timeout, session, password, read_only })
    }

    /// Appends the record.
    pub fn encode(&self, e: &mut Encoder<'_>) {
        e.i32(0);
        e.i32(self.timeout);
        e.i64(self.session);
        e.buffer(Some(&self.password));
        if let Some(read_only) = self.read_only {
            e.bool(read_only);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn handshake_survives_a_round_trip(zxid in any::<i64>(), timeout in any::<i32>(), session in any::<i64>(),
                                           password in any::<[u8; 16]>(), flag in any::<Option<bool>>()) {
            let ask = ConnectRequest { protocol_version: 0, last_zxid_seen: zxid, timeout, session,
                                       password: &password, read_only: flag };
            let mut out = Vec::new();
            ask.encode(&mut Encoder::new(&mut out));
            prop_assert_eq!(ConnectRequest::decode(&mut Decoder::new(&out)), Ok(ask));
            let answer = ConnectResponse { timeout, session, password, read_only: flag };
            out.clear();
            answer.encode(&mut Encoder::new(&mut out));
            prop_assert_eq!(out.len(), if flag.is_some() { 37 } else { 36 });
            prop_assert_eq!(ConnectResponse::decode(&mut Decoder::new(&out)), Ok(answer));
        }

        #[test]
        fn handshake_decoders_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = ConnectRequest::decode(&mut Decoder::new(&bytes));
            let _ = ConnectResponse::decode(&mut Decoder::new(&bytes));
        }
    }
}
