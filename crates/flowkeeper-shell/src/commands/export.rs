//! `export`: everything as a file that can be applied on another server.

use std::fs::{OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};

use clap::{ArgMatches, Command};
use flowkeeper_api::Client;

use super::application::{file, print_documents, secrets_flag};
use super::{option, text};
use crate::exit::Failure;
use crate::ui::Ui;

pub(super) fn command() -> Command {
    Command::new("export")
        .about("Prints registered apps, stream applications and streams as a file for 'application apply'")
        .arg(option("file", "FILE", "Where to write it; standard output if not given").short('f'))
        .arg(secrets_flag())
}

pub(super) async fn run(matches: &ArgMatches, client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let documents = client.export(None, matches.get_flag("secrets")).await?;
    let Some(path) = text(matches, "file") else { return print_documents(ui, &documents) };
    write(path, &file::print(&documents)?, matches.get_flag("secrets"))
        .map_err(|error| Failure::failed(format!("{path} cannot be written: {error}; check the path")))?;
    ui.done(&format!("Wrote {} documents to {path}", documents.len()), path);
    Ok(())
}

/// Mode of a file with secrets: for its owner alone.
const PRIVATE: u32 = 0o600;

/// Writes a file; one with secrets is readable for its owner alone, from before there is anything in it.
fn write(path: &str, text: &str, has_secrets: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    if has_secrets {
        options.mode(PRIVATE);
    }
    let mut file = options.open(path)?;
    // A file that was there keeps its mode when it is opened. What is no file, such as a pipe, stays as it is.
    if has_secrets && file.metadata()?.is_file() {
        file.set_permissions(Permissions::from_mode(PRIVATE))?;
    }
    file.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_for_the_owner_alone() {
        let folder = std::env::temp_dir().join(format!("flowkeeper-export-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let mode = |path: &str| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for (name, old) in [("new", None), ("old", Some(0o644))] {
            let path = folder.join(name).display().to_string();
            if let Some(old) = old {
                std::fs::write(&path, "a longer text").unwrap();
                std::fs::set_permissions(&path, Permissions::from_mode(old)).unwrap();
            }
            write(&path, "text", true).unwrap();
            assert_eq!((mode(&path), std::fs::read_to_string(&path).unwrap().as_str()), (0o600, "text"));
        }
        let path = folder.join("open").display().to_string();
        std::fs::write(&path, "").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        write(&path, "text", false).unwrap();
        assert_eq!(mode(&path), 0o640);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
