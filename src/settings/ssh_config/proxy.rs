//! `ProxyCommand` and `ProxyJump`.

use std::ffi::OsString;
use std::path::Path;

use super::lexer::expand;

/// The proxy of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProxyRule {
    /// `none`: later values have no effect.
    None,
    /// `ProxyCommand`: a shell command, not expanded.
    Command(String),
    /// `ProxyJump`: a list of machines, not expanded.
    Jump(String),
}

/// The destination of a proxy.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// The machine: `%h`.
    pub host: &'a str,
    /// Its name as the user wrote it: `%n`.
    pub alias: &'a str,
    /// Its port: `%p`.
    pub port: u16,
    /// The user of the login: `%r`.
    pub user: &'a str,
}

/// Returns the expanded `ProxyCommand` for the shell.
///
/// Fails if a name contains shell syntax, as OpenSSH does.
pub fn command_line(written: &str, to: Destination<'_>) -> Result<String, String> {
    refuse_odd_names(to, "ProxyCommand")?;
    Ok(expand_to(written, to))
}

fn refuse_odd_names(to: Destination<'_>, option: &str) -> Result<(), String> {
    for (what, name) in [("machine", to.host), ("machine", to.alias), ("user", to.user)] {
        let is_odd =
            |c: char| c.is_whitespace() || c.is_control() || "'`\"$\\;&<>|(){}".contains(c);
        if name.is_empty() || name.starts_with('-') || name.contains(is_odd) {
            return Err(format!(
                "the {what}'s name {name:?} cannot stand in a {option}: a shell would read more \
                    than a name in it"
            ));
        }
    }
    Ok(())
}

fn expand_to(written: &str, to: Destination<'_>) -> String {
    expand(written, &[('h', to.host), ('n', to.alias), ('p', &to.port.to_string()), ('r', to.user)])
}

/// Returns the arguments of `ssh` for a `ProxyJump`, as OpenSSH itself uses them: it logs in at the
/// last machine, through the others, and forwards bytes from there. In all names `%h`, `%n`, `%p`
/// and `%r` mean the destination.
///
/// `config` replaces the user's configuration. Fails if a machine is not written as
/// `user@host:port` or `ssh://user@host:port`, or if an expanded name contains shell syntax.
pub fn jump_arguments(
    written: &str,
    to: Destination<'_>,
    config: Option<&Path>,
) -> Result<Vec<OsString>, String> {
    let hops: Vec<&str> = written.split(',').collect();
    let mut parsed = hops.iter().map(|hop| parse_hop(hop)).collect::<Result<Vec<_>, _>>()?;
    let last = parsed.pop().ok_or("`ProxyJump` names no machine")?;
    if written.contains('%') {
        refuse_odd_names(to, "ProxyJump")?;
    }
    let mut arguments: Vec<OsString> = Vec::new();
    let mut add =
        |option: &str, value: &str| arguments.extend([option.into(), expand_to(value, to).into()]);
    if let Some(user) = last.user {
        add("-l", user);
    }
    if let Some(port) = last.port {
        add("-p", port);
    }
    if hops.len() > 1 {
        add("-J", &hops[..hops.len() - 1].join(","));
    }
    if let Some(config) = config {
        arguments.extend(["-F".into(), config.as_os_str().to_owned()]);
    }
    arguments.extend([
        "-W".into(),
        format!("[{}]:{}", to.host, to.port).into(),
        expand_to(last.host, to).into(),
    ]);
    Ok(arguments)
}

struct Hop<'a> {
    user: Option<&'a str>,
    host: &'a str,
    port: Option<&'a str>,
}

fn parse_hop(written: &str) -> Result<Hop<'_>, String> {
    let wrong = || {
        format!(
            "`{written}` is no machine to jump to: write user@host:port or ssh://user@host:port"
        )
    };
    let hop = written.strip_prefix("ssh://").map_or(written, |hop| hop.trim_end_matches('/'));
    let (user, place) =
        hop.rsplit_once('@').map_or((None, hop), |(user, place)| (Some(user), place));
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) = rest.split_once(']').ok_or_else(wrong)?;
            (
                host,
                if behind.is_empty() {
                    None
                } else {
                    Some(behind.strip_prefix(':').ok_or_else(wrong)?)
                },
            )
        }
        // An IPv6 address without brackets has no port.
        None if place.matches(':').count() > 1 => (place, None),
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with('-')
            && !name.contains(|c: char| c.is_whitespace() || c.is_control())
    };
    if !is_name(host)
        || !user.is_none_or(is_name)
        || !port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0))
    {
        return Err(wrong());
    }
    Ok(Hop { user, host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TO: Destination<'_> =
        Destination { host: "u1.example.com", alias: "box", port: 23, user: "u1" };

    #[test]
    fn commands_are_expanded() {
        assert_eq!(
            command_line("nc -x '%n' %h %p %r %% %d", TO).unwrap(),
            "nc -x 'box' u1.example.com 23 u1 % %d"
        );
        for host in ["$(touch x)", "a;b", "-oProxyCommand=x", "a b", "`x`", "a|b", "", "a\nb", "'"]
        {
            assert!(
                command_line("nc %h", Destination { host, ..TO })
                    .unwrap_err()
                    .contains("machine's name"),
                "{host}"
            );
            assert!(
                command_line("nc %h", Destination { user: host, ..TO })
                    .unwrap_err()
                    .contains("user's name"),
                "{host}"
            );
        }
        assert_eq!(
            command_line("nc %h %p", Destination { host: "fe80::1%eth0", ..TO }).unwrap(),
            "nc fe80::1%eth0 23"
        );
    }

    #[test]
    fn jumps_are_what_openssh_makes_of_them() {
        let arguments = |written: &str, config: Option<&str>| {
            let arguments = jump_arguments(written, TO, config.map(Path::new))?;
            Ok::<_, String>(arguments.join(" ".as_ref()).into_string().unwrap())
        };
        let to = "-W [u1.example.com]:23";
        assert_eq!(arguments("gate", None).unwrap(), format!("{to} gate"));
        assert_eq!(
            arguments("ada@gate:2222", Some("/c")).unwrap(),
            format!("-l ada -p 2222 -F /c {to} gate")
        );
        assert_eq!(
            arguments("a,b@c:1,ssh://d@[::1]:2", None).unwrap(),
            format!("-l d -p 2 -J a,b@c:1 {to} ::1")
        );
        assert_eq!(arguments("fe80::1", None).unwrap(), format!("{to} fe80::1"));
        // As OpenSSH 9.2 does it.
        let through = format!("-l u1 -J u1@a-23 {to} gate-box%");
        assert_eq!(arguments("%r@a-%p,%r@gate-%n%%", None).unwrap(), through);
        assert_eq!(arguments("%h:2222", None).unwrap(), format!("-p 2222 {to} u1.example.com"));
        for user in ["-oProxyCommand=x", "a b", "$(x)", ""] {
            let odd = Destination { user, ..TO };
            assert!(
                jump_arguments("%r@gate", odd, None).unwrap_err().contains("user's name"),
                "{user}"
            );
            jump_arguments("gate", odd, None).unwrap();
        }
        for written in [
            "", "a,", ",a", "-x", "a@", "@a", "a:b", "a:0", "a:99999", "[a", "[a]b", "a b", "-l@a",
            "a,-x", "ssh://",
        ] {
            assert!(arguments(written, None).unwrap_err().contains("no machine"), "{written}");
        }
    }
}
