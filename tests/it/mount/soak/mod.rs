//! Goal: readers of a mounted repository notice nothing of the backups and prunes that run on it
//! meanwhile, and the mount needs no more memory after an hour than after a minute. Method: a real
//! mount with little memory; readers of eight kinds at once, each one process after the other; a
//! loop of backups of a source that changes; a loop that forgets and prunes, so that packs are
//! rewritten and removed all the time. `DRUMLIN_SOAK_SECONDS` sets how long.
//!
//! What counts as an error:
//! * A reader with a lease of a snapshot (nobody forgets it meanwhile) must get no error at all,
//!   and every byte, name, size, time and mode must be what was backed up. Before it begins it may
//!   have to wait until a new snapshot is shown.
//! * A reader without a lease may get "Stale file handle" or "No such file or directory", and only
//!   if that snapshot is one that the test had chosen to forget before the error. What it can read
//!   must be right.
//! * Every backup, `forget` and `prune` must end with 0, and the mount may complain of nothing but
//!   snapshots that were forgotten.

mod ledger; // snapshots, readers, counts
mod readers; // loops of reading processes

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::FileExt;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use self::ledger::Ledger;
use self::readers::{READERS, Reader};
use crate::support::fixture::noise;
use crate::support::home::Home;
use crate::support::mount::{Mount, sh};

/// The part of the source that never changes, the one that does, and copies of what it was when it
/// was backed up.
const FIXED: &str = "src/fixed";
const MOVING: &str = "src/moving";
const STATES: &str = "states";

const CACHE_MIB: u64 = 48;
/// What a mount may take beside `--cache-memory`, in MiB: the program and the index (about 20),
/// what 16 threads and those that read ahead have in their hands (a few each), and what the
/// allocator does not give back.
const BESIDE_MIB: u64 = 112;

/// Blocks of the large file that changes, of which each backup finds one changed, and small files
/// likewise.
const BLOCKS: u64 = 16;
const BLOCK_LEN_BYTES: usize = 400_000;
const SMALL: u64 = 20;
/// Snapshots at the beginning.
const FIRST_ROUNDS: u64 = 8;

const BACKUPS: &str = "backups";
const PRUNES: &str = "prunes";

fn make_fixed(home: &Home) {
    let mut large = noise(1, 10 << 20);
    for (at, piece) in large.chunks_mut(1 << 20).enumerate().filter(|(at, _)| at % 2 == 1) {
        let words = format!("alpha and what stands at {at} ").into_bytes();
        piece.iter_mut().zip(words.iter().cycle()).for_each(|(byte, word)| *byte = *word);
    }
    home.write(&format!("{FIXED}/large"), large);
    for file in 0..150_u64 {
        let text = format!("{file} alpha\n").repeat(file as usize * 5);
        home.write(&format!("{FIXED}/d{}/{file}", file % 7), text);
        home.write(&format!("{FIXED}/checkout/d{}/{file}", file % 5), noise(1000 + file, 300));
    }
    sh(
        &home.path(FIXED),
        "ln d1/1 again; ln -s d2/2 link; mkdir empty; truncate -s 3M holes; printf end >> holes; touch -d 2001-02-03T04:05:06.789 d3/3
         cd checkout; git init -q .; git add -A; git -c user.name=a -c user.email=a@b commit -qm one",
    );
}

/// Makes a state of what changes that no other round has, and keeps a copy of it.
fn change(home: &Home, round: u64) {
    let large = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(home.path(MOVING).join("large"))
        .unwrap();
    let blocks = if round == 0 { 0..BLOCKS } else { round % BLOCKS..round % BLOCKS + 1 };
    for block in blocks {
        let place = block * BLOCK_LEN_BYTES as u64;
        large.write_all_at(&noise((round << 8) + block + 7000, BLOCK_LEN_BYTES), place).unwrap();
    }
    home.write(&format!("{MOVING}/f{}", round % SMALL), noise((round << 8) + 1, 30_000));
    home.write(&format!("{MOVING}/brief"), noise((round << 8) + 2, BLOCK_LEN_BYTES));
    home.write(&format!("{MOVING}/state"), format!("{round}\n"));
    sh(
        &home.path(MOVING),
        &format!(
            "sha256sum large brief state f* > ../sums; mv ../sums sums; cp -a . '{}/{round}'",
            home.text(STATES)
        ),
    );
}

