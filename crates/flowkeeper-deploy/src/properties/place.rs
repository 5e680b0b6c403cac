//! Where an app may run, what is set aside for it there, and how surely a copy of it is the only one.

use flowkeeper_engine::criteria::Criteria;
use flowkeeper_engine::model::Exclusivity;

use super::{DeployPropertyError, given, value};
use crate::record::ManifestApp;

/// Seconds that a frozen instance waits for contact when nothing is said.
const FREEZE_MAX_S: u64 = 20;
/// Longest time that can be asked for: a day.
const FREEZE_MAX_LIMIT_S: i64 = 86_400;

/// What an app asks of the nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Placing {
    /// How surely a copy must be the only one with its index; `None`: what is usual for such an app.
    pub exclusive: Option<Exclusivity>,
    /// Thousandths of a processor.
    pub cpu_m: Option<u32>,
    /// MiB of memory.
    pub mem_mib: Option<u32>,
    /// Which nodes it may run on.
    pub criteria: Option<Criteria>,
    /// No two copies on one host.
    pub apart: bool,
    /// Near the other apps of its stream.
    pub together: bool,
}

/// What becomes of a strict instance whose node loses its contact with the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fencing {
    /// It is frozen at the end of its lease, and killed when it stayed so for this many ms.
    Freeze { max_ms: u64 },
    /// It is killed at the end of its lease.
    Kill,
}

impl Fencing {
    /// How long it may stay frozen, in ms.
    pub(crate) fn freeze_max_ms(self) -> u64 {
        match self {
            Fencing::Freeze { max_ms } => max_ms,
            Fencing::Kill => 0,
        }
    }
}

impl Placing {
    /// Reads what `app` asks for.
    ///
    /// # Errors
    /// The first property that cannot be carried out.
    pub fn read(app: &ManifestApp) -> Result<Placing, DeployPropertyError> {
        placing(app)
    }
}

pub(super) fn placing(app: &ManifestApp) -> Result<Placing, DeployPropertyError> {
    let switch = |name: &str| given(app, name).map(value::switch).transpose().map(Option::unwrap_or_default);
    let criteria = given(app, "criteria").map(|given| {
        given
            .value
            .parse::<Criteria>()
            .map_err(|error| given.invalid(format!("at character {}, {}", error.at, error.reason)))
    });
    let memory = given(app, "memory").map(value::mebibytes).transpose()?;
    Ok(Placing {
        exclusive: exclusive(app)?,
        cpu_m: given(app, "cpu").map(value::millicores).transpose()?,
        mem_mib: memory.map(|mebibytes| u32::try_from(mebibytes).unwrap_or(u32::MAX)),
        criteria: criteria.transpose()?,
        apart: switch("apart")?,
        together: switch("together")?,
    })
}

fn exclusive(app: &ManifestApp) -> Result<Option<Exclusivity>, DeployPropertyError> {
    let Some(given) = given(app, "exclusive") else { return Ok(None) };
    match given.value.to_ascii_lowercase().as_str() {
        "auto" => Ok(None),
        "strict" => Ok(Some(Exclusivity::Strict)),
        "best-effort" => Ok(Some(Exclusivity::BestEffort)),
        "shared" => Ok(Some(Exclusivity::Shared)),
        _ => Err(given.invalid(
            "give strict (never two copies with one index, a node without contact freezes its own), best-effort (never two \
             on purpose), shared (two may overlap), or auto",
        )),
    }
}

pub(super) fn fencing(app: &ManifestApp) -> Result<Fencing, DeployPropertyError> {
    let limit = given(app, "fence.freeze-max-seconds");
    let limit = limit.map(|given| value::integer(given, 1, FREEZE_MAX_LIMIT_S)).transpose()?;
    let limit = limit.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(FREEZE_MAX_S);
    let freeze = Fencing::Freeze { max_ms: limit * 1_000 };
    let Some(mode) = given(app, "fence.mode") else { return Ok(freeze) };
    match mode.value.to_ascii_lowercase().as_str() {
        "freeze" => Ok(freeze),
        "kill" => Ok(Fencing::Kill),
        _ => Err(mode.invalid(
            "give freeze, so that a strict instance without contact waits for it, or kill, so that it ends at once",
        )),
    }
}
