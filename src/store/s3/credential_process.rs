//! Credentials from programs: the `credential_process` of a profile, or the AWS CLI for logins by a
//! browser.

use std::borrow::Cow;
use std::io::{self, Read};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use aws_config::profile;
use aws_credential_types::provider;
use aws_credential_types::provider::error::CredentialsError;
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_sdk_s3::config::Credentials;
use aws_types::os_shim_internal::{Env, Fs};
use serde::Deserialize;
use tokio::sync::watch;

use super::failure::one_line;

use crate::sync::lock;

/// Time-out of a program: the user may have to touch a key, or to answer in a browser.
const RUN_MAX: Duration = Duration::from_secs(600);
/// How long an unused result of a program is kept for the next caller.
const UNHEARD_MAX: Duration = Duration::from_secs(30);
/// Bytes that are read of either output.
const SAID_LEN_MAX_BYTES: u64 = 1 << 20;
/// Interval between checks for the end of a program.
const PAUSE: Duration = Duration::from_millis(5);

/// Output of a credential program, as AWS defines it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    version: u32,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    expiration: Option<String>,
}

/// The program of a profile.
#[derive(Clone, PartialEq, Eq)]
struct CredentialProgram {
    /// Its `credential_process`; `None` for the AWS CLI, which supports all kinds of login.
    program: Option<String>,
    profile: String,
}

impl CredentialProgram {
    fn command(&self) -> Command {
        let mut command = Command::new(if self.program.is_some() { "sh" } else { "aws" });
        match &self.program {
            Some(program) => command.args(["-c", program]),
            None => command.args([
                "configure",
                "export-credentials",
                "--format",
                "process",
                "--profile",
                &self.profile,
            ]),
        };
        command
    }

    /// Returns its name for errors.
    fn shown(&self) -> String {
        let what = if self.program.is_some() {
            "`credential_process`"
        } else {
            "`aws configure export-credentials`"
        };
        format!("{what} of the profile `{}`", self.profile)
    }

    fn not_started(&self, error: &io::Error) -> CredentialsError {
        let profile = &self.profile;
        failed(match error.kind() {
            io::ErrorKind::NotFound if self.program.is_none() => format!(
                "the profile `{profile}` needs a login that AWS's own program makes: install the \
                    AWS CLI, then `aws sso login --profile {profile}`"
            ),
            _ => format!("{} cannot be run: {error}", self.shown()),
        })
    }

    /// Parses the result.
    fn credentials(&self, ended: &Result<Output, String>) -> provider::Result {
        let what = self.shown();
        let Output { status, stdout, stderr } =
            ended.as_ref().map_err(|why| failed(format!("{what} {why}")))?;
        if !status.success() {
            let said = one_line(&String::from_utf8_lossy(stderr));
            return Err(failed(format!("{what} failed ({status}): {said}")));
        }
        parse(stdout).map_err(|why| failed(format!("{what} printed no credentials: {why}")))
    }
}

/// Runs credential programs, one at a time. A caller that asks for a running one waits for its end:
/// a request times out before a login may be done, and the next request must not start a second
/// one. Dropping this ends the program.
pub(super) struct Programs {
    /// Environment variables that they do not get.
    without: &'static [&'static str],
    running: Mutex<Option<Arc<ProgramRun>>>,
}

impl Programs {
    /// Starts no program yet.
    pub(super) fn new(without: &'static [&'static str]) -> Self {
        Self { without, running: Mutex::new(None) }
    }

    /// Runs the program of a profile: the given one, else the one that the environment names, else
    /// the default one.
    pub(super) async fn credentials(&self, wanted: Option<String>) -> provider::Result {
        let files = EnvConfigFiles::default();
        let profiles =
            profile::load(&Fs::real(), &Env::real(), &files, wanted.map(Cow::Owned)).await;
        let profiles = profiles
            .map_err(|error| failed(format!("the AWS configuration cannot be read: {error}")))?;
        let profile = profiles.selected_profile().to_owned();
        let of_profile =
            profiles.get_profile(&profile).and_then(|profile| profile.get("credential_process"));
        self.ask(CredentialProgram { program: of_profile.map(str::to_owned), profile }).await
    }

    async fn ask(&self, asked: CredentialProgram) -> provider::Result {
        let run = self.run(&asked)?;
        let ended = run.ended().await;
        lock(&self.running).take_if(|running| Arc::ptr_eq(running, &run));
        asked.credentials(&ended)
    }

    /// Returns the running program, or one that ended with an unused result; else starts it.
    fn run(&self, asked: &CredentialProgram) -> Result<Arc<ProgramRun>, CredentialsError> {
        let mut running = lock(&self.running);
        if let Some(run) = running.as_ref().filter(|run| run.asked == *asked && !run.is_stale()) {
            return Ok(Arc::clone(run));
        }
        let run = ProgramRun::start(asked.clone(), self.without)
            .map_err(|error| asked.not_started(&error))?;
        Ok(Arc::clone(running.insert(Arc::new(run))))
    }
}

