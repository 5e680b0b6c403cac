//! The keys of Apache's `zoo.cfg`, and what becomes of each.

/// What becomes of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is a setting of this server.
    Used,
    /// It changes nothing here, for this reason; it is accepted and told.
    Idle(&'static str),
    /// It is accepted with this value only, because any other would take a protection away that cannot be kept: the
    /// reason.
    Only(&'static str, &'static str),
    /// It is refused: the reason, and what to do.
    Refused(&'static str),
}

use Fate::{Idle, Only, Refused, Used};

const QUORUM: &str = "there is one server and no quorum";
const ITS_OWN_WAY: &str = "this server takes care of it in a way of its own";
const NO_CACHE: &str = "this server needs no such cache or thread pool";
const JVM: &str = "there is no Java here";
/// What to do about an ensemble.
pub(crate) const ENSEMBLE: &str = "this server works alone; for several servers run Apache ZooKeeper, and 'flowkeeper zookeeper export' takes the data there";

/// Every known key, without `zookeeper.`; a star at the end stands for any rest.
const KEYS: &[(&str, Fate)] = &[
    // Clients.
    ("clientPort", Used),
    ("clientPortAddress", Used),
    ("secureClientPort", Used),
    ("secureClientPortAddress", Used),
    ("client.portUnification", Used),
    ("client.certReload", Idle("certificates are always read again when their files change")),
    ("maxClientCnxns", Used),
    ("maxCnxns", Used),
    ("tickTime", Used),
    ("minSessionTimeout", Used),
    ("maxSessionTimeout", Used),
    ("4lw.commands.whitelist", Used),
    ("jute.maxbuffer", Used),
    ("jute.maxbuffer.extrasize", Idle(ITS_OWN_WAY)),
    (
        "globalOutstandingLimit",
        Idle("each connection has a limit of its own, and slow clients hold nobody up"),
    ),
    ("clientPortListenBacklog", Idle("the system's own backlog is taken")),
    ("clientTcpKeepAlive", Idle(ITS_OWN_WAY)),
    ("largeRequestMaxBytes", Idle(ITS_OWN_WAY)),
    ("largeRequestThreshold", Idle(ITS_OWN_WAY)),
    ("request_throttler.*", Idle(ITS_OWN_WAY)),
    ("throttled_op_wait_time", Idle(ITS_OWN_WAY)),
    ("request_stale_*", Idle(ITS_OWN_WAY)),
    ("request_throttle_*", Idle(ITS_OWN_WAY)),
    ("intBufferStartingSizeBytes", Idle(NO_CACHE)),
    ("maxInProcessingDeadWatchers", Idle(NO_CACHE)),
    ("connection_throttle_*", Idle(ITS_OWN_WAY)),
    ("nio.*", Idle(NO_CACHE)),
    ("netty.*", Idle(NO_CACHE)),
    ("serverCnxnFactory", Idle(NO_CACHE)),
    ("maxResponseCacheSize", Idle(NO_CACHE)),
    ("maxGetChildrenResponseCacheSize", Idle(NO_CACHE)),
    ("commitProcessor.*", Idle(NO_CACHE)),
    ("watchManagerName", Idle(NO_CACHE)),
    ("watcherClean*", Idle(NO_CACHE)),
    ("bitHashCacheSize", Idle(NO_CACHE)),
    ("pathStats.*", Idle(NO_CACHE)),
    // Data.
    ("dataDir", Used),
    ("dataLogDir", Used),
    ("snapCount", Used),
    ("snapSizeLimitInKb", Idle("snapshots are due by the bytes of the log anyway")),
    ("autopurge.snapRetainCount", Used),
    ("autopurge.purgeInterval", Idle("old files are deleted as soon as a new snapshot is safe")),
    ("preAllocSize", Idle(ITS_OWN_WAY)),
    ("txnLogSizeLimitInKb", Idle(ITS_OWN_WAY)),
    ("forceSync", Used),
    ("flushDelay", Idle("writes are grouped while the disk is busy, without delay")),
    ("maxWriteQueuePollTime", Idle("writes are grouped while the disk is busy, without delay")),
    ("maxBatchSize", Idle("writes are grouped while the disk is busy, without delay")),
    ("fsync.warningthresholdms", Idle(ITS_OWN_WAY)),
    ("snapshot.trust.empty", Idle("a data folder without a snapshot is read from its log")),
    ("snapshot.compression.method", Idle("the data folder has a format of its own")),
    ("serializeLastProcessedZxid.enabled", Idle("the data folder has a format of its own")),
    ("digest.enabled", Idle("files are guarded by checksums")),
    ("datadir.autocreate", Idle("the data folder is created if it is missing")),
    ("db.autocreate", Idle("a data folder without a snapshot is read from its log")),
    ("snapshotSizeFactor", Idle(QUORUM)),
    ("commitLogCount", Idle(QUORUM)),
    ("forceSnapshotSync", Idle(QUORUM)),
    ("closeSessionTxn.enabled", Idle(ITS_OWN_WAY)),
    // Nodes.
    ("extendedTypesEnabled", Used),
    ("emulate353TTLNodes", Only("false", "nodes of that release cannot be told apart")),
    ("enforceQuota", Used),
    ("enableEagerACLCheck", Used),
    ("znode.container.checkIntervalMs", Used),
    ("znode.container.maxPerMinute", Used),
    ("znode.container.maxNeverUsedIntervalMs", Used),
    // Who may come.
    (
        "skipACL",
        Only("no", "ACLs are always checked; remove it, and open the nodes that everybody may change"),
    ),
    ("authProvider.*", Used),
    ("DigestAuthenticationProvider.superDigest", Used),
    (
        "DigestAuthenticationProvider.enabled",
        Only("true", "the digest scheme cannot be switched off; use enforce.auth.schemes"),
    ),
    ("DigestAuthenticationProvider.digestAlg", Only("SHA1", "ids of another algorithm would not match")),
    ("X509AuthenticationProvider.superUser", Used),
    (
        "X509AuthenticationProvider.*",
        Refused("this way to read names from certificates is not supported; the subject is the name"),
    ),
    ("enforce.auth.enabled", Used),
    ("enforce.auth.schemes", Used),
    ("sessionRequireClientSASLAuth", Used),
    ("allowSaslFailedClients", Only("false", "a client that fails SASL is turned away")),
    ("java.security.auth.login.config", Used),
    ("sasl.serverconfig", Only("Server", "the section of the JAAS file is called Server")),
    ("SASLAuthenticationProvider.superPassword", Used),
    (
        "superUser",
        Refused("no user of SASL becomes the super user; use DigestAuthenticationProvider.superDigest"),
    ),
    ("letAnySaslUserDoX", Refused("no user of SASL may act for another one; remove it")),
    ("IPAuthenticationProvider.usexforwardedfor", Only("false", "the address is that of the connection")),
    ("requireKerberosConfig", Only("false", "Kerberos is not supported")),
    ("security.auth_to_local", Refused("Kerberos is not supported; use DIGEST-MD5 or client certificates")),
    ("sasl.*", Idle("only clients and ensembles read it")),
    ("kerberos.*", Refused("Kerberos is not supported; use DIGEST-MD5 or client certificates")),
    ("ensembleAuthName", Refused("the scheme 'ensemble' is not supported; remove it")),
    (
        "audit.enable",
        Only("false", "no audit log is written; 'flowkeeper zookeeper log' tells who wrote what"),
    ),
    ("audit.impl.class", Idle("no audit log is written")),
    // TLS.
    ("ssl.keyStore.location", Used),
    ("ssl.keyStore.type", Used),
    ("ssl.keyStore.password", Used),
    ("ssl.keyStore.passwordPath", Used),
    ("ssl.trustStore.location", Used),
    ("ssl.trustStore.type", Used),
    ("ssl.trustStore.password", Idle("certificates in PEM have no password")),
    ("ssl.trustStore.passwordPath", Idle("certificates in PEM have no password")),
    ("ssl.clientAuth", Used),
    ("ssl.protocol", Used),
    ("ssl.enabledProtocols", Used),
    ("ssl.ciphersuites", Idle("only suites without known weaknesses are offered")),
    ("ssl.hostnameVerification", Idle("names of servers are the clients' business")),
    (
        "ssl.clientHostnameVerification",
        Only("false", "names of clients are not looked up; the subject of the certificate counts"),
    ),
    (
        "ssl.crl",
        Only("false", "revocation lists are not read; take the authority out of the trust store instead"),
    ),
    (
        "ssl.ocsp",
        Only("false", "revocation is not asked for; take the authority out of the trust store instead"),
    ),
    ("ssl.authProvider", Only("x509", "the scheme of client certificates is x509")),
    (
        "ssl.context.supplier.class",
        Refused("there is no Java here; name PEM files in ssl.keyStore.location and ssl.trustStore.location"),
    ),
    ("ssl.allowReverseDnsLookup", Idle("names of clients are not looked up")),
    ("ssl.handshakeDetectionTimeoutMillis", Idle(ITS_OWN_WAY)),
    ("ssl.handshakeTimeoutMillis", Idle(ITS_OWN_WAY)),
    ("ssl.sslProvider", Idle("there is one implementation of TLS here")),
    ("ssl.quorum.*", Idle(QUORUM)),
    ("sslQuorum", Idle(QUORUM)),
    ("sslQuorumReloadCertFiles", Idle(QUORUM)),
    ("fips-mode", Idle("it concerns the names of servers, which are the clients' business")),
    // For operators.
    ("admin.enableServer", Used),
    ("admin.serverAddress", Used),
    ("admin.serverPort", Used),
    ("admin.commandURL", Used),
    ("admin.idleTimeout", Used),
    ("admin.rateLimiterIntervalInMS", Used),
    ("admin.httpVersion", Idle("HTTP/1.1 is spoken")),
    ("admin.snapshot.enabled", Used),
    ("admin.restore.enabled", Used),
    (
        "admin.portUnification",
        Only("false", "the admin side speaks plain HTTP; keep it on the loopback address"),
    ),
    ("admin.forceHttps", Only("false", "the admin side speaks plain HTTP; keep it on the loopback address")),
    (
        "admin.needClientAuth",
        Only("false", "the admin side speaks plain HTTP; keep it on the loopback address"),
    ),
    ("metricsProvider.className", Used),
    ("metricsProvider.httpHost", Used),
    ("metricsProvider.httpPort", Used),
    (
        "metricsProvider.httpsPort",
        Refused("metrics are served over plain HTTP; use metricsProvider.httpPort"),
    ),
    ("metricsProvider.ssl.*", Refused("metrics are served over plain HTTP; use metricsProvider.httpPort")),
    ("metricsProvider.exportJvmInfo", Idle(JVM)),
    ("metricsProvider.*", Idle(ITS_OWN_WAY)),
    // The ensemble.
    ("initLimit", Idle(QUORUM)),
    ("syncLimit", Idle(QUORUM)),
    ("electionAlg", Idle(QUORUM)),
    ("electionPortBindRetry", Idle(QUORUM)),
    ("cnxTimeout", Idle(QUORUM)),
    ("leaderServes", Idle(QUORUM)),
    ("localSessions*", Idle(QUORUM)),
    ("readonlymode.enabled", Idle(QUORUM)),
    ("standaloneEnabled", Idle(QUORUM)),
    ("reconfigEnabled", Idle(QUORUM)),
    ("syncEnabled", Idle(QUORUM)),
    ("quorumListenOnAllIPs", Idle(QUORUM)),
    ("quorum.*", Idle(QUORUM)),
    ("multiAddress.*", Idle(QUORUM)),
    ("leader.*", Idle(QUORUM)),
    ("learner.*", Idle(QUORUM)),
    ("follower.*", Idle(QUORUM)),
    ("observer.*", Idle(QUORUM)),
    ("observerMasterPort", Idle(QUORUM)),
    ("observerMaster.*", Idle(QUORUM)),
    ("fastleader.*", Idle(QUORUM)),
    ("messageTracker.*", Idle(QUORUM)),
    ("quorumCnxnTimeoutMs", Idle(QUORUM)),
    ("leaderConnectDelayDuringRetryMs", Idle(QUORUM)),
    ("forward_learner_requests_to_commit_processor_disabled", Idle(QUORUM)),
    ("oraclePath", Refused(ENSEMBLE)),
    ("connectToLearnerMasterLimit", Idle(QUORUM)),
    ("tcpKeepAlive", Idle(QUORUM)),
    ("portUnification", Idle(QUORUM)),
    ("peerType", Only("participant", ENSEMBLE)),
    ("server.*", Refused(ENSEMBLE)),
    ("group.*", Refused(ENSEMBLE)),
    ("weight.*", Refused(ENSEMBLE)),
    ("dynamicConfigFile", Refused(ENSEMBLE)),
    // Java.
    ("jvm.pause.*", Idle(JVM)),
    ("jmx.*", Idle(JVM)),
    ("java.*", Idle(JVM)),
    ("javax.*", Idle(JVM)),
    ("sun.*", Idle(JVM)),
    ("com.sun.*", Idle(JVM)),
    ("log4j*", Idle(JVM)),
    ("logback.*", Idle(JVM)),
    ("org.slf4j.*", Idle(JVM)),
    ("root.logger", Idle(JVM)),
    ("log.*", Idle(JVM)),
];

/// What becomes of a key, which is without `zookeeper.`; `None` if nobody knows it.
pub(crate) fn fate(key: &str) -> Option<Fate> {
    let exact = KEYS.iter().find(|(known, _)| *known == key);
    let wide =
        || KEYS.iter().find(|(known, _)| known.strip_suffix('*').is_some_and(|start| key.starts_with(start)));
    exact.or_else(wide).map(|(_, fate)| *fate)
}

/// Whether a key says something without a value: that no word is answered, or that there is no password.
pub(crate) fn may_be_empty(key: &str) -> bool {
    matches!(key, "4lw.commands.whitelist" | "ssl.keyStore.password")
}

/// The known key that is most like this one, if one is like it.
pub(crate) fn nearest(key: &str) -> Option<&'static str> {
    // Longer than any key; comparing would only take time.
    let key = Some(key).filter(|key| key.len() <= 80)?.to_lowercase();
    let names = KEYS.iter().map(|(name, _)| *name).filter(|name| !name.ends_with('*'));
    let (distance, name) =
        names.map(|name| (distance(&key, &name.to_lowercase()), name)).min_by_key(|(d, _)| *d)?;
    (distance <= 1 + key.len() / 5).then_some(name)
}

