//! What differs from SCDF on purpose, and what goes wrong; the recorded vectors cover the rest.

use flowkeeper_dsl::parse;

use super::*;

fn properties(pairs: &[(&str, &str)]) -> Properties {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn registration(name: &str, app_type: AppType) -> Registration {
    Registration { name: name.to_owned(), app_type, boot_version: "3".to_owned(), properties: Vec::new() }
}

/// Requests for `text` with `time` and `log` registered.
fn deploy(text: &str, given: &[(&str, &str)]) -> Result<Vec<AppRequest>, Error> {
    let registrations = [registration("time", AppType::Source), registration("log", AppType::Sink)];
    let none = Properties::new();
    let context = Context {
        platform_type: "local",
        stream_properties: &none,
        resource_defaults: &none,
        server_properties: &none,
        registrations: &registrations,
    };
    deploy_requests(&parse(Some("s"), text).expect(text), &properties(given), &context)
}

#[test]
fn a_key_that_only_starts_with_the_registered_name_is_nobodys_property() {
    let requests =
        deploy("t: time | log", &[("timezone", "UTC"), ("time.x", "1"), ("app.time.y", "2")]).unwrap();
    let written = ["zone", ".x", "y"];
    assert!(written.iter().all(|key| !requests[1].application_properties.contains_key(*key)));
}

#[test]
fn a_version_belongs_to_one_label() {
    let requests = deploy("time | log", &[("version.logger", "2"), ("version.time", "1")]).unwrap();
    assert_eq!((requests[0].label.as_str(), &requests[0].version), ("log", &None));
    assert_eq!(requests[1].version.as_deref(), Some("1"));
}

#[test]
fn a_count_is_a_whole_number() {
    for count in ["", "x", "-1", "1.5", "3000000000"] {
        let error = deploy("time | log", &[("deployer.log.count", count)]).unwrap_err();
        assert_eq!(error, Error::InvalidCount { label: "log".to_owned(), count: count.to_owned() });
    }
    assert!(deploy("time | log", &[("deployer.*.count", "0")]).is_ok());
}

#[test]
fn an_app_must_be_registered_in_the_part_it_plays() {
    let error = deploy("log | time", &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no application 'time' of type 'sink' exists in the registry: register it first"
    );
}

#[test]
fn an_extractor_class_partitions_too() {
    let given = [("app.time.producer.partitionKeyExtractorClass", "X"), ("deployer.log.count", "2")];
    let requests = deploy("time | log", &given).unwrap();
    assert_eq!(requests[0].deployment_properties["spring.cloud.deployer.indexed"], "true");
    let count = "spring.cloud.stream.bindings.output.producer.partitionCount";
    assert_eq!(requests[1].application_properties[count], "2");
}

#[test]
fn what_is_given_beats_what_is_written_under_any_name() {
    let full = KnownProperty { id: "time.fixed-delay".into(), name: "fixed-delay".into(), visible: true };
    let mut source = registration("time", AppType::Source);
    source.properties.push(full);
    let registrations = [source, registration("log", AppType::Sink)];
    let none = Properties::new();
    let context = Context {
        platform_type: "unknown",
        stream_properties: &none,
        resource_defaults: &none,
        server_properties: &none,
        registrations: &registrations,
    };
    let definition = parse(Some("s"), "time --time.fixed-delay=1 --fixedDelay=2 | log").unwrap();
    for key in ["app.time.fixedDelay", "app.time.fixed-delay", "app.time.time.fixed-delay"] {
        let requests = deploy_requests(&definition, &properties(&[(key, "3")]), &context).unwrap();
        assert_eq!(requests[1].application_properties["time.fixed-delay"], "3", "{key}");
    }
}

#[test]
fn cloud_foundry_has_defaults_by_boot_version() {
    let registrations = [registration("time", AppType::App)];
    let none = Properties::new();
    let server = properties(&[("spring.cloud.dataflow.defaults.boot3.cloudfoundry.buildpack", "java17")]);
    let context = Context {
        platform_type: "cloudfoundry",
        stream_properties: &none,
        resource_defaults: &none,
        server_properties: &server,
        registrations: &registrations,
    };
    let requests = deploy_requests(&parse(Some("s"), "time").unwrap(), &none, &context).unwrap();
    let deployer = &requests[0].deployment_properties;
    assert_eq!(deployer["spring.cloud.deployer.cloudfoundry.buildpack"], "java17");
    assert_eq!(
        deployer["spring.cloud.deployer.cloudfoundry.env.JBP_CONFIG_OPEN_JDK_JRE"],
        "{jre: {version: 17.+}}"
    );
}
