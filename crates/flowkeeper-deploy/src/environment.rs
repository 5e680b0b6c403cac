//! What an app instance is started with: command, environment and properties, as SCDF's local deployer hands them out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flowkeeper_engine::model::InstanceId;
use serde_json::{Map, Value};

use crate::artifact::Program;
use crate::record::ManifestApp;

/// Prefix of deployer properties.
const DEPLOYER: &str = "spring.cloud.deployer.";
/// Grace time of a stop when none is given, as in SCDF's local deployer.
const SHUTDOWN_TIMEOUT_S: i64 = 30;

/// What is known when an instance is started.
#[derive(Clone, Debug)]
pub struct Launch<'a> {
    pub instance: &'a InstanceId,
    pub app: &'a ManifestApp,
    pub uid: &'a str,
    pub term: u64,
    pub release: u32,
    pub port: u16,
    /// Properties of the cluster, below all others.
    pub defaults: &'a BTreeMap<String, String>,
}

impl Launch<'_> {
    /// Deployment id in SCDF's form: `<stream>.<label>-v<release>`.
    pub fn deployment_id(&self) -> String {
        format!("{}.{}-v{}", self.instance.stream, self.instance.app, self.release)
    }

    /// Instance id in SCDF's form: deployment id and index.
    pub fn guid(&self) -> String {
        format!("{}-{}", self.deployment_id(), self.instance.index)
    }

    /// The program and its arguments.
    pub fn command(&self, program: &Program, myself: &Path) -> (PathBuf, Vec<String>) {
        let args = self.app.args.iter().cloned();
        match program {
            Program::Bundled { kind, name } => {
                let own = ["run-app".to_owned(), kind.clone(), name.clone()];
                (myself.to_owned(), own.into_iter().chain(args).collect())
            }
            Program::Executable(path) => (path.clone(), args.collect()),
            Program::Jar(path) => {
                let mut command = self.java_options();
                command.extend(["-jar".to_owned(), path.display().to_string()]);
                command.extend(args);
                (self.java(), command)
            }
        }
    }

    /// The whole environment: the few inherited variables of `inherited` that matter, and the properties as one JSON variable.
    pub fn environment(&self, inherited: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let passes = |name: &str| {
            matches!(name, "TMP" | "TMPDIR" | "LANG" | "LANGUAGE" | "PATH" | "TZ" | "JAVA_HOME")
                || name.starts_with("LC_")
        };
        let mut env: BTreeMap<_, _> =
            inherited.iter().filter(|(name, _)| passes(name)).map(|(k, v)| (k.clone(), v.clone())).collect();
        let index = self.instance.index.to_string();
        let own = [
            ("SPRING_APPLICATION_JSON", Value::Object(self.properties()).to_string()),
            ("INSTANCE_INDEX", index.clone()),
            ("SPRING_APPLICATION_INDEX", index),
            ("SPRING_CLOUD_APPLICATION_GUID", self.guid()),
            ("FLOWKEEPER_FENCE_TERM", self.term.to_string()),
            ("FLOWKEEPER_STREAM_UID", self.uid.to_owned()),
        ];
        env.extend(own.map(|(name, value)| (name.to_owned(), value)));
        env
    }

    /// Application properties, later ones winning: cluster defaults, the release's, then what only the node knows.
    fn properties(&self) -> Map<String, Value> {
        let text = |value: &str| Value::String(value.to_owned());
        let mut properties = Map::new();
        for (name, value) in self.defaults {
            properties.insert(name.clone(), text(value));
        }
        for (name, value) in &self.app.props {
            // SCDF stores a blank value as a pair of escaped quotes, because of its templates; an app is given the blank.
            properties.insert(name.clone(), text(if value == r#"\"\""# { "" } else { value }));
        }
        let index = self.instance.index.to_string();
        for (name, value) in [
            ("instance.index", &*index),
            ("spring.cloud.stream.instanceIndex", &index),
            ("spring.application.index", &index),
            ("spring.cloud.application.guid", &self.guid()),
            ("spring.cloud.application.group", &self.instance.stream),
            ("spring.jmx.default-domain", &self.deployment_id()),
            ("endpoints.jmx.unique-names", "true"),
            ("server.port", &self.port.to_string()),
        ] {
            properties.insert(name.to_owned(), text(value));
        }
        properties.entry("endpoints.shutdown.enabled").or_insert(text("true"));
        properties
    }

    /// The port that the user fixed, if any.
    pub fn fixed_port(app: &ManifestApp) -> Option<u16> {
        app.props.get("server.port")?.trim().parse().ok().filter(|port| *port != 0)
    }

    /// Time between a polite and a forced stop in milliseconds; 0: at once by force.
    pub fn grace_ms(app: &ManifestApp) -> u64 {
        let given =
            deployer_property(app, "local.shutdown-timeout").and_then(|text| text.trim().parse::<i64>().ok());
        u64::try_from(given.unwrap_or(SHUTDOWN_TIMEOUT_S)).map_or(0, |seconds| seconds.saturating_mul(1000))
    }

    fn java(&self) -> PathBuf {
        if let Some(command) =
            deployer_property(self.app, "local.java-cmd").filter(|command| *command != "java")
        {
            return command.into();
        }
        let generation = deployer_property(self.app, "boot-version").unwrap_or("3");
        match deployer_property(self.app, &format!("local.java-home-path.{generation}")) {
            Some(home) => Path::new(home).join("bin/java"),
            None => "java".into(),
        }
    }

    fn java_options(&self) -> Vec<String> {
        let given = deployer_property(self.app, "local.java-opts").unwrap_or_default();
        let mut options: Vec<String> = given.split_ascii_whitespace().map(str::to_owned).collect();
        let limits_heap = options.iter().any(|option| option.starts_with("-Xmx"));
        if let Some(memory) = deployer_property(self.app, "memory").filter(|_| !limits_heap) {
            options.insert(0, format!("-Xmx{}", memory.trim().to_ascii_lowercase().trim_end_matches('b')));
        }
        options
    }
}

/// A deployer property by its kebab-case name after the prefix; camel case and other relaxed spellings match too.
pub fn deployer_property<'a>(app: &'a ManifestApp, name: &str) -> Option<&'a str> {
    let relaxed = |text: &str| -> String {
        text.chars().filter(|c| !matches!(c, '-' | '_')).map(|c| c.to_ascii_lowercase()).collect()
    };
    let wanted = relaxed(name);
    let mut found = app.deployer.iter().filter_map(|(key, value)| Some((key.strip_prefix(DEPLOYER)?, value)));
    found.find(|(key, _)| relaxed(key) == wanted).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(props: &[(&str, &str)], deployer: &[(&str, &str)]) -> ManifestApp {
        let own =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        ManifestApp {
            label: "time".into(),
            kind: "source".into(),
            app: "time".into(),
            ver: "1".into(),
            uri: "builtin:source/time".into(),
            count: 1,
            props: own(props),
            deployer: own(deployer),
            args: vec!["--x=1".into()],
            extra: Default::default(),
        }
    }

    fn launch<'a>(
        app: &'a ManifestApp,
        instance: &'a InstanceId,
        defaults: &'a BTreeMap<String, String>,
    ) -> Launch<'a> {
        Launch { instance, app, uid: "1f", term: 9, release: 3, port: 20_033, defaults }
    }

    #[test]
    fn an_app_learns_who_it_is() {
        let app = app(&[("trigger", "1"), ("blank", r#"\"\""#)], &[]);
        let instance = InstanceId::new("tick", "time", 2);
        let defaults = BTreeMap::from([
            ("brokers".to_owned(), "h:1".to_owned()),
            ("trigger".to_owned(), "0".to_owned()),
        ]);
        let inherited = BTreeMap::from([
            ("PATH".to_owned(), "/bin".to_owned()),
            ("LC_ALL".to_owned(), "C".to_owned()),
            ("SECRET".to_owned(), "x".to_owned()),
        ]);
        let env = launch(&app, &instance, &defaults).environment(&inherited);
        assert_eq!(env.get("PATH").map(String::as_str), Some("/bin"));
        assert!(env.contains_key("LC_ALL") && !env.contains_key("SECRET"));
        assert_eq!(env["FLOWKEEPER_FENCE_TERM"], "9");
        assert_eq!(env["INSTANCE_INDEX"], "2");
        let json: Value = serde_json::from_str(&env["SPRING_APPLICATION_JSON"]).expect("json");
        assert_eq!(json["spring.cloud.application.guid"], "tick.time-v3-2");
        assert_eq!(json["trigger"], "1");
        assert_eq!(json["brokers"], "h:1");
        assert_eq!(json["blank"], "");
        assert_eq!(json["server.port"], "20033");
    }

    #[test]
    fn java_is_called_as_scdf_calls_it() {
        let app = app(
            &[],
            &[
                ("spring.cloud.deployer.local.javaOpts", "-Da=b -Dc=d"),
                ("spring.cloud.deployer.memory", "512MB"),
                ("spring.cloud.deployer.local.java-home-path.3", "/jdk"),
            ],
        );
        let instance = InstanceId::new("s", "time", 0);
        let defaults = BTreeMap::new();
        let (program, args) =
            launch(&app, &instance, &defaults).command(&Program::Jar("/a.jar".into()), Path::new("/fk"));
        assert_eq!(program, Path::new("/jdk/bin/java"));
        assert_eq!(args, ["-Xmx512m", "-Da=b", "-Dc=d", "-jar", "/a.jar", "--x=1"]);
    }

    #[test]
    fn grace_time_is_read_in_any_spelling() {
        let grace =
            |value| Launch::grace_ms(&app(&[], &[("spring.cloud.deployer.local.shutdownTimeout", value)]));
        assert_eq!((grace("5"), grace("0"), grace("-1"), grace("soon")), (5_000, 0, 0, 30_000));
    }
}
