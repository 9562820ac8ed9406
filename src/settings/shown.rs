//! Tables of a configuration as they hold: variables replaced, paths whole, secrets hidden.
//!
//! They are made of the text that was read, not of the settings that it became: so no key can be
//! forgotten when a new one comes.

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::source::SettingsText;

/// Text in the place of a secret.
const HIDDEN: &str = "***";
/// Keys of commands. They are shown as they are written: a variable in them may be a secret.
const COMMANDS: [&str; 10] = [
    "after",
    "after-restore",
    "before",
    "before-restore",
    "failed",
    "finally",
    "load",
    "options",
    "pipe",
    "run",
];
/// Keys whose URLs let those who know them write.
const WEB: [&str; 3] = ["notify", "ping", "webhook"];

/// Adds the tables of a file to those of others.
pub(super) fn add(all: &mut Table, source: &SettingsText<'_>, document: &DeTable<'_>) {
    let Value::Table(new) = table(source, &mut Vec::new(), document) else { return };
    for (name, value) in new {
        match (all.get_mut(&name), value) {
            (Some(Value::Table(known)), Value::Table(more)) => known.extend(more),
            (_, value) => drop(all.insert(name, value)),
        }
    }
}

fn table(source: &SettingsText<'_>, way: &mut Vec<String>, table: &DeTable<'_>) -> Value {
    let mut shown = Table::new();
    for (key, value) in table.iter() {
        way.push(key.get_ref().to_string());
        let mut values = values(source, way, value);
        let value = match (values.len(), value.get_ref()) {
            (1, found) if !matches!(found, DeValue::Array(_)) => values.pop(),
            (0, found) if !matches!(found, DeValue::Array(_)) => None,
            _ => Some(Value::Array(values)),
        };
        way.pop();
        if let Some(value) = value {
            shown.insert(key.get_ref().to_string(), value);
        }
    }
    Value::Table(shown)
}

/// Returns the values that a value is: the elements of a list, one, or none if it counts as not
/// given.
fn values(
    source: &SettingsText<'_>,
    way: &mut Vec<String>,
    value: &Spanned<DeValue<'_>>,
) -> Vec<Value> {
    let one = match value.get_ref() {
        DeValue::Array(items) => {
            return items.iter().flat_map(|item| values(source, way, item)).collect();
        }
        DeValue::String(text) => {
            let texts = texts(source, way, value.span().start, text);
            return texts.into_iter().map(Value::String).collect();
        }
        DeValue::Table(below) => table(source, way, below),
        DeValue::Boolean(is_so) => Value::Boolean(*is_so),
        DeValue::Datetime(time) => Value::Datetime(*time),
        DeValue::Integer(number) => {
            let parsed = i64::from_str_radix(number.as_str(), number.radix());
            parsed.map_or_else(|_| Value::String(number.to_string()), Value::Integer)
        }
        DeValue::Float(number) => {
            let parsed = number.as_str().parse();
            parsed.map_or_else(|_| Value::String(number.to_string()), Value::Float)
        }
    };
    vec![one]
}

fn texts(source: &SettingsText<'_>, way: &[String], at: usize, text: &str) -> Vec<String> {
    let key = way.last().map_or("", String::as_str);
    if COMMANDS.contains(&key) {
        return vec![text.to_owned()];
    }
    if key.ends_with("-command") {
        return vec![hide_arguments(text)];
    }
    if way.iter().any(|name| name == "header") {
        return vec![HIDDEN.to_owned()];
    }
    if let Some(paths) = source.paths_at(at) {
        return paths.iter().map(|path| escape(&path.to_string_lossy())).collect();
    }
    // What was read without variables keeps its text.
    let expanded = source.expand(text).unwrap_or_else(|_| Some(text.to_owned()));
    let is_web = way.iter().any(|name| WEB.contains(&name.as_str()));
    expanded.iter().map(|text| escape(&hide_in_url(text, is_web))).collect()
}

/// Returns a text that is read as itself.
fn escape(text: &str) -> String {
    text.replace("${", "$${")
}

/// Returns the program of a command, without the arguments, which may be the secret itself.
fn hide_arguments(command: &str) -> String {
    match command.split_whitespace().next() {
        Some(program) if program.contains(['=', '$']) => HIDDEN.to_owned(),
        Some(program) if command.trim() == program => program.to_owned(),
        Some(program) => format!("{program} {HIDDEN}"),
        None => HIDDEN.to_owned(),
    }
}

/// Hides the password in a URL, and all that follows the host if `is_web`.
fn hide_in_url(text: &str, is_web: bool) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let authority = match authority.rsplit_once('@') {
        Some((_, host)) if is_web => format!("{HIDDEN}@{host}"),
        Some((user, host)) => match user.split_once(':') {
            Some((user, _)) => format!("{user}:{HIDDEN}@{host}"),
            None => authority.to_owned(),
        },
        None => authority.to_owned(),
    };
    let path = match is_web && !matches!(path, "" | "/") {
        true => format!("/{HIDDEN}"),
        false => path.to_owned(),
    };
    format!("{scheme}://{authority}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::environment::Environment;

    fn shown(text: &str) -> String {
        let env = Environment::of([("TOKEN", "t0ken"), ("DIR", "/srv/${x}"), ("EMPTY", "")]);
        let source = SettingsText::new("/etc/drumlin.toml".into(), text, &env);
        let document = DeTable::parse(text).unwrap();
        let mut all = Table::new();
        add(&mut all, &source, document.get_ref());
        toml::to_string(&all).unwrap()
    }

    #[test]
    fn secrets_are_hidden_and_variables_replaced() {
        for (text, is) in [
            ("a = \"${DIR}/y\"", "a = \"/srv/$${x}/y\"\n"),
            ("a = [\"${EMPTY:-}\", \"b\"]\nb = \"${EMPTY:-}\"", "a = [\"b\"]\n"),
            ("before = \"curl ${TOKEN}\"", "before = \"curl ${TOKEN}\"\n"),
            ("password-command = \"pass show x\"", "password-command = \"pass ***\"\n"),
            ("secret-command = \"/bin/key\"", "secret-command = \"/bin/key\"\n"),
            ("password-command = \"A=b echo c\"", "password-command = \"***\"\n"),
            ("password-command = \"$A\"", "password-command = \"***\"\n"),
            ("url = \"sftp://u:pw@h:23/./x\"", "url = \"sftp://u:***@h:23/./x\"\n"),
            ("url = \"sftp://u@h/x\"", "url = \"sftp://u@h/x\"\n"),
            ("ping = \"https://hc.io/${TOKEN}?x=1\"", "ping = \"https://hc.io/***\"\n"),
            ("push = \"http://a:b@gw:9091/x\"", "push = \"http://a:***@gw:9091/x\"\n"),
            (
                "[notify]\nwebhook = { url = \"https://t0ken@h\", header = [\"A: t0ken\"] }",
                "[notify.webhook]\nheader = [\"***\"]\nurl = \"https://***@h\"\n",
            ),
            ("a = 0x1f\nb = 1_000\nc = 1.5\nd = true", "a = 31\nb = 1000\nc = 1.5\nd = true\n"),
        ] {
            let shown = shown(text);
            assert_eq!(shown.replace("[notify]\n\n", ""), is, "{text}");
            assert!(!shown.contains("t0ken"), "{shown}");
        }
    }
}
