//! How long a lost node is waited for: until nothing exclusive can run there any more, or until it is not worth the wait.

use crate::model::{Exclusivity, InstanceId, NodeId, Observed, Presence, ReleaseApp};

/// Milliseconds that a node must be lost before anything moves, so that what goes together is seen together: the nodes of a
/// rack, or a brake. It is longer where the ends of sessions lie further apart ([`crate::model::NodeView::spread_ms`]).
pub const DEBOUNCE_MS: u64 = 500;

/// Milliseconds that a shared instance waits for its node to return, unless its app says otherwise
/// ([`crate::model::Needs::return_ms`]) or nothing else of the app is ready.
pub const RETURN_MS: u64 = 10_000;

/// Where a node stands in being given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Loss {
    /// It is live.
    None,
    Waits {
        left_ms: u64,
    },
    /// It has had its time. Also a node that is not known at all.
    Over,
}

/// Whether `node` is lost for longer than `wait` says, given the guard time of the node.
pub(super) fn loss(observed: &Observed, node: &NodeId, wait: impl FnOnce(u64) -> u64) -> Loss {
    match observed.nodes.get(node).map(|node| node.presence) {
        None => Loss::Over,
        Some(Presence::Live) => Loss::None,
        Some(Presence::Lost { for_ms, guard_ms }) => match wait(guard_ms).saturating_sub(for_ms) {
            0 => Loss::Over,
            left_ms => Loss::Waits { left_ms },
        },
    }
}

/// Milliseconds that `instance` waits for its lost `node` before it moves. `guard_ms`: how long it may still run there.
pub(super) fn patience_ms(
    app: &ReleaseApp,
    instance: &InstanceId,
    observed: &Observed,
    node: &NodeId,
    guard_ms: u64,
) -> u64 {
    let spread = observed.nodes.get(node).map_or(0, |node| node.spread_ms);
    let wait = match app.exclusivity {
        Exclusivity::Strict | Exclusivity::BestEffort => guard_ms,
        // Nothing is gained by waiting where nobody does the work meanwhile.
        Exclusivity::Shared if !observed.is_ready_elsewhere(instance) => 0,
        Exclusivity::Shared => app.needs.return_ms.unwrap_or(RETURN_MS),
    };
    wait.max(spread).max(DEBOUNCE_MS)
}

/// Milliseconds until the order of an instance that is not wanted there any more may be withdrawn from a lost node.
pub(super) fn withdrawal_ms(exclusivity: Exclusivity, guard_ms: u64) -> u64 {
    if exclusivity == Exclusivity::Shared { 0 } else { guard_ms }
}

/// What there is to say of an instance whose node is lost, for people. `None`: the node is live.
pub(crate) fn explain(
    app: &ReleaseApp,
    instance: &InstanceId,
    node: &NodeId,
    observed: &Observed,
) -> Option<String> {
    let since = match observed.nodes.get(node).map(|node| node.presence) {
        Some(Presence::Live) => return None,
        Some(Presence::Lost { for_ms, .. }) => {
            format!("node {node} does not answer since {}", seconds(for_ms))
        }
        None => format!("node {node} is not known any more"),
    };
    if let Some(brake) = &observed.brake {
        return Some(format!("{since}, and nothing is moved at present: {brake}"));
    }
    Some(match loss(observed, node, |guard_ms| patience_ms(app, instance, observed, node, guard_ms)) {
        Loss::None => return None,
        Loss::Waits { left_ms } => {
            format!("{since}; it moves to another node in {} unless that one returns", seconds(left_ms))
        }
        Loss::Over => format!("{since}; it moves as soon as another node can take it"),
    })
}

/// Whole seconds, rounded up, so that what is left is never told as nothing.
fn seconds(ms: u64) -> String {
    format!("{} s", ms.div_ceil(1000))
}
