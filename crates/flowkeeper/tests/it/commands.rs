//! Commands: what they print, in every form, and how they exit.

use crate::System;

#[test]
fn bundled_apps_are_registered_with_their_options() {
    let system = System::start();
    let dev = &system.dev;
    let names = dev.run(["app", "list", "-o", "name"]).ok();
    let mut names: Vec<_> = names.lines().collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "processor:bridge",
            "processor:filter",
            "processor:splitter",
            "processor:transform",
            "sink:file",
            "sink:log",
            "source:file",
            "source:http",
            "source:time"
        ]
    );
    let info = dev.run(["app", "info", "--name", "http", "--type", "source"]).ok();
    assert!(info.starts_with("Information about source application 'http':"), "{info}");
    let option =
        info.lines().find(|line| line.starts_with("http.supplier.path-pattern\t")).expect("the option");
    let cells: Vec<_> = option.split('\t').collect();
    assert_eq!((cells.len(), cells[2], cells[3]), (4, "/", "java.lang.String"), "{option}");
}

#[test]
fn streams_are_listed_in_every_form() {
    let system = System::start();
    let dev = &system.dev;
    assert_eq!(
        dev.run(["stream", "create", "--name", "s", "--definition", "time | log"]).ok(),
        "Created new stream 's'\n"
    );
    assert_eq!(dev.run(["stream", "list"]).ok(), "s\t\ttime | log\tundeployed\n");
    assert_eq!(dev.run(["stream", "list", "-o", "name"]).ok(), "s\n");
    let json: serde_json::Value =
        serde_json::from_str(&dev.run(["stream", "list", "-o", "json"]).ok()).expect("json");
    assert_eq!((&json[0]["name"], &json[0]["status"]), (&"s".into(), &"undeployed".into()));
    let yaml = dev.run(["stream", "list", "-o", "yaml"]).ok();
    assert!(yaml.contains("name: s\n"), "{yaml}");
    let valid = dev.run(["stream", "validate", "s"]).ok();
    assert!(valid.contains("source:time\tvalid") && valid.contains("s is a valid stream."), "{valid}");
}

#[test]
fn apps_are_registered_imported_defaulted_and_unregistered() {
    let system = System::start();
    let dev = &system.dev;
    let list = system.path().join("apps.properties");
    std::fs::write(&list, "sink.x=file:///apps/x-1.0.0.jar\nsink.y=file:///apps/y-1.0.0.jar\n")
        .expect("written");
    let imported = dev.run([std::ffi::OsStr::new("app"), "import".as_ref(), list.as_os_str()]).ok();
    assert!(imported.starts_with("Successfully registered 2 applications"), "{imported}");
    let registered =
        dev.run(["app", "register", "--name", "x", "--type", "sink", "--uri", "file:///apps/x-2.0.0.jar"]);
    assert_eq!(registered.ok(), "Successfully registered application 'sink:x'\n");
    assert_eq!(
        dev.run(["app", "default", "sink:x", "--version", "2.0.0"]).ok(),
        "New default Application sink:x:2.0.0\n"
    );
    let versions = dev.run(["app", "list", "sink:x"]).ok();
    assert!(versions.contains("1.0.0\t\t") && versions.contains("2.0.0\tyes"), "{versions}");
    let gone = dev.run(["app", "unregister", "x", "--type", "sink", "--version", "1.0.0"]).ok();
    assert_eq!(gone, "Successfully unregistered application 'x' with type 'sink'.\n");
    system.deploy("s", "time | log");
    dev.run(["app", "all", "unregister"]).ok();
    let left = dev.run(["app", "list", "-o", "name"]).ok();
    let mut left: Vec<_> = left.lines().collect();
    left.sort_unstable();
    assert_eq!(left, ["sink:log", "source:time"], "what a deployed stream uses stays");
}

#[test]
fn exit_codes_tell_what_happened() {
    let system = System::start();
    let dev = &system.dev;
    let code = |args: &[&str]| dev.run(args).code;
    dev.run(["stream", "create", "s", "--definition", "time | log"]).ok();
    assert_eq!(code(&["stream", "info", "none"]), 3);
    assert_eq!(code(&["app", "info", "none", "--type", "source"]), 3);
    assert_eq!(code(&["stream", "create", "s", "--definition", "time | log"]), 4);
    assert_eq!(code(&["stream", "create", "t", "--definition", "time |"]), 2);
    assert_eq!(code(&["stream", "create"]), 2);
    assert_eq!(code(&["strem"]), 2);
    assert_eq!(code(&["stream", "list", "--server", "http://127.0.0.1:1"]), 6);
    assert_eq!(code(&["stream", "all", "destroy"]), 2, "no terminal to ask on");
    assert_eq!(code(&["stream", "all", "destroy", "--force"]), 0);
    assert_eq!(dev.run(["stream", "list", "-o", "name"]).ok(), "");
}
