//! Checksums that a Maven repository keeps beside its files.

use std::fmt::Write as _;
use std::io::{self, Read};
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512};

/// A way to sum up a file. The order is that of trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Sha512,
    Sha256,
    Sha1,
}

/// What a repository says a file's checksum is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checksum {
    pub(super) algorithm: Algorithm,
    /// In small hexadecimal digits.
    pub(super) hex: String,
}

impl Algorithm {
    /// All that are looked for, the most trusted first.
    pub(super) const ALL: [Algorithm; 3] = [Algorithm::Sha512, Algorithm::Sha256, Algorithm::Sha1];

    /// Ending of the file that holds it, and its name in texts.
    pub(super) fn name(self) -> &'static str {
        match self {
            Algorithm::Sha512 => "sha512",
            Algorithm::Sha256 => "sha256",
            Algorithm::Sha1 => "sha1",
        }
    }

    fn digits(self) -> usize {
        match self {
            Algorithm::Sha512 => 128,
            Algorithm::Sha256 => 64,
            Algorithm::Sha1 => 40,
        }
    }
}

impl Checksum {
    /// Reads the text of a checksum's file: the digits alone, with the file's name behind, or in `SHA1(name)= digits` form.
    pub(super) fn parse(algorithm: Algorithm, text: &str) -> Option<Checksum> {
        let is_hex = |word: &&str| {
            word.len() == algorithm.digits() && word.bytes().all(|byte| byte.is_ascii_hexdigit())
        };
        let mut words = text.split(|c: char| c.is_whitespace() || c == '=').filter(|word| !word.is_empty());
        Some(Checksum { algorithm, hex: words.find(is_hex)?.to_ascii_lowercase() })
    }

    /// Sums up the file at `path`; blocks for as long as it takes to read it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn of(algorithm: Algorithm, path: &Path) -> io::Result<Checksum> {
        let hex = match algorithm {
            Algorithm::Sha512 => sum::<Sha512>(path),
            Algorithm::Sha256 => sum::<Sha256>(path),
            Algorithm::Sha1 => sum::<Sha1>(path),
        }?;
        Ok(Checksum { algorithm, hex })
    }
}

fn sum<D: Digest>(path: &Path) -> io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let mut digest = D::new();
    let mut block = vec![0; 64 << 10];
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            break;
        }
        digest.update(&block[..read]);
    }
    let mut hex = String::new();
    for byte in digest.finalize().as_slice() {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    Ok(hex)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn files_are_summed_up_as_everybody_does() {
        let file = tempfile::NamedTempFile::new().expect("file");
        std::fs::write(file.path(), "abc").expect("written");
        let of = |algorithm| Checksum::of(algorithm, file.path()).expect("summed up").hex;
        assert_eq!(of(Algorithm::Sha1), "a9993e364706816aba3e25717850c26c9cd0d89d");
        assert!(of(Algorithm::Sha256).starts_with("ba7816bf8f01cfea"));
        assert!(of(Algorithm::Sha512).starts_with("ddaf35a193617aba"));
        for algorithm in Algorithm::ALL {
            assert_eq!(of(algorithm).len(), algorithm.digits());
        }
    }

    #[test]
    fn checksum_files_come_in_several_forms() {
        let hex = "A9993E364706816ABA3E25717850C26C9CD0D89D";
        for text in [
            hex.to_owned(),
            format!("{hex}\n"),
            format!("  {hex}  a-1.jar\n"),
            format!("SHA1(a-1.jar)= {hex}"),
            format!("SHA1 (a-1.jar) ={hex}\r\n"),
        ] {
            let found = Checksum::parse(Algorithm::Sha1, &text).expect(&text);
            assert_eq!(found.hex, hex.to_ascii_lowercase());
        }
        for text in ["", "<html>", &hex[1..], &format!("{hex}0")] {
            assert_eq!(Checksum::parse(Algorithm::Sha1, text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in ".*") {
            for algorithm in Algorithm::ALL {
                if let Some(found) = Checksum::parse(algorithm, &text) {
                    prop_assert_eq!(found.hex.len(), algorithm.digits());
                }
            }
        }
    }
}
