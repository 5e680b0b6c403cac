//! From the bytes of a reply to what it says.

use std::collections::BTreeMap;

use flowkeeper_zk::proto::{Acl, AclVector, Decoder, Request, Stat, op};

/// What a reply says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Error(i32),
    Done,
    Path(String),
    Created(String, Stat),
    Stat(Stat),
    Data(Option<Vec<u8>>, Stat),
    Children(Vec<String>),
    ChildrenAndStat(Vec<String>, Stat),
    Count(i32),
    Multi(Vec<Answer>),
}

/// Times that stats have shown, by the transaction that they are of.
#[derive(Default)]
pub(super) struct Times {
    of: BTreeMap<i64, i64>,
}

impl Times {
    /// All that one transaction does has one time, and a later one has none before it.
    fn agree(&mut self, zxid: i64, time: i64) {
        let known = *self.of.entry(zxid).or_insert(time);
        assert_eq!(known, time, "transaction {zxid} has two times");
        let before = self.of.range(..zxid).next_back().map_or(0, |(_, time)| *time);
        let after = self.of.range(zxid + 1..).next().map_or(i64::MAX, |(_, time)| *time);
        assert!(before <= time && time <= after, "times {before}, {time}, {after} around {zxid} go back");
    }

    /// Checks the times of a stat and takes them out.
    fn take(&mut self, d: &mut Decoder<'_>) -> Stat {
        let stat = Stat::decode(d).unwrap();
        self.agree(stat.czxid, stat.ctime);
        self.agree(stat.mzxid, stat.mtime);
        Stat { ctime: 0, mtime: 0, ..stat }
    }

    /// Decodes the body of a reply to `request`.
    pub(super) fn answer(&mut self, request: &Request<'_>, err: i32, body: &[u8]) -> Answer {
        let mut d = Decoder::new(body);
        let answer = match err {
            0 => self.success(request.op(), request, &mut d),
            code => Answer::Error(code),
        };
        assert!(d.rest().is_empty(), "{} bytes follow the answer {answer:?}", d.rest().len());
        answer
    }

    fn success(&mut self, kind: i32, request: &Request<'_>, d: &mut Decoder<'_>) -> Answer {
        match kind {
            op::CREATE | op::SYNC => Answer::Path(d.string().unwrap().into_owned()),
            op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL => {
                Answer::Created(d.string().unwrap().into_owned(), self.take(d))
            }
            op::SET_DATA | op::SET_ACL | op::EXISTS => Answer::Stat(self.take(d)),
            op::GET_DATA => Answer::Data(d.buffer().unwrap().map(<[u8]>::to_vec), self.take(d)),
            op::GET_ACL => {
                assert_eq!(AclVector::decode(d).unwrap().entries(), Ok(vec![Acl::open()]));
                Answer::Stat(self.take(d))
            }
            op::GET_CHILDREN | op::GET_EPHEMERALS => Answer::Children(sorted(d)),
            op::GET_CHILDREN2 => Answer::ChildrenAndStat(sorted(d), self.take(d)),
            op::GET_ALL_CHILDREN_NUMBER | op::ADD_WATCH => Answer::Count(d.i32().unwrap()),
            op::DELETE | op::CHECK | op::CHECK_WATCHES | op::REMOVE_WATCHES => Answer::Done,
            op::MULTI | op::MULTI_READ => {
                let (Request::Multi(ops) | Request::MultiRead(ops)) = request else { panic!("no multi") };
                Answer::Multi(self.results(ops, d))
            }
            other => panic!("no answer to operation {other} is known"),
        }
    }

    fn results(&mut self, ops: &[Request<'_>], d: &mut Decoder<'_>) -> Vec<Answer> {
        let mut results = Vec::new();
        loop {
            let (kind, done, err) = (d.i32().unwrap(), d.bool().unwrap(), d.i32().unwrap());
            if done {
                assert_eq!((kind, err), (op::ERROR, -1), "the end mark");
                return results;
            }
            let request = ops.get(results.len()).expect("no more results than operations");
            if kind == op::ERROR {
                assert_eq!(d.i32(), Ok(err), "an error that is told twice");
                results.push(Answer::Error(err));
                continue;
            }
            let wanted = match request.op() {
                op::CREATE_CONTAINER | op::CREATE_TTL => op::CREATE2,
                other => other,
            };
            assert_eq!((kind, err), (wanted, 0), "header of a result");
            results.push(self.success(kind, request, d));
        }
    }
}

fn sorted(d: &mut Decoder<'_>) -> Vec<String> {
    let mut names: Vec<String> = d.strings().unwrap().into_iter().map(|name| name.into_owned()).collect();
    names.sort();
    names
}
