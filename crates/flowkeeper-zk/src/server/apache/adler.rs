//! Adler-32 (RFC 1950), the checksum of Apache's files.

const MODULUS: u32 = 65_521;
/// Bytes after which the sums are reduced: the most that cannot overflow 32 bits.
const RUN: usize = 5_552;

/// The checksum of the bytes seen so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Adler {
    a: u32,
    b: u32,
}

impl Adler {
    pub(super) fn new() -> Self {
        Self { a: 1, b: 0 }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        for run in bytes.chunks(RUN) {
            for byte in run {
                self.a += u32::from(*byte);
                self.b += self.a;
            }
            self.a %= MODULUS;
            self.b %= MODULUS;
        }
    }

    /// The checksum, as the `long` that files hold.
    pub(super) fn value(self) -> i64 {
        i64::from(self.b << 16 | self.a)
    }
}

/// The checksum of some bytes.
pub(super) fn of(bytes: &[u8]) -> i64 {
    let mut sum = Adler::new();
    sum.update(bytes);
    sum.value()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_values() {
        assert_eq!(of(b""), 1);
        // The example everybody gives.
        assert_eq!(of(b"Wikipedia"), 0x11E6_0398);
        // Long and large enough to overflow, were the sums not reduced in time: 20,000 times 255 plus 1 is 5,100,001.
        assert_eq!(of(&[0xff; 20_000]) & 0xffff, 5_100_001 % 65_521);
    }

    proptest! {
        #[test]
        fn pieces_sum_like_the_whole(bytes in proptest::collection::vec(any::<u8>(), 0..20_000), at in any::<proptest::sample::Index>()) {
            let mut sum = Adler::new();
            let (head, tail) = bytes.split_at(at.index(bytes.len() + 1));
            sum.update(head);
            sum.update(tail);
            let (mut a, mut b) = (1u64, 0u64);
            for byte in &bytes {
                a = (a + u64::from(*byte)) % 65_521;
                b = (b + a) % 65_521;
            }
            prop_assert_eq!(sum.value(), (b << 16 | a) as i64);
        }
    }
}
