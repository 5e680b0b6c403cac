//! Reads the transaction log of Apache ZooKeeper: what was written in which order, and by whom, independent of anything that
//! we believe. Format: `org.apache.zookeeper.server.persistence.FileTxnLog` of version 3.9: a head of 16 bytes (`ZKLG`, version,
//! database), then per transaction an Adler-32 sum (8 bytes), the length (4 bytes), the transaction, and a byte `B`. All numbers
//! are big-endian.

use std::fs;
use std::path::Path;

/// A write that was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub zxid: u64,
    pub session: i64,
    pub kind: Kind,
    pub path: String,
    pub data: Vec<u8>,
}

/// What it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Create,
    Set,
    Delete,
}

const HEAD: usize = 16;
const ERROR: i32 = -1;
const CREATE: i32 = 1;
const DELETE: i32 = 2;
const SET: i32 = 5;
const MULTI: i32 = 14;
const CREATE2: i32 = 15;
const CREATE_CONTAINER: i32 = 19;
const DELETE_CONTAINER: i32 = 20;
const CREATE_TTL: i32 = 21;

/// All writes in the logs of `folder` (`version-2`), in the order in which they were committed.
pub fn read(folder: &Path) -> Vec<Write> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut logs: Vec<_> = files
        .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("log.")))
        .collect();
    logs.sort_by_key(|path| {
        let number = path.extension().map(|hex| u64::from_str_radix(&hex.to_string_lossy(), 16).unwrap_or(0));
        number.unwrap_or(0)
    });
    let mut writes = Vec::new();
    for path in logs {
        let bytes = fs::read(path).unwrap_or_default();
        let mut rest = Bytes(bytes.get(HEAD..).unwrap_or_default());
        while transaction(&mut rest, &mut writes).is_some() {}
    }
    writes
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    fn int(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.take(4)?.try_into().ok()?))
    }

    fn long(&mut self) -> Option<i64> {
        Some(i64::from_be_bytes(self.take(8)?.try_into().ok()?))
    }

    /// A buffer with its length before it; -1 means none.
    fn buffer(&mut self) -> Option<&'a [u8]> {
        match usize::try_from(self.int()?) {
            Ok(length) => self.take(length),
            Err(_) => Some(&[]),
        }
    }

    fn text(&mut self) -> Option<String> {
        Some(String::from_utf8_lossy(self.buffer()?).into_owned())
    }
}

/// `None` at the end: logs are preallocated with zeros.
fn transaction(from: &mut Bytes<'_>, writes: &mut Vec<Write>) -> Option<()> {
    from.long()?;
    let length = usize::try_from(from.int()?).ok().filter(|length| *length > 0)?;
    let mut body = Bytes(from.take(length)?);
    from.take(1)?;
    let session = body.long()?;
    body.int()?;
    let zxid = body.long()?.cast_unsigned();
    body.long()?;
    let kind = body.int()?;
    // What cannot be read is not one of the kinds that are asked about.
    let _ = operation(kind, &mut body, zxid, session, writes);
    Some(())
}

fn operation(
    kind: i32,
    body: &mut Bytes<'_>,
    zxid: u64,
    session: i64,
    writes: &mut Vec<Write>,
) -> Option<()> {
    let mut add =
        |kind, path, data: &[u8]| writes.push(Write { zxid, session, kind, path, data: data.to_vec() });
    match kind {
        CREATE | CREATE2 | CREATE_CONTAINER | CREATE_TTL => {
            let path = body.text()?;
            add(Kind::Create, path, body.buffer()?);
        }
        SET => {
            let path = body.text()?;
            add(Kind::Set, path, body.buffer()?);
        }
        DELETE | DELETE_CONTAINER => {
            let path = body.text()?;
            add(Kind::Delete, path, &[]);
        }
        MULTI => {
            let mut parts = Vec::new();
            for _ in 0..body.int()? {
                parts.push((body.int()?, body.buffer()?));
            }
            // One that was refused is in the log too, with the error in the place of what could not be done: nothing of it happened.
            if parts.iter().any(|(kind, _)| *kind == ERROR) {
                return Some(());
            }
            for (kind, part) in parts {
                let _ = operation(kind, &mut Bytes(part), zxid, session, writes);
            }
        }
        _ => {}
    }
    Some(())
}

