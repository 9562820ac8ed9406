//! Mounts of repositories on other machines.

use crate::support::fixture::noise;
use crate::support::home::Home;
use crate::support::mount::{Mount, sh, wait_for};
use crate::support::servers::place::Place;

/// What is shown is the source: names, content, times, and any part of a file that is longer than
/// one request.
fn is_the_same(home: &Home) {
    home.make_source();
    home.write("src/large", noise(1, 9 << 20));
    (0..300).for_each(|file| drop(home.write(&format!("src/many/{file}"), noise(file + 2, 3000))));
    home.run(["backup", "src"]).ok();
    // Another machine has no local copies.
    let mount = Mount::with(home, &["--cache-dir", "elsewhere"]);
    let shown = mount.latest(&home.path("src"));
    let differs = sh(
        &home.path(""),
        &format!("rsync -aHn --itemize-changes --checksum --delete '{}/' src/", shown.display()),
    );
    assert_eq!(differs, "");
    let at = shown.display();
    sh(
        &home.path(""),
        &format!(
            "diff -r --no-dereference src '{at}'; cmp -i 5000001 -n 70001 src/large '{at}/large'"
        ),
    );
    home.write("src/late", "later");
    home.run(["backup", "src"]).ok();
    wait_for("the second snapshot is the latest", || shown.join("late").exists());
    assert_eq!(mount.end().code, 0);
}

#[cfg(feature = "sftp")]
#[test]
fn another_machine_shows_the_same() {
    let place = Place::machine();
    is_the_same(&place.home());
}

#[cfg(feature = "s3")]
#[test]
fn a_bucket_shows_the_same() {
    let place = Place::bucket(crate::support::servers::moto::start());
    is_the_same(&place.home());
}
