//! Reader of one table of the configuration file. Keys that were not read are errors.

use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::environment::Environment;
use super::error::SettingsError;

/// The source text of a table, for line numbers, variables and relative paths.
pub struct SettingsText<'a> {
    /// The file.
    pub file: PathBuf,
    /// Its text.
    pub text: &'a str,
    /// Variables for `${NAME}` and `~/`.
    pub env: &'a Environment,
}

impl SettingsText<'_> {
    /// Makes an error about the byte at `at`.
    pub fn error(&self, at: usize, message: impl Into<String>) -> SettingsError {
        let line = 1 + self.text.as_bytes()[..at.min(self.text.len())]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        SettingsError::Invalid {
            file: self.file.clone(),
            line,
            message: message.into(),
            hint: None,
        }
    }
}

/// A table that is being read.
pub struct Section<'a> {
    source: &'a SettingsText<'a>,
    name: String,
    table: &'a DeTable<'a>,
    asked: Vec<&'static str>,
}

impl<'a> Section<'a> {
    /// Starts reading `table`, which errors call `name` (empty for the whole file).
    pub fn new(source: &'a SettingsText<'a>, name: String, table: &'a DeTable<'a>) -> Self {
        Self { source, name, table, asked: Vec::new() }
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
    ) -> Result<String, SettingsError> {
        let text = self.expect(key, value, what, value.get_ref().as_str())?;
        let text = self.source.env.expand(text).map_err(|why| self.refuse(key, value, why))?;
        if text.is_empty() { Err(self.refuse(key, value, "is empty")) } else { Ok(text) }
    }

    /// Reads a string, `${NAME}` expanded; an empty one is refused.
    pub fn string(&mut self, key: &'static str) -> Result<Option<String>, SettingsError> {
        self.value(key).map(|value| self.text_of(key, value, "a string")).transpose()
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
            DeValue::Integer(number) => number.to_string(),
            _ => self.text_of(key, value, "a string")?,
        };
        parse(&text).map(Some).map_err(|why| self.refuse(key, value, why))
    }

    /// Reads a path; `~/` is the home directory, a relative path begins at the file's directory.
    pub fn path(&mut self, key: &'static str) -> Result<Option<PathBuf>, SettingsError> {
        Ok(self.string(key)?.map(|text| self.resolve(&text)))
    }

    /// Reads a string or a list of strings.
    pub fn strings(&mut self, key: &'static str) -> Result<Vec<String>, SettingsError> {
        let Some(value) = self.value(key) else {
            return Ok(Vec::new());
        };
        let what = "a string or a list of strings";
        match value.get_ref() {
            DeValue::Array(items) => {
                items.iter().map(|item| self.text_of(key, item, what)).collect()
            }
            _ => Ok(vec![self.text_of(key, value, what)?]),
        }
    }

    /// Reads a string or a list of strings and parses each.
    pub fn each_parsed<T>(
        &mut self,
        key: &'static str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Vec<T>, SettingsError> {
        let Some(value) = self.value(key) else {
            return Ok(Vec::new());
        };
        let items = match value.get_ref() {
            DeValue::Array(items) => &items[..],
            _ => std::slice::from_ref(value),
        };
        let what = "a string or a list of strings";
        let parse = |item| {
            parse(&self.text_of(key, item, what)?).map_err(|why| self.refuse(key, item, why))
        };
        items.iter().map(parse).collect()
    }

    /// Reads a path or a list of paths.
    pub fn paths(&mut self, key: &'static str) -> Result<Vec<PathBuf>, SettingsError> {
        Ok(self.strings(key)?.iter().map(|text| self.resolve(text)).collect())
    }

    fn resolve(&self, text: &str) -> PathBuf {
        let path = self.source.env.expand_home(text);
        self.source.file.parent().map_or(path.clone(), |folder| folder.join(path))
    }

    /// Reads `true` or `false`.
    pub fn boolean(&mut self, key: &'static str) -> Result<Option<bool>, SettingsError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        self.expect(key, value, "true or false", value.get_ref().as_bool()).map(Some)
    }

    /// Reads a table below this one.
    pub fn section(&mut self, key: &'static str) -> Result<Option<Section<'a>>, SettingsError> {
        let Some(value) = self.value(key) else {
            return Ok(None);
        };
        let table = self.expect(key, value, "a table", value.get_ref().as_table())?;
        Ok(Some(Section::new(self.source, self.below(key), table)))
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
            let name = name.get_ref().as_ref();
            let table = section.expect(name, value, "a table", value.get_ref().as_table())?;
            if !is_plain_name(name) {
                let why =
                    "names are letters, digits, `.`, `-` and `_`, and do not begin with `.` or `-`";
                return Err(section.refuse(name, value, why));
            }
            named.push((name.to_owned(), Section::new(self.source, section.below(name), table)));
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
                Ok(Section::new(self.source, self.below(key), table))
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
        let text = self.text_of(key, item, what)?;
        parse(&text).map_err(|why| self.refuse(key, item, why))
    }

    /// Returns all keys with their strings, whatever the keys are.
    pub fn into_strings(self) -> Result<Vec<(String, String)>, SettingsError> {
        let strings = self.table.iter().map(|(key, value)| {
            let key = key.get_ref().as_ref();
            Ok((key.to_owned(), self.text_of(key, value, "a string")?))
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
