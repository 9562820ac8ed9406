//! The place where the commands of a page run: a scratch home, and the servers that the page names.

use std::any::Any;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::placeholders::{SHOWN_HOME, rename_host};
use crate::apps::mysql::server::MariaDb;
use crate::apps::postgres::server::Postgres;
use crate::support::home::Home;
use crate::support::servers::openssh::OpenSsh;
use crate::support::servers::place::Place;
use crate::support::servers::{moto, run};

/// Folders of a machine that pages speak of. Here they are in the scratch home.
const ROOTS: [&str; 3] = ["/etc/drumlin", "/mnt/", "/srv/"];
/// Where databases listen on such a machine.
const MARIADB_SOCKET: &str = "/run/mysqld/mysqld.sock";
const POSTGRES_SOCKETS: &str = "/var/run/postgresql";

/// A scratch home with some documents, and running servers.
pub struct Stage {
    home: Home,
    /// What pages say, and what it is here.
    names: Vec<(String, String)>,
    variables: Vec<(String, String)>,
    servers: Vec<Place>,
    /// They end with the stage.
    databases: Vec<Box<dyn Any>>,
}

impl Stage {
    pub fn new() -> Self {
        let home = furnished_home();
        let mut names: Vec<_> =
            ROOTS.iter().map(|root| ((*root).to_owned(), home.text(&root[1..]))).collect();
        names.push((SHOWN_HOME.to_owned(), home.text("")));
        Self { home, names, variables: Vec::new(), servers: Vec::new(), databases: Vec::new() }
    }

    /// Starts a server and takes it for the one that the page speaks of:
    /// * `sftp USER@HOST...`: a server that this machine knows, with these names; `$SERVER_KEYS` is
    ///   the file of the keys that it lets in;
    /// * `s3 ENDPOINT BUCKET`: a server with a bucket;
    /// * `aws BUCKET`: a server that is reached, as AWS is, without being named in the
    ///   configuration; its bucket locks objects;
    /// * `mariadb`, `postgres`: a database at its usual socket, also for clients that are told of
    ///   none; another one from then on if there was one already.
    pub fn serve(&mut self, words: &str) {
        match words.split(' ').collect::<Vec<_>>().as_slice() {
            ["sftp", names @ ..] => self.serve_sftp(names),
            ["s3", endpoint, bucket] => {
                let here = self.serve_s3(bucket, false);
                self.names.insert(0, ((*endpoint).to_owned(), here));
            }
            ["aws", bucket] => {
                let here = self.serve_s3(bucket, true);
                let values = [
                    ("DRUMLIN_S3_ENDPOINT", here.as_str()),
                    ("AWS_ACCESS_KEY_ID", "test"),
                    ("AWS_SECRET_ACCESS_KEY", "secret"),
                ];
                self.variables
                    .extend(values.map(|(name, value)| (name.to_owned(), value.to_owned())));
            }
            ["mariadb"] => self.serve_mariadb(),
            ["postgres"] => self.serve_postgres(),
            _ => panic!("nobody knows the server `{words}`"),
        }
    }

    fn serve_sftp(&mut self, names: &[&str]) {
        let server = OpenSsh::start();
        let known = fs::read_to_string(&server.options("").known_hosts[0]).unwrap();
        self.home.write(".ssh/known_hosts", known);
        let here = format!("{}@{}", run("id", &["-un"]).trim(), server.address);
        self.names.splice(0..0, names.iter().map(|name| ((*name).to_owned(), here.clone())));
        let keys = server.path("authorized_keys");
        self.variables.push(("SERVER_KEYS".to_owned(), keys.to_str().unwrap().to_owned()));
        self.servers.push(Place::Machine(server));
    }

    /// Returns the endpoint.
    fn serve_s3(&mut self, bucket: &str, locks: bool) -> String {
        let server = moto::start();
        server.as_owner(|owner| {
            owner.create_bucket().bucket(bucket).object_lock_enabled_for_bucket(locks).send()
        });
        let endpoint = format!("http://127.0.0.1:{}", server.port());
        self.servers.push(Place::Bucket(server, bucket.to_owned()));
        endpoint
    }

    fn serve_mariadb(&mut self) {
        let server = MariaDb::start(&[]);
        let socket = server.socket().to_str().unwrap().to_owned();
        self.home.write(".my.cnf", format!("[client]\nsocket={socket}\n"));
        // Clients log in by the system's name unless they are told another.
        let user = run("id", &["-un"]).trim().to_owned();
        if user != "root" {
            server.sql(&format!(
                "CREATE USER '{user}'@localhost; GRANT ALL ON *.* TO '{user}'@localhost;"
            ));
        }
        self.names.insert(0, (MARIADB_SOCKET.to_owned(), socket));
        self.databases.push(Box::new(server));
    }

    fn serve_postgres(&mut self) {
        let server = Postgres::start().expect("scripts/test-deps.sh installs it");
        let rules = server.folder.path().join("data/pg_hba.conf");
        let text = fs::read_to_string(&rules).unwrap();
        fs::write(&rules, format!("{text}local replication all trust\n")).unwrap();
        server.sql("postgres", "SELECT pg_reload_conf()");
        let folder = server.folder.path().to_str().unwrap().to_owned();
        self.variables.push(("PGHOST".to_owned(), folder.clone()));
        self.names.insert(0, (POSTGRES_SOCKETS.to_owned(), folder));
        self.databases.push(Box::new(server));
    }

    /// Writes a file that the page shows.
    pub fn write(&self, path: &str, text: &str) {
        // A whole path stays as it is when it is looked for in the home folder.
        let path = self.here(path).replace('~', &self.home.text(""));
        self.home.write(&path, self.here(text) + "\n");
    }

    /// Runs a command; returns what the page would show of its output, and its exit code.
    pub fn shell(&self, command: &str) -> (String, i32) {
        let program = self.home.command([] as [&str; 0]);
        let folder = Path::new(program.get_program()).parent().unwrap();
        let path =
            std::env::join_paths([folder, Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", &format!("exec 2>&1\n{}", self.here(command))])
            .current_dir(self.home.path(""))
            .env_clear();
        shell
            .env("HOME", self.home.path(""))
            .env("PATH", path)
            .env("TZ", "UTC")
            .env("DRUMLIN_STATE_DIR", self.home.path(".state"));
        shell.envs(self.variables.iter().map(|(name, value)| (name, value)));
        let output = shell.output().unwrap();
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let text =
            self.names.iter().fold(
                String::from_utf8_lossy(&output.stdout).into_owned(),
                |text, (shown, here)| text.replace(here, shown),
            );
        (rename_host(&text, &host), output.status.code().unwrap())
    }

    /// Returns a text of the page with the names of this machine.
    fn here(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (shown, here)| text.replace(shown, here))
    }
}

/// Returns a home with some documents in it.
pub fn furnished_home() -> Home {
    let home = Home::new();
    home.write("documents/letters/to-grandma.txt", "Dear grandma,\nthank you for the apples.\n");
    home.write("documents/letters/to-the-bank.txt", "Dear bank,\nno.\n");
    home.write(
        "documents/thesis.md",
        "# On drumlins\n\nA drumlin is a hill that a glacier lays down layer by layer.\n"
            .repeat(400),
    );
    let noise: Vec<u8> = (0..150_000u32)
        .flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes())
        .collect();
    home.write("documents/photos/glacier.jpg", noise);
    // Files that changed within a clock tick before a backup are read again by the next one, which
    // would be shown.
    std::thread::sleep(Duration::from_millis(150));
    home
}
