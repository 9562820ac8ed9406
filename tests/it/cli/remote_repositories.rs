//! Repositories in a bucket and on another machine, by real servers; and what is said when nobody
//! answers.

use std::net::TcpListener;

use serde_json::json;

use crate::support::home::Home;

/// Returns an address of this machine at which nobody listens.
fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// Goes through a life: a new repository, backups, a restore, a check, a prune. The repository's
/// name is `far`.
fn a_life(home: &Home, shown: &str) {
    home.make_source();
    let out = home.run(["init", "--kit", "kit.txt"]).ok().out;
    assert!(out.contains(&format!("made a repository at {shown}\n")), "{out}");
    assert!(home.read("kit.txt").contains(shown));
    home.run(["init"]).fails(
        1,
        &format!("there already is a repository at {shown}"),
        "another place",
    );
    let first = home.json(["backup", "src"]);
    assert!(first["requests"]["bytes_up"].as_u64() > Some(100), "{first}");
    home.write("src/new.txt", "new");
    home.run(["backup", "src"]).ok();
    let source = home.text("src");
    home.run(["restore", &format!("latest:{source}"), "-t", "out", "--cache-dir", "empty"]).ok();
    assert_eq!(home.tree("out"), home.tree("src"));
    home.run(["check", "--level", "full"]).ok();
    home.run(["forget", "latest~1", "--force"]).ok();
    home.run(["prune", "--trash", "0d"]).ok();
    assert_eq!(home.json(["snapshots"])["snapshots"].as_array().map(Vec::len), Some(1));
}

#[cfg(feature = "sftp")]
#[test]
fn a_life_on_another_machine() {
    let mut server = crate::support::servers::openssh::OpenSsh::start();
    let options = server.options("drumlin");
    let home = Home::new()
        .with("DRUMLIN_REPOSITORY", "far")
        .with("DRUMLIN_CONFIG", "drumlin.toml")
        .with("DRUMLIN_KEY_FILE", "key");
    // All but the folder stands where other programs have it, too.
    let (host, port, user) = (&options.host, options.port, &options.user);
    let (key, known) = (options.identity_files[0].display(), options.known_hosts[0].display());
    home.write(
        ".ssh/config",
        format!("Host vault\n HostName {host}\n Port {port}\n User {user}\n IdentityFile {key}\n UserKnownHostsFile {known}\n"),
    );
    home.write(
        "drumlin.toml",
        "[repository.far]\nurl = \"sftp://vault/./drumlin\"\nretry = \"1s\"\n",
    );
    a_life(&home, "sftp://vault/./drumlin");
    assert!(server.path("files/drumlin/config/1").exists());
    assert_eq!(home.run(["cost"]).ok().out.matches("list prices").count(), 8);
    let nothing = home.run(["snapshots", "--repo", "sftp://vault/./other"]);
    nothing.fails(10, "there is no repository at sftp://vault/./other", "`drumlin init`");
    server.stop();
    assert_eq!(
        home.json(["backup", "src"])["requests"]["calls"],
        json!(0),
        "nothing has changed, so nobody is asked"
    );
    let ran = home.run(["snapshots"]).fails(1, "", "check the network");
    assert!(
        ran.err.contains("warning: cannot list sftp://")
            && ran.err.contains("trying again for up to 1.00 s"),
        "{}",
        ran.err
    );
}

#[cfg(feature = "sftp")]
#[test]
fn an_unknown_machine_is_refused_at_once() {
    let server = crate::support::servers::openssh::OpenSsh::start();
    let options = server.options("drumlin");
    let home = Home::new().with("DRUMLIN_KEY_FILE", "key");
    let url = format!("sftp://{}@{}:{}/./drumlin", options.user, options.host, options.port);
    let ran = home.run(["init", "--repo", &url]).code(1);
    assert!(
        ran.err.contains("is not known on this machine") && !ran.err.contains("trying again"),
        "{}",
        ran.err
    );
    assert!(!server.path("files/drumlin").exists());
}

