//! `drumlin mount`: snapshots as a file system.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::context::Context;
use super::exit::Exit;
use super::failure::Failure;
use super::interrupt;
use super::json_views::{exact, lossy};
use super::series_filter::SeriesFilter;
use super::snapshot_spec::{SnapArg, SnapshotSpec};
use crate::connect::Purpose;
use crate::connect::host::here;
use crate::format::entry::Timestamp;
use crate::monitor::Monitor;
use crate::mount::{self, Ended, Error, MountOptions, MountSource, Mounted};
use crate::os::shell::SECRETS;
use crate::repo::Reader;
use crate::settings::values::parse_size;
use crate::text;

/// Time to wait for users of the mount when it ends.
const PATIENCE: Duration = Duration::from_secs(5);

/// Mount snapshots as a read-only file system
///
/// Every snapshot is a folder in DIR/by-id; DIR/by-time, DIR/by-app, DIR/by-host and DIR/latest
/// link to them. New snapshots appear while it is mounted. With SNAP, DIR is that snapshot, or one
/// folder of it. End it with Ctrl-C or by unmounting DIR. It needs the package fuse3 and, in a
/// container, the device /dev/fuse.
#[derive(Args)]
pub(super) struct MountArgs {
    /// An empty folder to mount on
    #[arg(value_name = "DIR")]
    dir: PathBuf,

    /// Mount only this snapshot, or a path in it: SNAP[:PATH]
    ///
    /// An id or its first digits, latest, latest~2 (two before it), or APP@2026-03-01. A PATH that
    /// does not begin with / starts at the current folder.
    #[arg(value_name = "SNAP[:PATH]")]
    snap: Option<SnapArg>,

    #[command(flatten)]
    series_filter: SeriesFilter,

    /// Let other users in, as far as the files' permissions allow
    #[arg(long)]
    allow_other: bool,

    /// Memory for cached content
    #[arg(long, value_name = "SIZE", default_value = "256MiB", value_parser = parse_size)]
    cache_memory: u64,
}

#[derive(Serialize)]
struct MountView {
    mountpoint: PathBuf,
    repository: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshots: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_hex: Option<String>,
}

/// Runs the command.
pub(super) fn run(ctx: &Context, args: &MountArgs) -> Result<Exit, Failure> {
    let wanted = match &args.snap {
        Some(snap) => Some(SnapshotSpec::parse(snap, &here()?)?.among(&args.series_filter)),
        None if !args.series_filter.is_empty() => {
            let why = "--host, --app and --tag choose a snapshot, and none is named";
            return Err(Failure::usage(why).hint(
                "name one: `drumlin mount DIR latest --host NAME`; \
                    DIR/by-host and DIR/by-app have all",
            ));
        }
        None => None,
    };
    // Fail before the password is typed if mounting is impossible.
    mount::check(&args.dir)?;
    mount::set_mmap_threshold();
    let repository = ctx.connector.open(Purpose::Look)?;
    let (shown, reader) = match &wanted {
        Some(wanted) => {
            let (snapshot, reader) = wanted.open_with(&ctx.ui, &repository, Reader::for_lookup)?;
            (
                MountSource::One(
                    Box::new(snapshot),
                    wanted.path.clone().unwrap_or_else(|| b"/".to_vec()),
                ),
                reader,
            )
        }
        None => (MountSource::All, Reader::for_lookup(&repository)?),
    };
    let ui = ctx.ui;
    let options = MountOptions {
        cache_len_bytes: usize::try_from(args.cache_memory).unwrap_or(usize::MAX),
        owner: mount::Owner {
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
        },
        allow_other: args.allow_other,
        now: text::now(),
        name_of_time,
        without: &SECRETS,
        tell: Box::new(move |path, words| {
            ui.loss(&format!("{}: {}", text::printable(path), text::harmless(words)))
        }),
    };
    let monitor = Arc::new(Monitor::default());
    let guard = interrupt::while_running(&monitor);
    let mounted = mount::mount(&reader, &shown, &args.dir, options)?;
    let served = tell(ctx, &mounted, &shown, repository.location())
        .and_then(|()| serve(ctx, &mounted, &monitor));
    drop(guard);
    if served.is_err() {
        // The first error is the one to report.
        let _ = mounted.unmount();
    }
    served.map(|()| if mounted.has_met_damage() { Exit::Damage } else { Exit::Done })
}

