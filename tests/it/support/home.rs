//! A scratch home folder, and the real program run in it.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// All commands, as `--help` lists them (a test compares them).
pub const COMMANDS: [&str; 26] = [
    "quickstart",
    "init",
    "backup",
    "run",
    "apps",
    "daemon",
    "config",
    "snapshots",
    "ls",
    "cat",
    "find",
    "history",
    "diff",
    "du",
    "restore",
    "mount",
    "forget",
    "undelete",
    "check",
    "prune",
    "repair",
    "stats",
    "cost",
    "key",
    "completions",
    "man",
];

/// A home folder that goes away; the program sees no other environment than what is set here.
pub struct Home {
    dir: TempDir,
    variables: Vec<(String, String)>,
}

/// How a run of the program ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Home {
    pub fn new() -> Self {
        Self {
            dir: tempfile::Builder::new().prefix("drumlin-home-").tempdir().unwrap(),
            variables: Vec::new(),
        }
    }

    /// Returns the like in memory, where there is such a file system: for those who run the program
    /// thousands of times.
    pub fn in_memory() -> Self {
        let mut home = Self::new();
        home.dir = crate::support::fixture::fast_folder();
        home
    }

    /// Returns a home with a repository `repo`, which every command finds and opens (with the key
    /// file `test.key`).
    pub fn with_repository() -> Self {
        Self::new().and_repository()
    }

    /// Makes that repository.
    pub fn and_repository(self) -> Self {
        let home = self.with("DRUMLIN_REPOSITORY", "repo").with("DRUMLIN_KEY_FILE", "test.key");
        home.run(["init"]).ok();
        home
    }

    /// Returns the like, but it opens with the password "secret", which costs more time.
    pub fn with_password() -> Self {
        let home =
            Self::new().with("DRUMLIN_REPOSITORY", "repo").with("DRUMLIN_PASSWORD", "secret");
        home.run(["init"]).ok();
        home
    }

    /// Returns a home whose repository is in a bucket of a server that takes any credentials;
    /// `below` is bucket and prefix.
    #[cfg(feature = "s3")]
    pub fn with_bucket(port: u16, below: &str, more: &str) -> Self {
        let home = Self::new()
            .with("DRUMLIN_REPOSITORY", "far")
            .with("DRUMLIN_CONFIG", "drumlin.toml")
            .with("DRUMLIN_KEY_FILE", "key");
        home.write("secret", "secret\n");
        let server = format!("endpoint = \"http://127.0.0.1:{port}\"\nregion = \"us-east-1\"");
        let account = "key-id = \"test\"\nsecret-file = \"secret\"";
        home.configure(
            "drumlin.toml",
            &format!("url = \"s3://{below}\"\n{server}\n{account}\n{more}\n"),
        );
        home
    }

    /// Writes a configuration with one repository, `far`, about which these lines are known.
    pub fn configure(&self, file: &str, lines: &str) {
        self.write(file, format!("[repository.far]\n{lines}"));
    }

    /// Sets an environment variable for all later runs.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        if relative.is_empty() {
            self.dir.path().to_path_buf()
        } else {
            self.dir.path().join(relative)
        }
    }

    /// Returns a path below the home folder as text.
    pub fn text(&self, relative: &str) -> String {
        self.path(relative).to_str().unwrap().to_owned()
    }

    /// Writes a file and the folders above it.
    pub fn write(&self, relative: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub fn read(&self, relative: &str) -> String {
        fs::read_to_string(self.path(relative)).unwrap()
    }

    /// Makes a small folder `src` with files, a folder and a link.
    pub fn make_source(&self) -> PathBuf {
        self.write("src/a.txt", "alpha\n");
        self.write("src/sub/b.txt", "beta\n".repeat(1000));
        self.write("src/sub/c.tmp", "gamma\n");
        std::os::unix::fs::symlink("a.txt", self.path("src/link")).unwrap();
        self.path("src")
    }

    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_drumlin"));
        command
            .env_clear()
            .env("HOME", self.dir.path())
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("TZ", "UTC");
        // Root's own is one for the whole machine.
        command.env("DRUMLIN_STATE_DIR", self.path(".state"));
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.dir.path()).args(args).stdin(Stdio::null());
        command
    }

    /// Returns a command that runs the program without root's power to read everything.
    pub fn without_capabilities<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
    ) -> Command {
        self.wrapped(&["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--"], args)
    }

    /// Returns a command that runs the program by another program.
    pub fn wrapped<S: AsRef<OsStr>>(
        &self,
        wrapper: &[&str],
        args: impl IntoIterator<Item = S>,
    ) -> Command {
        let program = self.command(args);
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).arg(program.get_program()).args(program.get_args());
        command
            .env_clear()
            .envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }

    /// Runs a script of the shell in which `$drumlin` is the program, by another program if
    /// `wrapper` is not empty.
    pub fn script(&self, wrapper: &[&str], script: &str) -> Ran {
        let shell = [wrapper, &["sh", "-eu", "-c", script]].concat();
        let mut command = self.wrapped(&shell, [""; 0]);
        Ran::of(&command.env("drumlin", env!("CARGO_BIN_EXE_drumlin")).output().unwrap())
    }

    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        Ran::of(&self.command(args).output().unwrap())
    }

    /// Runs the program with `input` on standard input.
    pub fn run_with_input<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
        input: &[u8],
    ) -> Ran {
        let mut child = self.spawn(args, Stdio::piped());
        child.stdin.take().unwrap().write_all(input).unwrap();
        Ran::of(&child.wait_with_output().unwrap())
    }

    /// Starts the program with its output piped.
    pub fn spawn<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>, stdin: Stdio) -> Child {
        self.command(args)
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Returns the ids of all snapshots, in the order of `drumlin snapshots`.
    pub fn snapshot_ids(&self) -> Vec<String> {
        let listed = self.json(["snapshots"]);
        let id = |snapshot: &Value| snapshot["id"].as_str().unwrap().to_owned();
        listed["snapshots"].as_array().unwrap().iter().map(id).collect()
    }

    /// Runs the program with `--json` and returns the document.
    pub fn json<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Value {
        let args = args.into_iter().map(|arg| arg.as_ref().to_owned()).chain(["--json".into()]);
        self.run(args).ok().json()
    }

    /// Returns every file and link below a folder with its content, sorted.
    pub fn tree(&self, relative: &str) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        collect(&self.path(relative), "", &mut found);
        found.sort();
        found
    }
}