#[cfg(feature = "s3")]
#[test]
fn a_life_in_a_bucket() {
    let server = crate::support::servers::moto::start();
    let (bucket, endpoint) = (server.bucket(), format!("http://127.0.0.1:{}", server.port()));
    let home = Home::with_bucket(
        server.port(),
        &format!("{bucket}/a/b"),
        "storage-class = \"STANDARD_IA\"",
    );
    let shown = format!("s3://{bucket}/a/b?endpoint={endpoint}&region=us-east-1");
    a_life(&home, &shown);
    // What was shown can be typed, and the environment has the rest.
    let home = home
        .with("AWS_ACCESS_KEY_ID", "test")
        .with("AWS_SECRET_ACCESS_KEY", "secret")
        .with("DRUMLIN_REPOSITORY", &shown);
    assert_eq!(home.json(["snapshots"])["snapshots"].as_array().map(Vec::len), Some(1));
    let other = home
        .with("DRUMLIN_REPOSITORY", &format!("s3://{bucket}/other"))
        .with("DRUMLIN_S3_ENDPOINT", &endpoint);
    let other = other.with("AWS_REGION", "eu-1");
    other.run(["snapshots"]).fails(
        10,
        &format!("there is no repository at s3://{bucket}/other?endpoint={endpoint}&region=eu-1"),
        "`drumlin init`",
    );
}

#[cfg(all(feature = "s3", feature = "sftp"))]
#[test]
fn nobody_answers() {
    let (home, address) = (Home::new(), nobody());
    let home = home
        .with("AWS_ACCESS_KEY_ID", "id")
        .with("AWS_SECRET_ACCESS_KEY", "secret")
        .with("DRUMLIN_KEY_FILE", "key");
    let s3 =
        format!("url = \"s3://bucket/x\"\nendpoint = \"http://{address}\"\nregion = \"us-east-1\"");
    let sftp = format!("url = \"sftp://ada@{address}/x\"\nssh-password-command = \"echo secret\"");
    for url in [&s3, &sftp] {
        home.write("once.toml", format!("[repository.far]\n{url}\nretry = \"0s\"\n"));
        let ran =
            home.run(["init", "--config", "once.toml"]).fails(1, "cannot ", "check the network");
        assert!(!ran.err.contains("trying again"), "{}", ran.err);
        home.write("twice.toml", format!("[repository.far]\n{url}\nretry = \"1s\"\n"));
        let ran =
            home.run(["init", "--config", "twice.toml"]).fails(1, "cannot ", "check the network");
        assert_eq!(ran.err.matches("trying again for up to 1.00 s").count(), 1, "{}", ran.err);
    }
    assert!(!home.path("key").exists(), "no key is made for a repository that cannot be");
}

/// Content in an archive class: said by a plan, ordered once, and restored by the same command when
/// it is there.
#[cfg(feature = "s3")]
#[test]
fn frozen_content_is_ordered_and_then_restored() {
    let server = crate::support::servers::moto::start();
    let home = Home::with_bucket(
        server.port(),
        &format!("{}/a", server.bucket()),
        "storage-class = \"DEEP_ARCHIVE\"",
    );
    home.write("src/large", crate::support::fixture::noise(1, 300_000));
    home.run(["init"]).ok();
    home.run(["backup", "src"]).ok();
    let from = format!("latest:{}", home.text("src"));
    let plan = home.json(["restore", &from, "-t", "out", "--plan"]);
    let frozen = &plan["frozen"][0];
    assert_eq!(
        (frozen["storage_class"].as_str(), frozen["packs"].as_u64()),
        (Some("DEEP_ARCHIVE"), Some(1)),
        "{plan}"
    );
    assert_eq!(
        (frozen["hours"].clone(), plan["ready"]["packs"].clone()),
        (json!([9.0, 12.0]), json!(0)),
        "{plan}"
    );
    let shown = home.run(["restore", &from, "-t", "out", "--plan"]).ok().out;
    assert!(
        shown.contains("in DEEP_ARCHIVE")
            && shown.contains("`--thaw` instead of `--plan` orders it"),
        "{shown}"
    );
    assert!(!home.path("out").exists(), "a plan changes nothing");
    let ran = home.run(["restore", &from, "-t", "out", "--thaw"]).fails(
        1,
        "nothing is restored yet",
        "run the same command again",
    );
    assert!(ran.err.contains("1 pack ordered now, 0 before"), "{}", ran.err);
    // This server thaws at once.
    home.run(["restore", &from, "-t", "out", "--thaw"]).ok();
    assert_eq!(home.tree("out"), home.tree("src"));
}
