//! What idempotent producers wrote last, so that a repeated batch is recognised and a gap refused (KIP-98).

use std::collections::{HashMap, VecDeque};

use super::AppendError;
use super::batch::Header;

/// Batches remembered per producer: as many as a client may have in flight.
const REMEMBERED: usize = 5;
/// Producers remembered per partition; the least recently active one is forgotten first.
const MAX_PRODUCERS: usize = 1_000;

/// Producer states of one partition.
#[derive(Debug, Default)]
pub(super) struct Producers {
    by_id: HashMap<i64, Producer>,
    /// Counts batches, to tell who was active last.
    clock: u64,
}

#[derive(Debug)]
struct Producer {
    epoch: i16,
    batches: VecDeque<Batch>,
    active: u64,
}

#[derive(Clone, Copy, Debug)]
struct Batch {
    first_sequence: i32,
    last_sequence: i32,
    base_offset: i64,
}

impl Producers {
    /// Checks a batch before it is written. `Some`: it was written before, at this offset.
    pub(super) fn check(&self, header: &Header) -> Result<Option<i64>, AppendError> {
        if header.producer_id < 0 {
            return Ok(None);
        }
        // An unknown producer may begin anywhere: its earlier batches may have been dropped with their segment.
        let Some(producer) = self.by_id.get(&header.producer_id) else { return Ok(None) };
        if header.producer_epoch < producer.epoch {
            return Err(AppendError::OldEpoch {
                producer: header.producer_id,
                found: header.producer_epoch,
                known: producer.epoch,
            });
        }
        if header.producer_epoch > producer.epoch {
            return Ok(None);
        }
        let same = producer.batches.iter().find(|batch| {
            batch.first_sequence == header.first_sequence && batch.last_sequence == header.last_sequence()
        });
        if let Some(batch) = same {
            return Ok(Some(batch.base_offset));
        }
        let last = producer.batches.back().map_or(-1, |batch| batch.last_sequence);
        let expected = if last == i32::MAX { 0 } else { last + 1 };
        if header.first_sequence == expected {
            Ok(None)
        } else {
            Err(AppendError::OutOfOrder { producer: header.producer_id, found: header.first_sequence, last })
        }
    }

    /// Notes a batch that is in the log.
    pub(super) fn replay(&mut self, header: &Header) {
        if header.producer_id < 0 {
            return;
        }
        self.clock += 1;
        if self.by_id.len() >= MAX_PRODUCERS && !self.by_id.contains_key(&header.producer_id) {
            let idlest = self.by_id.iter().min_by_key(|(_, producer)| producer.active).map(|(id, _)| *id);
            idlest.map(|id| self.by_id.remove(&id));
        }
        let fresh = || Producer { epoch: header.producer_epoch, batches: VecDeque::new(), active: 0 };
        let producer = self.by_id.entry(header.producer_id).or_insert_with(fresh);
        if producer.epoch != header.producer_epoch {
            *producer = fresh();
        }
        producer.active = self.clock;
        producer.batches.push_back(Batch {
            first_sequence: header.first_sequence,
            last_sequence: header.last_sequence(),
            base_offset: header.base_offset,
        });
        if producer.batches.len() > REMEMBERED {
            producer.batches.pop_front();
        }
    }
}