/// Edits that make one text of the other: letters put in, left out, changed, or swapped with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut above: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut next = vec![i];
        for j in 1..=b.len() {
            let changed = row[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = changed.min(row[j] + 1).min(next[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(above[j - 2] + 1);
            }
            next.push(least);
        }
        above = std::mem::replace(&mut row, next);
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_keys_go_before_wide_ones() {
        assert_eq!(fate("X509AuthenticationProvider.superUser"), Some(Used));
        assert!(matches!(fate("X509AuthenticationProvider.clientCertIdType"), Some(Refused(_))));
        assert_eq!(fate("java.security.auth.login.config"), Some(Used));
        assert!(matches!(fate("java.net.preferIPv4Stack"), Some(Idle(_))));
        assert!(matches!(fate("server.1"), Some(Refused(_))));
        assert_eq!(fate("serverless"), None);
    }

    #[test]
    fn keys_are_listed_once() {
        let mut names: Vec<_> = KEYS.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KEYS.len());
    }

    /// The file has the names that Apache ZooKeeper 3.9.5 asks for, as they stand in its classes.
    #[test]
    fn every_key_of_apache_is_known() {
        let names = include_str!("../../../tests/data/zoo-cfg-keys.txt");
        assert!(names.lines().count() > 150);
        let unknown: Vec<_> = names.lines().filter(|name| fate(name).is_none()).collect();
        assert_eq!(unknown, [""; 0]);
    }

    #[test]
    fn slips_are_recognised_and_strangers_are_not() {
        for (slip, meant) in [
            ("clientprot", "clientPort"),
            ("ticktime", "tickTime"),
            ("datadir", "dataDir"),
            ("maxClientCnxn", "maxClientCnxns"),
        ] {
            assert_eq!(nearest(slip), Some(meant));
        }
        assert_eq!(nearest("favouriteColour"), None);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("ab", "ba"), 1);
    }
}
