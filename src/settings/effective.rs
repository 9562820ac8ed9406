//! Settings as they hold: each app with what `[defaults]` adds to it.

use toml::{Table, Value};

use super::Settings;
use super::app::AppSettings;

/// Lists to which those of `[defaults]` are added; other keys are taken from there if the app has
/// none, as [`AppSettings::with_defaults`] does.
const JOINED: [&str; 7] = [
    "always-read",
    "exclude",
    "exclude-file",
    "exclude-if-present",
    "iexclude",
    "ignore-file",
    "tag",
];

impl Settings {
    /// Returns all tables as they hold, without secrets. As text, they can be read again and mean
    /// the same.
    ///
    /// Only those of one app and of its repositories, if `app` is given.
    pub fn effective(&self, app: Option<&str>) -> Table {
        let mut all = self.shown.clone();
        all.remove("include");
        let mut defaults = match all.remove("defaults") {
            Some(Value::Table(defaults)) => defaults,
            _ => Table::new(),
        };
        replace_cycle(&mut defaults);
        if let Some(Value::Table(apps)) = all.get_mut("app") {
            apps.retain(|name, _| app.is_none_or(|app| app == name));
            for (_, own) in apps.iter_mut() {
                let Value::Table(own) = own else { continue };
                replace_cycle(own);
                merge(own, &defaults);
            }
        }
        match app {
            None if !defaults.is_empty() => {
                all.insert("defaults".to_owned(), Value::Table(defaults));
            }
            None => {}
            Some(name) => self.retain_repositories(&mut all, name),
        }
        all
    }

    /// Returns whether a named table has a key: `repository`, `box`, `prune`.
    pub fn has_key(&self, table: &str, name: &str, key: &str) -> bool {
        let table = self.shown.get(table).and_then(|table| table.get(name));
        table.is_some_and(|table| table.get(key).is_some())
    }

    /// Leaves only the tables of an app and of its repositories.
    fn retain_repositories(&self, all: &mut Table, name: &str) {
        let of_app = |app: &AppSettings| app.clone().with_defaults(&self.defaults).repositories;
        let mut names = self.apps.get(name).map(of_app).unwrap_or_default();
        if names.is_empty() {
            names.extend(self.default_repository().map(str::to_owned));
        }
        all.retain(|table, _| table == "app" || table == "repository");
        if let Some(Value::Table(repositories)) = all.get_mut("repository") {
            repositories.retain(|name, _| names.iter().any(|known| known == name));
        }
    }
}

/// Puts the schedule and the policy that a `cycle` means in its place.
fn replace_cycle(table: &mut Table) {
    let Some(Value::Table(cycle)) = table.remove("cycle") else { return };
    let text = |key: &str| match cycle.get(key) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => String::new(),
    };
    let count = |key: &str| text(key).parse::<i64>().unwrap_or(0);
    let last = count("diffs").max(1) * count("fulls");
    table.insert("schedule".to_owned(), format!("every {}", text("every")).into());
    let keep = Table::from_iter([("last".to_owned(), Value::Integer(last))]);
    table.insert("keep".to_owned(), Value::Table(keep));
}

fn merge(own: &mut Table, defaults: &Table) {
    for (key, value) in defaults {
        if JOINED.contains(&key.as_str()) {
            let mut joined = own.get(key).map(elements).unwrap_or_default();
            let more = elements(value);
            if !joined.ends_with(&more) {
                joined.extend(more);
            }
            own.insert(key.clone(), Value::Array(joined));
        } else if !own.contains_key(key) {
            own.insert(key.clone(), value.clone());
        }
    }
}

fn elements(value: &Value) -> Vec<Value> {
    match value {
        Value::Array(items) => items.clone(),
        one => vec![one.clone()],
    }
}
