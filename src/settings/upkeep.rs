//! Keys of `[repository.NAME]` that say when it is pruned and checked.

use toml::de::DeValue;

use super::error::SettingsError;
use super::run::parse_schedule_line;
use super::section::Section;

/// When a repository is pruned and checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpkeepSettings {
    /// Lines of the schedule of `prune`; empty: by hand.
    pub prune: Vec<String>,
    /// Lines of the schedule of `check`; empty: by hand.
    pub check: Vec<String>,
    /// How thorough such a check is, as `check --level` takes it.
    pub level: Option<String>,
}

pub(super) fn read_upkeep(section: &mut Section<'_>) -> Result<UpkeepSettings, SettingsError> {
    let prune = section.each_parsed("prune", parse_schedule_line)?;
    let is_table =
        section.value("check").is_some_and(|value| matches!(value.get_ref(), DeValue::Table(_)));
    if !is_table {
        let check = section.each_parsed("check", parse_schedule_line)?;
        return Ok(UpkeepSettings { prune, check, level: None });
    }
    let mut table = section.section("check")?.expect("the key is there");
    let check = table.each_parsed("schedule", parse_schedule_line)?;
    let level = table.parsed("level", parse_level)?;
    if check.is_empty() {
        return Err(table.refuse_table("has no `schedule`"));
    }
    table.finish()?;
    Ok(UpkeepSettings { prune, check, level })
}

/// Checks the level of a check by itself; returns it.
fn parse_level(text: &str) -> Result<String, String> {
    let share = text.strip_prefix("sample=").map(|share| share.strip_suffix('%').unwrap_or(share));
    let is_share = share
        .and_then(|share| share.parse::<f64>().ok())
        .is_some_and(|percent| percent > 0.0 && percent <= 100.0);
    match is_share || ["quick", "structure", "full"].contains(&text) {
        true => Ok(text.to_owned()),
        false => Err(format!("`{text}` is not one of quick, structure, sample=2% or full")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use crate::settings::environment::Environment;

    fn read(text: &str) -> Result<UpkeepSettings, String> {
        let text = format!("[repository.box]\nurl = \"x\"\n{text}\n");
        Settings::parse(&text, "/etc/drumlin.toml".into(), &Environment::default())
            .map(|settings| settings.repositories["box"].upkeep.clone())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_repository_has_schedules_or_none() {
        assert_eq!(read("").unwrap(), UpkeepSettings::default());
        let own = read("prune = \"weekly sun 05:00\"\ncheck = [\"daily\", \"monthly\"]").unwrap();
        assert_eq!((own.prune.len(), own.check.len(), own.level), (1, 2, None));
        let own = read("check = { schedule = \"monthly\", level = \"sample=2%\" }").unwrap();
        assert_eq!((own.check.len(), own.level.as_deref()), (1, Some("sample=2%")));
        for (line, why) in [
            ("prune = \"often\"", "is not a schedule"),
            ("check = { level = \"full\" }", "has no `schedule`"),
            ("check = { schedule = \"daily\", level = \"sample=0%\" }", "is not one of quick"),
            ("check = { schedule = \"daily\", depth = 1 }", "unknown key"),
        ] {
            let error = read(line).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
    }
}
