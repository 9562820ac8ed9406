//! Goal: a pipeline that waits longer than the server's time limit does not fail the dump.
//!
//! Method: the server hangs up on a client that does not read for 5 s. A sink that pauses for 15 s
//! is served once without reading ahead, which must fail, or the test shows nothing; and once with
//! the pace of dumps, its interval shortened as the limit is: from 15 s of 60 s to 1 s of 5 s.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use drumlin::sources::mysql::{Failure, Retry};
use drumlin::sources::patient::{Pace, Patient};
use drumlin::sources::process::Output;
use drumlin::sources::runner::{Invocation, Runner};

use super::server::{Dumped, MariaDb, Memory, chain, dump_into, first, host};

struct Paced(Arc<dyn Runner>, Pace);

impl Runner for Paced {
    fn start(&self, invocation: Invocation) -> io::Result<Box<dyn Output>> {
        self.0.start(invocation)
    }

    fn passes_files(&self) -> bool {
        self.0.passes_files()
    }

    fn place(&self) -> String {
        self.0.place()
    }

    fn dump(&self, invocation: Invocation) -> io::Result<Patient<Box<dyn Output>>> {
        let output = self.start(invocation)?;
        let stop = output.stop_flag();
        Patient::new(output, stop, self.1)
    }
}

fn dump_with_a_pause(server: &MariaDb, pace: Pace) -> io::Result<Dumped> {
    let runner: Arc<dyn Runner> = Arc::new(Paced(host(), pace));
    let mut has_paused = false;
    let watch = Box::new(move |taken: usize| {
        if taken > 1 << 20 && !has_paused {
            has_paused = true;
            std::thread::sleep(Duration::from_secs(15));
        }
        Ok(())
    });
    dump_into(first(&server.settings(), &runner), Memory::watched(watch))
}

#[test]
fn reading_ahead_saves_a_dump_from_a_pause() {
    let server = MariaDb::start(&["--net-write-timeout=5"]);
    server.sql(
        "CREATE DATABASE wiki; USE wiki; CREATE TABLE m (id INT, t TEXT); INSERT INTO m SELECT \
         seq, REPEAT('x', 1000) FROM seq_1_to_40000;",
    );
    let none =
        Pace { ahead_bytes: 64 << 10, most_bytes: 64 << 10, interval: Duration::from_secs(3600) };
    let error = dump_with_a_pause(&server, none).err().expect("the server hangs up");
    assert_eq!(Failure::retry_of(&error), Some(Retry::Later), "{}", chain(&error));

    let patient = Pace { interval: Duration::from_secs(1), ..Pace::DUMP };
    let dump = dump_with_a_pause(&server, patient);
    let dump = dump.unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(dump.record.files.iter().find(|file| file.holds == "m").unwrap().rows, Some(40_000));
}