fn collect(folder: &Path, below: &str, into: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            collect(&entry.path(), &format!("{name}/"), into);
        } else if kind.is_symlink() {
            let target = fs::read_link(entry.path()).unwrap();
            into.push((name, target.into_os_string().into_encoded_bytes()));
        } else {
            into.push((name, fs::read(entry.path()).unwrap()));
        }
    }
}

impl Ran {
    pub fn of(output: &Output) -> Self {
        Self {
            code: output.status.code().unwrap_or_else(|| -output.status.signal().unwrap_or(0)),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Expects success.
    #[track_caller]
    pub fn ok(self) -> Self {
        self.code(0)
    }

    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "standard output:\n{}standard error:\n{}", self.out, self.err);
        self
    }

    /// Expects a failure with this exit code, a first line `error: …message…`, and a hint if one is
    /// given.
    #[track_caller]
    pub fn fails(self, code: i32, message: &str, hint: &str) -> Self {
        let ran = self.code(code);
        let first = ran.err.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
        assert!(first.contains(message), "expected `error: …{message}…` in:\n{}", ran.err);
        let hints = ran.err.lines().filter(|line| line.starts_with("  hint: ")).count();
        assert_eq!(
            hints,
            usize::from(!hint.is_empty()),
            "one hint at most, and only where one is expected:\n{}",
            ran.err
        );
        assert!(ran.err.contains(hint), "expected the hint `{hint}` in:\n{}", ran.err);
        ran
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error} in:\n{}", self.out))
    }
}

/// Returns the names of a JSON object's fields, sorted and joined.
#[track_caller]
pub fn fields(value: &Value) -> String {
    let mut names: Vec<&str> =
        value.as_object().expect("an object").keys().map(String::as_str).collect();
    names.sort_unstable();
    names.join(" ")
}
