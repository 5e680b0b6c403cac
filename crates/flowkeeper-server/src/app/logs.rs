//! What apps print, read from the files their nodes name.

use std::path::Path;

use indexmap::IndexMap;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::runtime::{Deployment, running_stream};
use super::{Error, streams};
use crate::state::AppState;

/// How much of the end of one file is shown, and of all files of one answer.
const MAX_FILE: u64 = 1 << 20;
const MAX_ANSWER: usize = 16 << 20;

/// The output of a stream's apps by deployment id; of one of them when `app` (a deployment id or a label) is given.
/// Empty when the stream does not run, or has no such app.
///
/// # Errors
/// [`Error::NoRelease`] when the stream was never deployed.
pub async fn read(
    state: &AppState,
    stream: &str,
    app: Option<&str>,
) -> Result<IndexMap<String, String>, Error> {
    let apps: Vec<Deployment> = {
        let model = state.meta.model();
        let no_release = || Error::NoRelease(stream.to_owned());
        streams::get(&model, stream).map_err(|_| no_release())?;
        model.current_release(stream).ok_or_else(no_release)?;
        running_stream(&model, stream).map(|running| running.apps).unwrap_or_default()
    };
    let is_meant = |deployment: &&Deployment| {
        let label = deployment
            .id
            .split_once('.')
            .and_then(|(_, rest)| rest.rsplit_once("-v"))
            .map(|(label, _)| label);
        app.is_none_or(|app| app == deployment.id || Some(app) == label)
    };
    let mut logs = IndexMap::new();
    let mut left = MAX_ANSWER;
    for deployment in apps.iter().filter(is_meant) {
        let mut text = String::new();
        for instance in &deployment.instances {
            for name in ["stdout", "stderr"] {
                let Some(path) = instance.attributes.get(name) else { continue };
                let content = tail(Path::new(path), MAX_FILE.min(left as u64)).await;
                left = left.saturating_sub(content.len());
                if !content.is_empty() {
                    text.push_str(&format!("{name}:\n{content}"));
                }
            }
        }
        logs.insert(deployment.id.clone(), text);
    }
    Ok(logs)
}

/// The end of a file, from the start of a line; a sentence when it cannot be read.
async fn tail(path: &Path, limit: u64) -> String {
    match read_tail(path, limit).await {
        Ok(content) => content,
        Err(error) => format!("({} cannot be read from this server: {error})\n", path.display()),
    }
}

/// At most `limit` bytes from the end of a file, from the start of a line.
pub(super) async fn read_tail(path: &Path, limit: u64) -> std::io::Result<String> {
    let mut file = tokio::fs::File::open(path).await?;
    let size = file.metadata().await?.len();
    let start = size.saturating_sub(limit);
    file.seek(std::io::SeekFrom::Start(start)).await?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).await?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let cut = if start > 0 { text.find('\n').map_or(0, |at| at + 1) } else { 0 };
    Ok(text[cut..].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn a_long_file_is_shown_from_a_line_near_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        std::fs::write(&path, "one\ntwo\nthree\n").unwrap();
        assert_eq!(tail(&path, 100).await, "one\ntwo\nthree\n");
        assert_eq!(tail(&path, 8).await, "three\n");
        std::fs::write(&path, b"\xff\n").unwrap();
        assert_eq!(tail(&path, 8).await, "\u{fffd}\n");
        assert!(tail(&folder.path().join("none"), 8).await.contains("cannot be read"));
    }
}
