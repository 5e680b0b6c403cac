//! What must hold when everything has come to rest, and what must have held all the time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::System;
use super::ledger::{backward_terms, overlaps, read};
use crate::wait::pause;

/// What is wanted: copies per app of each stream.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    streams: BTreeMap<String, BTreeMap<String, u32>>,
}

impl Wanted {
    /// A stream of probes with so many copies of `in` and of `out`.
    pub fn stream(mut self, name: &str, copies: u32, sinks: u32) -> Wanted {
        let apps = [("in".to_owned(), copies), ("out".to_owned(), sinks)];
        self.streams.insert(name.to_owned(), apps.into());
        self
    }

    pub fn without(mut self, name: &str) -> Wanted {
        self.streams.remove(name);
        self
    }

    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.streams.keys()
    }

    fn copies(&self, name: &str) -> u64 {
        self.streams.get(name).into_iter().flat_map(BTreeMap::values).map(|count| u64::from(*count)).sum()
    }

    /// `<stream>.<app>-<index>` of every wanted instance, the release left out.
    fn instances(&self) -> BTreeSet<String> {
        let apps = self.streams.iter().flat_map(|(name, apps)| apps.iter().map(move |app| (name, app)));
        apps.flat_map(|(name, (app, count))| (0..*count).map(move |index| format!("{name}.{app}-{index}")))
            .collect()
    }
}

/// The hash alone: the transaction up to which a copy was read may differ while nothing changes.
fn hash_of(body: &str) -> String {
    let document: Value = serde_json::from_str(body).unwrap_or_default();
    document["hash"].as_str().unwrap_or(body).to_owned()
}

/// SCDF's name of an instance without the release.
fn without_release(guid: &str) -> String {
    let Some((head, index)) = guid.rsplit_once('-') else { return guid.to_owned() };
    let Some((app, _)) = head.rsplit_once("-v") else { return guid.to_owned() };
    format!("{app}-{index}")
}

impl System {
    /// Waits until the cluster is at rest with exactly what is wanted (I2, I9), every copy of the metadata is the same (I16) and
    /// nothing in it does not fit (I10).
    ///
    /// # Errors
    /// What was not so when the time was over.
    pub fn converge(&self, wanted: &Wanted, within: Duration) -> Result<Duration, String> {
        let began = Instant::now();
        loop {
            let Err(problem) = self.at_rest(wanted) else { return Ok(began.elapsed()) };
            if began.elapsed() > within {
                return Err(format!("not at rest after {} s: {problem}", within.as_secs()));
            }
            pause();
        }
    }

    fn at_rest(&self, wanted: &Wanted) -> Result<(), String> {
        let running = self.probes();
        let doubled: Vec<_> = running.iter().filter(|(_, pids)| pids.len() > 1).collect();
        let names: BTreeSet<String> = running.keys().map(|guid| without_release(guid)).collect();
        let wanted_names = wanted.instances();
        if names != wanted_names || names.len() != running.len() || !doubled.is_empty() {
            let missing: Vec<_> = wanted_names.difference(&names).collect();
            let surplus: Vec<_> = names.difference(&wanted_names).collect();
            return Err(format!("missing {missing:?}, surplus {surplus:?}, twice {doubled:?}"));
        }
        for name in wanted.names() {
            let status = self.status(name);
            if status != "deployed" {
                return Err(format!("stream {name} is {status}"));
            }
            // An instance that is about to move has two orders before it has two processes.
            let orders = self.get(&format!("/api/v1/streams/{name}"))?["active"].as_u64();
            let copies = wanted.copies(name);
            if orders != Some(copies) {
                return Err(format!("stream {name} has {orders:?} orders for {copies} instances"));
            }
        }
        let found = self.get("/api/v1/cluster/fsck")?;
        if found["problems"] != Value::Array(Vec::new()) {
            return Err(format!("the metadata does not fit: {}", found["problems"]));
        }
        self.is_agreed()
    }

    /// Waits until every server can do its work again and shows the same.
    ///
    /// # Errors
    /// What was not so when the time was over.
    pub fn agree(&self, within: Duration) -> Result<(), String> {
        let began = Instant::now();
        loop {
            let unready = self
                .apis()
                .into_iter()
                .find(|api| self.ask(api, "GET", "/readyz", None).is_none_or(|answer| answer.status != 200));
            let problem = match unready {
                Some(api) => format!("{api} is not ready"),
                None => match self.is_agreed() {
                    Ok(()) => return Ok(()),
                    Err(problem) => problem,
                },
            };
            if began.elapsed() > within {
                return Err(format!("not agreed after {} s: {problem}", within.as_secs()));
            }
            pause();
        }
    }

    /// Every copy of the metadata is the same (I16).
    fn is_agreed(&self) -> Result<(), String> {
        let mut hashes = BTreeSet::new();
        for api in self.apis() {
            match self.ask(&api, "GET", "/debug/cachehash", None) {
                Some(answer) if answer.status == 200 => drop(hashes.insert(hash_of(&answer.body))),
                other => return Err(format!("{api} does not tell the hash of its copy: {other:?}")),
            }
        }
        if hashes.len() > 1 {
            return Err(format!("the servers' copies differ: {hashes:?}"));
        }
        Ok(())
    }

    /// I1 and I5 over everything that ever ran: no app that `is_exclusive` (by its label) ran twice, no term went back.
    ///
    /// # Errors
    /// What was found.
    pub fn check_ledger(&self, is_exclusive: impl Fn(&str) -> bool) -> Result<(), String> {
        let lives = read(&self.oracle());
        if lives.is_empty() {
            return Err("the ledger is empty: nothing was proved".to_owned());
        }
        let label = |key: &str| key.split('.').nth(1).unwrap_or_default().to_owned();
        let overlaps = overlaps(&lives, |key| is_exclusive(&label(key)));
        if let Some(found) = overlaps.first() {
            return Err(format!(
                "I1: {} overlaps, the first for {} ms: {found:?}",
                overlaps.len(),
                found.for_ms
            ));
        }
        let exclusive: Vec<_> = lives.into_iter().filter(|life| is_exclusive(&label(&life.key))).collect();
        if let Some(found) = backward_terms(&exclusive).first() {
            return Err(format!("I5: a term went back: {found:?}"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_their_release() {
        assert_eq!(without_release("s.in-v12-0"), "s.in-0");
        let wanted = Wanted::default().stream("s", 2, 1);
        assert_eq!(wanted.instances().into_iter().collect::<Vec<_>>(), ["s.in-0", "s.in-1", "s.out-0"]);
    }
}
