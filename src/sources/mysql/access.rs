//! Arguments, option file and environment that let a client in.
//!
//! A password is never an argument. On this host the client reads it from a pipe, as an option
//! file; in a container from its environment.

use zeroize::Zeroizing;

use super::settings::{Access, Product, Tls};
use crate::sources::runner::{Invocation, SecretFile};

/// Describes a run of a program that logs in with `access`, still without what it is to do.
///
/// `product` is that of the program, `passes_files` that of the place where it runs. Fails for
/// values that cannot be passed.
pub(super) fn invocation(
    access: &Access,
    program: &str,
    product: Product,
    passes_files: bool,
) -> Result<Invocation, String> {
    let mut invocation = Invocation { program: program.to_owned(), ..Invocation::default() };
    match &access.password {
        Some(password) if passes_files => {
            invocation.secret_file = Some(secret_file(password, access)?);
        }
        _ => {
            let file = access.defaults_file.iter();
            invocation.arguments.extend(file.map(|path| format!("--defaults-file={path}")));
        }
    }
    if let Some(password) = &access.password {
        // A password in the files of the home directory would replace ours.
        let home = Zeroizing::new("/nonexistent".to_owned());
        invocation.environment.push(("HOME".to_owned(), home));
        if !passes_files {
            refuse_nul(password)?;
            invocation.environment.push(("MYSQL_PWD".to_owned(), password.clone()));
        }
    }
    invocation.arguments.extend(connection(access)?);
    invocation.arguments.extend(tls(access.tls, product).iter().map(|&option| option.to_owned()));
    Ok(invocation)
}

fn connection(access: &Access) -> Result<Vec<String>, String> {
    if access.socket.is_some() && (access.host.is_some() || access.port.is_some()) {
        return Err("`socket` excludes `host` and `port`".to_owned());
    }
    let mut options = Vec::new();
    let named = [("host", &access.host), ("socket", &access.socket), ("user", &access.user)];
    for (name, value) in named {
        options.extend(value.iter().map(|value| format!("--{name}={value}")));
    }
    if let Some(port) = access.port {
        // Without it, `localhost` is the socket whatever the port.
        options.extend(["--protocol=tcp".to_owned(), format!("--port={port}")]);
    }
    Ok(options)
}

fn tls(tls: Tls, product: Product) -> &'static [&'static str] {
    match (product, tls) {
        (_, Tls::Default) => &[],
        (Product::MariaDb, Tls::Off) => &["--skip-ssl"],
        (Product::MariaDb, Tls::On) => &["--ssl", "--skip-ssl-verify-server-cert"],
        (Product::MariaDb, Tls::Verify) => &["--ssl", "--ssl-verify-server-cert"],
        (Product::MySql, Tls::Off) => &["--ssl-mode=DISABLED"],
        (Product::MySql, Tls::On) => &["--ssl-mode=REQUIRED"],
        (Product::MySql, Tls::Verify) => &["--ssl-mode=VERIFY_IDENTITY"],
    }
}

/// Returns an option file with the password, after the user's option file if there is one.
fn secret_file(password: &str, access: &Access) -> Result<SecretFile, String> {
    let mut content = Zeroizing::new(Vec::new());
    let prefix = match &access.defaults_file {
        // A client reads one such file, and then no other: so ours includes the user's.
        Some(path) if path.contains('\n') => {
            return Err("the path of `defaults-file` holds a line feed".to_owned());
        }
        Some(path) => {
            content.extend_from_slice(format!("!include {path}\n").as_bytes());
            "--defaults-file="
        }
        None => "--defaults-extra-file=",
    };
    content.extend_from_slice(b"[client]\npassword=");
    content.extend_from_slice(quoted(password)?.as_bytes());
    content.push(b'\n');
    Ok(SecretFile { prefix: prefix.to_owned(), content })
}