/// Time and result of a program's end.
type Ended = Option<(Instant, Arc<Result<Output, String>>)>;

/// A started program. Dropping this ends it.
struct ProgramRun {
    asked: CredentialProgram,
    child: Arc<Mutex<Child>>,
    ended: watch::Receiver<Ended>,
}

impl ProgramRun {
    fn start(asked: CredentialProgram, without: &[&str]) -> io::Result<Self> {
        let mut command = asked.command();
        for name in without {
            command.env_remove(name);
        }
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let child = Arc::new(Mutex::new(child));
        let (tell, ended) = watch::channel(None);
        let run = Self { asked, child: Arc::clone(&child), ended };
        let stdout = gather(stdout.expect("it is piped"))?;
        let stderr = gather(stderr.expect("it is piped"))?;
        let supervise = move || {
            let ended = wait(&child, stdout, stderr, || !tell.is_closed());
            // The receivers may be gone.
            let _ = tell.send(Some((Instant::now(), Arc::new(ended))));
        };
        thread::Builder::new().name("credentials".to_owned()).spawn(supervise)?;
        Ok(run)
    }

    /// Waits for the program's end.
    async fn ended(&self) -> Arc<Result<Output, String>> {
        let mut ended = self.ended.clone();
        let ended = ended.wait_for(Option::is_some).await.ok().and_then(|ended| ended.clone());
        ended.map_or_else(|| Arc::new(Err("was not waited for".to_owned())), |(_, ended)| ended)
    }

    /// Returns whether its result is too old to be used.
    fn is_stale(&self) -> bool {
        self.ended.borrow().as_ref().is_some_and(|(since, _)| since.elapsed() > UNHEARD_MAX)
    }
}

impl Drop for ProgramRun {
    fn drop(&mut self) {
        // Usually it has ended, and this does nothing.
        let _ = lock(&self.child).kill();
    }
}

type Gathering = JoinHandle<io::Result<Vec<u8>>>;

/// Collects a program's output up to a limit, then closes the pipe.
fn gather(pipe: impl Read + Send + 'static) -> io::Result<Gathering> {
    let read = move || {
        let mut said = Vec::new();
        pipe.take(SAID_LEN_MAX_BYTES).read_to_end(&mut said).map(|_| said)
    };
    thread::Builder::new().name("credentials output".to_owned()).spawn(read)
}

/// Waits for a program and its whole output. Kills it after the time-out; stops waiting for output
/// once `is_wanted` is false.
fn wait(
    child: &Mutex<Child>,
    stdout: Gathering,
    stderr: Gathering,
    is_wanted: impl Fn() -> bool,
) -> Result<Output, String> {
    let since = Instant::now();
    let cannot = |error: io::Error| format!("cannot be waited for: {error}");
    loop {
        let status = lock(child).try_wait().map_err(cannot)?;
        if let Some(status) = status.filter(|_| stdout.is_finished() && stderr.is_finished()) {
            let said = |of: Gathering| of.join().unwrap_or_else(|_| Ok(Vec::new())).map_err(cannot);
            return Ok(Output { status, stdout: said(stdout)?, stderr: said(stderr)? });
        }
        if status.is_some() && !is_wanted() {
            return Err("was stopped".to_owned());
        }
        if since.elapsed() > RUN_MAX {
            let _ = lock(child).kill();
            return Err(format!("did not end within {} minutes", RUN_MAX.as_secs() / 60));
        }
        thread::sleep(PAUSE);
    }
}

