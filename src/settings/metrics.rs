//! Table `[metrics]` of the configuration file.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::error::SettingsError;
use super::section::Section;

/// Ways by which metrics leave this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetricsSettings {
    /// Address at which the daemon answers requests for them.
    pub listen: Option<SocketAddr>,
    /// File for the textfile collector of the node exporter; it ends in `.prom`.
    pub textfile: Option<PathBuf>,
    /// URL of a Pushgateway.
    pub push: Option<PushUrl>,
}

/// A URL that may hold a user and a password, and so is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct PushUrl(pub String);

impl fmt::Debug for PushUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PushUrl(***)")
    }
}

pub(super) fn read_metrics(mut section: Section<'_>) -> Result<MetricsSettings, SettingsError> {
    let listen = section.parsed("listen", |text| {
        text.parse::<SocketAddr>()
            .map_err(|_| format!("`{text}` is not an address such as 127.0.0.1:9840"))
    })?;
    let textfile = section.path("textfile")?;
    if let Some(path) = &textfile
        && path.extension().is_none_or(|ending| ending != "prom")
    {
        let value = section.value("textfile").expect("the key is there");
        let why = "the node exporter reads only files that end in .prom";
        return Err(section.refuse("textfile", value, why));
    }
    let push = section.parsed("push", parse_push_url)?;
    section.finish()?;
    Ok(MetricsSettings { listen, textfile, push })
}

/// Parses the URL of a Pushgateway. The message does not quote it: it may hold a password.
fn parse_push_url(text: &str) -> Result<PushUrl, String> {
    let refuse = |why: &str| Err(format!("{why}, such as https://metrics.example.org"));
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let Some(rest) = rest else {
        return refuse("it must be a URL that begins with http:// or https://");
    };
    if text.contains(['?', '#']) || text.contains(char::is_whitespace) {
        return refuse("it must be a URL without a query, a fragment and blanks");
    }
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit('@').next().unwrap_or_default() {
        host if host.is_empty() || host.starts_with(':') => refuse("it must name a host"),
        _ => Ok(PushUrl(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use crate::settings::environment::Environment;

    fn parse(lines: &str) -> Result<MetricsSettings, String> {
        let file = "/etc/drumlin/drumlin.toml".into();
        let parsed =
            Settings::parse(&format!("[metrics]\n{lines}\n"), file, &Environment::default());
        parsed.map(|settings| settings.metrics).map_err(|error| error.to_string())
    }

    #[test]
    fn the_three_ways_are_plain_values() {
        let all = "listen = \"127.0.0.1:9840\"\ntextfile = \"d.prom\"\n\
                   push = \"https://ada:geheim@push.example.org/x\"";
        let settings = parse(all).unwrap();
        assert_eq!(settings.listen, Some(([127, 0, 0, 1], 9840).into()));
        assert_eq!(settings.textfile, Some("/etc/drumlin/d.prom".into()));
        assert!(settings.push.as_ref().is_some_and(|url| url.0.ends_with("/x")));
        assert!(!format!("{settings:?}").contains("geheim"));
        assert_eq!(parse("").unwrap(), MetricsSettings::default());
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_line_and_without_passwords() {
        for (line, says) in [
            ("listen = \"everywhere\"", "is not an address"),
            ("listen = \"localhost:9840\"", "is not an address"),
            ("textfile = \"metrics.txt\"", "end in .prom"),
            ("textfile = \".prom\"", "end in .prom"),
            ("push = \"ada:geheim@example.org\"", "begins with http"),
            ("push = \"https://ada:geheim@/x\"", "name a host"),
            ("push = \"http://ada:geheim@:9091\"", "name a host"),
            ("push = \"https://h/x?key=geheim\"", "without a query"),
            ("pull = \"x\"", "unknown key `pull`"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains("drumlin.toml:2: ") && error.contains(says), "{error}");
            assert!(!error.contains("geheim"), "{error}");
        }
    }
}
