//! Faults that can be built in on purpose, to see whether the fault suite finds them out. Without the feature `mutants` there are
//! none. The crates above use this switch, too.

/// Whether the fault `name` is on: `FLOWKEEPER_MUTANT` names it.
#[cfg(feature = "mutants")]
pub fn is(name: &str) -> bool {
    static ON: std::sync::LazyLock<Option<String>> = std::sync::LazyLock::new(|| {
        #[expect(clippy::disallowed_methods, reason = "a switch for tests, on purpose not a setting")]
        std::env::var("FLOWKEEPER_MUTANT").ok()
    });
    ON.as_deref() == Some(name)
}

/// Whether the fault `name` is on: never.
#[cfg(not(feature = "mutants"))]
pub const fn is(_name: &str) -> bool {
    false
}
