//! What instances are started with, property by property.

use super::*;
use crate::properties::Port;

const LOCAL: &str = "spring.cloud.deployer.local.";

fn app(props: &[(&str, &str)], deployer: &[(&str, &str)]) -> ManifestApp {
    let own =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    ManifestApp {
        label: "time".into(),
        kind: "source".into(),
        since: 0,
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

/// The node of these tests: it has a Java in its path.
struct Node {
    _folder: tempfile::TempDir,
    java: PathBuf,
    env: BTreeMap<String, String>,
}

fn node() -> Node {
    let folder = tempfile::tempdir().expect("folder");
    let java = install(folder.path());
    let env = BTreeMap::from(
        [
            ("PATH", java.parent().expect("a folder").to_str().expect("text")),
            ("LC_ALL", "C"),
            ("SECRET", "x"),
            ("SPRING_APPLICATION_JSON", "{}"),
            ("MY_TOKEN", "t"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    Node { _folder: folder, java, env }
}

/// Makes a program `bin/java` below `home`.
fn install(home: &Path) -> PathBuf {
    let java = home.join("bin/java");
    std::fs::create_dir_all(home.join("bin")).expect("folder");
    std::fs::write(&java, "#!/bin/sh\n").expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&java, mode).expect("permissions");
    java
}

/// What instance 2 of release 3 is started with.
fn launched<T>(app: &ManifestApp, node: &Node, look: impl FnOnce(Launch<'_>) -> T) -> T {
    let instance = InstanceId::new("tick", "time", 3, 2);
    let defaults =
        [("brokers", "h:1"), ("trigger", "0")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let asked = DeployerProperties::read(app).expect("readable");
    look(Launch {
        instance: &instance,
        app,
        asked: &asked,
        uid: "1f",
        term: 9,
        port: if asked.port == Port::Nothing { None } else { Some(20_033) },
        defaults: &BTreeMap::from(defaults),
        inherited: &node.env,
    })
}

fn environment(props: &[(&str, &str)], deployer: &[(&str, &str)]) -> BTreeMap<String, String> {
    launched(&app(props, deployer), &node(), |launch| launch.environment())
}

fn properties(env: &BTreeMap<String, String>) -> Value {
    serde_json::from_str(&env[APPLICATION_JSON]).expect("json")
}

/// The options that Java gets for `deployer`.
fn java_options(deployer: &[(&str, &str)]) -> Vec<String> {
    let args = launched(&app(&[], deployer), &node(), |launch| {
        launch.command(&Program::Jar("/a.jar".into()), Path::new("/fk")).expect("java is there").1
    });
    let end = args.iter().position(|arg| arg == "-jar").expect("a jar");
    assert_eq!(args[end..], ["-jar", "/a.jar", "--x=1"]);
    args[..end].to_vec()
}

#[test]
fn an_app_learns_who_it_is() {
    let env = environment(&[("trigger", "1"), ("blank", r#"\"\""#)], &[]);
    assert!(env.contains_key("PATH") && env.contains_key("LC_ALL") && !env.contains_key("SECRET"));
    assert_eq!(env["FLOWKEEPER_FENCE_TERM"], "9");
    assert_eq!(env["INSTANCE_INDEX"], "2");
    let json = properties(&env);
    for (name, value) in [
        ("spring.cloud.application.guid", "tick.time-v3-2"),
        ("spring.cloud.application.group", "tick"),
        ("spring.jmx.default-domain", "tick.time-v3"),
        ("spring.cloud.stream.instanceIndex", "2"),
        ("instance.index", "2"),
        ("spring.application.index", "2"),
        ("endpoints.shutdown.enabled", "true"),
        ("endpoints.jmx.unique-names", "true"),
        ("trigger", "1"),
        ("brokers", "h:1"),
        ("blank", ""),
        ("server.port", "20033"),
    ] {
        assert_eq!(json[name], value, "{name}");
    }
}

#[test]
fn an_app_may_refuse_what_it_is_given_by_default() {
    let env = environment(&[("endpoints.shutdown.enabled", "false"), ("server.port", "-1")], &[]);
    assert_eq!(properties(&env)["endpoints.shutdown.enabled"], "false");
    assert_eq!(properties(&env)["server.port"], "-1");
}

#[test]
fn json_given_as_a_property_is_merged_and_wins() {
    let given = r#"{"trigger":"7","a":{"b":[1,{"c":null}]},"spring.application.index":"5"}"#;
    let json = properties(&environment(&[("trigger", "1"), (APPLICATION_JSON, given)], &[]));
    assert_eq!(json["trigger"], "7");
    assert_eq!(json["a.b[0]"], 1);
    assert_eq!(json["a.b[1].c"], Value::Null);
    assert_eq!(json["spring.application.index"], "5");
    assert_eq!(json.get(APPLICATION_JSON), None);
}

#[test]
fn properties_may_come_as_variables_of_their_names() {
    let switch = format!("{LOCAL}useSpringApplicationJson");
    let env = environment(&[("trigger", "1")], &[(&switch, "false")]);
    assert_eq!(env["trigger"], "1");
    assert_eq!(env["server.port"], "20033");
    assert_eq!(env["SPRING_CLOUD_APPLICATION_GUID"], "tick.time-v3-2");
    assert_eq!(env["SPRING_APPLICATION_INDEX"], "2");
    // Inherited, as in SCDF, where none of ours is in its place.
    assert_eq!(env[APPLICATION_JSON], "{}");
    // The mere presence of this app property brings JSON back.
    let asked = ("spring.cloud.deployer.local.use-spring-application-json", "false");
    assert_eq!(properties(&environment(&[asked], &[(&switch, "false")]))["server.port"], "20033");
}

#[test]
fn only_variables_that_match_as_a_whole_are_inherited() {
    let key = format!("{LOCAL}env-vars-to-inherit");
    let inherits = |patterns: &str| {
        let env = environment(&[], &[(&key, patterns)]);
        ["PATH", "LC_ALL", "SECRET", "MY_TOKEN"].map(|name| env.contains_key(name))
    };
    assert_eq!(inherits("SECRET, MY_.*"), [false, false, true, true]);
    assert_eq!(inherits("MY|LC_ALL|SEC"), [false, true, false, false]);
    assert_eq!(inherits(""), [true, true, false, false]);
}

#[test]
fn credentials_of_the_administrator_reach_the_app() {
    let (user, password) = (format!("{LOCAL}appAdmin.user"), format!("{LOCAL}app-admin.password"));
    let json = properties(&environment(&[], &[(&user, "root"), (&password, "s3cret")]));
    assert_eq!(json["spring.cloud.streamapp.security.admin-user"], "root");
    assert_eq!(json["spring.cloud.streamapp.security.admin-password"], "s3cret");
}

#[test]
fn java_gets_debugger_heap_and_options_in_this_order() {
    let (opts, address) = (format!("{LOCAL}javaOpts"), format!("{LOCAL}DEBUG_ADDRESS"));
    let memory = ("spring.cloud.deployer.memory", "1g");
    assert_eq!(
        java_options(&[(&opts, "-Da='b c' -Dd=e"), memory, (&address, "*:5005")]),
        [
            "-agentlib:jdwp=transport=dt_socket,server=y,suspend=y,address=*:5007",
            "-Xmx1024m",
            "-Da=b c",
            "-Dd=e"
        ]
    );
    assert_eq!(java_options(&[memory, (&opts, "-Xmx99m")]), ["-Xmx99m"]);
    assert_eq!(java_options(&[]), [""; 0]);
    let (port, suspend) = (format!("{LOCAL}debugPort"), format!("{LOCAL}debug-suspend"));
    assert_eq!(
        java_options(&[(&port, "8000"), (&suspend, "n")]),
        ["-agentlib:jdwp=transport=dt_socket,server=y,suspend=n,address=8002"]
    );
}

#[test]
fn java_is_the_one_that_was_asked_for_or_is_found() {
    let node = node();
    let other = tempfile::tempdir().expect("folder");
    let java_of_other = install(other.path());
    let program = |deployer: &[(&str, &str)]| {
        launched(&app(&[], deployer), &node, |launch| {
            launch.command(&Program::Jar("/a.jar".into()), Path::new("/fk")).map(|(program, _)| program)
        })
    };
    let home = other.path().to_str().expect("text");
    let (home_3, home_2) = (format!("{LOCAL}javaHomePath.3"), format!("{LOCAL}java-home-path[2]"));
    assert_eq!(program(&[]), Ok(node.java.clone()));
    assert_eq!(program(&[(&home_3, home)]), Ok(java_of_other.clone()));
    assert_eq!(program(&[(&home_2, home)]), Ok(node.java.clone()));
    let boot_2 = ("spring.cloud.deployer.bootVersion", "2");
    assert_eq!(program(&[(&home_2, home), boot_2]), Ok(java_of_other.clone()));
    let command = format!("{LOCAL}javaCmd");
    assert_eq!(program(&[(&command, "java"), (&home_3, home)]), Ok(java_of_other.clone()));
    assert_eq!(program(&[(&command, java_of_other.to_str().expect("text"))]), Ok(java_of_other.clone()));
    let missing = program(&[(&home_3, "/none")]).expect_err("no Java there");
    assert!(
        missing.starts_with("/none/bin/java is no program on this node; correct deployer.time.local."),
        "{missing}"
    );
    assert!(program(&[(&command, "javvva")]).is_err_and(|error| error.contains("javaCmd")));
    let bare = Node { env: BTreeMap::new(), ..self::node() };
    let none = launched(&app(&[], &[]), &bare, |launch| {
        launch.command(&Program::Jar("/a.jar".into()), Path::new("/fk"))
    });
    assert!(none.is_err_and(|error| error.starts_with("there is no Java on this node; install one")));
}

#[test]
fn the_generation_of_boot_may_come_as_an_argument() {
    for (arg, generation) in [
        ("--spring.cloud.deployer.bootVersion=2", "2"),
        ("--spring.cloud.deployer.boot-version=2", "2"),
        ("--spring.cloud.deployer.boot=2", "3"),
    ] {
        let app = ManifestApp { args: vec![arg.to_owned()], ..app(&[], &[]) };
        assert_eq!(DeployerProperties::read(&app).expect("readable").java.generation, generation, "{arg}");
    }
}

#[test]
fn programs_that_are_not_java_get_their_arguments_alone() {
    let key = format!("{LOCAL}javaOpts");
    let app = app(&[], &[(&key, "-Da=b")]);
    let command = |program: &Program| {
        launched(&app, &node(), |launch| launch.command(program, Path::new("/fk")).expect("no Java needed"))
    };
    let bundled = Program::Bundled { kind: "source".into(), name: "time".into() };
    assert_eq!(
        command(&bundled),
        ("/fk".into(), ["run-app", "source", "time", "--x=1"].map(str::to_owned).to_vec())
    );
    assert_eq!(command(&Program::Executable("/x".into())), ("/x".into(), vec!["--x=1".to_owned()]));
}

#[test]
fn a_fixed_port_is_found_wherever_it_was_given() {
    let fixed = |props: &[(&str, &str)]| Launch::fixed_port(&app(props, &[]));
    assert_eq!(fixed(&[("server.port", "9000")]), Some(9_000));
    assert_eq!(fixed(&[(APPLICATION_JSON, r#"{"server":{"port":9001}}"#)]), Some(9_001));
    assert_eq!(
        (fixed(&[]), fixed(&[("server.port", "0")]), fixed(&[("server.port", "x")])),
        (None, None, None)
    );
}
