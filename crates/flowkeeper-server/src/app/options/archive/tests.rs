//! Archives that want more than they should get.

use std::io::{Cursor, Write};

use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

fn zip(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        writer.start_file(*name, SimpleFileOptions::default()).unwrap();
        writer.write_all(content).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn open(bytes: Vec<u8>) -> Result<Archive, OptionsError> {
    Archive::of_bytes(bytes, Budget::new())
}

/// Position of the record at the end of the directory, of an archive without a comment.
fn end_record(bytes: &[u8]) -> usize {
    bytes.len() - 22
}

/// Changes every header of a file: what the directory and the file itself say.
fn change_headers(bytes: &mut [u8], change: impl Fn(&mut [u8], bool)) {
    for at in 0..bytes.len().saturating_sub(46) {
        if bytes[at..].starts_with(b"PK\x01\x02") {
            change(&mut bytes[at..], true);
        } else if bytes[at..].starts_with(b"PK\x03\x04") {
            change(&mut bytes[at..], false);
        }
    }
}

#[test]
fn reading_stops_at_the_limit_whatever_the_directory_says() {
    let bomb = vec![b' '; 20 << 20];
    let mut bytes = zip(&[("a", &bomb)]);
    assert!(bytes.len() < 100_000, "it is a bomb");
    let refused =
        |bytes: &[u8]| open(bytes.to_vec()).and_then(|mut archive| archive.read("a", 1000)).unwrap_err();
    assert!(matches!(refused(&bytes), OptionsError::TooLarge(_)));
    // The directory says that it is small.
    change_headers(&mut bytes, |header, is_central| {
        let at = if is_central { 24 } else { 22 };
        header[at..at + 4].copy_from_slice(&10_u32.to_le_bytes());
    });
    let error = refused(&bytes);
    assert!(matches!(error, OptionsError::TooLarge(_) | OptionsError::Io(_)), "{error}");
    // It says that it is huge, and is not.
    let mut bytes = zip(&[("a", b"small")]);
    change_headers(&mut bytes, |header, is_central| {
        let at = if is_central { 24 } else { 22 };
        header[at..at + 4].copy_from_slice(&0xffff_fff0_u32.to_le_bytes());
    });
    let read = open(bytes).and_then(|mut archive| archive.read("a", 1000));
    assert!(read.is_err() || read.is_ok_and(|found| found.as_deref() == Some(b"small")));
}

#[test]
fn all_that_is_unpacked_of_one_program_is_limited() {
    let bytes = zip(&[("a", &[b'x'; 1000])]);
    let budget = Budget::new();
    budget.unpacked.store(2500, Ordering::Relaxed);
    let mut archive = Archive::of_bytes(bytes, budget.clone()).unwrap();
    assert!(archive.read("a", 1000).is_ok() && archive.read("a", 1000).is_ok());
    assert!(matches!(archive.read("a", 1000), Err(OptionsError::TooLarge(_))));
    assert!(budget.is_spent());
}

#[test]
fn reading_ends_when_its_time_is_over() {
    let bytes = zip(&[("a", b"x")]);
    let budget = Budget { deadline: Instant::now(), ..Budget::new() };
    std::thread::park_timeout(Duration::from_millis(2));
    let refused = Archive::of_bytes(bytes, budget.clone()).err().unwrap().to_string();
    assert!(refused.contains("over 20 s") && budget.is_spent(), "{refused}");
}

#[test]
fn a_directory_that_claims_to_be_huge_is_refused_before_it_is_read() {
    let good = zip(&[("a", b"x")]);
    let end = end_record(&good);
    for range in [10..12, 12..16, 16..20] {
        let mut bytes = good.clone();
        bytes[end..][range].fill(0xff);
        assert!(matches!(open(bytes), Err(OptionsError::TooLarge(_))));
    }
    // More files than there are.
    let mut bytes = good.clone();
    bytes[end + 8..end + 12].copy_from_slice(&[0xfe, 0xff, 0xfe, 0xff]);
    assert!(matches!(open(bytes), Err(OptionsError::Zip(_))));
}

#[test]
fn truncated_archives_are_refused() {
    let bytes = zip(&[("a", b"x"), ("b", b"y")]);
    for length in 0..bytes.len() {
        assert!(open(bytes[..length].to_vec()).is_err(), "{length}");
    }
    for start in 1..bytes.len() {
        // What is missing at the front may be taken for a shifted archive; it must not be read wrongly.
        if let Ok(mut archive) = open(bytes[start..].to_vec()) {
            let _ = archive.read("a", 10);
        }
    }
}

#[test]
fn of_several_files_of_one_name_the_last_counts() {
    let mut bytes = zip(&[("name1", b"first"), ("name2", b"last")]);
    let renamed = b"name1";
    for at in 0..bytes.len() - renamed.len() {
        if bytes[at..].starts_with(b"name2") {
            bytes[at..at + renamed.len()].copy_from_slice(renamed);
        }
    }
    let found = open(bytes).unwrap().read("name1", 100).unwrap();
    assert_eq!(found.as_deref(), Some(&b"last"[..]));
}

#[test]
fn links_and_folders_are_no_files() {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    writer.add_symlink("link", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    writer.add_directory("folder/", SimpleFileOptions::default()).unwrap();
    writer.add_symlink("lib.jar", "/etc/passwd", SimpleFileOptions::default()).unwrap();
    let mut archive = open(writer.finish().unwrap().into_inner()).unwrap();
    assert!(archive.read("link", 100).unwrap().is_none());
    assert!(archive.read("folder/", 100).unwrap().is_none());
    assert!(archive.nested("lib.jar").unwrap().is_none());
    assert!(archive.nested("none").unwrap().is_none());
}

#[test]
fn a_part_lies_within_the_whole() {
    let section = Section { bytes: Bytes::Memory(vec![1, 2, 3, 4].into()), start: 0, length: 4, at: 0 };
    assert!(section.part(1, 4).is_none() && section.part(u64::MAX, 2).is_none());
    let mut part = section.part(1, 2).unwrap();
    let mut read = Vec::new();
    part.read_to_end(&mut read).unwrap();
    assert_eq!(read, [2, 3]);
    assert!(part.seek(SeekFrom::Current(-3)).is_err());
    assert_eq!(part.seek(SeekFrom::End(-1)).unwrap(), 1);
    assert_eq!(part.seek(SeekFrom::Start(9)).unwrap(), 9);
    assert_eq!(part.read(&mut [0; 4]).unwrap(), 0);
    assert!(part.part(0, 3).is_none());
}
