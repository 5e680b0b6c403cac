//! A network namespace for a node: its line is cut in the kernel, as by a dead switch, and not in a proxy.
//!
//! The node keeps a loopback interface of its own and one line, a pair of virtual interfaces, to the machine. Needs root and
//! the program `ip`; where either is missing there is none.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, Stdio};

/// A namespace with its line. Dropping it removes both, once the last process in it has ended.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    /// The machine's end of the line.
    outside: String,
    host: Ipv4Addr,
}

impl Namespace {
    /// A namespace whose line is up. `number` tells it from others of this process. `None`: this machine allows none.
    pub fn new(number: u8) -> Option<Namespace> {
        let own = std::process::id();
        let (name, outside, inside) =
            (format!("fk-{own}-{number}"), format!("fk{own}h{number}"), format!("fk{own}n{number}"));
        // Addresses for tests of networks (RFC 2544): nobody routes them.
        let (host, node) = (Ipv4Addr::new(198, 18, number, 1), Ipv4Addr::new(198, 18, number, 2));
        ip(&["netns", "add", &name])?;
        let namespace = Namespace { name, outside, host };
        let Namespace { name, outside, .. } = &namespace;
        ip(&["-n", name, "link", "set", "lo", "up"])?;
        ip(&["link", "add", outside, "type", "veth", "peer", "name", &inside, "netns", name])?;
        ip(&["addr", "add", &format!("{host}/30"), "dev", outside])?;
        ip(&["-n", name, "addr", "add", &format!("{node}/30"), "dev", &inside])?;
        ip(&["link", "set", outside, "up"])?;
        ip(&["-n", name, "link", "set", &inside, "up"])?;
        Some(namespace)
    }

    /// Where the node finds the machine.
    pub fn host(&self) -> IpAddr {
        self.host.into()
    }

    /// Runs `program` in it; the process that is started becomes the program.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/var/run/netns/{}", self.name)).arg("--").arg(program);
        command
    }

    /// Takes the line down, or up again. Nobody is told: packets are lost.
    pub fn unplug(&self, is_unplugged: bool) {
        let how = if is_unplugged { "down" } else { "up" };
        ip(&["link", "set", &self.outside, how]).expect("what was set up can be set");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // Whatever of it was never made cannot be removed.
        let _ = ip(&["link", "delete", &self.outside]);
        let _ = ip(&["netns", "delete", &self.name]);
    }
}

/// Runs `ip`; `None` when it is not there or refuses.
fn ip(args: &[&str]) -> Option<()> {
    let status = Command::new("ip").args(args).stdin(Stdio::null()).stderr(Stdio::null()).status().ok()?;
    status.success().then_some(())
}
