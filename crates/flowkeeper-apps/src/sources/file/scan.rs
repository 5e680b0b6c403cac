//! Looks for files that are new in a directory.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

use flowkeeper_appkit::task;
use regex::Regex;

use super::absolute;

/// A file that is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FoundFile {
    pub(super) path: PathBuf,
    pub(super) length: u64,
    modified: Option<SystemTime>,
}

/// Which names are read.
#[derive(Debug, Clone)]
pub(super) struct NameFilter(Regex);

impl NameFilter {
    /// `*` stands for any characters, `?` for one.
    pub(super) fn pattern(pattern: &str) -> Result<NameFilter, String> {
        let parts = pattern.chars().map(|c| match c {
            '*' => ".*".to_owned(),
            '?' => ".".to_owned(),
            c => regex::escape(&c.to_string()),
        });
        NameFilter::regex(&parts.collect::<String>())
    }

    /// The whole name must match.
    pub(super) fn regex(text: &str) -> Result<NameFilter, String> {
        Regex::new(&format!(r"\A(?:{text})\z")).map(NameFilter).map_err(|e| {
            e.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
        })
    }

    fn accepts(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

/// Finds the files of a directory, without its subdirectories, in the order of their names.
#[derive(Debug)]
pub(super) struct Scanner {
    directory: PathBuf,
    filters: Vec<NameFilter>,
    prevent_duplicates: bool,
    /// Bounded by the directory: who is gone from there is forgotten here.
    seen: HashMap<PathBuf, Option<SystemTime>>,
}

impl Scanner {
    pub(super) fn new(directory: PathBuf, filters: Vec<NameFilter>, prevent_duplicates: bool) -> Scanner {
        Scanner { directory: absolute(directory), filters, prevent_duplicates, seen: HashMap::new() }
    }

    pub(super) fn prevents_duplicates(&self) -> bool {
        self.prevent_duplicates
    }

    /// The files to read now; `None` while there is no directory.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub(super) async fn scan(&mut self) -> Result<Option<Vec<FoundFile>>, String> {
        let directory = self.directory.clone();
        let listed = task::blocking(move || list(&directory)).await;
        let mut files = match listed {
            Ok(files) => files,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(format!("the directory {} cannot be read: {e}", self.directory.display())),
        };
        files.sort_by(|a, b| a.path.cmp(&b.path));
        self.seen.retain(|path, _| files.iter().any(|f| f.path == *path));
        files.retain(|file| {
            let name = file.path.file_name().map(|n| n.to_string_lossy()).unwrap_or_default();
            self.filters.iter().all(|f| f.accepts(&name)) && self.seen.get(&file.path) != Some(&file.modified)
        });
        Ok(Some(files))
    }

    /// Remembers a file that was read.
    pub(super) fn mark_seen(&mut self, file: FoundFile) {
        if self.prevent_duplicates {
            self.seen.insert(file.path, file.modified);
        }
    }
}

fn list(directory: &Path) -> io::Result<Vec<FoundFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        // A file may go between listing and looking.
        let Ok(metadata) = fs::metadata(&path) else { continue };
        if metadata.is_file() {
            files.push(FoundFile { path, length: metadata.len(), modified: metadata.modified().ok() });
        }
    }
    Ok(files)
}
