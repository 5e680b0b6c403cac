//! `/completions`: how a definition that is still being typed could go on.

use axum::extract::State;
use flowkeeper_api::completions::{Completions, Proposal};
use flowkeeper_api::error::ErrorBody;
use flowkeeper_dsl::completion::Detail;

use super::error::Problem;
use super::params::{Input, Params};
use super::respond::Hal;
use crate::app::completions;
use crate::state::AppState;

/// How the definition of a stream could go on after `start`: whole lines, with an explanation where they need one.
#[utoipa::path(get, path = "/completions/stream", tag = "completions",
    params(("start" = String, Query), ("detailLevel" = Option<u32>, Query, minimum = 1)),
    responses((status = 200, body = Completions), (status = 400, body = ErrorBody)))]
pub(super) async fn stream(State(state): State<AppState>, input: Input) -> Result<Hal<Completions>, Problem> {
    let start = input.params.require("start")?;
    let detail = detail(&input.params)?;
    let proposals = completions::complete_stream(&state, &start, detail).await;
    let proposal = |found: flowkeeper_dsl::completion::Proposal| Proposal {
        text: found.text,
        explanation: found.explanation,
    };
    Ok(Hal(Completions { proposals: proposals.into_iter().map(proposal).collect() }))
}

/// The level that was asked for; the first when none was.
fn detail(params: &Params) -> Result<Detail, Problem> {
    const NAME: &str = "detailLevel";
    let Some(text) = params.get(NAME).filter(|text| !text.is_empty()) else {
        return Ok(Detail::from_level(1));
    };
    let level: i32 = text.trim().parse().map_err(|_| Problem::mismatch(NAME, &text, "a whole number"))?;
    match u32::try_from(level) {
        Ok(level) if level > 0 => Ok(Detail::from_level(level)),
        _ => Err(Problem::constraint("The provided detail level must be greater than zero.")),
    }
}
