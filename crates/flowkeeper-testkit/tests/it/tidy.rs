//! Rules of the house that no compiler holds. A test collects all violations, so that one run shows everything.

mod documents;
mod manifests;
mod sources;

use std::fs;
use std::path::{Path, PathBuf};

use flowkeeper_testkit::workspace_root;

/// A text file of the workspace.
#[derive(Debug)]
struct File {
    /// Relative to the workspace, with `/`.
    path: String,
    text: String,
}

impl File {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    /// Folder, and name without `.rs`.
    fn split(&self) -> (&str, &str) {
        let (folder, name) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        (folder, name.trim_end_matches(".rs"))
    }
}

/// Reads one file of the workspace.
fn read(path: &str) -> String {
    let full = workspace_root().join(path);
    fs::read_to_string(&full).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All text files that people write, in the folders that hold code and scripts.
fn files() -> Vec<File> {
    let mut files = Vec::new();
    for folder in ["crates", "fuzz", "peers", ".ci"] {
        walk(&workspace_root().join(folder), &mut files);
    }
    assert!(files.len() > 100, "only {} files found: the walk is broken", files.len());
    files
}

fn rust_files() -> impl Iterator<Item = File> {
    files().into_iter().filter(File::is_rust)
}

fn walk(folder: &Path, files: &mut Vec<File>) {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            // Test data are other people's texts; target folders are nobody's.
            if !["data", "target", "corpus", "artifacts", "__pycache__"].contains(&name.as_str()) {
                walk(&path, files);
            }
        } else if let Ok(text) = fs::read_to_string(&path) {
            let relative = path.strip_prefix(workspace_root()).expect("below the workspace");
            files.push(File { path: relative.to_string_lossy().replace('\\', "/"), text });
        }
    }
}

/// Fails with all violations, if there are any.
fn report(rule: &str, violations: Vec<String>) {
    assert!(violations.is_empty(), "{rule}:\n  {}", violations.join("\n  "));
}
