//! Stands in for the library `testcontainers`: the names of it that the tests inside the crate zookeeper-client use.
//!
//! `Cli::run` starts `$EXTZK_SPAWN ZOO_CFG` on a free loopback port where the library would start a container, so the
//! tests need no container engine. The command gets the Java properties that a test asks for in `SERVER_JVMFLAGS`; it stays
//! in the foreground and ends on SIGTERM.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Mutex;
use std::time::{Duration, Instant};

static SEQ: AtomicU32 = AtomicU32::new(0);

fn free_port() -> u16 {
    // Below the ephemeral range, so that a stopped server can be restarted on its own port.
    loop {
        let p = 24000 + ((std::process::id() * 37 + SEQ.fetch_add(1, Ordering::Relaxed) * 3) % 7000) as u16;
        if TcpListener::bind(("127.0.0.1", p)).is_ok() {
            return p;
        }
    }
}

#[derive(Default, Clone)]
pub struct Image {
    name: String,
    tag: String,
    env: HashMap<String, String>,
    volumes: Vec<(String, String)>,
    network: Option<String>,
}

pub mod images {
    pub mod generic {
        pub struct GenericImage(pub(crate) super::super::Image);
        impl GenericImage {
            pub fn new(name: impl Into<String>, tag: impl Into<String>) -> Self {
                GenericImage(super::super::Image { name: name.into(), tag: tag.into(), ..Default::default() })
            }
            pub fn with_env_var(mut self, k: impl Into<String>, v: impl Into<String>) -> Self {
                self.0.env.insert(k.into(), v.into());
                self
            }
            pub fn with_healthcheck(self, _: super::super::core::Healthcheck) -> Self {
                self
            }
            pub fn with_wait_for(self, _: super::super::core::WaitFor) -> Self {
                self
            }
        }
    }
}

pub mod core {
    use super::*;
    use std::marker::PhantomData;

    #[derive(Default)]
    pub struct Healthcheck;
    impl Healthcheck {
        pub fn with_cmd<T>(self, _: impl IntoIterator<Item = T>) -> Self {
            self
        }
        pub fn with_interval(self, _: Duration) -> Self {
            self
        }
        pub fn with_retries(self, _: u32) -> Self {
            self
        }
    }
    pub enum WaitFor {
        Healthcheck,
    }

    pub struct RunnableImage<I>(pub(crate) Image, PhantomData<I>);
    impl From<images::generic::GenericImage> for RunnableImage<images::generic::GenericImage> {
        fn from(i: images::generic::GenericImage) -> Self {
            RunnableImage(i.0, PhantomData)
        }
    }
    impl<I> RunnableImage<I> {
        pub fn with_volume<A: Into<String>, B: Into<String>>(mut self, v: (A, B)) -> Self {
            self.0.volumes.push((v.0.into(), v.1.into()));
            self
        }
        pub fn with_network(mut self, n: impl Into<String>) -> Self {
            self.0.network = Some(n.into());
            self
        }
    }

    pub struct LogStream(std::io::Empty);
    impl Read for LogStream {
        fn read(&mut self, b: &mut [u8]) -> std::io::Result<usize> {
            self.0.read(b)
        }
    }
    impl LogStream {
        pub fn wait_for_message(self, _: &str) -> Result<(), String> {
            std::thread::sleep(Duration::from_secs(8));
            Ok(())
        }
    }

    pub struct Container<'a, I> {
        pub(crate) dir: PathBuf,
        pub(crate) port: u16,
        pub(crate) cfg: PathBuf,
        pub(crate) env: HashMap<String, String>,
        pub(crate) child: Mutex<Option<Child>>,
        pub(crate) ready_word: bool,
        pub(crate) _p: PhantomData<(&'a (), I)>,
    }

