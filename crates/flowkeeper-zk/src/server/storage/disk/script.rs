//! What happens to the files of one folder in a test: recorded, made to fail, and played back up to a crash.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// Number of an opening of a file.
pub(crate) type FileId = usize;

/// One change of the folder.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    Create { file: FileId, path: PathBuf },
    Open { file: FileId, path: PathBuf },
    Write { file: FileId, at: u64, bytes: Vec<u8> },
    Reserve { file: FileId, end: u64 },
    SetLen { file: FileId, len: u64 },
    Sync { file: FileId },
    Rename { from: PathBuf, to: PathBuf },
    Remove { path: PathBuf },
    SyncFolder,
}

type Fault = Box<dyn FnMut(&Op) -> Option<io::Error> + Send>;

/// Records the changes of a folder, and may let some of them fail.
pub(crate) struct Script {
    ops: Mutex<Vec<Op>>,
    fault: Mutex<Option<Fault>>,
}

/// An open file's place in the record.
#[derive(Debug, Clone)]
pub(crate) struct Tape {
    script: Arc<Script>,
    file: FileId,
}

static SCRIPTS: Mutex<Vec<(PathBuf, Arc<Script>)>> = Mutex::new(Vec::new());

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Script")
    }
}

impl Script {
    /// Records whatever happens to the folder at `path` from its next opening on.
    pub(crate) fn on(path: &Path) -> Arc<Self> {
        let script = Arc::new(Self { ops: Mutex::default(), fault: Mutex::default() });
        let mut scripts = SCRIPTS.lock().unwrap();
        scripts.retain(|(folder, _)| folder != path);
        scripts.push((path.to_owned(), Arc::clone(&script)));
        script
    }

    /// Operations for which `fault` has an error fail with it, and change nothing.
    pub(crate) fn fail(&self, fault: impl FnMut(&Op) -> Option<io::Error> + Send + 'static) {
        *self.fault.lock().unwrap() = Some(Box::new(fault));
    }

    pub(crate) fn heal(&self) {
        *self.fault.lock().unwrap() = None;
    }

    /// Number of operations so far.
    pub(crate) fn len(&self) -> usize {
        self.ops.lock().unwrap().len()
    }

    pub(crate) fn ops(&self) -> Vec<Op> {
        self.ops.lock().unwrap().clone()
    }

    fn record(&self, make: impl FnOnce(FileId) -> Op) -> io::Result<FileId> {
        let mut ops = self.ops.lock().unwrap();
        let at = ops.len();
        let op = make(at);
        if let Some(error) = self.fault.lock().unwrap().as_mut().and_then(|fault| fault(&op)) {
            return Err(error);
        }
        ops.push(op);
        Ok(at)
    }
}

/// The script of a folder.
pub(super) fn of(path: &Path) -> Option<Arc<Script>> {
    SCRIPTS.lock().unwrap().iter().find(|(folder, _)| folder == path).map(|(_, script)| Arc::clone(script))
}

pub(super) fn record(
    script: Option<&Arc<Script>>,
    make: impl FnOnce(FileId) -> Op,
) -> io::Result<Option<Tape>> {
    let Some(script) = script else { return Ok(None) };
    let file = script.record(make)?;
    Ok(Some(Tape { script: Arc::clone(script), file }))
}

pub(super) fn record_file(tape: Option<&Tape>, make: impl FnOnce(FileId) -> Op) -> io::Result<()> {
    match tape {
        Some(tape) => tape.script.record(|_| make(tape.file)).map(drop),
        None => Ok(()),
    }
}

/// What a crash does to operations that nothing has made durable yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// Nothing: the process dies, the machine goes on.
    Nothing,
    /// Unsynced content and unsynced names are lost.
    Everything,
    /// Content is lost, names are there.
    Content,
    /// Names are lost.
    Names,
    /// The last unsynced write of each file is there by half.
    Torn,
    /// Unsynced writes are there, as zeros.
    Zeroed,
    /// One bit in the last unsynced write of each file is wrong.
    Flipped,
    /// Of several unsynced writes to a file only the last is there.
    Reordered,
}

impl Loss {
    pub(crate) const ALL: [Self; 8] = [
        Self::Nothing,
        Self::Everything,
        Self::Content,
        Self::Names,
        Self::Torn,
        Self::Zeroed,
        Self::Flipped,
        Self::Reordered,
    ];
}

