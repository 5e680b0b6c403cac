//! `flowkeeper dev --demo`: a small pipeline over real input, made through the API like any other.
//!
//! ```text
//! orders-file   file (examples/orders.jsonl) ─┐
//!                                             ├─> :orders ─> filter ─> transform ─> log     (big-orders)
//! orders-http   http (curl)                  ─┘
//! ```

use std::io::{Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flowkeeper_api::client::CreateStream;
use flowkeeper_api::{Client, Kind};
use flowkeeper_deploy::port::{Ports, is_free};

use crate::exit::Failure;

/// The input, as it ships.
const ORDERS: &str = include_str!("../../../examples/orders.jsonl");
/// Pause between two looks at the results.
const LOOK: Duration = Duration::from_millis(100);
/// How long the pipeline may take to come up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Deploys the demo on the server at `api` and prints its results until dropped.
///
/// # Errors
/// When the pipeline cannot be created or does not come up.
pub(crate) async fn run(api: SocketAddr, data: &Path) -> Result<(), Failure> {
    let client = Client::new(&format!("http://{api}")).map_err(Failure::failed)?;
    let input = data.join("demo");
    std::fs::create_dir_all(&input)
        .and_then(|()| std::fs::write(input.join("orders.jsonl"), ORDERS))
        .map_err(|error| Failure::failed(format!("{} cannot be written: {error}", input.display())))?;
    let is_new = client.stream("big-orders").await.is_err();
    let port = http_port(&client).await?;
    let streams = [
        (
            "big-orders",
            ":orders > filter --expression=payload.amount>50 | \
             transform --expression=\"payload.customer.toUpperCase() + ' ordered ' + payload.item + ' for ' + payload.amount\" | log"
                .to_owned(),
            "Keeps orders over 50 and makes a sentence of each",
        ),
        (
            "orders-file",
            format!("file --file.supplier.directory='{}' --file.consumer.mode=lines > :orders", input.display()),
            "Reads orders from a file",
        ),
        ("orders-http", format!("http --server.port={port} > :orders"), "Takes orders over HTTP"),
    ];
    say("  Demo: three streams over the topic 'orders'");
    for (name, definition, description) in &streams {
        create(&client, name, definition, description).await?;
        say(&format!("    {name:<12} {definition}"));
    }
    for (name, ..) in &streams {
        wait_until_deployed(&client, name).await?;
    }
    say(&format!(
        "\n  Results appear below. Send one more order:\n    \
         curl -d '{{\"customer\":\"you\",\"item\":\"rocket\",\"amount\":1000}}' http://127.0.0.1:{port}\n"
    ));
    show_results(&client, is_new).await
}

fn say(line: &str) {
    crate::roles::say(line);
}

/// The port of the demo's HTTP source: as before when the demo ran on this data already, else a free one.
async fn http_port(client: &Client) -> Result<u16, Failure> {
    if let Ok(stream) = client.stream("orders-http").await {
        let port = stream.original_dsl_text.split("--server.port=").nth(1);
        let port = port.and_then(|rest| rest.split(' ').next()?.parse::<u16>().ok());
        // Busy is as good as free when it is our own adopted source that listens there.
        match port {
            Some(port) if stream.status == "deployed" || is_free(port) => return Ok(port),
            _ => client.destroy_stream("orders-http").await.map_err(Failure::failed)?,
        }
    }
    let known = (9900..=9999).find(|port| is_free(*port)).or_else(|| Ports::default().allocate());
    known.ok_or_else(|| Failure::failed("no port is free for the demo's HTTP source"))
}

async fn create(client: &Client, name: &str, definition: &str, description: &str) -> Result<(), Failure> {
    let stream = CreateStream {
        name: name.to_owned(),
        definition: definition.to_owned(),
        description: description.to_owned(),
        deploy: true,
    };
    match client.create_stream(&stream).await {
        Ok(_) => Ok(()),
        // Left from an earlier demo on the same data: it runs, or is deployed again.
        Err(error) if error.kind() == Kind::Conflict => {
            match client.deploy_stream(name, &Default::default()).await {
                Err(error) if error.kind() != Kind::Conflict => Err(Failure::failed(error)),
                _ => Ok(()),
            }
        }
        Err(error) => Err(Failure::failed(error)),
    }
}

async fn wait_until_deployed(client: &Client, name: &str) -> Result<(), Failure> {
    let deployed = async {
        loop {
            let now = client.stream_state(name).await.map_err(Failure::failed)?;
            let instances = now.apps.iter().flat_map(|app| &app.instances);
            if now.phase == "deployed" {
                return Ok(());
            }
            if let Some(failed) = instances.clone().find(|instance| instance.has_failed_for_good()) {
                let reason = failed.reason.as_deref().unwrap_or("no reason was reported");
                return Err(Failure::failed(format!("{} failed: {reason}", failed.id)));
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let late = |_| {
        Failure::failed(format!(
            "{name} is not up after {} s; see 'flowkeeper stream info {name}'",
            PATIENCE.as_secs()
        ))
    };
    tokio::time::timeout(PATIENCE, deployed).await.map_err(late)?
}

/// Prints what the log sink prints, as it prints it; of a pipeline left from an earlier demo only what is new.
async fn show_results(client: &Client, is_new: bool) -> Result<(), Failure> {
    let path = log_file(client).await?;
    let mut seen = if is_new { 0 } else { std::fs::metadata(&path).map_or(0, |file| file.len()) };
    loop {
        if let Ok(text) = read_from(&path, seen)
            && let Some(end) = text.rfind('\n')
        {
            text[..end]
                .lines()
                .filter(|line| line.contains(" ordered "))
                .for_each(|line| say(&format!("  {line}")));
            seen += end as u64 + 1;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn log_file(client: &Client) -> Result<PathBuf, Failure> {
    let apps = client.runtime_apps().await.map_err(Failure::failed)?;
    let log = apps.iter().find(|app| app.deployment_id.starts_with("big-orders.log-"));
    let stdout = log.and_then(|app| app.instances.embedded.0.first()?.attributes.get("stdout").cloned());
    stdout.map(PathBuf::from).ok_or_else(|| Failure::failed("the demo's log sink has no log"))
}

fn read_from(path: &Path, from: u64) -> std::io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut text = String::new();
    file.take(1 << 20).read_to_string(&mut text)?;
    Ok(text)
}
