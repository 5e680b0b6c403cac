//! Data Flow's configuration, said in TOML.

use proptest::prelude::*;

use super::*;

fn read(text: &str) -> Result<BTreeMap<String, String>, String> {
    let table: toml::Table = text.parse().expect("TOML");
    let mut values = Vec::new();
    crate::settings::flatten("", table, &mut values)?;
    Ok(translate(values)?.into_iter().collect())
}

#[test]
fn repositories_and_registries_of_data_flow_are_ours() {
    let found = read(
        r#"
        slots = 3
        [maven]
        localRepository = "/srv/m2"
        offline = false
        [maven.remote-repositories.repo2]
        url = "https://two.example/a,b"
        [maven.remote-repositories.repo1]
        url = "https://one.example/maven"
        auth.username = "me@home"
        auth.password = "p,/:w"
        [spring.cloud.dataflow.container]
        default-registry-host = "hub.example"
        [spring.cloud.dataflow.container.registry-configurations.hub]
        registry-host = "hub.example"
        authorization-type = "dockeroauth2"
        user = "u"
        secret = "s&"
        manifest-media-type = "application/vnd.oci.image.manifest.v1+json"
        extra.registryAuthUri = "https://auth.example/token?scope={repository}"
        use-http-proxy = false
        "#,
    )
    .expect("understood");
    assert_eq!(found["slots"], "3");
    assert_eq!(found["maven-local-repository"], "/srv/m2");
    assert_eq!(found["maven-offline"], "false");
    assert_eq!(
        found["maven-repository"],
        "repo1=https://me%40home:p%2C%2F%3Aw@one.example/maven,repo2=https://two.example/a%2Cb,central"
    );
    assert_eq!(
        found["container-registry"],
        "u:s%26@hub.example?authorization-type=dockeroauth2\
         &manifest-media-type=application%2Fvnd%2Eoci%2Eimage%2Emanifest%2Ev1%2Bjson\
         &auth-uri=https%3A%2F%2Fauth%2Eexample%2Ftoken%3Fscope%3D%7Brepository%7D&default=true"
    );
}

#[test]
fn central_goes_when_it_is_told_to() {
    let found = read(
        "\"maven.include-default-remote-repos\" = false\n\"maven.remote-repositories.a.url\" = \"https://a/\"",
    );
    assert_eq!(found.expect("understood")["maven-repository"], "a=https://a/");
    let found =
        read("[spring.cloud.dataflow.container]\ndefault-registry-host = \"h:5000\"").expect("understood");
    assert_eq!(found["container-registry"], "h:5000?default=true");
}

#[test]
fn what_means_nothing_is_refused() {
    for (text, reason) in [
        ("maven.resolve-pom = true", "maven.resolve-pom means nothing here; understood are local-repository"),
        ("maven.offline = true\nmaven-offline = true", "maven-offline is given twice"),
        ("maven.remote-repositories.a.auth.username = \"u\"", "maven.remote-repositories.a has no url"),
        (
            "maven.remote-repositories.a = {url = \"https://u:p@h\", auth.username = \"v\"}",
            "has a user in it",
        ),
        ("maven.remote-repositories.a = {url = \"https://h\", auth.password = \"v\"}", "and no user"),
        ("maven.include-default-remote-repos = false", "use maven.offline"),
        ("maven.include-default-remote-repos = \"no\"", "not true or false"),
        ("listen.x = 1", "listen holds a table"),
        (
            "spring.cloud.dataflow.container.registry-configurations.a.disable-ssl-verification = true",
            "make the registry's certificate known",
        ),
        ("spring.cloud.dataflow.container.registry-configurations.a.user = \"u\"", "has no registry-host"),
        (
            "spring.cloud.dataflow.features.streams-enabled = true",
            "spring.cloud.dataflow.features holds a table",
        ),
    ] {
        let refused = read(text).expect_err(text);
        assert!(refused.contains(reason), "{text}: {refused}");
    }
}

proptest! {
    #[test]
    fn no_name_is_too_strange(name in "[a-zA-Z.<>_-]{0,40}", value in ".{0,20}") {
        for prefix in [MAVEN, CONTAINER, ""] {
            let _ = translate(vec![(format!("{prefix}.{name}"), value.clone())]);
            is_prefix(&format!("{prefix}.{name}"));
        }
    }
}
