//! Goal: whatever a line or a server does, every command either finishes or fails in time and says
//! why, and no byte is lost. Method: the real program against real servers, with a proxy in between
//! that does one of a table of things in the middle of an upload, a restore, a listing and a
//! commit. Afterwards everything is checked in full and restored.

mod busy_front; // an S3 front end that is busy
mod faulty_line; // one repository, one fault

use std::net::SocketAddr;
use std::ops::Range;
use std::thread;
use std::time::Duration;

use self::faulty_line::{Costs, Row};
use crate::support::servers::place::Place;
use crate::support::servers::proxy::{Then, Toward};

/// What happens.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// Nothing.
    None,
    /// A round trip takes 0.2 s, and up to a quarter more.
    Latency,
    /// A connection is reset when so many bytes have passed.
    Reset(Toward),
    /// From some byte on nothing passes, for some seconds or for ever.
    Silence(Lasts),
    /// From some byte on all connections are reset, old ones and new ones.
    Refusal(Lasts),
    /// An S3 server answers that it is busy.
    Storm(Lasts),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lasts {
    AWhile,
    ForEver,
}

use Lasts::{AWhile, ForEver};

/// What happens to one repository, and in which of the phases.
struct Case {
    name: &'static str,
    fault: Fault,
    phases: Range<usize>,
}

const fn case(name: &'static str, fault: Fault) -> Case {
    Case { name, fault, phases: 0..PHASES.len() }
}

/// Slow and silent lines take their time, so several are slow or silent at once.
const FAULTS: [Case; 12] = [
    Case { name: "slow-up", fault: Fault::Latency, phases: 0..1 },
    Case { name: "slow-down", fault: Fault::Latency, phases: 1..2 },
    Case { name: "slow-list", fault: Fault::Latency, phases: 2..3 },
    Case { name: "slow-commit", fault: Fault::Latency, phases: 3..4 },
    case("cut-up", Fault::Reset(Toward::Server)),
    case("cut-down", Fault::Reset(Toward::Client)),
    Case { name: "silent", fault: Fault::Silence(AWhile), phases: 0..2 },
    Case { name: "silent-too", fault: Fault::Silence(AWhile), phases: 2..4 },
    Case { name: "mute", fault: Fault::Silence(ForEver), phases: 0..2 },
    Case { name: "mute-too", fault: Fault::Silence(ForEver), phases: 2..4 },
    case("away", Fault::Refusal(AWhile)),
    case("gone", Fault::Refusal(ForEver)),
];
#[cfg(feature = "s3")]
const STORMS: [Case; 2] =
    [case("busy", Fault::Storm(AWhile)), case("overrun", Fault::Storm(ForEver))];

impl Fault {
    /// Returns whether a patient program finishes all the same.
    fn passes(self) -> bool {
        !matches!(self, Self::Silence(ForEver) | Self::Refusal(ForEver) | Self::Storm(ForEver))
    }

    /// Returns the configured time-out of requests, and how long a trouble lasts that does not last
    /// for ever.
    fn times(self) -> (&'static str, Duration) {
        match self {
            Self::Silence(ForEver) => ("2s", Duration::MAX),
            Self::Silence(AWhile) => ("4s", Duration::from_secs(5)),
            _ => ("60s", Duration::from_secs(2)),
        }
    }

    /// Returns in which direction bytes are counted, and what happens after some of them.
    fn trigger(self) -> Option<(Toward, Then)> {
        match self {
            Self::None | Self::Latency | Self::Storm(_) => None,
            Self::Reset(toward) => Some((toward, Then::Reset)),
            Self::Silence(_) => Some((Toward::Server, Then::Silence)),
            Self::Refusal(_) => Some((Toward::Server, Then::Refusal)),
        }
    }
}

/// Something that is done, and where in it a fault comes.
struct Phase {
    name: &'static str,
    /// As a part of the bytes that it usually takes in a direction.
    at: f64,
    /// Which of its requests a busy server refuses: their method, and a part of their path.
    refused: (&'static str, &'static str),
}

const PHASES: [Phase; 4] = [
    Phase { name: "upload", at: 0.5, refused: ("PUT", "/data/") },
    Phase { name: "restore", at: 0.5, refused: ("GET", "/data/") },
    Phase { name: "list", at: 0.3, refused: ("GET", "list-type=2") },
    Phase { name: "commit", at: 0.85, refused: ("PUT", "/snapshots/") },
];

/// Goes through the table, all cases at once, each with a repository of its own.
fn all_end_well(place: &Place, cases: impl IntoIterator<Item = Case>) {
    let mut calm = Row::start(place, "calm", Fault::None);
    let costs: Costs = PHASES.each_ref().map(|phase| calm.cost_of(phase));
    thread::scope(|scope| {
        for Case { name, fault, phases } in cases {
            scope.spawn(move || {
                let mut row = Row::start(place, name, fault);
                phases.for_each(|at| row.harm(&PHASES[at], costs[at]));
                row.finish();
            });
        }
    });
}

#[cfg(feature = "sftp")]
#[test]
fn another_machine_is_slow_silent_or_away() {
    all_end_well(&Place::machine(), FAULTS);
}

#[cfg(feature = "s3")]
#[test]
fn a_bucket_is_slow_silent_away_or_busy() {
    all_end_well(
        &Place::bucket(crate::support::servers::moto::start()),
        FAULTS.into_iter().chain(STORMS),
    );
}

/// Returns an address that says nothing but where something listens.
fn local(port: u16) -> SocketAddr {
    ([127, 0, 0, 1], port).into()
}
