//! Guards against an older copy of the same instance: what it still writes is refused where it arrives.
//!
//! A lease promises at most one process, these guards at most one effect. Every copy of an instance is started with a term,
//! which grows each time the instance is given to a node; whoever keeps the highest term that it saw can refuse the others.
//! The Kafka binder does it with a transactional id (`flowkeeper.fence.kafka`), [`mod@file`] for directories, [`sql`] for
//! databases. `docs/fencing.md` tells what each can and cannot promise.

pub mod file;
pub mod sql;

use crate::props::{Error, Props};

/// The variables of the environment, as property names match them.
const TERM: &str = "flowkeeper.fence.term";
const STREAM_UID: &str = "flowkeeper.stream.uid";
const INDEX: &str = "instance.index";
const APP_LABEL: &str = "spring.cloud.dataflow.stream.app.label";

/// Which copy of which instance this process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fence {
    /// The stream, by an id that a stream of the same name created later does not share.
    pub uid: String,
    /// The app's label within the stream.
    pub app: String,
    pub index: u32,
    /// Grows each time the instance is given to a node, from 1; 0 for [`Fence::none`].
    pub term: u64,
}

impl Fence {
    /// The fence of a process that nobody placed, such as `flowkeeper run`: there is no other copy to be told from.
    pub fn none() -> Fence {
        Fence { uid: String::new(), app: String::new(), index: 0, term: 0 }
    }

    /// Reads `FLOWKEEPER_FENCE_TERM`, `FLOWKEEPER_STREAM_UID`, `INSTANCE_INDEX` and the label of the app; [`Fence::none`]
    /// where there is no term.
    ///
    /// # Errors
    /// There is a term, but it is no number, or what belongs to it is missing.
    pub fn read(props: &Props) -> Result<Fence, Error> {
        let parse = |text: &str| text.parse::<u64>().ok().filter(|term| *term > 0);
        let Some(term) = props.parse(TERM, "a term, a whole number from 1", parse)? else {
            return Ok(Fence::none());
        };
        let hint = "it comes with FLOWKEEPER_FENCE_TERM, and both tell this instance from all others";
        Ok(Fence {
            uid: props.required(STREAM_UID, hint)?,
            app: props.required(APP_LABEL, hint)?,
            index: props.integer(INDEX)?.unwrap_or(0),
            term,
        })
    }

    /// The fence for a guard that is switched on by a property; `None` when it is off, or when there is no term, which is
    /// then said in the log.
    ///
    /// # Errors
    /// The property is neither true nor false, or the fence cannot be read.
    pub fn asked(props: &Props, switch: &str) -> Result<Option<Fence>, Error> {
        if props.bool(switch)? != Some(true) {
            return Ok(None);
        }
        let fence = Fence::read(props)?;
        if fence.is_none() {
            tracing::warn!(
                "{switch} has no effect: there is no FLOWKEEPER_FENCE_TERM, so nobody placed this process"
            );
            return Ok(None);
        }
        Ok(Some(fence))
    }

    /// Whether there is nothing to be fenced by.
    pub fn is_none(&self) -> bool {
        self.term == 0
    }

    /// The name of the instance, the same for all of its copies: `<uid>-<app>-<index>`.
    pub fn key(&self) -> String {
        format!("{}-{}-{}", self.uid, self.app, self.index)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Fence, Error> {
        let label = ("SPRING_APPLICATION_JSON", r#"{"spring.cloud.dataflow.stream.app.label":"tap-1"}"#);
        let env: BTreeMap<String, String> =
            variables.iter().chain([&label]).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Fence::read(&Props::load(&[], &env).unwrap())
    }

    #[test]
    fn the_environment_of_an_instance_names_its_copy() {
        let term = ("FLOWKEEPER_FENCE_TERM", "18446744073709551615");
        let uid = ("FLOWKEEPER_STREAM_UID", "0f8e");
        let fence = read(&[term, uid, ("INSTANCE_INDEX", "3")]).unwrap();
        assert_eq!((fence.term, fence.index, fence.key().as_str()), (u64::MAX, 3, "0f8e-tap-1-3"));
        assert_eq!(read(&[term, uid]).unwrap().index, 0);
    }

    #[test]
    fn without_a_term_there_is_no_fence_and_with_half_of_it_an_error() {
        assert_eq!(read(&[("FLOWKEEPER_STREAM_UID", "u")]), Ok(Fence::none()));
        let half = read(&[("FLOWKEEPER_FENCE_TERM", "7")]).unwrap_err().to_string();
        assert!(half.contains("flowkeeper.stream.uid") && half.contains("FLOWKEEPER_FENCE_TERM"), "{half}");
        for wrong in ["0", "-1", "soon", "1.5"] {
            let error = read(&[("FLOWKEEPER_FENCE_TERM", wrong), ("FLOWKEEPER_STREAM_UID", "u")]);
            assert!(error.unwrap_err().to_string().contains("a whole number from 1"));
        }
    }

    #[test]
    fn a_guard_is_off_unless_asked_for_and_without_a_term() {
        let placed = [
            ("flowkeeper.fence.term", "2"),
            ("flowkeeper.stream.uid", "u"),
            ("spring.cloud.dataflow.stream.app.label", "a"),
        ];
        let asked = |pairs: &[(&str, &str)]| {
            Fence::asked(&Props::from_pairs(pairs.iter().copied()), "flowkeeper.fence.file").unwrap()
        };
        let on = ("flowkeeper.fence.file", "true");
        assert_eq!(asked(&placed), None);
        assert_eq!(asked(&[on]), None);
        assert_eq!(asked(&[on, placed[0], placed[1], placed[2]]).unwrap().term, 2);
    }
}
