//! Reader of one table of the configuration file. Keys that were not read are errors.

use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::SettingsError;
use super::location::Location;
use super::source::SettingsText;

/// A table that is being read.
pub struct Section<'a> {
    source: &'a SettingsText<'a>,
    name: String,
    table: &'a DeTable<'a>,
    /// Its first byte.
    at: usize,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// Starts reading `table`, which errors call `name` (empty for the whole file).
    pub fn new(source: &'a SettingsText<'a>, name: String, table: &'a DeTable<'a>) -> Self {
        Self { source, name, table, at: 0, asked: Vec::new() }
    }

    fn starting_at(self, at: usize) -> Self {
        Self { at, ..self }
    }

    /// Returns the line at which it begins, from 1.
    pub fn line(&self) -> usize {
        self.source.line(self.at)
    }

    /// Makes an error about the place at which it begins.
    pub fn refuse_here(&self, why: impl AsRef<str>) -> SettingsError {
        self.source.error(self.at, format!("[{}] {}", self.name, why.as_ref()))
    }

    /// Returns its name: `app.wiki.mariadb`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns whether a key exists, without reading it.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// Returns a raw value.
    pub fn value(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.asked.push(key);
        self.table.get(key)
    }

    /// Makes an error about one value.
    pub fn refuse(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        why: impl AsRef<str>,
    ) -> SettingsError {
        self.source.error(value.span().start, format!("{}: {}", self.key_name(key), why.as_ref()))
    }

    fn key_name(&self, key: &str) -> String {
        if self.name.is_empty() {
            format!("`{key}`")
        } else {
            format!("`{key}` in [{}]", self.name)
        }
    }

    fn expect<T>(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        what: &str,
        found: Option<T>,
    ) -> Result<T, SettingsError> {
        found.ok_or_else(|| {
            self.refuse(
                key,
                value,
                format!("must be {what}, not {}", article(value.get_ref().type_str())),
            )
        })
    }

    fn text_of(
        &self,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        what: &str,
    ) -> Result<Option<String>, SettingsError> {
        let text = self.expect(key, value, what, value.get_ref().as_str())?;
        self.source.expand(text).map_err(|why| self.refuse(key, value, why))
    }

    /// Reads a string, `${NAME}` expanded; an empty one is refused.
    pub fn string(&mut self, key: &'static str) -> Result<Option<String>, SettingsError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        self.text_of(key, value, "a string")
    }

    /// Reads a string and parses it.
    pub fn parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, SettingsError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let text = match value.get_ref() {
            DeValue::Integer(number) => Some(number.to_string()),
            _ => self.text_of(key, value, "a string")?,
        };
        let parsed = text.as_deref().map(parse).transpose();
        parsed.map_err(|why| self.refuse(key, value, why))
    }

    /// Reads a path; `~/` is the home directory, a relative path begins at the file's directory.
    pub fn path(&mut self, key: &'static str) -> Result<Option<PathBuf>, SettingsError> {
        let text = self.string(key)?;
        let path = text.map(|text| self.resolve(&text));
        if let (Some(path), Some(value)) = (&path, self.table.get(key)) {
            self.note_paths(value, std::slice::from_ref(path));
        }
        Ok(path)
    }

    fn note_paths(&self, value: &Spanned<DeValue<'_>>, paths: &[PathBuf]) {
        self.source.note_paths(value.span().start, paths);
    }

    /// Returns the elements of a list, or the one value that is none.
    fn items(&mut self, key: &'static str) -> &'a [Spanned<DeValue<'a>>] {
        match self.value(key) {
            None => &[],
            Some(value) => match value.get_ref() {
                DeValue::Array(items) => &items[..],
                _ => std::slice::from_ref(value),
            },
        }
    }

    /// Reads a string or a list of strings.
    pub fn strings(&mut self, key: &'static str) -> Result<Vec<String>, SettingsError> {
        self.each_parsed(key, |text| Ok(text.to_owned()))
    }

    /// Reads a string or a list of strings and parses each.
    pub fn each_parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, SettingsError> {
        let mut parsed = Vec::new();
        for item in self.items(key) {
            if let Some(text) = self.text_of(key, item, STRINGS)? {
                parsed.push(parse(&text).map_err(|why| self.refuse(key, item, why))?);
            }
        }
        Ok(parsed)
    }

    /// Reads a path or a list of paths.
    ///
    /// One that is a variable and nothing else is a list with `:` between its paths, as `PATH` is:
    /// an environment has no other lists.
    pub fn paths(&mut self, key: &'static str) -> Result<Vec<PathBuf>, SettingsError> {
        let mut paths = Vec::new();
        for item in self.items(key) {
            let Some(text) = self.text_of(key, item, STRINGS)? else { continue };
            let is_list = item.get_ref().as_str().is_some_and(is_one_variable);
            let here: Vec<PathBuf> = match is_list {
                true => text.split(':').filter(|path| !path.is_empty()).collect(),
                false => vec![text.as_str()],
            }
            .into_iter()
            .map(|path| self.resolve(path))
            .collect();
            self.note_paths(item, &here);
            paths.extend(here);
        }
        Ok(paths)
    }

    fn resolve(&self, text: &str) -> PathBuf {
        let path = self.source.env.expand_home(text);
        self.source.file.parent().map_or(path.clone(), |folder| folder.join(path))
    }

    /// Returns the location of a repository, which key `url` names: a path is made whole, because
    /// it begins at the file's directory. Any other text is returned as it is.
    pub fn whole_location(&self, url: String) -> String {
        let folder = self.source.file.parent().unwrap_or(Path::new("/"));
        let text = self.source.env.expand_home(&url);
        let path = match Location::parse(text.as_os_str(), folder) {
            Ok(Location::Local(path)) if !url.starts_with("file:") => path,
            _ => return url,
        };
        if let Some(value) = self.table.get("url") {
            self.note_paths(value, std::slice::from_ref(&path));
        }
        path.into_os_string().into_string().unwrap_or(url)
    }

    /// Reads `true` or `false`.
    pub fn boolean(&mut self, key: &'static str) -> Result<Option<bool>, SettingsError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        // A variable is text in any case, and so is what `config show` prints of it.
        if let DeValue::String(_) = value.get_ref() {
            return self.parsed(key, |text| {
                text.parse().map_err(|_| format!("must be true or false, not `{text}`"))
            });
        }
        self.expect(key, value, "true or false", value.get_ref().as_bool()).map(Some)
    }

    /// Reads a table below this one.
    pub fn section(&mut self, key: &'static str) -> Result<Option<Section<'a>>, SettingsError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let table = self.expect(key, value, "a table", value.get_ref().as_table())?;
        let at = self.table.get_key_value(key).map_or(0, |(name, _)| name.span().start);
        Ok(Some(Section::new(self.source, self.below(key), table).starting_at(at)))
    }

    /// Reads a table of named tables: `[app.wiki]`, `[app.shop]`.
    pub fn named_sections(
        &mut self,
        key: &'static str,
    ) -> Result<Vec<(String, Section<'a>)>, SettingsError> {
        let Some(section) = self.section(key)? else {
            return Ok(Vec::new());
        };
        let mut named = Vec::new();
        for (name, value) in section.table.iter() {
            let at = name.span().start;
            let name = name.get_ref().as_ref();
            let table = section.expect(name, value, "a table", value.get_ref().as_table())?;
            if !is_plain_name(name) {
                let why =
                    "names are letters, digits, `.`, `-` and `_`, and do not begin with `.` or `-`";
                return Err(section.refuse(name, value, why));
            }
            let table = Section::new(self.source, section.below(name), table).starting_at(at);
            named.push((name.to_owned(), table));
        }
        Ok(named)
    }

    /// Reads a list of tables: `[[app.wiki.command]]`.
    pub fn section_list(&mut self, key: &'static str) -> Result<Vec<Section<'a>>, SettingsError> {
        let Some(value) = self.value(key) else {
            return Ok(Vec::new());
        };
        let what = "a list of tables";
        let items = self.expect(key, value, what, value.get_ref().as_array())?;
        items
            .iter()
            .map(|item| {
                let table = self.expect(key, item, what, item.get_ref().as_table())?;
                let table = Section::new(self.source, self.below(key), table);
                Ok(table.starting_at(item.span().start))
            })
            .collect()
    }

    /// Reads a table or a list of tables.
    pub fn sections(&mut self, key: &'static str) -> Result<Vec<Section<'a>>, SettingsError> {
        match self.table.get(key).map(|value| value.get_ref()) {
            Some(DeValue::Array(_)) => self.section_list(key),
            _ => Ok(self.section(key)?.into_iter().collect()),
        }
    }

    /// Returns the table that an item of a list is; `None` if it is none.
    pub fn table_of(&self, key: &str, item: &'a Spanned<DeValue<'a>>) -> Option<Section<'a>> {
        let table = item.get_ref().as_table()?;
        Some(Section::new(self.source, self.below(key), table))
    }

    /// Parses an item of a list, which must be a string; `what` says what is expected.
    pub fn parse_item<T>(
        &self,
        key: &str,
        item: &Spanned<DeValue<'_>>,
        what: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, SettingsError> {
        // A variable that is empty is no value, which `parse` says.
        let text = self.text_of(key, item, what)?.unwrap_or_default();
        parse(&text).map_err(|why| self.refuse(key, item, why))
    }

    /// Returns all keys with their strings, whatever the keys are.
    pub fn into_strings(self) -> Result<Vec<(String, String)>, SettingsError> {
        let strings = self.table.iter().map(|(key, value)| {
            let key = key.get_ref().as_ref();
            Ok((key.to_owned(), self.text_of(key, value, "a string")?.unwrap_or_default()))
        });
        strings.collect()
    }

    fn below(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// Makes an error about the table as a whole.
    pub fn refuse_table(&self, why: impl AsRef<str>) -> SettingsError {
        let at = self.table.keys().map(|key| key.span().start).min().unwrap_or(0);
        self.source.error(at, format!("[{}] {}", self.name, why.as_ref()))
    }

    /// Ends reading: fails if a key was not read, and suggests the nearest known key.
    pub fn finish(self) -> Result<(), SettingsError> {
        let unknown = self.table.keys().filter(|key| !self.asked.contains(&key.get_ref().as_ref()));
        let Some(key) = unknown.min_by_key(|key| key.span().start) else {
            return Ok(());
        };
        let mut error = self
            .source
            .error(key.span().start, format!("unknown key {}", self.key_name(key.get_ref())));
        if let (SettingsError::Invalid { hint, .. }, Some(near)) =
            (&mut error, nearest(key.get_ref(), &self.asked))
        {
            *hint = Some(format!("the nearest known key is `{near}`"));
        }
        Err(error)
    }
}

/// The kinds of a value that may be a list.
const STRINGS: &str = "a string or a list of strings";

/// Returns whether a text is `${NAME}` or `${NAME:-default}` and nothing else.
fn is_one_variable(text: &str) -> bool {
    text.strip_prefix("${").and_then(|rest| rest.find('}')).is_some_and(|at| at + 3 == text.len())
}

fn article(kind: &str) -> String {
    let vowel = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if vowel { "an" } else { "a" })
}

/// Returns whether a repository or app may have this name, so that it is valid in file names, SNAP
/// arguments and metrics.
pub fn is_plain_name(name: &str) -> bool {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    !name.is_empty() && name.chars().all(plain) && !name.starts_with(['-', '.'])
}

/// Returns the known word that takes the fewest edits to reach.
pub fn nearest<'w>(word: &str, known: &[&'w str]) -> Option<&'w str> {
    known.iter().copied().min_by_key(|candidate| edits(word, candidate))
}

/// Counts the insertions, deletions and replacements between two words (Levenshtein).
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_takes_the_fewest_edits() {
        let known = ["url", "password-file", "password-command", "key-file"];
        assert_eq!(nearest("pasword-file", &known), Some("password-file"));
        assert_eq!(nearest("keyfile", &known), Some("key-file"));
        assert_eq!(nearest("ulr", &known), Some("url"));
        assert_eq!(
            (edits("kitten", "sitting"), edits("", "abc"), edits("same", "same")),
            (3, 3, 0)
        );
    }
}