/// I6: writes of a leader's epoch that came after one of a higher epoch. `epoch` takes it out of a document.
pub fn late_leaders(writes: &[Write], epoch: impl Fn(&Write) -> Option<u64>) -> Vec<(u64, Write)> {
    let mut highest = 0;
    let mut found = Vec::new();
    for write in writes {
        let Some(epoch) = epoch(write) else { continue };
        if epoch < highest {
            found.push((highest, write.clone()));
        }
        highest = highest.max(epoch);
    }
    found
}

/// The epoch in a document that only leaders write, below the chroot `/flowkeeper`: orders when they are given or changed, and the
/// holder of the leadership. (`/state` carries one too, but may be compressed.)
pub fn leader_epoch(write: &Write) -> Option<u64> {
    let path = write.path.strip_prefix("/flowkeeper")?;
    let member = match path {
        "/leader/holder" => "epoch",
        path if path.starts_with("/nodes/assign/") => "le",
        _ => return None,
    };
    let document: serde_json::Value = serde_json::from_slice(&write.data).ok()?;
    document[member].as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer(bytes: &[u8]) -> Vec<u8> {
        let mut out = i32::try_from(bytes.len()).expect("short").to_be_bytes().to_vec();
        out.extend(bytes);
        out
    }

    fn entry(zxid: i64, kind: i32, body: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        text.extend(7_i64.to_be_bytes());
        text.extend(1_i32.to_be_bytes());
        text.extend(zxid.to_be_bytes());
        text.extend(0_i64.to_be_bytes());
        text.extend(kind.to_be_bytes());
        text.extend(body);
        let mut out = 0_i64.to_be_bytes().to_vec();
        out.extend(buffer(&text));
        out.push(b'B');
        out
    }

    #[test]
    fn a_log_is_read_with_its_multis_and_up_to_its_zeros() {
        let folder = tempfile::tempdir().expect("folder");
        let order = |epoch: u64| format!(r#"{{"le":{epoch}}}"#);
        let path = b"/flowkeeper/nodes/assign/n/a";
        let set =
            |epoch| [buffer(path), buffer(order(epoch).as_bytes()), 1_i32.to_be_bytes().to_vec()].concat();
        let mut multi = 2_i32.to_be_bytes().to_vec();
        multi.extend(DELETE.to_be_bytes());
        multi.extend(buffer(&buffer(b"/x")));
        multi.extend(SET.to_be_bytes());
        multi.extend(buffer(&set(2)));
        let mut refused = 2_i32.to_be_bytes().to_vec();
        refused.extend(SET.to_be_bytes());
        refused.extend(buffer(&set(1)));
        refused.extend(ERROR.to_be_bytes());
        refused.extend(buffer(&(-103_i32).to_be_bytes()));
        let mut log = vec![0; HEAD];
        log.extend(entry(1, SET, &set(1)));
        log.extend(entry(2, MULTI, &multi));
        log.extend(entry(3, SET, &set(1)));
        log.extend(entry(4, MULTI, &refused));
        log.extend([0; 64]);
        fs::write(folder.path().join("log.1"), log).expect("written");
        let writes = read(folder.path());
        assert_eq!(
            writes.iter().map(|write| (write.zxid, write.kind)).collect::<Vec<_>>(),
            [(1, Kind::Set), (2, Kind::Delete), (2, Kind::Set), (3, Kind::Set)]
        );
        let late = late_leaders(&writes, leader_epoch);
        assert_eq!(late.iter().map(|(highest, write)| (*highest, write.zxid)).collect::<Vec<_>>(), [(2, 3)]);
    }
}