#[derive(Debug, Clone, Default)]
struct Inode {
    /// What a sync has confirmed.
    durable: Content,
    pending: Vec<Op>,
}

/// What is in a file.
#[derive(Debug, Clone, Default)]
struct Content {
    /// What was written.
    bytes: Vec<u8>,
    /// Length of the file; what is reserved behind the bytes has no more of it in memory.
    size: u64,
}

impl Content {
    fn of_file(bytes: &[u8]) -> Self {
        let written = bytes.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1);
        Self { bytes: bytes[..written].to_vec(), size: bytes.len() as u64 }
    }

    fn write(&self, to: &Path) {
        fs::write(to, &self.bytes).unwrap();
        File::options().write(true).open(to).unwrap().set_len(self.size).unwrap();
    }
}

impl Inode {
    fn content(&self, loss: Loss) -> Content {
        let mut content = self.durable.clone();
        let last = self.pending.iter().rposition(|op| matches!(op, Op::Write { .. }));
        for (n, op) in self.pending.iter().enumerate() {
            let is_last = Some(n) == last;
            let mut op = op.clone();
            match (loss, &mut op) {
                (Loss::Everything | Loss::Content, _) => continue,
                (Loss::Torn, Op::Write { bytes, .. }) if is_last => bytes.truncate(bytes.len() / 2),
                (Loss::Zeroed, Op::Write { bytes, .. }) => bytes.fill(0),
                (Loss::Flipped, Op::Write { bytes, .. }) if is_last => {
                    let middle = bytes.len() / 2;
                    if let Some(byte) = bytes.get_mut(middle) {
                        *byte ^= 4;
                    }
                }
                (Loss::Reordered, Op::Write { .. }) if !is_last => continue,
                _ => {}
            }
            apply(&op, &mut content);
        }
        content
    }
}

fn apply(op: &Op, content: &mut Content) {
    match op {
        Op::Write { at, bytes, .. } => {
            let end = *at as usize + bytes.len();
            if content.bytes.len() < end {
                content.bytes.resize(end, 0);
            }
            content.bytes[*at as usize..end].copy_from_slice(bytes);
            content.size = content.size.max(end as u64);
        }
        Op::Reserve { end, .. } => content.size = content.size.max(*end),
        Op::SetLen { len, .. } => {
            content.bytes.truncate(*len as usize);
            content.size = *len;
        }
        _ => {}
    }
}

/// Writes into `to` what is on the disk if the machine or the process ends right after `ops`, beginning with what is
/// in `before`.
pub(crate) fn play(before: &BTreeMap<String, Vec<u8>>, ops: &[Op], loss: Loss, to: &Path) {
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let mut inodes: Vec<Inode> = Vec::new();
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for (file, content) in before {
        names.insert(file.clone(), inodes.len());
        inodes.push(Inode { durable: Content::of_file(content), pending: Vec::new() });
    }
    let mut durable_names = names.clone();
    let mut open: HashMap<FileId, usize> = HashMap::new();
    for op in ops {
        match op {
            Op::Create { file, path } => {
                let inode = *names.entry(name(path)).or_insert(inodes.len());
                if inode == inodes.len() {
                    inodes.push(Inode::default());
                } else {
                    inodes[inode].pending.push(Op::SetLen { file: *file, len: 0 });
                }
                open.insert(*file, inode);
            }
            Op::Open { file, path } => {
                open.insert(*file, names[&name(path)]);
            }
            Op::Write { file, .. } | Op::Reserve { file, .. } | Op::SetLen { file, .. } => {
                inodes[open[file]].pending.push(op.clone());
            }
            Op::Sync { file } => {
                let inode = &mut inodes[open[file]];
                inode.durable = inode.content(Loss::Nothing);
                inode.pending.clear();
            }
            Op::Rename { from, to } => {
                let inode = names.remove(&name(from)).unwrap();
                names.insert(name(to), inode);
            }
            Op::Remove { path } => {
                names.remove(&name(path));
            }
            Op::SyncFolder => durable_names.clone_from(&names),
        }
    }
    let names = if matches!(loss, Loss::Everything | Loss::Names) { durable_names } else { names };
    for (file, inode) in names {
        inodes[inode].content(loss).write(&to.join(file));
    }
}

/// The files of a folder but its lock.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .filter(|(name, _)| name != "lock")
        .collect()
}
