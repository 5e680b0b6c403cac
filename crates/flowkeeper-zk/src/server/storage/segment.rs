//! One file of the log: its layout, and what a scan makes of it after a crash.
//!
//! A file begins with a header (magic, version, first zxid, a random mark, CRC) and goes on with groups. A
//! group is what one write put there: the mark, length, CRC, the position that was durable when it was
//! written, and journal records. Zeros follow up to the end of the file, written ahead so that syncing a
//! group need not change the file's size.
//!
//! A group is written only after everything up to its durable position was synced. So a broken group is a
//! torn write exactly if no whole group behind it claims a durable position past it; then nothing in it was
//! acknowledged. Otherwise the disk has lost data it had confirmed. The random mark keeps clients from
//! planting groups in node data.

use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _, Seek as _};
use std::ops::Range;
use std::path::Path;

use super::space::RESERVE;
use crate::proto::{DecodeError, Decoder, Encoder};

const MAGIC: &[u8; 8] = b"FKZKLOG\n";
/// Version that is written: since 2, records carry a cxid.
const VERSION: i32 = 2;
/// Bytes of a file's header.
pub(crate) const HEADER_LEN: usize = 8 + 4 + 8 + 8 + 4;
/// Bytes of a group's header.
pub(crate) const GROUP_HEADER_LEN: usize = 8 + 4 + 4 + 8;

/// What a file's header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Version of the file.
    pub(crate) version: i32,
    /// First zxid in the file.
    pub(crate) first: i64,
    /// Random mark of the file's groups.
    mark: u64,
}

impl Header {
    pub(crate) fn new(first: i64) -> Self {
        Self { version: VERSION, first, mark: RandomState::new().hash_one(first) | 1 }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_LEN);
        let mut e = Encoder::new(&mut out);
        e.raw(MAGIC);
        e.i32(self.version);
        e.i64(self.first);
        e.raw(&self.mark.to_be_bytes());
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }

    fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, &'static str> {
        let (head, crc) = bytes.split_at(HEADER_LEN - 4);
        if &head[..8] != MAGIC {
            return Err("this is not a log file");
        }
        if crc != crc32fast::hash(head).to_be_bytes() {
            return Err("the header's checksum is wrong");
        }
        let read = |d: &mut Decoder<'_>| -> Result<(i32, i64, i64), DecodeError> {
            d.take(8)?;
            Ok((d.i32()?, d.i64()?, d.i64()?))
        };
        match read(&mut Decoder::new(head)) {
            Ok((version @ 1..=VERSION, first, mark)) => Ok(Self { version, first, mark: mark as u64 }),
            _ => Err("the file has an unknown version"),
        }
    }

    /// Appends a group whose payload is the concatenation of `parts`. `durable` is the position up to which
    /// the file is on the disk for certain.
    pub(crate) fn put_group(&self, parts: &[Vec<u8>], durable: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&[0; GROUP_HEADER_LEN]);
        for part in parts {
            out.extend_from_slice(part);
        }
        let len = ((out.len() - start - GROUP_HEADER_LEN) as u32).to_be_bytes();
        let durable = durable.to_be_bytes();
        let crc = group_crc(len, durable, &out[start + GROUP_HEADER_LEN..]);
        let header = &mut out[start..start + GROUP_HEADER_LEN];
        header[..8].copy_from_slice(&self.mark.to_be_bytes());
        header[8..12].copy_from_slice(&len);
        header[12..16].copy_from_slice(&crc.to_be_bytes());
        header[16..24].copy_from_slice(&durable);
    }

    /// The group at the beginning of `bytes`: its payload's range and durable position.
    fn group(&self, bytes: &[u8]) -> Option<(Range<usize>, u64)> {
        let mut d = Decoder::new(bytes);
        if d.take(8).ok()? != self.mark.to_be_bytes() {
            return None;
        }
        let len = d.take(4).ok()?.try_into().ok()?;
        let crc = d.take(4).ok()?;
        let durable = d.take(8).ok()?.try_into().ok()?;
        let payload = d.take(u32::from_be_bytes(len) as usize).ok()?;
        let whole = crc == group_crc(len, durable, payload).to_be_bytes();
        let range = GROUP_HEADER_LEN..GROUP_HEADER_LEN + payload.len();
        whole.then_some((range, u64::from_be_bytes(durable)))
    }
}

