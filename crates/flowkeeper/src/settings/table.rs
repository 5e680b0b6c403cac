//! The table of all settings.

/// A way to run the binary for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Dev,
    Server,
    Agent,
    Zookeeper,
    Broker,
}

/// The form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text,
    Path,
    Address,
    Number,
    Switch,
    OneOf(&'static [&'static str]),
    /// Texts between commas; the flag may be given several times.
    List,
}

/// One setting of one or more roles.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Flag without dashes, and key in the file.
    pub(crate) key: &'static str,
    pub(crate) value: Value,
    pub(crate) roles: &'static [Role],
    pub(crate) default: Option<&'static str>,
    pub(crate) help: &'static str,
}

impl Value {
    /// Placeholder in the help.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Value::Text | Value::OneOf(_) => "TEXT",
            Value::List => "LIST",
            Value::Path => "PATH",
            Value::Address => "ADDR",
            Value::Number => "N",
            Value::Switch => "",
        }
    }

    /// What a wrong value should have been.
    pub(crate) fn expected(self) -> String {
        match self {
            Value::Text => "a text of one character or more".to_owned(),
            Value::Path => "a path".to_owned(),
            Value::Address => "an address like 127.0.0.1:9393 (port 0: any free one)".to_owned(),
            Value::Number => "a whole number from 1 on".to_owned(),
            Value::Switch => "true or false".to_owned(),
            Value::OneOf(words) => format!("one of {}", words.join(", ")),
            Value::List => "a list of texts with commas between them".to_owned(),
        }
    }
}

use Role::{Agent, Broker, Dev, Server, Zookeeper};

const ALL: &[Role] = &[Dev, Server, Agent, Zookeeper, Broker];