    impl<I> Container<'_, I> {
        pub fn get_host_port(&self, _internal: u16) -> u16 {
            self.port
        }
        pub fn stdout(&self) -> LogStream {
            LogStream(std::io::empty())
        }
        pub fn stop(&self) {
            if let Some(mut c) = self.child.lock().unwrap().take() {
                let _ = Command::new("kill").arg(c.id().to_string()).status();
                let t = Instant::now();
                while c.try_wait().ok().flatten().is_none() {
                    if t.elapsed() > Duration::from_secs(10) {
                        let _ = c.kill();
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        }
        pub fn start(&self) {
            let cmd = std::env::var("EXTZK_SPAWN").expect("EXTZK_SPAWN is not set");
            let log = std::fs::OpenOptions::new().create(true).append(true).open(self.dir.join("log")).unwrap();
            let child = Command::new(cmd)
                .arg(&self.cfg)
                .env("EXTZK_PORT", self.port.to_string())
                .envs(&self.env)
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .spawn()
                .expect("EXTZK_SPAWN");
            *self.child.lock().unwrap() = Some(child);
            let t = Instant::now();
            while !self.ready() {
                if let Some(c) = self.child.lock().unwrap().as_mut() {
                    if let Ok(Some(s)) = c.try_wait() {
                        panic!("server ended with {s}, see {}", self.dir.join("log").display());
                    }
                }
                assert!(t.elapsed() < Duration::from_secs(60), "server not ready on {}", self.port);
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        fn ready(&self) -> bool {
            let Ok(mut s) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
            if !self.ready_word {
                return true; // a TLS port: being able to connect is all we can ask
            }
            let _ = s.set_read_timeout(Some(Duration::from_millis(500)));
            let mut b = vec![];
            s.write_all(b"srvr").is_ok() && s.read_to_end(&mut b).is_ok() && String::from_utf8_lossy(&b).contains("Mode:")
        }
    }
    impl<I> Drop for Container<'_, I> {
        fn drop(&mut self) {
            self.stop();
            if !std::thread::panicking() {
                let _ = std::fs::remove_dir_all(&self.dir);
            }
        }
    }
}

pub mod clients {
    use super::*;

    #[derive(Default)]
    pub struct Cli;

    impl Cli {
        pub fn run<I>(&self, image: super::core::RunnableImage<I>) -> super::core::Container<'_, I> {
            let im = image.0;
            assert_eq!(im.name, "zookeeper");
            if im.network.as_deref() == Some("host") {
                panic!("extzk: ensembles are not supported by this stand-in");
            }
            if im.tag.starts_with("3.3") || im.tag.starts_with("3.4") {
                panic!("extzk: release {} is not available", im.tag);
            }
            let port = free_port();
            let dir = std::env::temp_dir().join(format!("extzk-{}-{port}", std::process::id()));
            std::fs::create_dir_all(dir.join("data")).unwrap();
            let mut cfg = "dataDir=/data\nclientPort=2181\ntickTime=2000\n4lw.commands.whitelist=*\n".to_string();
            for (host, inside) in &im.volumes {
                if inside == "/conf/zoo.cfg" {
                    cfg = std::fs::read_to_string(host).unwrap();
                }
            }
            if !cfg.contains("tickTime") {
                cfg += "tickTime=2000\n";
            }
            let mut out = String::new();
            for line in cfg.lines() {
                let mut l = line.to_string();
                for (host, inside) in &im.volumes {
                    l = l.replace(inside.as_str(), host);
                }
                l = l.replace("=/data", &format!("={}", dir.join("data").display()));
                l = l.replace("lientPort=2181", &format!("lientPort={port}"));
                out += &l;
                out.push('\n');
            }
            out += "admin.enableServer=false\nmaxClientCnxns=0\n";
            if !out.contains("4lw.commands.whitelist") {
                out += "4lw.commands.whitelist=*\n";
            }
            let path = dir.join("zoo.cfg");
            std::fs::write(&path, &out).unwrap();
            let mut env = im.env.clone();
            if let Some(f) = env.get_mut("SERVER_JVMFLAGS") {
                for (host, inside) in &im.volumes {
                    *f = f.replace(inside.as_str(), host);
                }
            }
            let c = super::core::Container {
                dir,
                port,
                cfg: path,
                env,
                child: Mutex::new(None),
                ready_word: !out.contains("secureClientPort"),
                _p: std::marker::PhantomData,
            };
            c.start();
            c
        }
    }
}
