//! Several writes as one transaction.

use super::{Undo, Writer};
use crate::proto::op;
use crate::proto::response::{put_multi_end, put_multi_error, put_multi_header};
use crate::proto::{Encoder, ErrorCode, Request};

impl Writer<'_> {
    /// Runs all operations, or none, and appends their results. The reply itself succeeds either way: which
    /// operation failed stands in the results.
    pub(super) fn multi(&mut self, ops: &[Request<'_>], out: &mut Vec<u8>) {
        let start = out.len();
        self.journal.multi();
        let mut undos = Vec::new();
        for (at, request) in ops.iter().enumerate() {
            if let Err(code) = self.step(request, &mut undos, out) {
                for undo in undos.into_iter().rev() {
                    self.tree.undo(undo);
                }
                self.quotas.take_back(self.tree);
                self.failed = Some(code);
                out.truncate(start);
                put_failure(ops.len(), at, code, out);
                return;
            }
        }
        put_multi_end(&mut Encoder::new(out));
    }

    fn step(
        &mut self,
        request: &Request<'_>,
        undos: &mut Vec<Undo>,
        out: &mut Vec<u8>,
    ) -> Result<(), ErrorCode> {
        // Creates that answer a stat all answer as create2.
        let kind = match request.op() {
            op::CREATE_CONTAINER | op::CREATE_TTL => op::CREATE2,
            kind => kind,
        };
        put_multi_header(&mut Encoder::new(out), kind, 0);
        match request {
            Request::Create(create) => {
                let created = self.create(create)?;
                self.put_created(kind, &created, out);
                undos.push(created.undo);
            }
            Request::Delete { path, version } => undos.push(self.delete(path, *version)?),
            Request::SetData { path, data, version } => {
                let (id, undo) = self.set_data(path, *data, *version)?;
                self.tree.stat(id).encode(&mut Encoder::new(out));
                undos.push(undo);
            }
            Request::Check { path, version } => self.check(path, *version)?,
            _ => return Err(ErrorCode::MarshallingError),
        }
        Ok(())
    }
}

/// Results of a failed multi: 0 before the culprit, its code, "not executed" after it.
fn put_failure(count: usize, culprit: usize, code: ErrorCode, out: &mut Vec<u8>) {
    let mut e = Encoder::new(out);
    for at in 0..count {
        let code = match at.cmp(&culprit) {
            std::cmp::Ordering::Less => ErrorCode::Ok,
            std::cmp::Ordering::Equal => code,
            std::cmp::Ordering::Greater => ErrorCode::RuntimeInconsistency,
        };
        put_multi_error(&mut e, code);
    }
    put_multi_end(&mut e);
}
