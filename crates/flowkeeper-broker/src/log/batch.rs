//! Headers of record batches, message format 2 (Kafka's protocol guide, "Record Batch").
//!
//! ```text
//! 0 base offset i64 · 8 length i32 · 12 leader epoch i32 · 16 magic i8 · 17 crc u32 · 21 attributes i16
//! 23 last offset delta i32 · 27 first timestamp i64 · 35 max timestamp i64 · 43 producer id i64
//! 51 producer epoch i16 · 53 first sequence i32 · 57 record count i32 · 61 records
//! ```
//! The checksum (CRC-32C) covers everything from the attributes on, so the broker may write base offset and leader epoch
//! without touching the records.

use std::ops::Range;

/// Bytes of a header.
pub(crate) const HEADER: usize = 61;
/// Bytes that the length field does not count.
const PREFIX: usize = 12;
const MAGIC: u8 = 2;
const CRC_FROM: usize = 21;

/// What the broker needs to know of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) base_offset: i64,
    /// Bytes of the whole batch.
    pub(crate) size: usize,
    pub(crate) last_offset_delta: i32,
    pub(crate) max_timestamp: i64,
    /// -1: not idempotent.
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) first_sequence: i32,
    pub(crate) is_transactional: bool,
    pub(crate) is_control: bool,
}

/// A batch that cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BatchError {
    #[error("the record batch is cut short")]
    Short,
    #[error("the record batch has message format {0}; only format 2 is taken")]
    Magic(u8),
    #[error("the record batch does not match its checksum")]
    Checksum,
    #[error("the record batch contradicts itself")]
    Malformed,
}

impl Header {
    /// Reads the header at the start of `bytes`, which need not hold the whole batch.
    pub(crate) fn read(bytes: &[u8]) -> Result<Header, BatchError> {
        let bytes: &[u8; HEADER] = bytes.first_chunk().ok_or(BatchError::Short)?;
        if bytes[16] != MAGIC {
            return Err(BatchError::Magic(bytes[16]));
        }
        let length =
            usize::try_from(i32::from_be_bytes(field(bytes, 8..12))).map_err(|_| BatchError::Malformed)?;
        let attributes = i16::from_be_bytes(field(bytes, 21..23));
        let header = Header {
            base_offset: i64::from_be_bytes(field(bytes, 0..8)),
            size: length + PREFIX,
            last_offset_delta: i32::from_be_bytes(field(bytes, 23..27)),
            max_timestamp: i64::from_be_bytes(field(bytes, 35..43)),
            producer_id: i64::from_be_bytes(field(bytes, 43..51)),
            producer_epoch: i16::from_be_bytes(field(bytes, 51..53)),
            first_sequence: i32::from_be_bytes(field(bytes, 53..57)),
            is_transactional: attributes & 0x10 != 0,
            is_control: attributes & 0x20 != 0,
        };
        let count = i32::from_be_bytes(field(bytes, 57..61));
        let is_sound = header.size >= HEADER
            && header.last_offset_delta >= 0
            && (0..=header.last_offset_delta + 1).contains(&count);
        if is_sound { Ok(header) } else { Err(BatchError::Malformed) }
    }

    /// The offset after its last record.
    pub(crate) fn end_offset(&self) -> i64 {
        self.base_offset + i64::from(self.last_offset_delta) + 1
    }

    /// Sequence number of its last record; sequences wrap from `i32::MAX` to 0.
    pub(crate) fn last_sequence(&self) -> i32 {
        let last = i64::from(self.first_sequence) + i64::from(self.last_offset_delta);
        i32::try_from(last % (i64::from(i32::MAX) + 1)).unwrap_or(0)
    }
}

/// Checks a run of whole batches, checksums included; gives the position and header of each.
pub(crate) fn check_all(bytes: &[u8]) -> Result<Vec<(usize, Header)>, BatchError> {
    let mut found = Vec::with_capacity(1);
    let mut position = 0;
    while position < bytes.len() {
        let header = check(&bytes[position..])?;
        found.push((position, header));
        position += header.size;
    }
    if found.is_empty() { Err(BatchError::Short) } else { Ok(found) }
}

/// Checks the whole batch at the start of `bytes`.
pub(crate) fn check(bytes: &[u8]) -> Result<Header, BatchError> {
    let header = Header::read(bytes)?;
    let batch = bytes.get(..header.size).ok_or(BatchError::Short)?;
    let stored = u32::from_be_bytes(field(batch, 17..21));
    if crc32c::crc32c(&batch[CRC_FROM..]) == stored { Ok(header) } else { Err(BatchError::Checksum) }
}

/// Writes the offset of the first record, and leader epoch 0, into a batch.
pub(crate) fn number(batch: &mut [u8], base_offset: i64) {
    batch[0..8].copy_from_slice(&base_offset.to_be_bytes());
    batch[12..16].copy_from_slice(&0_i32.to_be_bytes());
}

/// A field of a batch whose length was checked.
fn field<const N: usize>(bytes: &[u8], range: Range<usize>) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[range]);
    field
}

/// A batch for tests: `count` records of unknown content, which the broker never looks into.
#[cfg(test)]
pub(crate) fn sample(count: i32, producer: (i64, i16, i32), timestamp: i64, body: &[u8]) -> Vec<u8> {
    let mut batch = vec![0; HEADER];
    batch.extend_from_slice(body);
    let length = i32::try_from(batch.len() - PREFIX).expect("small");
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    batch[16] = MAGIC;
    batch[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    batch[27..35].copy_from_slice(&timestamp.to_be_bytes());
    batch[35..43].copy_from_slice(&timestamp.to_be_bytes());
    batch[43..51].copy_from_slice(&producer.0.to_be_bytes());
    batch[51..53].copy_from_slice(&producer.1.to_be_bytes());
    batch[53..57].copy_from_slice(&producer.2.to_be_bytes());
    batch[57..61].copy_from_slice(&count.to_be_bytes());
    let crc = crc32c::crc32c(&batch[CRC_FROM..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_a_client_wrote() {
        let batch = sample(3, (7, 1, 40), 1234, b"xyz");
        let header = check(&batch).expect("sound");
        assert_eq!((header.size, header.last_offset_delta, header.max_timestamp), (64, 2, 1234));
        assert_eq!((header.producer_id, header.producer_epoch, header.last_sequence()), (7, 1, 42));
    }

    #[test]
    fn sequences_wrap() {
        let batch = sample(3, (7, 1, i32::MAX - 1), 0, b"");
        assert_eq!(check(&batch).expect("sound").last_sequence(), 0);
    }

    #[test]
    fn every_flipped_bit_is_noticed_or_harmless() {
        let batch = sample(2, (-1, -1, -1), 9, b"payload");
        for bit in 0..batch.len() * 8 {
            let mut damaged = batch.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // Base offset and leader epoch are ours to write and not covered.
            let is_covered = !(0..8).contains(&(bit / 8)) && !(12..16).contains(&(bit / 8));
            assert_eq!(check(&damaged).is_err(), is_covered, "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = check_all(&bytes);
        }
    }
}
