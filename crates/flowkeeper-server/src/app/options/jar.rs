//! The metadata in a jar, in the jars within it, or in a folder that is laid out like one.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::Options;
use super::archive::{Archive, Budget};
use super::error::OptionsError;
use super::metadata::Metadata;

/// Where an app keeps its own files: at the top (Maven), or beside its classes (Gradle; a war).
const ROOTS: [&str; 3] = ["", "BOOT-INF/classes/", "WEB-INF/classes/"];
/// Where it keeps the jars it uses.
const LIBRARIES: [&str; 2] = ["BOOT-INF/lib/", "WEB-INF/lib/"];
/// Metadata of all options, written by Spring Boot's annotation processor.
const METADATA: &str = "META-INF/spring-configuration-metadata.json";
/// Which options are for users, ports and groups. All files are read for all of these.
const LISTS: [&str; 3] = [
    "META-INF/dataflow-configuration-metadata.properties",
    "META-INF/dataflow-configuration-port-mapping.properties",
    "META-INF/dataflow-configuration-option-groups.properties",
];

/// The content of a file, if there is one.
type Content = Result<Option<Vec<u8>>, OptionsError>;

/// Largest file of metadata, in bytes.
const MAX_FILE: u64 = 4 << 20;
/// Libraries that are looked into.
const MAX_LIBRARIES: usize = 2_000;

/// Reads the metadata of the jar or folder at `path`. Blocks; for seconds where a jar is large or wicked.
///
/// # Errors
/// When it cannot be read, or is not what it should be.
pub(super) fn read(path: &Path) -> Result<Options, OptionsError> {
    let kind = std::fs::metadata(path)?;
    if kind.is_dir() {
        return read_folder(path);
    }
    if !kind.is_file() {
        return Err(OptionsError::NoFile);
    }
    let budget = Budget::new();
    read_archive(Archive::open(File::open(path)?, budget.clone())?, &budget)
}

/// Reads the metadata of the jar `bytes`.
///
/// # Errors
/// As for a jar on a disk.
pub(super) fn read_bytes(bytes: Vec<u8>) -> Result<Options, OptionsError> {
    let budget = Budget::new();
    read_archive(Archive::of_bytes(bytes, budget.clone())?, &budget)
}

fn read_archive(mut archive: Archive, budget: &Budget) -> Result<Options, OptionsError> {
    let mut found = Metadata::default();
    for root in ROOTS {
        take(&mut found, root, &mut |name| archive.read(name, MAX_FILE))?;
    }
    let libraries: Vec<String> = archive.names().filter(|name| is_library(name)).map(str::to_owned).collect();
    if libraries.len() > MAX_LIBRARIES {
        return Err(OptionsError::Excessive(format!("it has over {MAX_LIBRARIES} libraries")));
    }
    for name in libraries {
        let read = archive.nested(&name).and_then(|nested| match nested {
            Some(mut nested) => take(&mut found, "", &mut |name| nested.read(name, MAX_FILE)),
            None => Ok(()),
        });
        pass_over(&name, read, budget)?;
    }
    Ok(found.into_options())
}

fn read_folder(folder: &Path) -> Result<Options, OptionsError> {
    let mut found = Metadata::default();
    for root in ROOTS {
        take(&mut found, root, &mut |name| read_file(&folder.join(name)))?;
    }
    let budget = Budget::new();
    for libraries in LIBRARIES {
        let entries = std::fs::read_dir(folder.join(libraries)).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "jar") && path.is_file());
        paths.sort();
        for path in paths.into_iter().take(MAX_LIBRARIES) {
            let opened = File::open(&path).map_err(OptionsError::from);
            let read = opened
                .and_then(|file| Archive::open(file, budget.clone()))
                .and_then(|mut library| take(&mut found, "", &mut |name| library.read(name, MAX_FILE)));
            pass_over(&path.display().to_string(), read, &budget)?;
        }
    }
    Ok(found.into_options())
}

/// A broken library costs its own options; one that eats up the budget ends the reading.
fn pass_over(library: &str, read: Result<(), OptionsError>, budget: &Budget) -> Result<(), OptionsError> {
    match read {
        Err(error @ OptionsError::Excessive(_)) => Err(error),
        Err(error) if budget.is_spent() => Err(error),
        Err(error) => {
            tracing::warn!(library, %error, "a library of an app was passed over when looking for options");
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

/// Adds what lies below `root`.
fn take(found: &mut Metadata, root: &str, read: &mut dyn FnMut(&str) -> Content) -> Result<(), OptionsError> {
    let name = format!("{root}{METADATA}");
    if let Some(bytes) = read(&name)? {
        found.add(&name, &bytes)?;
    }
    for name in LISTS {
        if let Some(bytes) = read(&format!("{root}{name}"))? {
            found.lists.read(&bytes);
        }
    }
    Ok(())
}

fn read_file(path: &Path) -> Content {
    if !path.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(OptionsError::TooLarge(format!("{} has over {MAX_FILE} bytes", path.display())));
    }
    Ok(Some(bytes))
}

fn is_library(name: &str) -> bool {
    let file = LIBRARIES.iter().find_map(|folder| name.strip_prefix(folder));
    file.is_some_and(|file| file.ends_with(".jar") && !file.contains('/'))
}

#[cfg(test)]
pub(super) mod tests;
