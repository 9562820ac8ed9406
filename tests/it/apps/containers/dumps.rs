//! Goal: a database that is dumped by the client in its container gives the files that a client on
//! the host gives, or no snapshot at all; and no password is where others can read it.
//!
//! Method: a server on a socket in a folder that the container has, too.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;

use super::{Site, text, wait_until};
use crate::apps::mysql::server::MariaDb;
use crate::apps::postgres::server::Postgres;
use crate::support::home::Ran;

const SECRET: &str = "hunter2-geheim";

/// A dump program that waits for the file `go` before it dumps.
const SLOW_DUMP: &str = "#!/bin/sh\ncase \"$*\" in *--help|*--version) ;; *)
touch /srv/db/begun; while ! test -e /srv/db/go; do sleep 0.05; done ;; esac
exec mariadb-dump \"$@\"\n";

fn fill(server: &MariaDb) {
    server.sql(&format!(
        "CREATE DATABASE wiki; USE wiki; CREATE TABLE page (id INT PRIMARY KEY, body TEXT); \
         INSERT INTO page SELECT seq, REPEAT('x', seq % 700) FROM seq_1_to_3000; \
         CREATE USER backup@localhost IDENTIFIED BY '{SECRET}'; GRANT ALL ON *.* TO backup@localhost;"
    ));
}

#[test]
fn mariadb_in_a_container_is_dumped_as_on_the_host() {
    let Some(site) = Site::start() else { return };
    let server = MariaDb::start(&[]);
    fill(&server);
    // As the official image: the default socket, and root's password in the environment.
    server.sql(&format!("ALTER USER root@localhost IDENTIFIED BY '{SECRET}'"));
    let socket = format!("{}:/run/mysqld/mysqld.sock", text(&server.socket()));
    let password = format!("MARIADB_ROOT_PASSWORD={SECRET}");
    let labels = ["--label", "drumlin.app=labelled", "--label", "drumlin.mariadb=wiki"];
    let options = ["--volume", &socket, "--env", &password, "--label", "drumlin.repository=box"];
    site.podman.run_container("wiki-db", &[&options[..], &labels].concat());
    site.write_secret("db-password", SECRET);
    let login = "databases = \"wiki\", user = \"backup\", password-file = \"db-password\"";
    site.configure(&format!(
        "[app.host]\nmariadb = {{ {login}, socket = {:?} }}\n\
         [app.named]\nmariadb = {{ {login}, container = \"wiki-db\" }}\n",
        server.socket()
    ));
    let host = site.dumped("host", "/@app/mariadb/wiki");
    assert!(
        host.iter().any(|(name, content)| name.ends_with("page.sql") && content.len() > 1_000_000)
    );
    assert!(host == site.dumped("named", "/@app/mariadb/wiki"));
    assert!(host == site.dumped("labelled", "/@app/mariadb/wiki"));
    let manifest = site.home.run(["cat", "latest:/@app/manifest.json"]).ok().out;
    assert!(manifest.contains("\"container\": \"wiki-db\""), "{manifest}");
    assert!(!manifest.contains(SECRET));
}

#[test]
fn postgresql_in_a_container_is_dumped_as_on_the_host() {
    let Some(site) = Site::start() else { return };
    let Some(server) = Postgres::start() else { return };
    server.sql(
        "postgres",
        &format!(
            "CREATE ROLE secret LOGIN SUPERUSER PASSWORD '{SECRET}';\nCREATE DATABASE wiki OWNER secret;"
        ),
    );
    server.sql(
        "wiki",
        "CREATE TABLE page AS SELECT i AS id, repeat('x', i % 700) AS body \
         FROM generate_series(1, 3000) i;",
    );
    let folder = format!("{}:/run/postgresql", text(server.folder.path()));
    let labels = ["--label", "drumlin.app=labelled", "--label", "drumlin.postgres=wiki"];
    site.podman.run_container("wiki-db", &[&["--volume", &folder][..], &labels].concat());
    site.write_secret("db-password", SECRET);
    let login = "databases = \"wiki\", user = \"secret\", password-file = \"db-password\"";
    site.configure(&format!(
        "[app.host]\npostgres = {{ {login}, socket = {:?} }}\n\
         [app.named]\npostgres = {{ {login}, container = \"wiki-db\" }}\n\
         [app.wrong]\npostgres = {{ databases = \"wiki\", user = \"secret\", \
         password-file = \"password\", container = \"wiki-db\" }}\n",
        server.folder.path()
    ));
    // Each app has a key of its own for `\restrict`.
    let dumped = |app| {
        let files = site.dumped(app, "/@app/postgres/wiki").into_iter().map(|(name, content)| {
            let content = String::from_utf8(content).unwrap();
            let lines = content.lines().filter(|line| !line.contains("restrict "));
            (name, lines.collect::<Vec<_>>().join("\n"))
        });
        files.collect::<Vec<_>>()
    };
    let host = dumped("host");
    assert!(host.iter().any(|(name, content)| name.contains("page") && content.len() > 1_000_000));
    assert!(host == dumped("named") && host == dumped("labelled"));
    let wrong = site.run("wrong", 1)["error"].as_str().unwrap().to_owned();
    assert!(wrong.contains("password authentication failed"), "{wrong}");
    assert!(wrong.contains("`password-file`") && wrong.contains("container wiki-db"), "{wrong}");
    assert_eq!(site.snapshot_count(), 3);
}

