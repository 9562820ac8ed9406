//! The least that an unchanged backup can do: a parallel `openat` / `getdents` / `statx` walk of a
//! tree, and nothing else.
//!
//! `cargo bench --bench walk -- FOLDER [THREADS] [ROUNDS]` prints entries, wall time and CPU time
//! of the best round.

use std::ffi::CString;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rayon::Scope;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, StatxFlags, openat, statx};
use rustix::time::{ClockId, clock_gettime};

const DIR_FLAGS: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC).union(OFlags::NOFOLLOW);
const STAT_FLAGS: AtFlags =
    AtFlags::SYMLINK_NOFOLLOW.union(AtFlags::STATX_DONT_SYNC).union(AtFlags::NO_AUTOMOUNT);
const STAT_MASK: StatxFlags =
    StatxFlags::BASIC_STATS.union(StatxFlags::BTIME).union(StatxFlags::MNT_ID);

/// Visits the folder `name` of `parent`; folders inside of it are visited by whichever thread is
/// free.
fn visit<'s>(
    scope: &Scope<'s>,
    parent: Option<Arc<OwnedFd>>,
    name: CString,
    entries: &'s AtomicU64,
) {
    let opened = match &parent {
        Some(parent) => openat(parent, &name, DIR_FLAGS, Mode::empty()),
        None => openat(CWD, &name, DIR_FLAGS, Mode::empty()),
    };
    let Ok(folder) = opened.map(Arc::new) else { return };
    drop(parent);
    let mut buffer = vec![MaybeUninit::uninit(); 32 << 10];
    let mut listing = RawDir::new(&*folder, &mut buffer);
    let mut count = 0;
    while let Some(Ok(entry)) = listing.next() {
        if matches!(entry.file_name().to_bytes(), b"." | b"..") {
            continue;
        }
        count += 1;
        std::hint::black_box(statx(&*folder, entry.file_name(), STAT_FLAGS, STAT_MASK).ok());
        if entry.file_type() == FileType::Directory {
            let (folder, name) = (folder.clone(), entry.file_name().to_owned());
            scope.spawn(move |scope| visit(scope, Some(folder), name, entries));
        }
    }
    entries.fetch_add(count, Ordering::Relaxed);
}

fn cpu_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let Some(folder) = args.first() else {
        return println!("usage: walk FOLDER [THREADS] [ROUNDS]");
    };
    let number =
        |at: usize, default| args.get(at).map_or(default, |text| text.parse().expect("a number"));
    let (threads, rounds) = (number(1, 0), number(2, 5));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
    let root = CString::new(folder.as_str()).expect("a path without NUL");
    let (mut best, mut cpu, mut found) = (f64::MAX, f64::MAX, 0);
    for _ in 0..rounds {
        let (entries, start, cpu_before) = (AtomicU64::new(0), Instant::now(), cpu_seconds());
        pool.scope(|scope| visit(scope, None, root.clone(), &entries));
        best = best.min(start.elapsed().as_secs_f64());
        cpu = cpu.min(cpu_seconds() - cpu_before);
        found = entries.into_inner();
    }
    println!(
        "statx walk of {folder}: {found} entries, {} threads, best of {rounds}: wall {best:.3} s, cpu {cpu:.3} s",
        pool.current_num_threads()
    );
}
