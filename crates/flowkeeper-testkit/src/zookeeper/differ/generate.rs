//! Random requests: mostly sensible ones on a few paths, so that they meet each other, and some that nobody should send.

use flowkeeper_zk::proto::acl::{self, Acl, put_acl};
use flowkeeper_zk::proto::op::{self, create_flags};
use flowkeeper_zk::proto::{Encoder, jute};

/// Below it lies everything that a run makes.
const ROOT: &str = "/d";
/// Paths that no node may have. None is outside of Unicode's first plane: Apache sends those back in a form of its own.
const BAD_PATHS: [&str; 13] = [
    "",
    "d",
    "/d/",
    "/d//a",
    "//d",
    "//d/a",
    "/d/./a",
    "/d/../a",
    "/d/a\u{1}",
    "/d/\u{f8ff}",
    "/d/\u{0}",
    "/missing/a",
    "/zookeeper/config",
];
/// Longest time to live: it never ends within a run.
const TTL_MS: i64 = 3_600_000;

/// One request.
#[derive(Clone, Debug)]
pub struct Step {
    pub(super) op: i32,
    /// The record, behind the zxid below if there is one.
    pub(super) body: Vec<u8>,
    /// A zxid in front, counted from the beginning of the run.
    pub(super) relative_zxid: Option<i64>,
    /// For people.
    pub(super) what: String,
}

/// Draws requests; the same ones for the same seed.
#[derive(Debug)]
pub struct Generator {
    state: u64,
    sessions: usize,
    drawn: i64,
}

impl Generator {
    pub fn new(seed: u64, sessions: usize) -> Generator {
        Generator { state: seed, sessions, drawn: 0 }
    }

    /// The session that sends next, and what.
    pub fn draw(&mut self) -> (usize, Step) {
        self.drawn += 1;
        let own = self.below(self.sessions);
        if self.drawn == 1 {
            return (own, self.create_root());
        }
        let step = match self.below(100) {
            0..24 => self.create(),
            24..34 => self.delete(),
            34..42 => self.set(),
            42..60 => self.read(),
            60..66 => self.acl(),
            66..78 => self.multi(),
            78..82 => self.multi_read(),
            82..93 => self.watch(),
            93..98 => self.about_session(),
            _ => self.malformed(),
        };
        (own, step)
    }

    /// SplitMix64.
    fn number(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.state;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.number() % limit.max(1) as u64).unwrap_or(0)
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == 0
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn path(&mut self) -> String {
        if self.one_in(25) {
            return self.pick(&BAD_PATHS).to_owned();
        }
        let mut path = ROOT.to_owned();
        for _ in 0..self.below(4) {
            path.push('/');
            path.push_str(self.pick(&["a", "b", "c"]));
        }
        path
    }

    fn version(&mut self) -> i32 {
        self.pick(&[-1, -1, -1, 0, 0, 1, 2, 7, -2])
    }

    fn data(&mut self) -> Option<Vec<u8>> {
        match self.below(6) {
            0 => None,
            1 => Some(Vec::new()),
            length => Some(vec![b'x'; length]),
        }
    }

    fn acl_list(&mut self) -> Vec<Acl> {
        let entry = |perms: i32, scheme: &str, id: &str| Acl { perms, scheme: scheme.into(), id: id.into() };
        match self.below(24) {
            0 => vec![entry(acl::ALL, "auth", "")],
            1 => vec![entry(acl::READ, "world", "anyone")],
            2 => vec![entry(acl::ALL, "ip", "127.0.0.1/8"), entry(acl::READ, "world", "anyone")],
            3 => vec![entry(acl::ALL, "digest", "u:hmvy/CbL2mxfPNnTb7a5AKmX+fM="), Acl::open()],
            4 => vec![entry(acl::ALL, "nothing", "x")],
            5 => vec![],
            6 => vec![entry(acl::ALL, "world", "somebody")],
            7 => vec![entry(acl::CREATE | acl::READ | acl::ADMIN, "world", "anyone")],
            _ => vec![Acl::open()],
        }
    }

    fn create_root(&mut self) -> Step {
        let mut body = Vec::new();
        let mut e = Encoder::new(&mut body);
        e.string(ROOT);
        e.buffer(None);
        put_acl(&mut e, &[Acl::open()]);
        e.i32(create_flags::PERSISTENT);
        step(op::CREATE, body, format!("create {ROOT}"))
    }