/// Parses the program's output; errors contain no secrets.
fn parse(printed: &[u8]) -> Result<Credentials, &'static str> {
    let printed: Printed = serde_json::from_slice(printed)
        .map_err(|_| "it is not the JSON that AWS defines for that")?;
    if printed.version != 1 {
        return Err("its `Version` is not 1");
    }
    let expiry = printed.expiration.map(|text| text.parse::<jiff::Timestamp>()).transpose();
    let expiry = expiry.map_err(|_| "its `Expiration` is no time")?.map(SystemTime::from);
    Ok(Credentials::new(
        printed.access_key_id,
        printed.secret_access_key,
        printed.session_token,
        expiry,
        "drumlin",
    ))
}

fn failed(says: String) -> CredentialsError {
    CredentialsError::provider_error(says)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn asked(program: &str) -> CredentialProgram {
        CredentialProgram { program: Some(program.to_owned()), profile: "work".to_owned() }
    }

    fn ask(programs: &Programs, program: &str) -> provider::Result {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(programs.ask(asked(program)))
    }

    /// A program that waits until the test writes to `go`, notes each time that it is started, and
    /// its number.
    fn waits(dir: &Path) -> String {
        assert!(Command::new("mkfifo").arg(dir.join("go")).status().unwrap().success());
        let print =
            r#"printf '{"Version": 1, "AccessKeyId": "%s", "SecretAccessKey": "s"}' ${HOME-none}"#;
        format!("echo $$ >> {0}/runs; read line < {0}/go; {print}", dir.display())
    }

    fn is_running(pid: &str) -> bool {
        // One that has ended and was not taken leave of yet has no more memory.
        fs::read_to_string(format!("/proc/{pid}/statm")).is_ok_and(|statm| !statm.starts_with("0 "))
    }

    fn until(is_so: impl Fn() -> bool) {
        let since = Instant::now();
        while !is_so() {
            assert!(since.elapsed() < Duration::from_secs(20));
            thread::sleep(PAUSE);
        }
    }

    /// The caller gives up, as a request does after a while; the next one waits for the same
    /// program, which has no secret of ours.
    #[test]
    fn a_program_that_runs_is_not_started_again() {
        let dir = tempfile::tempdir().unwrap();
        let program = waits(dir.path());
        let programs = Programs::new(&["HOME"]);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let hasty =
            async { tokio::time::timeout(Duration::ZERO, programs.ask(asked(&program))).await };
        assert!(runtime.block_on(hasty).is_err());
        fs::write(dir.path().join("go"), "on\n").unwrap();
        let given = ask(&programs, &program).unwrap();
        assert_eq!(given.access_key_id(), "none");
        assert_eq!(fs::read_to_string(dir.path().join("runs")).unwrap().lines().count(), 1);
        assert!(lock(&programs.running).is_none(), "the next one asks anew");
    }

    #[test]
    fn a_program_ends_with_whoever_wants_it() {
        let dir = tempfile::tempdir().unwrap();
        let program = waits(dir.path());
        let programs = Programs::new(&[]);
        drop(programs.run(&asked(&program)).unwrap());
        let pid =
            || fs::read_to_string(dir.path().join("runs")).unwrap_or_default().trim().to_owned();
        until(|| !pid().is_empty());
        assert!(is_running(&pid()));
        drop(programs);
        until(|| !is_running(&pid()));
    }

    #[test]
    fn what_a_program_prints_is_read_and_never_shown() {
        let printed = r#"{"Version": 1, "AccessKeyId": "id", "SecretAccessKey": "secret", "SessionToken": "t",
            "Expiration": "2030-01-02T03:04:05Z", "More": 3}"#;
        let read = parse(printed.as_bytes()).unwrap();
        assert_eq!((read.access_key_id(), read.session_token()), ("id", Some("t")));
        let since = read.expiry().unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(since.as_secs(), 1_893_553_445);
        for wrong in [
            "",
            "{}",
            r#"{"Version": 2, "AccessKeyId": "id", "SecretAccessKey": "secret"}"#,
            r#"{"Version": 1, "AccessKeyId": "secret"}"#,
        ] {
            assert!(!parse(wrong.as_bytes()).unwrap_err().contains("secret"));
        }
        let error = ask(&Programs::new(&[]), "echo gone >&2; exit 3").unwrap_err();
        let text = std::error::Error::source(&error).unwrap().to_string();
        assert!(
            text.contains(
                "`credential_process` of the profile `work` failed (exit status: 3): gone"
            ),
            "{text}"
        );
    }
}
