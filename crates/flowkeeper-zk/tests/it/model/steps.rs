//! What a session may do next, chosen at random.

use proptest::prelude::*;
use proptest::sample::select;

/// A node to act on.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// One of those there are: this one, counted modulo their number.
    Known(usize),
    /// The one with these names, which may not exist.
    Named(Vec<&'static str>),
}

/// Which version a request asks for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Version {
    Any,
    Right,
    Wrong,
}

/// Kind of a node to create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Persistent,
    Ephemeral,
    Container,
    Ttl,
}

/// A write that may stand alone or in a multi.
#[derive(Debug, Clone)]
pub(super) enum Write {
    Create {
        under: Place,
        name: &'static str,
        kind: Kind,
        sequential: bool,
        /// Ask for the stat too, where the kind leaves the choice.
        stat: bool,
        data: Option<Vec<u8>>,
    },
    Delete {
        at: Place,
        version: Version,
    },
    Set {
        at: Place,
        data: Option<Vec<u8>>,
        version: Version,
    },
    /// Alone it is refused, so it stands in a multi only.
    Check {
        at: Place,
        version: Version,
    },
}

/// A read that may leave a watch.
#[derive(Debug, Clone, Copy)]
pub(super) enum Read {
    Exists,
    Data,
    Children,
    ChildrenAndStat,
}

/// Which watches to remove, or to ask for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Watches {
    Children,
    Data,
    Any,
    Persistent,
    Recursive,
}

/// How a server ends before it starts again.
#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    /// Asked to, with a last snapshot.
    Stop,
    /// Without a farewell.
    Drop,
    /// As a crash of the machine: it goes on with what its files had at that moment.
    Crash,
}

/// One thing that one session does.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Write(Write),
    SetAcl {
        at: Place,
        version: Version,
    },
    Multi(Vec<Write>),
    Read {
        read: Read,
        at: Place,
        watch: bool,
    },
    Acl(Place),
    Count(Place),
    /// Data of some nodes and children of others, at one moment.
    MultiRead(Vec<(bool, Place)>),
    Watch {
        at: Place,
        recursive: bool,
    },
    Unwatch {
        at: Place,
        which: Watches,
        only_ask: bool,
    },
    Ephemerals(Place),
    Sync,
    /// End the session and begin another one.
    Renew,
    /// Hang up, and keep the session.
    Leave,
    /// Come back on a new connection, and tell the server what was watched.
    Return,
    /// Come on a second connection while the first still stands.
    TakeOver,
    Restart(End),
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        3 => any::<prop::sample::Index>().prop_map(|at| Place::Known(at.index(97))),
        2 => prop::collection::vec(select(vec!["a", "b"]), 0..3).prop_map(Place::Named),
        1 => prop::collection::vec(select(vec!["a", "", "..", "c"]), 1..3).prop_map(Place::Named),
    ]
}

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![3 => Just(Version::Any), 2 => Just(Version::Right), 1 => Just(Version::Wrong)]
}

fn data() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop::option::of(prop::collection::vec(any::<u8>(), 0..4))
}

fn create() -> impl Strategy<Value = Write> {
    let name = prop_oneof![8 => select(vec!["a", "b", "c"]), 1 => select(vec!["", ".", "a/b"])];
    let kind = select(vec![
        Kind::Persistent,
        Kind::Persistent,
        Kind::Ephemeral,
        Kind::Ephemeral,
        Kind::Container,
        Kind::Ttl,
    ]);
    (place(), name, kind, any::<bool>(), any::<bool>(), data()).prop_map(
        |(under, name, kind, sequential, stat, data)| {
            // A container has no number.
            let sequential = sequential && kind != Kind::Container;
            Write::Create { under, name, kind, sequential, stat, data }
        },
    )
}

fn write() -> impl Strategy<Value = Write> {
    prop_oneof![
        5 => create(),
        3 => (place(), version()).prop_map(|(at, version)| Write::Delete { at, version }),
        2 => (place(), data(), version()).prop_map(|(at, data, version)| Write::Set { at, data, version }),
    ]
}

fn multi() -> impl Strategy<Value = Step> {
    let check = (place(), version()).prop_map(|(at, version)| Write::Check { at, version });
    prop::collection::vec(prop_oneof![5 => write(), 1 => check], 0..6).prop_map(Step::Multi)
}

fn read() -> impl Strategy<Value = Step> {
    let read = select(vec![Read::Exists, Read::Data, Read::Children, Read::ChildrenAndStat]);
    // Most leave a watch, since those are what makes writes interesting.
    (read, place(), prop::bool::weighted(0.75)).prop_map(|(read, at, watch)| Step::Read { read, at, watch })
}

fn unwatch() -> impl Strategy<Value = Step> {
    use Watches::{Any, Children, Data, Persistent, Recursive};
    (place(), select(vec![Children, Data, Any, Persistent, Recursive]), any::<bool>())
        .prop_map(|(at, which, only_ask)| Step::Unwatch { at, which, only_ask })
}

/// A step that needs no restart.
pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        30 => write().prop_map(Step::Write),
        8 => multi(),
        2 => (place(), version()).prop_map(|(at, version)| Step::SetAcl { at, version }),
        18 => read(),
        1 => place().prop_map(Step::Acl),
        1 => place().prop_map(Step::Count),
        2 => prop::collection::vec((any::<bool>(), place()), 0..4).prop_map(Step::MultiRead),
        8 => (place(), any::<bool>()).prop_map(|(at, recursive)| Step::Watch { at, recursive }),
        4 => unwatch(),
        2 => place().prop_map(Step::Ephemerals),
        1 => Just(Step::Sync),
        4 => Just(Step::Renew),
        3 => Just(Step::Leave),
        5 => Just(Step::Return),
        2 => Just(Step::TakeOver),
    ]
}

/// Any step, a restart now and then.
pub(super) fn step_or_restart() -> impl Strategy<Value = Step> {
    let restart = select(vec![End::Stop, End::Drop, End::Crash]).prop_map(Step::Restart);
    prop_oneof![15 => step(), 1 => restart]
}
