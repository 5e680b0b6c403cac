//! `flowkeeper zookeeper export|import|dump|log|fsck`: what is done with a data folder beside serving it.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use flowkeeper_zk::server::tools::{self, Error, Exported, Format, LogRange, LogSource};

use crate::exit::Failure;
use crate::folder;

/// How long a server may take for the next piece of its snapshot.
const PATIENCE: Duration = Duration::from_secs(60);

const SEED_ALL: &str = "For an ensemble, copy the folder version-2 to the dataDir of EVERY member before any of them starts: a member \
                        that starts empty may be elected, and then the others drop what they have.";

/// The subcommands of `flowkeeper zookeeper`.
pub(crate) fn commands() -> Vec<Command> {
    let data = || path_arg("data", "DIR", "The server's data folder; without it ~/.flowkeeper/zookeeper");
    let zxid = |name, help| Arg::new(name).long(name).value_name("ZXID").help(help).value_parser(parse_zxid);
    vec![
        Command::new("export")
            .about("Writes a snapshot that Apache ZooKeeper starts from, sessions included")
            .after_help(SEED_ALL)
            .arg(data())
            .arg(path_arg("to", "DIR", "Folder to write version-2/snapshot.<zxid> into").required(true))
            .arg(
                Arg::new("live")
                    .long("live")
                    .value_name("URL")
                    .help("Take it from a running server's admin address, like http://127.0.0.1:8080")
                    .conflicts_with("data")
                    .requires("auth-file"),
            )
            .arg(path_arg("auth-file", "FILE", "File with user:password of someone who may do everything on / (digest)")),
        Command::new("import")
            .about("Makes a fresh data folder of a stopped Apache ZooKeeper's snapshot and log")
            .arg(path_arg("from", "DIR", "The dataDir of Apache ZooKeeper").required(true))
            .arg(path_arg("log", "DIR", "Its dataLogDir, if it has one").conflicts_with("without-log"))
            .arg(
                Arg::new("without-log")
                    .long("without-log")
                    .action(ArgAction::SetTrue)
                    .help("Take the newest snapshot alone; what was written after it is not in it"),
            )
            .arg(data()),
        Command::new("dump")
            .about("Shows all sessions and nodes in a data folder that no server uses")
            .arg(data())
            .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("One JSON document")),
        Command::new("log")
            .about("Shows who wrote what: zxid, time, session, cxid, type and path of the transactions in the log")
            .arg(data())
            .arg(zxid("from", "First transaction, like 0x1f"))
            .arg(zxid("to", "Last transaction"))
            .arg(Arg::new("path").long("path").value_name("PATH").help("Only what changes this node or one below it")),
        Command::new("fsck")
            .about("Checks every file of a data folder that no server uses; status 1 if something is wrong")
            .arg(data()),
    ]
}

fn path_arg(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help).value_parser(value_parser!(PathBuf))
}

fn parse_zxid(text: &str) -> Result<i64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|_| "a transaction's number is like 31 or 0x1f".to_owned())
}

