//! Goal: many machines that back up to one bucket at once, while collectors run, all succeed, wait
//! for nobody, and get nearly as many bytes to the server as if they did nothing but upload.
//! Method: real processes, each machine with its own cache and its own source, in loops; then plain
//! uploads of objects of the same lengths by as many threads at once, to another bucket of the same
//! server.
//!
//! `DRUMLIN_FLEET_SECONDS`, `DRUMLIN_FLEET_CLIENTS` and `DRUMLIN_FLEET_COLLECTORS` set how long and
//! how many. `DRUMLIN_FLEET_LINE` puts all but the collectors at the other end of one line of so
//! many bytes a second in each direction; plain uploads have a fifth of the time.

mod client; // machines of the fleet
mod plain_uploads; // uploads without a repository, for comparison

use std::iter::Sum;
use std::ops::Add;
use std::str::FromStr;
use std::time::{Duration, Instant};

use self::client::{Client, collect_until};
use crate::support::home::Home;
use crate::support::servers::place::Place;
use crate::support::servers::processor_time;
use crate::support::servers::proxy::Proxy;
use crate::support::servers::radosgw;

fn number<T: FromStr>(variable: &str, usual: T) -> T {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// What was done in some time.
#[derive(Clone, Copy, Default)]
struct Done {
    runs: u64,
    objects: u64,
    bytes: u64,
    /// The longest run.
    longest: Duration,
}

impl Add for Done {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            runs: self.runs + other.runs,
            objects: self.objects + other.objects,
            bytes: self.bytes + other.bytes,
            longest: self.longest.max(other.longest),
        }
    }
}

impl Sum for Done {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Add::add)
    }
}

/// Time on the clock, and of processors.
struct Meter<'a> {
    place: &'a Place,
    start: Instant,
    server: Duration,
    own: (Duration, Duration),
}

/// What a meter has measured.
struct Measured {
    seconds: f64,
    server_seconds: f64,
    /// Of this process, and of those that it has started.
    own_seconds: (f64, f64),
}

impl<'a> Meter<'a> {
    fn start(place: &'a Place) -> Self {
        Self {
            place,
            start: Instant::now(),
            server: server_time(place),
            own: processor_time(std::process::id()),
        }
    }

    fn stop(self) -> Measured {
        let own = processor_time(std::process::id());
        Measured {
            seconds: self.start.elapsed().as_secs_f64(),
            server_seconds: (server_time(self.place) - self.server).as_secs_f64(),
            own_seconds: ((own.0 - self.own.0).as_secs_f64(), (own.1 - self.own.1).as_secs_f64()),
        }
    }
}

fn server_time(place: &Place) -> Duration {
    let Place::Bucket(server, _) = place else { panic!("it is a bucket") };
    server.processor_time()
}

/// Prints what was put in how much time, and returns the bytes per second.
fn tell(who: &str, done: Done, measured: &Measured) -> f64 {
    let Measured { seconds, server_seconds, own_seconds: (own, started) } = measured;
    let rate = done.bytes as f64 / seconds;
    println!(
        "{who}: {} runs, {} objects, {:.0} MB in {seconds:.1} s: {:.1} MB/s, {:.1} objects/s; processor seconds: {server_seconds:.1} server, \
         {started:.1} processes, {own:.1} this one; longest run {:.1} s",
        done.runs,
        done.objects,
        done.bytes as f64 / 1e6,
        rate / 1e6,
        done.objects as f64 / seconds,
        done.longest.as_secs_f64()
    );
    rate
}

#[test]
fn a_fleet_in_one_bucket_works_beside_its_collectors() {
    let seconds = Duration::from_secs(number("DRUMLIN_FLEET_SECONDS", 10));
    let (clients, collectors) =
        (number("DRUMLIN_FLEET_CLIENTS", 4), number("DRUMLIN_FLEET_COLLECTORS", 1));
    let place = Place::bucket(radosgw::start_large());
    let line = number("DRUMLIN_FLEET_LINE", 0);
    let proxy = (line > 0).then(|| Proxy::start(place.address()));
    let home = home_behind(&place, proxy.as_ref());
    let mut fleet: Vec<Client> = (0..clients).map(|number| Client::start(&home, number)).collect();
    let lens = plain_uploads::lens_of_last_backup(&place, || fleet[0].back_up());
    proxy.iter().for_each(|proxy| proxy.bandwidth(line));

    let meter = Meter::start(&place);
    let until = meter.start + seconds;
    let (backups, prunes, measured) = std::thread::scope(|scope| {
        let home = &home;
        let hosts: Vec<_> = fleet
            .iter_mut()
            .map(|client| scope.spawn(move || client.back_up_until(until)))
            .collect();
        let prunes: Vec<_> = (0..collectors)
            .map(|number| scope.spawn(move || collect_until(home, number, until)))
            .collect();
        let hosts: Vec<Done> = hosts.into_iter().map(|host| host.join().unwrap()).collect();
        let measured = meter.stop();
        (
            hosts,
            prunes.into_iter().map(|collector| collector.join().unwrap()).sum::<Done>(),
            measured,
        )
    });
    let runs = || backups.iter().map(|done| done.runs);
    let (fewest, most) = (runs().min().unwrap(), runs().max().unwrap());
    let backups = backups.into_iter().sum::<Done>();
    println!(
        "{clients} clients ({fewest} to {most} backups each, the longest {:.1} s) beside {collectors} collectors ({} rounds, the longest {:.1} s)",
        backups.longest.as_secs_f64(),
        prunes.runs,
        prunes.longest.as_secs_f64()
    );
    let of_fleet = tell("fleet", backups, &measured);
    proxy.iter().for_each(|proxy| proxy.bandwidth(0));
    home.run(["check", "--quiet", "--level", "full"]).ok();
    fleet.iter().for_each(Client::restores);

    proxy.iter().for_each(|proxy| proxy.bandwidth(line));
    let meter = Meter::start(&place);
    let port = proxy.as_ref().map_or(place.address().port(), Proxy::port);
    let done = plain_uploads::put_until(&place, port, &lens, clients, meter.start + seconds / 5);
    let of_plain = tell("plain", done, &meter.stop());
    println!("ratio: {:.2} of the bytes per second", of_fleet / of_plain);
}

/// Returns a home with a new repository, behind a line if there is one.
fn home_behind(place: &Place, proxy: Option<&Proxy>) -> Home {
    let address = proxy.map_or(place.address(), |proxy| ([127, 0, 0, 1], proxy.port()).into());
    let home = Home::new()
        .with("DRUMLIN_REPOSITORY", "far")
        .with("DRUMLIN_KEY_FILE", "test.key")
        .with("DRUMLIN_CONFIG", "drumlin.toml");
    home.configure("drumlin.toml", &place.lines("repo", address));
    home.configure("near.toml", &place.lines("repo", place.address()));
    home.run(["init"]).ok();
    home
}
