//! Form, keys, places and damage of sealed documents.

use proptest::prelude::*;

use super::*;

fn keyring(seeds: &[u8]) -> Keyring {
    let lines: Vec<_> = seeds.iter().map(|seed| STANDARD.encode([*seed; KEY_LEN])).collect();
    lines.join("\n").parse().unwrap()
}

fn sealed(keyring: &Keyring, path: &str, data: &[u8]) -> Vec<u8> {
    keyring.seal(keyring.first().unwrap(), path, data).unwrap()
}

#[test]
fn a_sealed_document_has_the_form_that_is_documented() {
    let ring = keyring(&[7]);
    let data = sealed(&ring, "/streams/aa/s", b"secret");
    assert_eq!(&data[..4], b"FKS1");
    assert_eq!(data.len(), 6 + OVERHEAD);
    // printf '\x07%.0s' {1..32} | sha256sum
    assert_eq!(ring.first().unwrap().to_string(), "4bb06f8e4e3a7715");
    assert_eq!(sealed_by(&data), ring.first());
    assert_ne!(data, sealed(&ring, "/streams/aa/s", b"secret"), "each has a nonce of its own");
}

#[test]
fn only_the_right_key_at_the_right_place_unseals() {
    let (ring, other) = (keyring(&[1]), keyring(&[2]));
    let id = ring.first().unwrap();
    let data = sealed(&ring, "/a", b"x");
    assert_eq!(ring.unseal("/a", &data), Ok(Some(b"x".to_vec())));
    assert_eq!(ring.unseal("/b", &data), Err(UnsealError::Damaged(id)));
    assert_eq!(other.unseal("/a", &data), Err(UnsealError::UnknownKey(id)));
    assert_eq!(keyring(&[2, 1]).unseal("/a", &data), Ok(Some(b"x".to_vec())));
    assert_eq!(ring.unseal("/a", b"{}"), Ok(None), "written before there was a key");
    assert_eq!(other.seal(id, "/a", b"x"), None);
}

#[test]
fn a_sequential_document_is_bound_to_its_prefix() {
    let ring = keyring(&[1]);
    let data = sealed(&ring, "/audit/e-", b"x");
    assert_eq!(ring.unseal("/audit/e-0000000012", &data), Ok(Some(b"x".to_vec())));
    assert!(ring.unseal("/audit/f-0000000012", &data).is_err());
    // One that was rewritten is bound to its name.
    let data = sealed(&ring, "/audit/e-0000000012", b"x");
    assert_eq!(ring.unseal("/audit/e-0000000012", &data), Ok(Some(b"x".to_vec())));
    assert!(ring.unseal("/audit/e-0000000013", &data).is_err());
}

#[test]
fn a_key_file_is_lines_of_keys_and_comments() {
    let key = STANDARD.encode([9; KEY_LEN]);
    let ring: Keyring = format!("# the new one\n{}\n\n  {key}  \n", new_key().unwrap()).parse().unwrap();
    assert_eq!(ring.ids().count(), 2);
    assert_eq!(ring.ids().nth(1), keyring(&[9]).first());
    assert!(!format!("{ring:?}").contains(&key));
    assert_eq!("# nothing\n".parse::<Keyring>().unwrap_err(), NotAKeyring::Empty);
    for wrong in ["x", "aGVsbG8=", &format!("{key}{key}"), &key[1..]] {
        let error = format!("#\n{wrong}").parse::<Keyring>().unwrap_err();
        assert_eq!(error, NotAKeyring::Line { line: 2 });
        assert!(!error.to_string().contains(wrong) || wrong == "x", "{error}");
    }
}

#[test]
fn unsealing_ten_thousand_manifests_is_not_felt() {
    let ring = keyring(&[3]);
    let text = vec![b'm'; 1024];
    let all: Vec<_> = (0..10_000).map(|n| format!("/streams/aa/s{n}/r1")).collect();
    let all: Vec<_> = all.into_iter().map(|path| (sealed(&ring, &path, &text), path)).collect();
    for (data, path) in &all {
        assert_eq!(ring.unseal(path, data).unwrap().as_deref(), Some(&text[..]));
    }
}

proptest! {
    #[test]
    fn whatever_is_sealed_comes_back(path in "/[a-z0-9/-]{0,40}", data in prop::collection::vec(any::<u8>(), 0..300)) {
        let ring = keyring(&[4, 5]);
        let sealed = sealed(&ring, &path, &data);
        prop_assert_eq!(sealed.len(), data.len() + OVERHEAD);
        prop_assert_eq!(ring.unseal(&path, &sealed), Ok(Some(data)));
    }

    #[test]
    fn no_changed_byte_goes_unnoticed(data in prop::collection::vec(any::<u8>(), 0..60), at in any::<prop::sample::Index>(), flip in 1u8..) {
        let ring = keyring(&[4]);
        let mut sealed = sealed(&ring, "/a", &data);
        let at = at.index(sealed.len());
        sealed[at] ^= flip;
        // A document without the first bytes is one in clear, which a decoder refuses.
        prop_assert!(!matches!(ring.unseal("/a", &sealed), Ok(Some(_))));
    }

    #[test]
    fn no_bytes_make_it_panic(tail in prop::collection::vec(any::<u8>(), 0..80), path in ".{0,20}") {
        let ring = keyring(&[4]);
        let data = [MAGIC.as_slice(), &tail].concat();
        prop_assert!(ring.unseal(&path, &data).is_err());
        let _ = ring.unseal(&path, &tail);
    }
}
