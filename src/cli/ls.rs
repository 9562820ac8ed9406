//! `drumlin ls`: what is in a snapshot.

use clap::Args;
use serde::Serialize;

use super::context::{Context, here};
use super::failure::{Exit, Failure};
use super::snap::{SnapArg, SnapPath};
use super::views::{exact, lossy};
use crate::browse::{self, Walk};
use crate::format::entry::{Content, EntryKind, entry_flag};
use crate::format::snapshot::Snapshot;
use crate::monitor::Monitor;
use crate::repo::{DirEntry, Reader, Trees};
use crate::ui::output::{JsonList, Output};
use crate::ui::text;

/// Lists what is in a snapshot, or below a path of it
#[derive(Args)]
pub struct LsArgs {
    /// SNAP[:PATH]; SNAP is an id or the start of one, latest, latest~2 (two before it), or APP@2026-03-01.
    /// A PATH that does not begin with / is taken from the current folder
    #[arg(value_name = "SNAP[:PATH]")]
    snap: SnapArg,

    /// Show kind, permissions, owner, size and time
    #[arg(long, short = 'l')]
    long: bool,

    /// Go into folders
    #[arg(long, short = 'R')]
    recursive: bool,
}

#[derive(Serialize)]
struct EntryView {
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
    kind: &'static str,
    mode: String,
    uid: u32,
    gid: u32,
    user: Option<String>,
    group: Option<String>,
    size: u64,
    mtime: Option<String>,
    btime: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<(u32, u32)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hard_link: Option<u64>,
    xattrs: Vec<String>,
    flags: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    totals: Option<TotalsView>,
}

#[derive(Serialize)]
struct TotalsView {
    files: u64,
    dirs: u64,
    bytes: u64,
}

impl EntryView {
    fn new(path: &[u8], found: &DirEntry) -> Self {
        let entry = &found.entry;
        let target = link_target(found);
        let flags = [
            (entry_flag::IMMUTABLE, "immutable"),
            (entry_flag::APPEND_ONLY, "append-only"),
            (entry_flag::NO_DUMP, "no-dump"),
            (entry_flag::CHANGED_WHILE_READ, "changed-while-read"),
        ];
        Self {
            path: lossy(path),
            path_hex: exact(path),
            kind: kind_name(entry.kind),
            mode: format!("{:04o}", entry.mode),
            uid: entry.uid,
            gid: entry.gid,
            user: found.user.as_deref().map(str::to_owned),
            group: found.group.as_deref().map(str::to_owned),
            size: entry.size,
            mtime: text::rfc3339(entry.mtime),
            btime: entry.btime.and_then(text::rfc3339),
            target: target.map(lossy),
            target_hex: target.and_then(exact),
            device: entry.device,
            hard_link: entry.hard_link,
            xattrs: entry.xattrs.iter().map(|xattr| lossy(&xattr.name)).collect(),
            flags: flags.into_iter().filter(|(bit, _)| entry.flags & bit != 0).map(|(_, name)| name).collect(),
            totals: found.totals.map(|totals| TotalsView { files: totals.files, dirs: totals.dirs, bytes: totals.bytes }),
        }
    }
}

/// Runs the command.
pub fn run(ctx: &Context, args: &LsArgs) -> Result<Exit, Failure> {
    let wanted = SnapPath::parse(&args.snap, &here()?)?;
    let repository = ctx.open()?;
    let snapshot = wanted.resolve(&ctx.ui, &repository)?;
    let trees = Trees::new(Reader::new(&repository)?);
    let place = browse::find(&trees, &snapshot, wanted.path.as_deref().unwrap_or(b"/"))?;
    let mut out = Listing::begin(ctx, args, &snapshot)?;
    let mut exit = Exit::Done;
    match (&place.tree, &place.entry) {
        (Some(tree), _) => {
            let walked =
                ctx.run("listing", |monitor| list(&mut out, Walk::new(&trees, tree, &place.path, args.recursive), monitor))?;
            for (path, error) in walked.0 {
                ctx.ui.warn(&format!("{}: {}", text::printable(&path), error.text()));
                exit = Exit::Damage;
            }
        }
        (None, Some(found)) => out.entry(&place.path, found)?,
        (None, None) => {}
    }
    out.finish()?;
    Ok(exit)
}

