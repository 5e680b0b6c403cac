//! What a release says about how it replaces another: which apps may not run twice, and how long all may take to become
//! healthy.

use crate::environment::{Launch, deployer_property};
use crate::record::{Manifest, ManifestApp};

/// Seconds that the apps of a release may take when none of them says otherwise; SCDF waits as long.
const DEFAULT_PATIENCE_S: u64 = 300;

/// Whether two copies of the app with one index must not run at the same time: it was given a port of its own, it reads
/// the partitions of its index and no others (so both would read every message), or `deployer.<app>.exclusive` is `strict` or
/// `best-effort`.
pub fn is_exclusive(app: &ManifestApp) -> bool {
    let asked = deployer_property(app, "exclusive").map(str::trim);
    match asked {
        Some(mode) if mode.eq_ignore_ascii_case("shared") => false,
        Some(_) => true,
        None => Launch::fixed_port(app).is_some() || reads_fixed_partitions(app),
    }
}

/// With automatic rebalancing off, a consumer takes the partitions of its index; on, Kafka gives each partition to one member.
fn reads_fixed_partitions(app: &ManifestApp) -> bool {
    let letters = |text: &str| -> String {
        text.chars().filter(|c| !matches!(c, '-' | '_')).map(|c| c.to_ascii_lowercase()).collect()
    };
    let mut rebalance =
        app.props.iter().filter(|(key, _)| letters(key).ends_with("consumer.autorebalanceenabled"));
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
        let is_exclusive = |deployer: &[_], props: &[_]| is_exclusive(&manifest(deployer, props).apps[0]);
        assert!(!is_exclusive(&[], &[]) && !is_exclusive(&[], &[("server.port", "0")]));
        assert!(is_exclusive(&[], &[("server.port", "9000")]));
        assert!(is_exclusive(&[(EXCLUSIVE, "strict")], &[]));
        assert!(!is_exclusive(&[(EXCLUSIVE, "shared")], &[("server.port", "9000")]));
        let rebalance = "spring.cloud.stream.kafka.bindings.input.consumer.auto-rebalance-enabled";
        assert!(is_exclusive(&[], &[(rebalance, "false")]) && !is_exclusive(&[], &[(rebalance, "true")]));
    }

    #[test]
    fn patience_is_the_longest_that_is_asked_for() {
        assert_eq!(patience_ms(&manifest(&[], &[])), 300_000);
        let key = "spring.cloud.deployer.health.timeoutSeconds";
        assert_eq!(patience_ms(&manifest(&[(key, "7")], &[])), 7_000);
        assert_eq!(patience_ms(&manifest(&[(key, "soon")], &[])), 300_000);
    }
}