fn group_crc(len: [u8; 4], durable: [u8; 8], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&len);
    crc.update(&durable);
    crc.update(payload);
    crc.finalize()
}

/// The bytes of a file up to where something was written. What is only reserved behind that is not read.
///
/// # Errors
/// What the system says.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    use rustix::fs::{SeekFrom, seek};
    let mut file = File::open(path)?;
    let mut end = file.metadata()?.len();
    // A file system that knows no holes calls everything written.
    if let Ok(hole) = seek(&file, SeekFrom::Hole(0))
        && seek(&file, SeekFrom::Data(hole)).is_err()
    {
        end = end.min(hole);
    }
    file.rewind()?;
    let mut bytes = Vec::with_capacity(usize::try_from(end).unwrap_or(0));
    file.take(end).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What is in a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Version of the file, by which its records are read.
    pub(crate) version: i32,
    /// Payloads of the whole groups, in order.
    pub(crate) groups: Vec<Range<usize>>,
    /// Where the last whole group ends. 0 if not even the header is whole.
    pub(crate) end: usize,
    /// Bytes of a torn write behind the end, trailing zeros not counted.
    pub(crate) torn: usize,
}

impl Scan {
    /// Whether a last file of `size` bytes is shorter than a crash leaves it. A file that is written has the log's
    /// reserve behind its end; one that was closed ends with a group.
    pub(crate) fn is_short(&self, size: u64) -> bool {
        if self.torn == 0 {
            return false;
        }
        match self.end as u64 {
            // The size is reserved, and on the disk, before there is a group.
            0 => size < HEADER_LEN as u64,
            end => size < end + RESERVE,
        }
    }
}

/// Damage that no crash explains.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) offset: usize,
    pub(crate) what: &'static str,
}

/// Length without the zeros at the end, of which there may be many.
fn without_zeros(bytes: &[u8]) -> usize {
    const ZEROS: [u8; 4096] = [0; 4096];
    let mut end = bytes.len();
    while let Some(start) = end.checked_sub(ZEROS.len()).filter(|start| bytes[*start..end] == ZEROS) {
        end = start;
    }
    bytes[..end].iter().rposition(|b| *b != 0).map_or(0, |at| at + 1)
}

