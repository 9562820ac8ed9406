//! Choice of the databases to dump.

use super::server::Database;

/// Databases to dump.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Databases {
    /// All but templates, and those that allow no connections, which is said.
    #[default]
    All,
    /// These, in this order.
    Named(Vec<String>),
}

/// The databases to dump, and what should be known of others.
#[derive(Debug, Default)]
pub(super) struct Choice {
    pub(super) databases: Vec<Database>,
    pub(super) notices: Vec<String>,
}

/// Chooses among the databases that there are. Fails, with a message that names the key of the
/// configuration, if one cannot be dumped.
pub(super) fn choose(
    there: Vec<Database>,
    wanted: &Databases,
    exclude: &[String],
) -> Result<Choice, String> {
    let mut choice = Choice::default();
    for name in exclude.iter().filter(|name| there.iter().all(|other| other.name != **name)) {
        choice.notices.push(format!("`exclude` names the database `{name}`, which is not there"));
    }
    match wanted {
        Databases::All => choice.add_all(there, exclude)?,
        Databases::Named(names) => choice.add_named(&there, names, exclude)?,
    }
    match choice.databases.is_empty() {
        true => Err("there is no database to dump: see `databases` and `exclude`".to_owned()),
        false => Ok(choice),
    }
}

impl Choice {
    fn add_all(&mut self, there: Vec<Database>, exclude: &[String]) -> Result<(), String> {
        for database in there {
            let name = &database.name;
            if database.is_template || exclude.contains(name) {
                continue;
            }
            if let Some(why) = obstacle(&database) {
                self.notices.push(format!("the database `{name}` is left out: it {why}"));
                continue;
            }
            if !database.has_privilege {
                return Err(format!(
                    "the role may not connect to the database `{name}`: grant it CONNECT, or add \
                     the name to `exclude`"
                ));
            }
            self.databases.push(database);
        }
        Ok(())
    }

    fn add_named(
        &mut self,
        there: &[Database],
        names: &[String],
        exclude: &[String],
    ) -> Result<(), String> {
        for (at, name) in names.iter().enumerate() {
            if names[..at].contains(name) || exclude.contains(name) {
                return Err(format!("`{name}` is in `databases` twice, or in `exclude` too"));
            }
            let found = there.iter().find(|other| other.name == *name);
            let database = found
                .ok_or_else(|| format!("there is no database `{name}`: correct `databases`"))?;
            if let Some(why) = obstacle(database) {
                return Err(format!("the database `{name}` {why}: correct `databases`"));
            }
            self.databases.push(database.clone());
        }
        Ok(())
    }
}

/// Returns why a database cannot be dumped by anybody.
fn obstacle(database: &Database) -> Option<&'static str> {
    match database {
        Database { is_invalid: true, .. } => Some("was not dropped completely"),
        Database { may_connect: false, .. } => Some("does not allow connections"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there() -> Vec<Database> {
        let names = ["a", "closed", "foreign", "invalid", "template1", "z"];
        let databases = names.map(|name| Database {
            name: name.to_owned(),
            may_connect: name != "closed",
            is_template: name == "template1",
            is_invalid: name == "invalid",
            has_privilege: name != "foreign",
            ..Database::default()
        });
        databases.to_vec()
    }

    fn of(wanted: &Databases, exclude: &[&str]) -> Result<(Vec<String>, Vec<String>), String> {
        let exclude: Vec<String> = exclude.iter().map(ToString::to_string).collect();
        let choice = choose(there(), wanted, &exclude)?;
        let names = choice.databases.into_iter().map(|database| database.name).collect();
        Ok((names, choice.notices))
    }

    fn named(names: &[&str]) -> Databases {
        Databases::Named(names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn all_are_those_that_can_be_dumped() {
        let (names, notices) = of(&Databases::All, &["foreign", "typo"]).unwrap();
        assert_eq!(names, ["a", "z"]);
        let parts = ["`typo`", "`closed` is left out", "`invalid` is left out"];
        assert_eq!(notices.len(), parts.len());
        assert!(notices.iter().zip(parts).all(|(notice, part)| notice.contains(part)));
        let error = of(&Databases::All, &[]).unwrap_err();
        assert!(error.contains("`foreign`") && error.contains("CONNECT"), "{error}");
        let none = of(&Databases::All, &["a", "foreign", "z"]).unwrap_err();
        assert!(none.contains("`exclude`"), "{none}");
    }

    #[test]
    fn named_databases_must_be_there_and_open() {
        let (names, notices) = of(&named(&["z", "template1", "a"]), &[]).unwrap();
        assert_eq!(names, ["z", "template1", "a"]);
        assert!(notices.is_empty());
        for (names, exclude, part) in [
            (named(&["b"]), &[][..], "no database `b`"),
            (named(&["closed"]), &[], "does not allow connections"),
            (named(&["invalid"]), &[], "not dropped completely"),
            (named(&["a", "a"]), &[], "twice"),
            (named(&["a"]), &["a"], "in `exclude` too"),
            (named(&[]), &[], "no database to dump"),
        ] {
            let error = of(&names, exclude).unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }
}