/// Quotes a value for an option file.
fn quoted(value: &str) -> Result<Zeroizing<String>, String> {
    refuse_nul(value)?;
    // No reallocation, which would leave a copy in memory.
    let mut quoted = Zeroizing::new(String::with_capacity(2 * value.len() + 2));
    quoted.push('"');
    for character in value.chars() {
        match character {
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x08' => quoted.push_str("\\b"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    Ok(quoted)
}

fn refuse_nul(password: &str) -> Result<(), String> {
    match password.contains('\0') {
        true => Err("the password holds a NUL, which no client takes".to_owned()),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access() -> Access {
        Access { user: Some("root".to_owned()), ..Access::default() }
    }

    fn with_password(access: Access) -> Access {
        Access { password: Some("p \"#'\\\té".to_owned().into()), ..access }
    }

    fn made(access: &Access, passes_files: bool) -> Invocation {
        invocation(access, "mariadb", Product::MariaDb, passes_files).unwrap()
    }

    #[test]
    fn nothing_configured_is_no_option_at_all() {
        let made = made(&Access::default(), true);
        assert!(made.arguments.is_empty() && made.environment.is_empty());
        assert!(made.secret_file.is_none());
    }

    #[test]
    fn a_password_is_in_the_file_or_in_the_environment_and_never_an_argument() {
        let on_host = made(&with_password(access()), true);
        assert_eq!(on_host.arguments, ["--user=root"]);
        let file = on_host.secret_file.unwrap();
        assert_eq!(file.prefix, "--defaults-extra-file=");
        let content = String::from_utf8(file.content.to_vec()).unwrap();
        assert_eq!(content, "[client]\npassword=\"p \\\"#'\\\\\\té\"\n");
        assert_eq!(on_host.environment.len(), 1, "the home directory");

        let in_container = made(&with_password(access()), false);
        assert!(in_container.secret_file.is_none());
        assert_eq!(in_container.arguments, ["--user=root"]);
        let (name, value) = &in_container.environment[1];
        assert_eq!((name.as_str(), value.as_str()), ("MYSQL_PWD", "p \"#'\\\té"));
    }

    #[test]
    fn a_file_of_the_user_is_included() {
        let mut access = access();
        access.defaults_file = Some("/etc/wiki.cnf".to_owned());
        assert_eq!(made(&access, true).arguments[0], "--defaults-file=/etc/wiki.cnf");
        assert_eq!(
            made(&with_password(access.clone()), false).arguments[0][..16],
            *"--defaults-file="
        );
        let file = made(&with_password(access.clone()), true).secret_file.unwrap();
        assert_eq!(file.prefix, "--defaults-file=");
        assert!(file.content.starts_with(b"!include /etc/wiki.cnf\n[client]\n"));
        access.defaults_file = Some("/a\nb".to_owned());
        let refused = invocation(&with_password(access), "x", Product::MySql, true);
        assert!(refused.is_err_and(|message| message.contains("defaults-file")));
    }

    #[test]
    fn what_no_client_takes_is_refused() {
        let nul = Access { password: Some("a\0b".to_owned().into()), ..Access::default() };
        for passes_files in [true, false] {
            assert!(invocation(&nul, "x", Product::MySql, passes_files).is_err());
        }
        let both =
            Access { socket: Some("/s".into()), host: Some("h".into()), ..Access::default() };
        assert!(invocation(&both, "x", Product::MySql, true).is_err());
    }

    #[test]
    fn a_port_means_tcp_and_tls_has_the_options_of_the_product() {
        let access = Access {
            host: Some("localhost".to_owned()),
            port: Some(3307),
            tls: Tls::Verify,
            ..Access::default()
        };
        let expected = ["--host=localhost", "--protocol=tcp", "--port=3307"];
        let made = |product| invocation(&access, "x", product, true).unwrap().arguments;
        let mariadb = made(Product::MariaDb);
        assert_eq!(mariadb[..3], expected);
        assert_eq!(mariadb[3..], ["--ssl", "--ssl-verify-server-cert"]);
        assert_eq!(made(Product::MySql)[3..], ["--ssl-mode=VERIFY_IDENTITY"]);
    }
}