/// Changes the source and takes a snapshot of it; returns bytes that were stored.
fn back_up(home: &Home, ledger: &Ledger, round: u64) -> u64 {
    change(home, round);
    // Of two snapshots of one second the later one has another name as long as the first is there;
    // a reader may meet the change.
    let seconds = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let last = seconds();
    while seconds() == last {
        thread::sleep(Duration::from_millis(10));
    }
    let said = home.json(["backup", "src"]);
    ledger.add(said["snapshot"]["id"].as_str().unwrap().to_owned(), round);
    said["requests"]["bytes_up"].as_u64().unwrap()
}

/// Forgets what nobody leases and prunes; returns bytes of packs that were removed.
fn collect(home: &Home, ledger: &Ledger, turn: u64) -> u64 {
    let gone = ledger.forgettable();
    if !gone.is_empty() {
        let ids: Vec<&str> = gone.iter().map(|(id, _)| id.as_str()).collect();
        home.run([&["forget", "--quiet", "--force"], &ids[..]].concat()).ok();
        gone.iter().for_each(|(_, round)| {
            fs::remove_dir_all(home.path(STATES).join(round.to_string())).unwrap()
        });
    }
    // Now and then as little as is usual, else everything.
    let unused = if turn % 4 == 3 { "5" } else { "0" };
    home.json(["prune", "--trash", "0d", "--max-unused", unused])["removed_bytes"].as_u64().unwrap()
}

/// Returns the most memory that a process had, in MiB.
fn peak_mib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1024
}

/// `make soak-long` takes an hour.
#[test]
fn readers_notice_nothing_of_backups_and_prunes() {
    let seconds = std::env::var("DRUMLIN_SOAK_SECONDS").map_or(15, |text| text.parse().unwrap());
    let home = &Home::with_repository();
    let who = READERS.iter().map(|(name, _)| *name).chain([BACKUPS, PRUNES]);
    let began = Instant::now();
    let ledger = &Ledger::new(began + Duration::from_secs(seconds), who);
    [MOVING, STATES].iter().for_each(|folder| fs::create_dir_all(home.path(folder)).unwrap());
    make_fixed(home);
    for round in 0..FIRST_ROUNDS {
        back_up(home, ledger, round);
    }
    let mut mount = Mount::with(home, &["--cache-memory", &format!("{CACHE_MIB}MiB")]);
    let child = mount.child.as_mut().unwrap();
    let (pid, complaints) = (child.id(), BufReader::new(child.stderr.take().unwrap()));
    // Nobody else empties the pipe.
    let complaints =
        thread::spawn(move || complaints.lines().map_while(Result::ok).collect::<Vec<String>>());
    thread::scope(|scope| {
        for (name, act) in READERS {
            let scratch = home.path(&format!("scratch of {name}"));
            fs::create_dir(&scratch).unwrap();
            let reader = Reader { home, ledger, mounted: mount.dir.clone(), scratch };
            scope.spawn(move || ledger.take_turns(name, |turn| act(&reader, turn)));
        }
        scope.spawn(|| {
            ledger.take_turns(BACKUPS, |turn| back_up(home, ledger, FIRST_ROUNDS + turn))
        });
        scope.spawn(|| {
            let mut told = 0;
            ledger.take_turns(PRUNES, |turn| {
                let minutes = began.elapsed().as_secs() / 60;
                if minutes > told {
                    told = minutes;
                    println!("{minutes} min: peak {} MiB; {}", peak_mib(pid), ledger.report());
                }
                collect(home, ledger, turn)
            });
        });
    });
    let peak = peak_mib(pid);
    println!("{} s: peak {peak} MiB; {}", began.elapsed().as_secs(), ledger.report());
    assert!(peak <= CACHE_MIB + BESIDE_MIB, "the mount took {peak} MiB");
    home.run(["check", "--quiet", "--level", "full"]).ok();
    let ended = mount.end();
    assert_eq!((ended.code, ended.out.as_str()), (0, ""));
    for line in complaints.join().unwrap() {
        assert!(
            line.starts_with("warning: ")
                && line
                    .ends_with("its snapshot was forgotten, and a prune has removed its content"),
            "{line}"
        );
        let id = line.split_once("snapshot ").and_then(|(_, rest)| rest.split_once(':')).unwrap().0;
        assert!(ledger.is_forgotten(id), "{line}");
    }
}
