//! What a release says about how its apps are placed and how it replaces another: what they ask of a node, which of them may
//! not run twice, and how long all may take to become healthy.

use std::sync::Arc;

use flowkeeper_engine::model::{Exclusive, Exclusivity, Needs};

use crate::environment::{Launch, deployer_property};
use crate::properties::{Placing, relaxed};
use crate::record::{Manifest, ManifestApp};

/// Seconds that the apps of a release may take when none of them says otherwise; SCDF waits as long.
const DEFAULT_PATIENCE_S: u64 = 300;

/// What two copies of the app with one index cannot share: a port of its own, or anything at all, because it reads
/// the partitions of its index and no others (so both would read every message), or `deployer.<app>.exclusive` is `strict` or
/// `best-effort`.
pub fn exclusive(app: &ManifestApp) -> Exclusive {
    let asked = deployer_property(app, "exclusive").map(str::trim);
    let asked = asked.filter(|mode| !mode.is_empty() && !mode.eq_ignore_ascii_case("auto"));
    match (asked, Launch::fixed_port(app)) {
        (Some(mode), _) if mode.eq_ignore_ascii_case("shared") => Exclusive::No,
        (Some(_), _) => Exclusive::Always,
        (None, _) if reads_fixed_partitions(app) => Exclusive::Always,
        (None, Some(port)) => Exclusive::Port(port),
        (None, None) => Exclusive::No,
    }
}

/// How surely a copy of the app must be the only one with its index, and what it asks of a node.
///
/// Unless `deployer.<app>.exclusive` says otherwise, a source is strict, because two of them read the same things twice, and so
/// is a consumer of fixed partitions; all others share their work through the broker. What cannot be read, and was therefore
/// refused when the release was made, counts as not given.
pub fn asks(app: &ManifestApp) -> (Exclusivity, Needs) {
    let placing = Placing::read(app).unwrap_or_default();
    let is_strict = app.kind.eq_ignore_ascii_case("source") || reads_fixed_partitions(app);
    let auto = if is_strict { Exclusivity::Strict } else { Exclusivity::Shared };
    let needs = Needs {
        cpu_m: placing.cpu_m.unwrap_or_default(),
        mem_mib: placing.mem_mib.unwrap_or_default(),
        criteria: placing.criteria.map(Arc::new),
        apart: placing.apart,
        together: placing.together,
        ..Needs::default()
    };
    (placing.exclusive.unwrap_or(auto), needs)
}

/// With automatic rebalancing off, a consumer takes the partitions of its index; on, Kafka gives each partition to one member.
fn reads_fixed_partitions(app: &ManifestApp) -> bool {
    let mut rebalance =
        app.props.iter().filter(|(key, _)| relaxed(key).ends_with("consumer.autorebalanceenabled"));
    rebalance.any(|(_, value)| value.trim().eq_ignore_ascii_case("false"))
}

/// Milliseconds that the apps of a release may take to become healthy: the longest `deployer.<app>.health.timeout-seconds`.
pub fn patience_ms(manifest: &Manifest) -> u64 {
    let given = manifest.apps.iter().filter_map(|app| {
        deployer_property(app, "health.timeout-seconds").and_then(|text| text.trim().parse::<u64>().ok())
    });
    given.max().unwrap_or(DEFAULT_PATIENCE_S).saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(deployer: &[(&str, &str)], props: &[(&str, &str)]) -> Manifest {
        let own = |pairs: &[(&str, &str)]| -> serde_json::Map<String, serde_json::Value> {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).into())).collect()
        };
        let text = serde_json::json!({"v": 1, "n": 1, "from": "deploy", "dsl": "", "at": "", "apps": [{
            "label": "a", "type": "source", "app": "a", "ver": "1", "uri": "builtin:source/a", "count": 1,
            "props": own(props), "deployer": own(deployer),
        }]});
        serde_json::from_value(text).expect("a manifest")
    }

    #[test]
    fn a_port_of_its_own_or_a_word_makes_an_app_exclusive() {
        const EXCLUSIVE: &str = "spring.cloud.deployer.exclusive";
        let of = |deployer: &[_], props: &[_]| exclusive(&manifest(deployer, props).apps[0]);
        assert_eq!((of(&[], &[]), of(&[], &[("server.port", "0")])), (Exclusive::No, Exclusive::No));
        assert_eq!(of(&[], &[("server.port", "9000")]), Exclusive::Port(9000));
        assert_eq!(of(&[(EXCLUSIVE, "strict")], &[]), Exclusive::Always);
        assert_eq!(of(&[(EXCLUSIVE, "shared")], &[("server.port", "9000")]), Exclusive::No);
        let rebalance = "spring.cloud.stream.kafka.bindings.input.consumer.auto-rebalance-enabled";
        assert_eq!(of(&[], &[(rebalance, "false")]), Exclusive::Always);
        assert_eq!(of(&[], &[(rebalance, "true")]), Exclusive::No);
    }

    #[test]
    fn sources_and_readers_of_fixed_partitions_are_strict_unless_told_otherwise() {
        let word = |kind: &str, mode: Option<&str>, props: &[_]| {
            let key = [("spring.cloud.deployer.exclusive", mode.unwrap_or_default())];
            let mut app = manifest(if mode.is_some() { &key } else { &[] }, props).apps.remove(0);
            app.kind = kind.to_owned();
            (asks(&app).0, exclusive(&app))
        };
        let fixed = [("spring.cloud.stream.kafka.bindings.input.consumer.auto-rebalance-enabled", "false")];
        assert_eq!(word("source", None, &[]), (Exclusivity::Strict, Exclusive::No));
        assert_eq!(word("source", Some(" Auto "), &[]), (Exclusivity::Strict, Exclusive::No));
        assert_eq!(word("source", Some("shared"), &[]), (Exclusivity::Shared, Exclusive::No));
        assert_eq!(word("sink", None, &[]), (Exclusivity::Shared, Exclusive::No));
        assert_eq!(word("sink", None, &fixed), (Exclusivity::Strict, Exclusive::Always));
        assert_eq!(word("sink", Some("BEST-EFFORT"), &[]), (Exclusivity::BestEffort, Exclusive::Always));
        assert_eq!(word("processor", Some("strict"), &[]), (Exclusivity::Strict, Exclusive::Always));
    }

    #[test]
    fn needs_are_read() {
        let deployer = [
            ("spring.cloud.deployer.cpu", "500m"),
            ("spring.cloud.deployer.memory", "2g"),
            ("spring.cloud.deployer.criteria", "zone == 'a'"),
            ("spring.cloud.deployer.apart", "true"),
        ];
        let (_, needs) = asks(&manifest(&deployer, &[]).apps[0]);
        assert_eq!((needs.cpu_m, needs.mem_mib, needs.apart, needs.together), (500, 2_048, true, false));
        assert_eq!(needs.criteria.map(|criteria| criteria.to_string()).as_deref(), Some("zone == 'a'"));
        assert_eq!(asks(&manifest(&[], &[]).apps[0]).1, Needs::default());
    }

    #[test]
    fn patience_is_the_longest_that_is_asked_for() {
        assert_eq!(patience_ms(&manifest(&[], &[])), 300_000);
        let key = "spring.cloud.deployer.health.timeoutSeconds";
        assert_eq!(patience_ms(&manifest(&[(key, "7")], &[])), 7_000);
        assert_eq!(patience_ms(&manifest(&[(key, "soon")], &[])), 300_000);
    }
}