    fn create(&mut self) -> Step {
        let op = self.pick(&[
            op::CREATE,
            op::CREATE,
            op::CREATE2,
            op::CREATE2,
            op::CREATE_CONTAINER,
            op::CREATE_TTL,
        ]);
        let mut flags = match op {
            op::CREATE_CONTAINER => create_flags::CONTAINER,
            op::CREATE_TTL => self.pick(&[create_flags::TTL, create_flags::TTL_SEQUENTIAL]),
            _ => self.pick(&[
                create_flags::PERSISTENT,
                create_flags::PERSISTENT,
                create_flags::EPHEMERAL,
                create_flags::PERSISTENT_SEQUENTIAL,
                create_flags::EPHEMERAL_SEQUENTIAL,
            ]),
        };
        if self.one_in(30) {
            flags = self.pick(&[-1, 7, 99]);
        }
        let (path, data, list) = (self.path(), self.data(), self.acl_list());
        let ttl = self.pick(&[TTL_MS, TTL_MS, TTL_MS, 0, -1, 1 << 40]);
        let what = format!("create({op}) {path} flags {flags} ttl {ttl} data {data:?} acl {list:?}");
        let mut body = Vec::new();
        let mut e = Encoder::new(&mut body);
        e.string(&path);
        e.buffer(data.as_deref());
        put_acl(&mut e, &list);
        e.i32(flags);
        if op == op::CREATE_TTL {
            e.i64(ttl);
        }
        step(op, body, what)
    }

    fn delete(&mut self) -> Step {
        let (path, version) = (self.path(), self.version());
        let what = format!("delete {path} version {version}");
        step(op::DELETE, with_version(&path, version), what)
    }

    fn set(&mut self) -> Step {
        let (path, data, version) = (self.path(), self.data(), self.version());
        let mut body = Vec::new();
        let mut e = Encoder::new(&mut body);
        e.string(&path);
        e.buffer(data.as_deref());
        e.i32(version);
        step(op::SET_DATA, body, format!("set {path} {data:?} version {version}"))
    }

    fn read(&mut self) -> Step {
        let op = self.pick(&[
            op::EXISTS,
            op::GET_DATA,
            op::GET_CHILDREN,
            op::GET_CHILDREN2,
            op::GET_ALL_CHILDREN_NUMBER,
            op::SYNC,
        ]);
        let (mut path, is_watched) = (self.path(), self.one_in(2));
        if op == op::GET_ALL_CHILDREN_NUMBER && path.is_empty() {
            // Apache counts the root below the empty path.
            path.push('/');
        }
        let mut body = Vec::new();
        let mut e = Encoder::new(&mut body);
        e.string(&path);
        if !matches!(op, op::GET_ALL_CHILDREN_NUMBER | op::SYNC) {
            e.bool(is_watched);
        }
        step(op, body, format!("read({op}) {path} watch {is_watched}"))
    }

    fn acl(&mut self) -> Step {
        let path = self.path();
        if self.one_in(2) {
            let mut body = Vec::new();
            Encoder::new(&mut body).string(&path);
            return step(op::GET_ACL, body, format!("getACL {path}"));
        }
        let (list, version) = (self.acl_list(), self.version());
        let mut body = Vec::new();
        let mut e = Encoder::new(&mut body);
        e.string(&path);
        put_acl(&mut e, &list);
        e.i32(version);
        step(op::SET_ACL, body, format!("setACL {path} {list:?} version {version}"))
    }

    fn multi(&mut self) -> Step {
        let mut body = Vec::new();
        let mut what = "multi".to_owned();
        for _ in 0..self.below(5) {
            let part = match self.below(4) {
                0 => self.delete(),
                1 => self.set(),
                2 => {
                    let (path, version) = (self.path(), self.version());
                    step(op::CHECK, with_version(&path, version), format!("check {path} version {version}"))
                }
                _ => self.create(),
            };
            what.push_str(&format!("; {}", part.what));
            put_part(&mut body, &part);
        }
        end_parts(&mut body);
        step(op::MULTI, body, what)
    }