/// All settings.
pub(crate) const TABLE: &[Setting] = &[
    Setting {
        key: "data",
        value: Value::Path,
        roles: ALL,
        default: None,
        help: "Folder for everything this role keeps; without it a folder of the role's name in ~/.flowkeeper",
    },
    Setting {
        key: "ephemeral",
        value: Value::Switch,
        roles: &[Dev],
        default: None,
        help: "Keep nothing: use a temporary folder and remove it at the end",
    },
    Setting {
        key: "demo",
        value: Value::Switch,
        roles: &[Dev],
        default: None,
        help: "Deploy a small pipeline at the start and show what comes out of it",
    },
    Setting {
        key: "listen",
        value: Value::Address,
        roles: &[Dev, Server],
        default: Some("127.0.0.1:9393"),
        help: "Where the REST API listens",
    },
    Setting {
        key: "zookeeper-listen",
        value: Value::Address,
        roles: &[Dev, Zookeeper],
        default: Some("127.0.0.1:2181"),
        help: "Where the embedded ZooKeeper listens",
    },
    Setting {
        key: "broker-listen",
        value: Value::Address,
        roles: &[Dev, Broker],
        default: Some("127.0.0.1:9092"),
        help: "Where the embedded broker listens",
    },
    Setting {
        key: "zookeeper",
        value: Value::Text,
        roles: &[Server, Agent],
        default: None,
        help: "ZooKeeper hosts and chroot: h1:2181,h2:2181/flowkeeper",
    },
    Setting {
        key: "zookeeper-auth-file",
        value: Value::Path,
        roles: &[Server, Agent],
        default: None,
        help: "File with user:password for ZooKeeper, the same for all servers, and another one for all agents",
    },
    Setting {
        key: "agents-auth-file",
        value: Value::Path,
        roles: &[Server],
        default: None,
        help: "File with the user:password of the agents, whom servers with --zookeeper-auth-file then let in",
    },
    Setting {
        key: "cluster-key-file",
        value: Value::Path,
        roles: &[Dev, Server, Agent],
        default: None,
        help: "File with the keys that seal what ZooKeeper holds, one a line, the one in use first; the same everywhere",
    },
    Setting {
        key: "zookeeper-tls-ca",
        value: Value::Path,
        roles: &[Server, Agent],
        default: None,
        help: "Certificates of the authorities (PEM) that sign those of the ZooKeeper servers; connections are in TLS then",
    },
    Setting {
        key: "zookeeper-tls-cert",
        value: Value::Path,
        roles: &[Server, Agent],
        default: None,
        help: "Certificate (PEM) to show to ZooKeeper servers that ask for one",
    },
    Setting {
        key: "zookeeper-tls-key",
        value: Value::Path,
        roles: &[Server, Agent],
        default: None,
        help: "Private key (PEM) of --zookeeper-tls-cert",
    },
    Setting {
        key: "broker",
        value: Value::Text,
        roles: &[Server],
        default: Some("127.0.0.1:9092"),
        help: "Kafka bootstrap servers that apps get unless their properties say otherwise",
    },
    Setting {
        key: "name",
        value: Value::Text,
        roles: &[Agent],
        default: None,
        help: "Name of the node; without it the host name",
    },
    Setting {
        key: "slots",
        value: Value::Number,
        roles: &[Dev, Agent],
        default: Some("500"),
        help: "App instances the node may hold",
    },
    Setting {
        key: "lease-profile",
        value: Value::OneOf(&["auto", "default", "stock", "large", "fast"]),
        roles: &[Agent],
        default: Some("auto"),
        help: "Times by which the node freezes instances that must not run twice when it loses its contact; auto: what fits the ensemble",
    },
    Setting {
        key: "zookeeper-tick-ms",
        value: Value::Number,
        roles: &[Agent],
        default: None,
        help: "tickTime of the ZooKeeper servers; without it they are asked",
    },
    Setting {
        key: "zookeeper-sync-limit",
        value: Value::Number,
        roles: &[Agent],
        default: None,
        help: "syncLimit of the ZooKeeper servers; without it they are asked, and 5 is assumed when they do not tell",
    },
    Setting {
        key: "labels",
        value: Value::List,
        roles: &[Agent],
        default: None,
        help: "Labels of the node, for criteria (label.disk = ssd): disk=ssd,gpu=none",
    },
    Setting {
        key: "zone",
        value: Value::Text,
        roles: &[Agent],
        default: None,
        help: "Zone the node is in; copies of an app are spread over zones",
    },
    Setting { key: "rack", value: Value::Text, roles: &[Agent], default: None, help: "Rack the node is in" },
    Setting {
        key: "groups",
        value: Value::List,
        roles: &[Agent],
        default: None,
        help: "Groups the node belongs to, for criteria",
    },
    Setting {
        key: "cpu-millis",
        value: Value::Number,
        roles: &[Agent],
        default: None,
        help: "Thousandths of processors that apps may reserve; without it all that the machine has",
    },
    Setting {
        key: "memory-mib",
        value: Value::Number,
        roles: &[Agent],
        default: None,
        help: "MiB of memory that apps may reserve; without it all that the machine has",
    },
    Setting {
        key: "advertise",
        value: Value::Text,
        roles: &[Agent],
        default: None,
        help: "IP address by which others reach the node; without it the one from which it talks to ZooKeeper",
    },
    Setting {
        key: "bundled-apps",
        value: Value::OneOf(&["register", "none"]),
        roles: &[Dev, Server],
        default: Some("register"),
        help: "Whether the bundled apps are registered from the start",
    },
    Setting {
        key: "maven-repository",
        value: Value::List,
        roles: &[Dev, Server, Agent],
        default: Some("central"),
        help: "Where maven: apps come from, in order: ID=https://user:password@host/path, or central for Maven Central",
    },
    Setting {
        key: "maven-local-repository",
        value: Value::Path,
        roles: &[Dev, Server, Agent],
        default: None,
        help: "Maven's own folder, read before any repository is asked; without it ~/.m2/repository",
    },
    Setting {
        key: "maven-offline",
        value: Value::Switch,
        roles: &[Dev, Server, Agent],
        default: None,
        help: "Ask no Maven repository: what is not on this machine cannot be had",
    },
    Setting {
        key: "container-registry",
        value: Value::List,
        roles: &[Dev, Server],
        default: None,
        help: "How registries are asked for the options of docker: apps: https://user:secret@host[?authorization-type=basicauth]",
    },
    Setting {
        key: "max-body-bytes",
        value: Value::Number,
        roles: &[Dev, Server],
        default: Some("2097152"),
        help: "Largest request body the API takes",
    },
    Setting {
        key: "log-format",
        value: Value::OneOf(&["text", "json"]),
        roles: ALL,
        default: Some("text"),
        help: "Form of the log on standard error",
    },
    Setting {
        key: "log-level",
        value: Value::Text,
        roles: ALL,
        default: Some("warn"),
        help: "What to log: error, warn, info, debug, or a filter such as flowkeeper_zk=debug",
    },
];
