//! How a Java virtual machine is started: which one, and with what options.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::properties::{Debug, DebugAddress, Java};

/// Options before `-jar`, in SCDF's order: debugger, heap, what the user gave.
pub(super) fn options(java: &Java, index: u32) -> Vec<String> {
    let debug = java.debug.as_ref().map(|debug| {
        let suspend = if debug.suspend { "y" } else { "n" };
        let address = debug.address_of(index);
        format!("-agentlib:jdwp=transport=dt_socket,server=y,suspend={suspend},address={address}")
    });
    let heap = java.heap_mib.map(|mebibytes| format!("-Xmx{mebibytes}m"));
    debug.into_iter().chain(heap).chain(java.options.iter().cloned()).collect()
}

impl Debug {
    /// Where instance `index` waits for a debugger: `[host:]port`.
    pub(crate) fn address_of(&self, index: u32) -> String {
        let DebugAddress { host, port } = &self.address;
        // The sum was checked when the properties were read.
        let port = u64::from(*port) + u64::from(index);
        match host {
            Some(host) => format!("{host}:{port}"),
            None => port.to_string(),
        }
    }
}

/// The `java` program of this node: the command that was asked for, the home that was, `JAVA_HOME`, or what the path has.
///
/// # Errors
/// A sentence, when it is not there or cannot be run.
pub(super) fn program(java: &Java, label: &str, env: &BTreeMap<String, String>) -> Result<PathBuf, String> {
    if let Some(command) = &java.command {
        return find(command, env).ok_or_else(|| {
            format!(
                "there is no program {command} on this node; correct deployer.{label}.local.javaCmd or install it"
            )
        });
    }
    if let Some(home) = &java.home {
        let program = home.join("bin/java");
        return if is_executable(&program) {
            Ok(program)
        } else {
            Err(format!(
                "{} is no program on this node; correct deployer.{label}.local.javaHomePath.{} or install Java there",
                program.display(),
                java.generation
            ))
        };
    }
    let of_env = env.get("JAVA_HOME").map(|home| Path::new(home).join("bin/java"));
    of_env.filter(|program| is_executable(program)).or_else(|| find("java", env)).ok_or_else(|| {
        format!(
            "there is no Java on this node; install one, or say where it is with \
             deployer.{label}.local.javaHomePath.{}",
            java.generation
        )
    })
}

/// The program `command`: itself when it is a path, else the first of that name in the path.
fn find(command: &str, env: &BTreeMap<String, String>) -> Option<PathBuf> {
    if command.contains('/') {
        return Some(PathBuf::from(command)).filter(|program| is_executable(program));
    }
    let folders = env.get("PATH").map(String::as_str).unwrap_or_default();
    std::env::split_paths(folders).map(|folder| folder.join(command)).find(|program| is_executable(program))
}

fn is_executable(program: &Path) -> bool {
    program.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