/// Runs a subcommand; returns the exit code.
///
/// # Errors
/// What went wrong, for the person who typed it.
pub(crate) fn run(name: &str, matches: &ArgMatches, env: &BTreeMap<String, String>) -> Result<i32, Failure> {
    let path = |name: &str| matches.get_one::<PathBuf>(name).map(PathBuf::as_path);
    let data = || match path("data") {
        Some(data) => Ok(data.to_owned()),
        None => folder::default_path("zookeeper", env),
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let answer = match name {
        "export" => {
            let to = path("to").unwrap_or(Path::new("."));
            let (exported, first) = match (matches.get_one::<String>("live"), path("auth-file")) {
                (Some(url), Some(auth)) => {
                    (tools::export_stream(snapshot_of(url, auth)?, to), "stop the old server, ")
                }
                _ => (tools::export(&tools::data_folder(&data()?), to), ""),
            };
            exported.and_then(|exported| tell_exported(&exported, first, &mut out)).map(|()| 0)
        }
        "import" => {
            let log = match path("log") {
                Some(log) => LogSource::Folder(log),
                None if matches.get_flag("without-log") => LogSource::Nowhere,
                None => LogSource::Beside,
            };
            import(path("from").unwrap_or(Path::new(".")), log, &data()?, &mut out)
        }
        "dump" => {
            let format = if matches.get_flag("json") { Format::Json } else { Format::Text };
            tools::dump(&tools::data_folder(&data()?), format, &mut out).map(|()| 0)
        }
        "log" => {
            let range = LogRange {
                from: matches.get_one("from").copied(),
                to: matches.get_one("to").copied(),
                path: matches.get_one::<String>("path").cloned(),
            };
            tools::log(&tools::data_folder(&data()?), &range, &mut out).map(|()| 0)
        }
        _ => tools::fsck(&tools::data_folder(&data()?), &mut out).map(|problems| i32::from(problems > 0)),
    };
    match answer {
        Ok(code) => Ok(code),
        // Whoever read the answer has seen enough.
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
        Err(error) => Err(Failure::failed(error)),
    }
}

/// `first` is what to do before the copy.
fn tell_exported(exported: &Exported, first: &str, out: &mut dyn Write) -> Result<(), Error> {
    let folder = exported.file.parent().unwrap_or(Path::new("."));
    writeln!(
        out,
        "wrote {}: {} nodes and {} sessions after transaction 0x{:x}\n\
         next: {first}copy {} into the empty dataDir of the new one, start that, and give clients its address within \
         their session timeout\n{SEED_ALL}",
        exported.file.display(),
        exported.nodes,
        exported.sessions,
        exported.zxid,
        folder.display()
    )?;
    Ok(out.flush()?)
}

fn import(from: &Path, log: LogSource<'_>, to: &Path, out: &mut dyn Write) -> Result<i32, Error> {
    // A role keeps the server's folder inside its own.
    let imported = tools::import(from, log, &to.join("zookeeper"))?;
    for warning in imported.unreadable.iter().chain(&imported.warnings) {
        writeln!(out, "warning: {warning}")?;
    }
    writeln!(
        out,
        "read {} and {} transactions behind it: {} nodes and {} sessions up to transaction 0x{:x}\n\
         next: flowkeeper zookeeper --data {}",
        imported.snapshot.display(),
        imported.replayed,
        imported.nodes,
        imported.sessions,
        imported.zxid,
        to.display()
    )?;
    out.flush()?;
    Ok(0)
}

/// Asks a running server for its snapshot; what is returned is the body of its answer.
fn snapshot_of(url: &str, auth: &Path) -> Result<impl Read + use<>, Failure> {
    let failed =
        |what: &dyn std::fmt::Display| Failure::failed(format!("cannot get a snapshot from {url}: {what}"));
    let address = url.strip_prefix("http://").unwrap_or(url);
    let address = address.split('/').next().unwrap_or_default();
    if url.starts_with("https://") || !address.contains(':') {
        return Err(failed(&"give the admin address as http://HOST:PORT"));
    }
    let text = std::fs::read_to_string(auth)
        .map_err(|error| failed(&format_args!("{} cannot be read: {error}", auth.display())))?;
    let secret = text.trim();
    let mut socket = TcpStream::connect(address).map_err(|error| failed(&error))?;
    socket.set_read_timeout(Some(PATIENCE)).map_err(|error| failed(&error))?;
    // Version 1.0 has no chunks: the body is what comes until the end.
    let request = format!(
        "GET /commands/snapshot?streaming=true HTTP/1.0\r\nHost: {address}\r\nAuthorization: digest {secret}\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).map_err(|error| failed(&error))?;
    let mut answer = BufReader::new(socket);
    let mut status = String::new();
    answer.read_line(&mut status).map_err(|error| failed(&error))?;
    let mut line = String::new();
    while answer.read_line(&mut line).map_err(|error| failed(&error))? > 0 && !line.trim().is_empty() {
        line.clear();
    }
    if status.split(' ').nth(1) != Some("200") {
        let mut reason = String::new();
        // The status says enough without it.
        let _ = answer.take(300).read_to_string(&mut reason);
        return Err(failed(&format_args!("it answers {} {}", status.trim(), reason.trim())));
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_are_named_in_both_notations() {
        assert_eq!(parse_zxid("0x1f"), Ok(31));
        assert_eq!(parse_zxid("31"), Ok(31));
        assert!(parse_zxid("f").is_err());
    }

    #[test]
    fn the_commands_are_sound() {
        Command::new("zookeeper").subcommands(commands()).debug_assert();
    }
}