/// Finds the groups of a file. Only the log's last file may end in a torn write.
pub(crate) fn scan(bytes: &[u8], is_last: bool) -> Result<Scan, Damage> {
    let written = without_zeros(bytes);
    let Some(header) = bytes.first_chunk::<HEADER_LEN>().filter(|_| written > 0) else {
        // The header is synced before the first group is written.
        return match is_last {
            true => Ok(Scan { version: VERSION, groups: Vec::new(), end: 0, torn: written }),
            false => Err(Damage { offset: 0, what: "the header is cut off" }),
        };
    };
    let header = match Header::decode(header) {
        Ok(header) => header,
        // Without a group the header may not have been synced.
        Err(_) if is_last && written <= HEADER_LEN => {
            return Ok(Scan { version: VERSION, groups: Vec::new(), end: 0, torn: written });
        }
        Err(what) => return Err(Damage { offset: 0, what }),
    };
    let mut scan = Scan { version: header.version, groups: Vec::new(), end: HEADER_LEN, torn: 0 };
    while let Some((payload, _)) = header.group(&bytes[scan.end..]) {
        let start = scan.end;
        scan.end += payload.end;
        scan.groups.push(start + payload.start..start + payload.end);
    }
    if written <= scan.end {
        return Ok(scan);
    }
    let confirmed = (scan.end + 1..written)
        .filter_map(|at| header.group(&bytes[at..]))
        .any(|(_, durable)| durable > scan.end as u64);
    if confirmed || !is_last {
        return Err(Damage { offset: scan.end, what: "a group of transactions has a wrong checksum" });
    }
    scan.torn = written - scan.end;
    Ok(scan)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A file of three groups, and where they begin and end.
    fn three_groups() -> (Vec<u8>, [usize; 4]) {
        let header = Header::new(1);
        let mut bytes = header.encode();
        let mut ends = [bytes.len(); 4];
        for (n, end) in ends.iter_mut().enumerate().skip(1) {
            let durable = bytes.len() as u64;
            header.put_group(&[vec![n as u8; 10], vec![7; n]], durable, &mut bytes);
            *end = bytes.len();
        }
        (bytes, ends)
    }

    #[test]
    fn whole_files_scan_to_their_end_with_or_without_zeros_behind() {
        let (mut bytes, ends) = three_groups();
        for _ in 0..2 {
            let scan = scan(&bytes, true).unwrap();
            assert_eq!((scan.groups.len(), scan.end, scan.torn), (3, ends[3], 0));
            bytes.extend_from_slice(&[0; 100]);
        }
    }

    #[test]
    fn a_tail_torn_at_any_byte_is_cut_off() {
        let (bytes, ends) = three_groups();
        for cut in ends[2]..ends[3] {
            let scan = scan(&bytes[..cut], true).unwrap();
            assert_eq!((scan.groups.len(), scan.end), (2, ends[2]), "cut at {cut}");
        }
        for cut in 0..HEADER_LEN {
            assert_eq!(scan(&bytes[..cut], true).unwrap().end, 0, "cut at {cut}");
        }
    }

    #[test]
    fn a_flipped_bit_in_the_middle_is_damage_and_in_the_last_group_torn() {
        let (bytes, ends) = three_groups();
        for at in HEADER_LEN..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x10;
            match scan(&bytes, true) {
                Err(damage) => {
                    assert!(at < ends[2], "flip at {at}");
                    assert_eq!(damage.offset, if at < ends[1] { ends[0] } else { ends[1] });
                }
                Ok(found) => assert!(at >= ends[2] && found.end == ends[2] && found.torn > 0, "flip at {at}"),
            }
            assert!(scan(&bytes, false).is_err(), "only the last file may be torn; flip at {at}");
        }
    }

    #[test]
    fn unsynced_groups_behind_a_hole_are_torn_too() {
        let header = Header::new(1);
        let mut bytes = header.encode();
        let durable = bytes.len() as u64;
        for n in 0..3 {
            header.put_group(&[vec![n; 10]], durable, &mut bytes);
        }
        bytes[HEADER_LEN + GROUP_HEADER_LEN] ^= 1;
        let scan = scan(&bytes, true).unwrap();
        assert_eq!((scan.groups.len(), scan.end), (0, HEADER_LEN));
    }

    #[test]
    fn whatever_was_written_is_read_also_behind_a_hole() {
        use std::os::unix::fs::FileExt as _;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let file = File::create(&path).unwrap();
        file.write_all_at(b"begin", 0).unwrap();
        file.set_len(10 << 20).unwrap();
        let bytes = read(&path).unwrap();
        assert!(bytes.starts_with(b"begin") && bytes[5..].iter().all(|b| *b == 0));
        file.write_all_at(b"end", 5 << 20).unwrap();
        let bytes = read(&path).unwrap();
        assert_eq!(&bytes[5 << 20..(5 << 20) + 3], b"end");
        assert_eq!(without_zeros(&bytes), (5 << 20) + 3);
        assert_eq!(read(&dir.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    proptest! {
        #[test]
        fn scanning_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), last in any::<bool>(), real in any::<bool>()) {
            if real {
                let (mut file, _) = three_groups();
                let keep = bytes.len() % file.len();
                file.truncate(keep);
                file.append(&mut bytes);
                bytes = file;
            }
            let _ = scan(&bytes, last);
        }
    }
}
