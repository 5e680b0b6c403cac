//! Bad input gets one clear sentence and the right exit code, and changes nothing.

use std::net::TcpListener;

use flowkeeper_testkit::dev::run;
use flowkeeper_testkit::http::post_large_form;

use crate::{PROGRAM, System};

#[test]
fn streams_that_cannot_be() {
    let system = System::start();
    let dev = &system.dev;
    let refused = |definition: &str| {
        let ran = dev.run(["stream", "create", "s", "--definition", definition]);
        assert_eq!(ran.code, 2, "{ran:?}");
        ran.stderr
    };
    let error = refused("time | nosuch");
    assert!(error.contains("nosuch"), "{error}");
    let error = refused("time --date-formt=x | log");
    assert!(error.contains("did you mean 'date-format'"), "{error}");
    let error = refused("time | filter --expression=payload.( | log");
    assert!(error.contains("position"), "{error}");
    let error = refused("time | | log");
    assert!(error.contains('^'), "{error}");
    assert_eq!(dev.run(["stream", "list", "-o", "name"]).ok(), "", "nothing was created");
    let odd = dev.run(["stream", "create", "a/b", "--definition", "time | log"]);
    assert_eq!(odd.code, 2, "{odd:?}");
    assert_eq!(dev.run(["stream", "list", "-o", "name"]).ok(), "", "nothing was created");
}

#[test]
fn deployment_properties_with_an_unknown_prefix() {
    let system = System::start();
    let dev = &system.dev;
    dev.run(["stream", "create", "s", "--definition", "time | log"]).ok();
    let file = system.path().join("p.properties");
    std::fs::write(&file, "aap.time.x=1\n").expect("written");
    let path = file.to_str().expect("utf-8");
    let ran = dev.run(["stream", "deploy", "s", "--propertiesFile", path]);
    assert_ne!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("aap.time.x"), "{ran:?}");
    assert!(dev.run(["stream", "list"]).ok().ends_with("\tundeployed\n"), "nothing was deployed");
}

#[test]
fn a_body_over_the_limit() {
    let system = System::start();
    let status = post_large_form(&system.dev.api, "/streams/definitions", 3 << 20).expect("answered");
    assert_eq!(status, 413);
    assert_eq!(system.dev.run(["stream", "list", "-o", "name"]).ok(), "");
}

#[test]
fn a_busy_port_names_its_holder() {
    let home = tempfile::tempdir().expect("folder");
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let addr = taken.local_addr().expect("address").to_string();
    let free = "127.0.0.1:0";
    for key in ["--listen", "--zookeeper-listen", "--broker-listen"] {
        let mut args = vec!["dev"];
        for other in ["--listen", "--zookeeper-listen", "--broker-listen"] {
            args.extend([other, if other == key { &addr } else { free }]);
        }
        let ran = run(PROGRAM, home.path(), &args);
        assert_eq!(ran.code, 1, "{ran:?}");
        let holder = format!("{addr} is in use by process {} (", std::process::id());
        assert!(ran.stderr.contains(&holder) && ran.stderr.contains(key), "{}", ran.stderr);
    }
}

#[test]
fn a_data_folder_in_use_or_of_a_newer_program() {
    let system = System::start();
    let data = system.path().join("data");
    let data = data.to_str().expect("utf-8");
    let args = [
        "dev",
        "--data",
        data,
        "--listen",
        "127.0.0.1:0",
        "--zookeeper-listen",
        "127.0.0.1:0",
        "--broker-listen",
        "127.0.0.1:0",
    ];
    let ran = run(PROGRAM, system.path(), &args);
    assert_eq!(ran.code, 1);
    let holder =
        format!("is in use by process {}; stop that one, or give this one another --data", system.dev.pid());
    assert!(ran.stderr.contains(&holder), "{}", ran.stderr);
    let newer = tempfile::tempdir().expect("folder");
    std::fs::write(newer.path().join("format"), "99\n").expect("written");
    let ran = run(PROGRAM, system.path(), &["dev", "--data", newer.path().to_str().expect("utf-8")]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains("was written by a newer flowkeeper (format 99, this one knows up to 1)"),
        "{}",
        ran.stderr
    );
}

#[test]
fn settings_that_are_none() {
    let home = tempfile::tempdir().expect("folder");
    let ran = run(PROGRAM, home.path(), &["dev", "--listen", "nine"]);
    assert_eq!((ran.code, ran.stderr.contains("'nine' is not an address")), (2, true), "{ran:?}");
    let ran = run(PROGRAM, home.path(), &["dev", "--lisen", "x"]);
    assert_eq!((ran.code, ran.stderr.contains("--listen")), (2, true), "{ran:?}");
    let ran = run(PROGRAM, home.path(), &["server"]);
    assert_eq!((ran.code, ran.stderr.contains("--zookeeper is needed")), (2, true), "{ran:?}");
}

#[test]
fn deployment_properties_of_an_app_that_is_not_there() {
    let system = System::start();
    let dev = &system.dev;
    dev.run(["stream", "create", "s", "--definition", "time | log"]).ok();
    for key in ["app.nosuch.x", "deployer.nosuch.count", "version.nosuch"] {
        let ran = dev.run(["stream", "deploy", "s", "--properties", &format!("{key}=1")]);
        assert_eq!(ran.code, 2, "{ran:?}");
        let sentence =
            format!("the deployment property '{key}' is for no app of the stream: its apps are time, log");
        assert!(ran.stderr.contains(&sentence), "{ran:?}");
    }
    assert!(dev.run(["stream", "list"]).ok().ends_with("\tundeployed\n"), "nothing was deployed");
}