#[test]
fn a_container_that_stops_meanwhile_leaves_no_snapshot_and_no_password() {
    let Some(site) = Site::start() else { return };
    let server = MariaDb::start(&[]);
    fill(&server);
    let program = server.path().join("slow-dump");
    fs::write(&program, SLOW_DUMP).unwrap();
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
    let folder = format!("{}:/srv/db", text(server.path()));
    site.podman.run_container("wiki-db", &["--volume", &folder]);
    site.write_secret("db-password", SECRET);
    let configure = |password: &str| {
        site.configure(&format!(
            "[app.wiki]\nmariadb = {{ databases = \"wiki\", user = \"backup\", \
             password-file = {password:?}, socket = \"/srv/db/socket\", \
             program = \"/srv/db/slow-dump\", container = \"wiki-db\" }}"
        ));
    };
    configure("db-password");
    let run = site.home.spawn(["run", "wiki", "--json"], Stdio::null());
    wait_until("the dump begins", || server.path().join("begun").exists());
    look_for_the_secret(&site);
    site.podman.run(&["stop", "wiki-db"]);
    let ran = Ran::of(&run.wait_with_output().unwrap()).code(1);
    let error = ran.json()["runs"][0]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("container wiki-db") && error.contains("`wiki`"), "{error}");
    assert_eq!(site.snapshot_count(), 0);
    assert_eq!(site.state("wiki")["last"]["is_transient"], true, "it may come back");

    // Still stopped.
    let error = site.run("wiki", 1)["error"].as_str().unwrap().to_owned();
    assert!(error.contains("container `wiki-db` is not running"), "{error}");
    assert!(error.contains("docker start wiki-db"), "{error}");
    assert_eq!(site.state("wiki")["last"]["is_transient"], true);

    site.podman.run(&["start", "wiki-db"]);
    fs::write(server.path().join("go"), "").unwrap();
    configure("password");
    let error = site.run("wiki", 1)["error"].as_str().unwrap().to_owned();
    assert!(error.contains("1045") && error.contains("password-file"), "{error}");
    assert_eq!(site.state("wiki")["last"]["is_transient"], false);
    configure("db-password");
    assert_eq!(site.run("wiki", 0)["status"], "done");

    site.podman.run(&["rm", "--force", "wiki-db"]);
    let error = site.run("wiki", 1)["error"].as_str().unwrap().to_owned();
    assert!(error.contains("there is no container `wiki-db`"), "{error}");
    assert_eq!(site.state("wiki")["last"]["is_transient"], false);
    assert_eq!(site.snapshot_count(), 1);
}

/// Fails if a command line, the state, or what the engine tells of the command has the secret.
fn look_for_the_secret(site: &Site) {
    for process in fs::read_dir("/proc").unwrap().filter_map(Result::ok) {
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains(SECRET), "{:?}", process.path());
    }
    for (name, content) in site.home.tree("state") {
        assert!(!String::from_utf8_lossy(&content).contains(SECRET), "{name}");
    }
    let inspected = site.podman.run(&["inspect", "wiki-db"]);
    assert!(inspected.contains("ExecIDs") && !inspected.contains(SECRET), "{inspected}");
    let document: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    let ids = document[0]["ExecIDs"].as_array().unwrap();
    assert!(!ids.is_empty());
    // The dump, and questions before it that the engine has not forgotten yet.
    let of_id = |id: &serde_json::Value| {
        get(&site.podman.socket(), &format!("/exec/{}/json", id.as_str().unwrap()))
    };
    let told: Vec<String> = ids.iter().map(of_id).collect();
    assert!(told.iter().all(|told| !told.contains(SECRET)), "{told:?}");
    assert!(told.iter().any(|told| told.contains("slow-dump")), "{told:?}");
}

/// Asks the engine.
fn get(socket: &Path, target: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_command_runs_in_its_container() {
    let Some(site) = Site::start() else { return };
    site.podman.run_container("kv", &["--env", "INSIDE=yes"]);
    let command = "container = \"kv\"\nname = \"dump\"";
    let configure = |run: &str| {
        site.configure(&format!("[[app.kv.command]]\n{command}\nrun = {run:?}"));
    };
    configure("echo $INSIDE; seq 3 | tail -1");
    assert_eq!(site.run("kv", 0)["sources"][0]["bytes"], 6);
    assert_eq!(site.home.run(["cat", "latest:/dump"]).ok().out, "yes\n3\n");
    configure("echo half; false | cat");
    let error = site.run("kv", 1)["error"].as_str().unwrap().to_owned();
    assert!(error.contains("container `kv` failed: exit status: 1"), "{error}");
    configure("exit 75");
    site.run("kv", 1);
    assert_eq!(site.state("kv")["last"]["is_transient"], true);
    // `backup` dumps it, too.
    configure("echo other");
    site.home.run(["backup", "--app", "kv"]).ok();
    assert_eq!(site.home.run(["cat", "latest:/dump"]).ok().out, "other\n");
}
