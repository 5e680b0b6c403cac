//! Jute primitives: integers, booleans, buffers, strings and vector counts.

use std::borrow::Cow;

/// Why a record could not be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The packet ends inside a field.
    #[error("record ends early: {needed} bytes needed, {left} left")]
    Truncated {
        /// Bytes the field still needs.
        needed: usize,
        /// Bytes the packet still has.
        left: usize,
    },
    /// A length or count below -1, or a count no packet of this size can hold.
    #[error("{0} is not a valid length")]
    BadLength(i32),
    /// An operation inside a multi that has no place there.
    #[error("operation {0} is not allowed in this multi")]
    BadMultiOp(i32),
    /// A mode number of addWatch, removeWatches or checkWatches that does not exist.
    #[error("{0} is not a watch mode")]
    BadWatchMode(i32),
}

/// Reads jute fields from the front of a byte slice.
#[derive(Debug, Clone)]
pub struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// Starts at the first byte of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Takes the next `n` bytes.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8], DecodeError> {
        match self.rest.split_at_checked(n) {
            Some((head, tail)) => {
                self.rest = tail;
                Ok(head)
            }
            None => Err(DecodeError::Truncated { needed: n, left: self.rest.len() }),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.rest.split_first_chunk::<N>() {
            Some((head, tail)) => {
                self.rest = tail;
                Ok(*head)
            }
            None => Err(DecodeError::Truncated { needed: N, left: self.rest.len() }),
        }
    }

    /// Reads one byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    /// Reads an `int`.
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// Reads a `long`.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// Reads a `boolean`; every byte but zero is true.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.u8()? != 0)
    }

    /// Reads a `buffer`; length -1 is null.
    pub fn buffer(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        match self.i32()? {
            -1 => Ok(None),
            n => self.take(usize::try_from(n).map_err(|_| DecodeError::BadLength(n))?).map(Some),
        }
    }

    /// Reads a `ustring`; null reads as the empty string. Invalid UTF-8 becomes U+FFFD, which no path may
    /// contain.
    pub fn string(&mut self) -> Result<Cow<'a, str>, DecodeError> {
        Ok(String::from_utf8_lossy(self.buffer()?.unwrap_or_default()))
    }

    /// Reads the count of a vector whose elements take at least `min_size` bytes; -1 is null.
    pub fn count(&mut self, min_size: usize) -> Result<Option<usize>, DecodeError> {
        let n = self.i32()?;
        if n == -1 {
            return Ok(None);
        }
        let count = usize::try_from(n).map_err(|_| DecodeError::BadLength(n))?;
        if count.saturating_mul(min_size.max(1)) > self.rest.len() {
            return Err(DecodeError::BadLength(n));
        }
        Ok(Some(count))
    }

    /// Reads a vector of strings; null reads as empty.
    pub fn strings(&mut self) -> Result<Vec<Cow<'a, str>>, DecodeError> {
        let n = self.count(4)?.unwrap_or(0);
        (0..n).map(|_| self.string()).collect()
    }
}

/// Appends jute fields to a byte vector.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Encoder<'a> {
    /// Appends to the end of `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Appends bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Appends one byte.
    pub fn u8(&mut self, v: u8) {
        self.out.push(v);
    }

    /// Appends an `int`.
    pub fn i32(&mut self, v: i32) {
        self.raw(&v.to_be_bytes());
    }

    /// Appends a `long`.
    pub fn i64(&mut self, v: i64) {
        self.raw(&v.to_be_bytes());
    }

    /// Appends a `boolean`.
    pub fn bool(&mut self, v: bool) {
        self.u8(u8::from(v));
    }

    /// Appends a length or count. Records never reach 2 GiB: packets are limited far below.
    pub fn len(&mut self, n: usize) {
        self.i32(i32::try_from(n).unwrap_or(i32::MAX));
    }

    /// Appends a `buffer`.
    pub fn buffer(&mut self, v: Option<&[u8]>) {
        match v {
            None => self.i32(-1),
            Some(bytes) => {
                self.len(bytes.len());
                self.raw(bytes);
            }
        }
    }

    /// Appends a `ustring`.
    pub fn string(&mut self, v: &str) {
        self.buffer(Some(v.as_bytes()));
    }

    /// Appends a vector of strings.
    pub fn strings<S: AsRef<str>>(&mut self, v: &[S]) {
        self.len(v.len());
        for s in v {
            self.string(s.as_ref());
        }
    }
}

/// Appends one message: a length and whatever `body` writes.
pub fn put_frame<R>(out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    let result = body(out);
    let len = i32::try_from(out.len() - start - 4).unwrap_or(i32::MAX);
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn fields_survive_a_round_trip(i in any::<i32>(), l in any::<i64>(), b in any::<bool>(), s in ".*",
                                       buf in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)),
                                       v in proptest::collection::vec(".*", 0..5)) {
            let mut out = Vec::new();
            let mut e = Encoder::new(&mut out);
            e.i32(i); e.i64(l); e.bool(b); e.string(&s); e.buffer(buf.as_deref()); e.strings(&v);
            let mut d = Decoder::new(&out);
            prop_assert_eq!(d.i32(), Ok(i));
            prop_assert_eq!(d.i64(), Ok(l));
            prop_assert_eq!(d.bool(), Ok(b));
            prop_assert_eq!(d.string().map(Cow::into_owned), Ok(s));
            prop_assert_eq!(d.buffer(), Ok(buf.as_deref()));
            prop_assert_eq!(d.strings().map(|v| v.into_iter().map(Cow::into_owned).collect::<Vec<_>>()), Ok(v));
            prop_assert!(d.rest().is_empty());
        }
    }

    #[test]
    fn absurd_counts_are_refused_before_anything_is_allocated() {
        let bytes = i32::MAX.to_be_bytes();
        assert_eq!(Decoder::new(&bytes).strings(), Err(DecodeError::BadLength(i32::MAX)));
        assert_eq!(Decoder::new(&(-2i32).to_be_bytes()).buffer(), Err(DecodeError::BadLength(-2)));
    }

    #[test]
    fn frames_carry_their_own_length() {
        let mut out = vec![9];
        put_frame(&mut out, |out| Encoder::new(out).i32(7));
        assert_eq!(out, [9, 0, 0, 0, 4, 0, 0, 0, 7]);
    }
}
