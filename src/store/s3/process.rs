//! Credentials that a program gives out: the one that a profile names as `credential_process`, or AWS's own, for logins by a browser.

use std::borrow::Cow;
use std::io;
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;

use aws_config::profile;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self};
use aws_runtime::env_config::file::EnvConfigFiles;
use aws_sdk_s3::config::Credentials;
use aws_types::os_shim_internal::{Env, Fs};
use serde::Deserialize;

use super::errors::one_line;

/// What such a program prints, as AWS defines it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Printed {
    version: u32,
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    expiration: Option<String>,
}

/// Runs the program of a profile; of the one that the environment names, or the usual one, if none is given.
pub async fn credentials(wanted: Option<String>) -> provider::Result {
    let files = EnvConfigFiles::default();
    let profiles = profile::load(&Fs::real(), &Env::real(), &files, wanted.map(Cow::Owned)).await;
    let profiles = profiles.map_err(|error| failed(format!("the AWS configuration cannot be read: {error}")))?;
    let name = profiles.selected_profile().to_owned();
    let of_profile = profiles.get_profile(&name).and_then(|profile| profile.get("credential_process"));
    let program = of_profile.map(str::to_owned);
    let ran = tokio::task::spawn_blocking(move || run(program.as_deref(), &name)).await;
    ran.map_err(|_| failed("its program was not run".to_owned()))?
}

/// Runs a program, or else AWS's own, which knows all ways of logging in.
fn run(program: Option<&str>, profile: &str) -> provider::Result {
    let mut command = Command::new(if program.is_some() { "sh" } else { "aws" });
    match program {
        Some(program) => command.args(["-c", program]),
        None => command.args(["configure", "export-credentials", "--format", "process", "--profile", profile]),
    };
    let what = program.map_or_else(|| "`aws configure export-credentials`".to_owned(), |_| "`credential_process`".to_owned());
    let Output { status, stdout, stderr } = match command.stdin(Stdio::null()).output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound && program.is_none() => {
            return Err(failed(format!(
                "the profile `{profile}` needs a login that AWS's own program makes: install the AWS CLI, then `aws sso login --profile {profile}`"
            )));
        }
        Err(error) => return Err(failed(format!("{what} of the profile `{profile}` cannot be run: {error}"))),
        Ok(output) => output,
    };
    if !status.success() {
        let said = one_line(&String::from_utf8_lossy(&stderr));
        return Err(failed(format!("{what} of the profile `{profile}` failed ({status}): {said}")));
    }
    parse(&stdout).map_err(|why| failed(format!("{what} of the profile `{profile}` printed no credentials: {why}")))
}

/// Reads what the program printed; secrets are in no error.
fn parse(printed: &[u8]) -> Result<Credentials, &'static str> {
    let printed: Printed = serde_json::from_slice(printed).map_err(|_| "it is not the JSON that AWS defines for that")?;
    if printed.version != 1 {
        return Err("its `Version` is not 1");
    }
    let expiry = printed.expiration.map(|text| text.parse::<jiff::Timestamp>()).transpose();
    let expiry = expiry.map_err(|_| "its `Expiration` is no time")?.map(SystemTime::from);
    Ok(Credentials::new(printed.access_key_id, printed.secret_access_key, printed.session_token, expiry, "drumlin"))
}

fn failed(says: String) -> CredentialsError {
    CredentialsError::provider_error(says)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let error = run(Some("echo gone >&2; exit 3"), "work").unwrap_err();
        let text = std::error::Error::source(&error).unwrap().to_string();
        assert!(text.contains("`credential_process` of the profile `work` failed (exit status: 3): gone"), "{text}");
    }
}
