//! Where programs and their metadata come from, as the settings say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use flowkeeper_deploy::artifact::{Artifacts, Repositories, Repository};
use flowkeeper_server::app::options::container::{Registries, Registry};

use crate::exit::Failure;
use crate::settings::Settings;

/// What fetches programs into a cache below `data`.
///
/// # Errors
/// When a repository is described wrongly, or nothing can be fetched at all.
pub(super) fn artifacts(
    settings: &Settings,
    env: &BTreeMap<String, String>,
    data: &Path,
) -> Result<Artifacts, Failure> {
    let wrong = |reason| Failure::usage(format!("--maven-repository: {reason}"));
    let remote = settings.list("maven-repository").map(Repository::parse);
    let remote: Vec<Repository> = remote.collect::<Result<_, _>>().map_err(wrong)?;
    let mut ids: Vec<&str> = remote.iter().map(Repository::id).collect();
    ids.sort_unstable();
    if let Some(twice) = ids.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(wrong(format!(
            "two repositories have the id '{}'; write ID=URL for one of them",
            twice[0]
        )));
    }
    let repositories = Repositories {
        local: local_repository(settings, env),
        remote,
        is_offline: settings.is_on("maven-offline"),
    };
    Artifacts::new(data.join("artifacts"), repositories).map_err(Failure::failed)
}

/// How container registries are asked.
///
/// # Errors
/// When one is described wrongly.
pub(super) fn registries(settings: &Settings) -> Result<Registries, Failure> {
    let registries = settings.list("container-registry").map(Registry::parse).collect::<Result<_, _>>();
    let registries =
        registries.map_err(|reason| Failure::usage(format!("--container-registry: {reason}")))?;
    Ok(Registries::new(registries))
}

/// Maven's own folder: what the setting says, else where Maven keeps it.
fn local_repository(settings: &Settings, env: &BTreeMap<String, String>) -> Option<PathBuf> {
    settings.path("maven-local-repository").or_else(|| {
        let home = env.get("HOME").filter(|home| !home.is_empty())?;
        Some(Path::new(home).join(".m2/repository"))
    })
}
