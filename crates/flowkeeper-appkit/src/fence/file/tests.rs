//! Claims and checks of copies in one process; two processes are in tests/it.

use std::sync::atomic::{AtomicBool, Ordering};

use proptest::prelude::*;

use super::*;

const WAIT: Duration = Duration::from_secs(30);
const NOT_LONG: Duration = Duration::from_millis(30);

fn copy(directory: &Path, term: u64) -> FenceFile {
    let fence = Fence { uid: "u".to_owned(), app: "writer".to_owned(), index: 0, term };
    FenceFile::new(directory, &fence)
}

#[test]
fn a_newer_copy_takes_over_and_the_older_one_is_told_why() {
    let directory = tempfile::tempdir().unwrap();
    let (older, newer) = (copy(directory.path(), 3), copy(directory.path(), 12));
    assert!(matches!(older.check(WAIT), Err(Error::Unclaimed { term: 3, .. })));
    older.claim(WAIT).unwrap();
    drop(older.check(WAIT).unwrap());
    newer.claim(WAIT).unwrap();
    let refused = older.check(WAIT).unwrap_err();
    assert!(matches!(refused, Error::Older { term: 3, newer: 12, .. }));
    let shown = directory.path().display().to_string();
    let text = refused.to_string();
    assert!(text.contains(&shown) && text.contains("term 12") && text.contains("term 3:"), "{text}");
    assert!(matches!(older.claim(WAIT), Err(Error::Older { .. })));
    assert!(matches!(older.admit(WAIT), Err(Error::Older { .. })));
    // The same copy, started again by its shim.
    copy(directory.path(), 12).claim(WAIT).unwrap();
    drop(newer.admit(WAIT).unwrap());
    assert_eq!(fs::read_to_string(directory.path().join(".term-u-writer-0")).unwrap(), "12\n");
}

#[test]
fn a_claim_waits_for_the_batch_under_way_and_no_longer_than_told() {
    let directory = tempfile::tempdir().unwrap();
    let (older, newer) = (copy(directory.path(), 1), copy(directory.path(), 2));
    let permit = older.admit(WAIT).unwrap();
    assert!(matches!(newer.claim(NOT_LONG), Err(Error::Busy { .. })));
    // Its batch was the last one, whether the newer copy goes on or not.
    assert!(matches!(older.check(WAIT), Err(Error::Older { .. })));
    assert!(matches!(newer.claim(NOT_LONG), Err(Error::Busy { .. })));
    drop(permit);
    newer.claim(WAIT).unwrap();
}

#[test]
fn writers_that_never_pause_do_not_keep_a_claim_waiting() {
    let directory = tempfile::tempdir().unwrap();
    let is_claimed = AtomicBool::new(false);
    copy(directory.path(), 1).claim(WAIT).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let older = copy(directory.path(), 1);
                // The locks of the four overlap, so there is no moment without one.
                while let Ok(permit) = older.check(WAIT) {
                    assert!(!is_claimed.load(Ordering::SeqCst), "an older copy was admitted after the claim");
                    std::thread::park_timeout(Duration::from_millis(1));
                    assert!(!is_claimed.load(Ordering::SeqCst), "an older copy writes after the claim");
                    drop(permit);
                }
            });
        }
        std::thread::park_timeout(Duration::from_millis(20));
        copy(directory.path(), 2).claim(WAIT).unwrap();
        is_claimed.store(true, Ordering::SeqCst);
    });
    assert!(is_claimed.into_inner());
}

#[test]
fn a_term_that_was_tampered_with_is_refused_and_a_deleted_one_is_claimed_again() {
    let directory = tempfile::tempdir().unwrap();
    let only = copy(directory.path(), 5);
    only.claim(WAIT).unwrap();
    let term = directory.path().join(".term-u-writer-0");
    fs::write(&term, "five\n").unwrap();
    for refused in [only.check(WAIT).map(drop), only.claim(WAIT)] {
        assert!(refused.unwrap_err().to_string().contains("holds 'five\n' instead of a term"));
    }
    for entry in fs::read_dir(directory.path()).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    assert!(matches!(only.check(WAIT), Err(Error::Unclaimed { .. })));
    drop(only.admit(WAIT).unwrap());
    let gone = copy(&directory.path().join("gone"), 5).claim(WAIT).unwrap_err();
    assert!(matches!(gone, Error::Io { what: "opened", .. }), "{gone}");
}

#[test]
fn instances_do_not_get_into_each_others_way() {
    let directory = tempfile::tempdir().unwrap();
    let of = |index, term| {
        let fence = Fence { uid: "u".to_owned(), app: "writer".to_owned(), index, term };
        FenceFile::new(directory.path(), &fence)
    };
    let _first = of(0, 9).admit(WAIT).unwrap();
    let _second = of(1, 2).admit(WAIT).unwrap();
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(term: u64) {
        let directory = tempfile::tempdir().unwrap();
        let copy = copy(directory.path(), term);
        copy.write_term().unwrap();
        prop_assert_eq!(copy.highest().unwrap(), Some(term));
    }

    #[test]
    fn any_bytes_are_a_term_or_none(bytes: Vec<u8>) {
        if let Some(term) = parse_term(&bytes) {
            let trimmed = String::from_utf8(bytes).unwrap();
            prop_assert_eq!(trimmed.trim_end().parse::<u64>().unwrap(), term);
        }
    }

    #[test]
    fn keys_become_names_of_files_and_stay_apart(one in "\\PC{0,12}", other in "\\PC{0,12}") {
        let name = plain(&one);
        prop_assert!(!name.contains(['/', '.', '\0']), "{}", name);
        prop_assert_eq!(plain(&one) == plain(&other), one == other);
    }

    #[test]
    fn the_highest_term_wins_whatever_the_order(steps in prop::collection::vec((1u64..6, any::<bool>()), 1..30)) {
        let directory = tempfile::tempdir().unwrap();
        let mut highest = 0;
        for (term, is_claim) in steps {
            let copy = copy(directory.path(), term);
            if is_claim {
                prop_assert_eq!(copy.claim(WAIT).is_ok(), term >= highest);
                highest = highest.max(term);
            } else {
                prop_assert_eq!(copy.check(WAIT).is_ok(), term == highest);
            }
        }
        prop_assert_eq!(copy(directory.path(), 0).highest().unwrap().unwrap_or(0), highest);
    }
}