    fn multi_read(&mut self) -> Step {
        let mut body = Vec::new();
        let mut what = "multiRead".to_owned();
        for _ in 0..self.below(4) {
            let (op, path) = (self.pick(&[op::GET_DATA, op::GET_CHILDREN]), self.path());
            let mut part = Vec::new();
            let mut e = Encoder::new(&mut part);
            e.string(&path);
            e.bool(false);
            what.push_str(&format!("; {op} {path}"));
            put_part(&mut body, &step(op, part, String::new()));
        }
        end_parts(&mut body);
        step(op::MULTI_READ, body, what)
    }

    fn watch(&mut self) -> Step {
        let path = self.path();
        let mut body = Vec::new();
        let mut e = Encoder::new(&mut body);
        match self.below(4) {
            0 | 1 => {
                let mode = self.pick(&[0, 0, 1, 1, 1, 2, -1]);
                e.string(&path);
                e.i32(mode);
                step(op::ADD_WATCH, body, format!("addWatch {path} mode {mode}"))
            }
            2 => {
                let (op, kind) =
                    (self.pick(&[op::REMOVE_WATCHES, op::CHECK_WATCHES]), self.pick(&[1, 2, 3, 3, 4, 5, 0]));
                e.string(&path);
                e.i32(kind);
                step(op, body, format!("watches({op}) {path} kind {kind}"))
            }
            _ => {
                let op = self.pick(&[op::SET_WATCHES, op::SET_WATCHES2]);
                let lists = if op == op::SET_WATCHES { 3 } else { 5 };
                let since = self.drawn - i64::try_from(self.below(30)).unwrap_or(0);
                let mut what = format!("setWatches({op}) since {since}");
                for _ in 0..lists {
                    let paths: Vec<String> = (0..self.below(3)).map(|_| self.path()).collect();
                    what.push_str(&format!(" {paths:?}"));
                    e.strings(&paths);
                }
                Step { relative_zxid: Some(since), ..step(op, body, what) }
            }
        }
    }

    fn about_session(&mut self) -> Step {
        let mut body = Vec::new();
        let mut e = Encoder::new(&mut body);
        match self.below(8) {
            0 => step(op::CLOSE_SESSION, body, "closeSession".to_owned()),
            1 => step(op::WHO_AM_I, body, "whoAmI".to_owned()),
            2 => step(op::PING, body, "ping".to_owned()),
            3 | 4 => {
                let prefix = if self.one_in(2) { String::new() } else { self.path() };
                e.string(&prefix);
                step(op::GET_EPHEMERALS, body, format!("getEphemerals {prefix}"))
            }
            5 => {
                e.strings::<&str>(&[]);
                e.strings::<&str>(&[]);
                e.strings::<&str>(&[]);
                e.i64(-1);
                step(op::RECONFIG, body, "reconfig".to_owned())
            }
            _ => {
                let (scheme, token) =
                    self.pick(&[("digest", "u:p"), ("digest", "v:q"), ("digest", "v:q"), ("nothing", "x")]);
                e.i32(0);
                e.string(scheme);
                e.buffer(Some(token.as_bytes()));
                step(op::AUTH, body, format!("auth {scheme} {token}"))
            }
        }
    }

    /// A record that is cut off, or an operation that does not exist or is not for clients.
    fn malformed(&mut self) -> Step {
        if self.one_in(4) {
            let op = self.pick(&[op::CHECK, 55, -3, 26]);
            return step(op, with_version(ROOT, -1), format!("operation {op}"));
        }
        let mut whole = match self.below(4) {
            0 => self.create(),
            1 => self.set(),
            2 => self.multi(),
            _ => self.read(),
        };
        let length = self.below(whole.body.len());
        whole.body.truncate(length);
        whole.what = format!("{}, cut off after {length} bytes", whole.what);
        whole
    }
}

fn step(op: i32, body: Vec<u8>, what: String) -> Step {
    Step { op, body, relative_zxid: None, what }
}

fn with_version(path: &str, version: i32) -> Vec<u8> {
    let mut body = Vec::new();
    let mut e = Encoder::new(&mut body);
    e.string(path);
    e.i32(version);
    body
}

fn put_part(body: &mut Vec<u8>, part: &Step) {
    let mut e = jute::Encoder::new(body);
    e.i32(part.op);
    e.bool(false);
    e.i32(-1);
    e.raw(&part.body);
}

fn end_parts(body: &mut Vec<u8>) {
    let mut e = jute::Encoder::new(body);
    e.i32(op::ERROR);
    e.bool(true);
    e.i32(-1);
}