/// Writes every entry; returns the folders that cannot be read.
fn list(out: &mut Listing, walk: Walk, monitor: &Monitor) -> Result<Vec<(Vec<u8>, Failure)>, Failure> {
    let mut unread = Vec::new();
    for (path, found) in walk {
        if monitor.is_cancelled() {
            return Err(Failure::interrupted());
        }
        match found {
            Ok(found) => out.entry(&path, &found)?,
            Err(error) if error.is_damage() => unread.push((path, error.into())),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(unread)
}

/// The output, entry by entry.
enum Listing {
    Json(JsonList),
    Text { out: Output, long: bool },
}

impl Listing {
    fn begin(ctx: &Context, args: &LsArgs, snapshot: &Snapshot) -> Result<Self, Failure> {
        if ctx.ui.json {
            let snapshot = ("snapshot", snapshot.id.to_hex().into());
            return Ok(Self::Json(JsonList::begin(&[snapshot], "entries")?));
        }
        Ok(Self::Text { out: Output::stdout()?, long: args.long })
    }

    fn entry(&mut self, path: &[u8], found: &DirEntry) -> Result<(), Failure> {
        match self {
            Self::Json(list) => list.item(&EntryView::new(path, found))?,
            Self::Text { out, long: true } => writeln!(out, "{}", long_line(path, found))?,
            Self::Text { out, long: false } => {
                let slash = if found.entry.kind == EntryKind::Dir { "/" } else { "" };
                writeln!(out, "{}{slash}", text::printable(path))?;
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Json(list) => Ok(list.finish(&[])?),
            Self::Text { out, .. } => Ok(out.finish()?),
        }
    }
}

fn long_line(path: &[u8], found: &DirEntry) -> String {
    let entry = &found.entry;
    let owner =
        |name: Option<&str>, number: u32| name.map_or_else(|| number.to_string(), |name| text::printable(name.as_bytes()));
    let size = match (entry.device, found.totals) {
        (Some((major, minor)), _) => format!("{major}, {minor}"),
        (None, Some(totals)) => text::size(totals.bytes),
        (None, None) => text::size(entry.size),
    };
    let target = link_target(found).map_or_else(String::new, |target| format!(" -> {}", text::printable(target)));
    format!(
        "{} {:<8} {:<8} {size:>10} {} {}{target}",
        text::mode(kind_letter(entry.kind), entry.mode),
        owner(found.user.as_deref(), entry.uid),
        owner(found.group.as_deref(), entry.gid),
        text::local_time(entry.mtime),
        text::printable(path),
    )
}

fn link_target(found: &DirEntry) -> Option<&[u8]> {
    match (&found.entry.content, found.entry.kind) {
        (Content::Inline(target), EntryKind::Symlink) => Some(target),
        _ => None,
    }
}

fn kind_letter(kind: EntryKind) -> char {
    match kind {
        EntryKind::File => '-',
        EntryKind::Dir => 'd',
        EntryKind::Symlink => 'l',
        EntryKind::Fifo => 'p',
        EntryKind::Socket => 's',
        EntryKind::CharDevice => 'c',
        EntryKind::BlockDevice => 'b',
    }
}

fn kind_name(kind: EntryKind) -> &'static str {
    match kind {
        EntryKind::File => "file",
        EntryKind::Dir => "dir",
        EntryKind::Symlink => "symlink",
        EntryKind::Fifo => "fifo",
        EntryKind::Socket => "socket",
        EntryKind::CharDevice => "char-device",
        EntryKind::BlockDevice => "block-device",
    }
}
