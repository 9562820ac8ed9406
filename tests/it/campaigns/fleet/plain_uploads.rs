//! Uploads of the same bytes without a repository, for comparison.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use drumlin::store::s3::S3Store;
use drumlin::store::{Class, Key, Store};

use super::Done;
use crate::support::fixture::noise;
use crate::support::servers::place::Place;

/// Returns the lengths of the objects that a backup adds, the largest first, as packs are stored
/// before what names them.
pub fn lens_of_last_backup(place: &Place, back_up: impl FnOnce() -> Done) -> Vec<usize> {
    let before = objects(place);
    let done = back_up();
    let mut lens: Vec<usize> = objects(place)
        .into_iter()
        .filter(|(name, _)| !before.contains_key(name))
        .map(|(_, len)| len)
        .collect();
    lens.sort_unstable_by(|a, b| b.cmp(a));
    // Were there more of them, or fewer, they would not be the ones of this backup.
    assert_eq!((lens.len() as u64, lens.iter().sum::<usize>() as u64), (done.objects, done.bytes));
    lens
}

fn objects(place: &Place) -> BTreeMap<String, usize> {
    let Place::Bucket(server, bucket) = place else { panic!("it is a bucket") };
    let mut options = server.options_of(bucket.clone());
    options.prefix = "repo".to_owned();
    let store = S3Store::open(options).unwrap();
    let list = |class: Class| {
        let listed = store.list(class, "").unwrap().into_iter();
        listed.map(move |object| {
            (format!("{}/{}", class.dir_name(), object.name), object.len_bytes as usize)
        })
    };
    Class::ALL.into_iter().flat_map(list).collect()
}

/// Puts objects of these lengths, one after the other, again and again, in so many threads, to a
/// new bucket.
pub fn put_until(place: &Place, port: u16, lens: &[usize], threads: u64, until: Instant) -> Done {
    let Place::Bucket(server, _) = place else { panic!("it is a bucket") };
    let mut options =
        crate::support::servers::s3::options(server.bucket(), port, server.credentials());
    options.connections = threads as usize;
    let store = Arc::new(S3Store::open(options).unwrap());
    let bytes = noise(1, lens[0]);
    let put_one_after_the_other = |thread: u64| {
        let mut done = Done::default();
        while Instant::now() < until || done.runs < 2 {
            let start = Instant::now();
            for (at, len) in lens.iter().enumerate() {
                let key = Key::new(Class::Data, format!("{thread}-{}-{at}", done.runs));
                store.create(&key, &bytes[..*len]).unwrap();
                done.bytes += *len as u64;
            }
            let longest: Duration = done.longest.max(start.elapsed());
            done = Done {
                runs: done.runs + 1,
                objects: done.objects + lens.len() as u64,
                longest,
                ..done
            };
        }
        done
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || put_one_after_the_other(thread)))
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    })
}