/// Prints where the mount is and how to end it.
fn tell(
    ctx: &Context,
    mounted: &Mounted,
    shown: &MountSource,
    location: &str,
) -> Result<(), Failure> {
    let (snapshot, path) = match shown {
        MountSource::All => (None, None),
        MountSource::One(snapshot, path) => (Some(snapshot), Some(path)),
    };
    let dir = mounted.dir();
    if ctx.ui.json {
        let view = MountView {
            mountpoint: dir.to_owned(),
            repository: location.to_owned(),
            snapshots: mounted.snapshot_count(),
            snapshot: snapshot.map(|snapshot| snapshot.id.to_hex()),
            path: path.map(|path| lossy(path)),
            path_hex: path.and_then(|path| exact(path)),
        };
        return Ok(ctx.ui.print_json(&view)?);
    }
    let what = match (snapshot, mounted.snapshot_count()) {
        (Some(snapshot), _) => format!("snapshot {}", snapshot.id.short()),
        (None, count) => text::counted(count.unwrap_or(0) as u64, "snapshot"),
    };
    let word = text::shell_word(&dir.to_string_lossy());
    let lines = [
        format!("mounted {what} at {}", text::path(dir)),
        format!("  end it with Ctrl-C here, or with `fusermount3 -u {word}` elsewhere"),
    ];
    Ok(ctx.ui.say(&lines.join("\n"))?)
}

/// Waits until the mount is ended by a signal or by unmounting.
fn serve(ctx: &Context, mounted: &Mounted, monitor: &Monitor) -> Result<(), Failure> {
    if mounted.wait(&|| monitor.is_cancelled()) {
        return Ok(());
    }
    if mounted.unmount()? == Ended::StillUsed {
        ctx.ui.warn(&format!(
            "{} was unmounted while still in use: programs that have files open there get errors \
                from now on",
            text::path(mounted.dir())
        ));
    }
    mounted.wait_for_users(PATIENCE, &|| false);
    Ok(())
}

/// Returns the name of a time: local, as `drumlin snapshots` shows it.
fn name_of_time(time: Timestamp) -> String {
    text::local_time(time).replace(' ', "T")
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let hint = match &error {
            Error::Repository(_) | Error::Browse(_) => None,
            Error::NoDevice => Some(
                "load it with `modprobe fuse`; in a container, start it with `--device /dev/fuse \
                    --cap-add SYS_ADMIN`, or use \
                 `drumlin restore` instead",
            ),
            Error::ClosedDevice(_) => Some(
                "a container must be allowed to use it: start it with `--device /dev/fuse \
                    --cap-add SYS_ADMIN`; elsewhere everybody \
                 usually may, `chmod 666 /dev/fuse` makes it so",
            ),
            Error::NoHelper => Some(
                "it is in the package fuse3: `apt install fuse3`, `dnf install fuse3`, `apk add \
                    fuse3`",
            ),
            Error::OthersNotAllowed => {
                Some("write `user_allow_other` into /etc/fuse.conf, or leave --allow-other out")
            }
            Error::MountPoint { .. } | Error::Inspect { .. } => {
                Some("make an empty folder for it: `mkdir DIR`")
            }
            Error::Stale { .. } => {
                Some("unmount it with `fusermount3 -u DIR` (root: `umount DIR`), then mount again")
            }
            Error::Mount { .. } => Some(
                "a container needs `--device /dev/fuse --cap-add SYS_ADMIN`; a user who is not \
                    root must own the folder and needs \
                 the package fuse3",
            ),
            Error::Unmount { .. } => {
                Some("`fusermount3 -u -z DIR` frees the folder even while files in it are in use")
            }
            Error::NotADir { .. } => {
                Some("mount the folder that it is in; `drumlin cat` writes one file")
            }
            Error::Session(_) => None,
        };
        let failure = match error {
            Error::Repository(error) => return error.into(),
            Error::Browse(error) => return error.into(),
            error => Self::of(Exit::Error, &error),
        };
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}
