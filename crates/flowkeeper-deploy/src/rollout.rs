//! What a release says about how it replaces another: which apps may not run twice, and how long all may take to become
//! healthy.

use flowkeeper_engine::model::Exclusive;

use crate::environment::{Launch, deployer_property};
use crate::properties::relaxed;
use crate::record::{Manifest, ManifestApp};

/// Seconds that the apps of a release may take when none of them says otherwise; SCDF waits as long.
const DEFAULT_PATIENCE_S: u64 = 300;

/// What two copies of the app with one index cannot share: a port of its own, or anything at all, because it reads
/// the partitions of its index and no others (so both would read every message), or `deployer.<app>.exclusive` is `strict` or
/// `best-effort`.
pub fn exclusive(app: &ManifestApp) -> Exclusive {
    let asked = deployer_property(app, "exclusive").map(str::trim);
    match (asked, Launch::fixed_port(app)) {
        (Some(mode), _) if mode.eq_ignore_ascii_case("shared") => Exclusive::No,
        (Some(_), _) => Exclusive::Always,
        (None, _) if reads_fixed_partitions(app) => Exclusive::Always,
        (None, Some(port)) => Exclusive::Port(port),
        (None, None) => Exclusive::No,
    }
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
    fn patience_is_the_longest_that_is_asked_for() {
        assert_eq!(patience_ms(&manifest(&[], &[])), 300_000);
        let key = "spring.cloud.deployer.health.timeoutSeconds";
        assert_eq!(patience_ms(&manifest(&[(key, "7")], &[])), 7_000);
        assert_eq!(patience_ms(&manifest(&[(key, "soon")], &[])), 300_000);
    }
}
