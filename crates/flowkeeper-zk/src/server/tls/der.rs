//! The few parts of DER that lead to the subject of a certificate.

/// The bytes are no certificate as X.509 has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the certificate is malformed")]
pub(super) struct Malformed;

pub(super) const INTEGER: u8 = 0x02;
pub(super) const OBJECT_ID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
/// The version in front of a certificate's fields, which may be missing.
const VERSION: u8 = 0xa0;

/// Reads values from the front of a byte slice.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

/// A tag, what it encloses, and both with the length between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value<'a> {
    pub(super) tag: u8,
    pub(super) body: &'a [u8],
    pub(super) whole: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Takes the next value.
    pub(super) fn value(&mut self) -> Result<Value<'a>, Malformed> {
        let begin = self.rest;
        let (&tag, rest) = begin.split_first().ok_or(Malformed)?;
        let (&first, rest) = rest.split_first().ok_or(Malformed)?;
        let (len, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            // Up to four bytes of length; the form without one is not allowed in DER.
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f)).ok_or(Malformed)?;
                (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
            }
            _ => return Err(Malformed),
        };
        let (body, rest) = rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = rest;
        Ok(Value { tag, body, whole: &begin[..begin.len() - rest.len()] })
    }

    /// Takes the next value, which must have this tag, and gives what it encloses.
    pub(super) fn expect(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        let value = self.value()?;
        if value.tag == tag { Ok(value.body) } else { Err(Malformed) }
    }
}

/// The subject of a certificate, as a reader over its relative names.
pub(super) fn subject(certificate: &[u8]) -> Result<Reader<'_>, Malformed> {
    let outer = Reader::new(certificate).expect(SEQUENCE)?;
    let mut fields = Reader::new(Reader::new(outer).expect(SEQUENCE)?);
    let mut first = fields.value()?;
    if first.tag == VERSION {
        first = fields.value()?;
    }
    // The serial number, then signature algorithm, issuer and validity.
    if first.tag != INTEGER {
        return Err(Malformed);
    }
    for _ in 0..3 {
        fields.expect(SEQUENCE)?;
    }
    fields.expect(SEQUENCE).map(Reader::new)
}

/// An object identifier as numbers between dots.
pub(super) fn dotted(bytes: &[u8]) -> Result<String, Malformed> {
    let mut numbers = Vec::new();
    let mut number: u64 = 0;
    for byte in bytes {
        if number >> 57 != 0 {
            return Err(Malformed);
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            numbers.push(std::mem::take(&mut number));
        }
    }
    // The first number holds two: 40 times the first plus the second.
    let (first, rest) = numbers.split_first().ok_or(Malformed)?;
    let top = (first / 40).min(2);
    let mut text = format!("{top}.{}", first - top * 40);
    for number in rest {
        text.push('.');
        text.push_str(&number.to_string());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_have_short_and_long_forms() {
        let mut reader = Reader::new(&[4, 1, 9, 4, 0x81, 2, 7, 8, 5]);
        assert_eq!(reader.value(), Ok(Value { tag: 4, body: &[9], whole: &[4, 1, 9] }));
        assert_eq!(reader.expect(4), Ok(&[7, 8][..]));
        assert_eq!(reader.value(), Err(Malformed), "a tag without a length");
        for bad in
            [&[4, 0x80, 0, 0][..], &[4, 0x85, 0, 0, 0, 0, 0], &[4, 2, 1], &[4, 0x84, 0xff, 0xff, 0xff, 0xff]]
        {
            assert_eq!(Reader::new(bad).value(), Err(Malformed), "{bad:?}");
        }
    }

    #[test]
    fn object_identifiers_read_as_people_write_them() {
        assert_eq!(dotted(&[0x55, 4, 3]), Ok("2.5.4.3".into()));
        assert_eq!(dotted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1]), Ok("1.2.840.113549.1.9.1".into()));
        assert_eq!(dotted(&[0x88, 0x37, 3]), Ok("2.999.3".into()));
        assert_eq!(dotted(&[]), Err(Malformed));
        assert_eq!(dotted(&[0xff; 12]), Err(Malformed));
    }

    proptest! {
        #[test]
        fn reading_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = subject(&bytes);
            let _ = dotted(&bytes);
        }
    }
}
