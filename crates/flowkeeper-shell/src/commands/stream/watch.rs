//! `stream list --watch`: the list, then a line for each change.

use std::collections::BTreeMap;

use flowkeeper_api::Client;
use flowkeeper_api::client::News;
use flowkeeper_api::watch::Change;

use crate::exit::Failure;
use crate::ui::{Format, Ui};

/// Follows until it is interrupted, or nobody reads on.
pub(super) async fn run(client: &Client, ui: &mut Ui) -> Result<(), Failure> {
    let mut watch = client.watch(&["stream"]);
    let mut shown: BTreeMap<String, String> = BTreeMap::new();
    loop {
        let changes = match watch.next().await? {
            News::Changed(change) => vec![change],
            // At the begin, and when the server does not remember: whatever differs from what was shown.
            News::Hello { zxid } | News::Reset { zxid } => differences(client, &shown, zxid).await?,
        };
        for change in changes {
            let status =
                change.status.clone().filter(|_| change.exists).unwrap_or_else(|| "destroyed".to_owned());
            if shown.get(&change.name) == Some(&status)
                || (!change.exists && !shown.contains_key(&change.name))
            {
                continue;
            }
            if !ui.follow(&line(ui.format, &change, &status)) {
                return Ok(());
            }
            if change.exists {
                shown.insert(change.name, status);
            } else {
                shown.remove(&change.name);
            }
        }
    }
}

async fn differences(
    client: &Client,
    shown: &BTreeMap<String, String>,
    zxid: i64,
) -> Result<Vec<Change>, Failure> {
    let change = |name: String, status: Option<String>| Change {
        kind: "stream".to_owned(),
        name,
        exists: status.is_some(),
        status,
        description: None,
        zxid,
    };
    let streams = client.streams(None).await?;
    let gone = shown.keys().filter(|name| streams.iter().all(|stream| stream.name != **name)).cloned();
    let mut changes: Vec<Change> = gone.map(|name| change(name, None)).collect();
    changes.extend(streams.into_iter().map(|stream| change(stream.name, Some(stream.status))));
    Ok(changes)
}

fn line(format: Format, change: &Change, status: &str) -> String {
    match format {
        Format::Json | Format::Yaml => serde_json::to_string(change).unwrap_or_default(),
        Format::Name => change.name.clone(),
        Format::Auto => format!("{}\t{status}", change.name),
    }
}
