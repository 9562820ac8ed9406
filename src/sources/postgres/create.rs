//! Statements that make a database anew, from its record in the manifest.
//!
//! A dump of one database does not hold its locale, owner, settings and privileges, so that it
//! loads under another name. They are in the manifest.

use serde_json::Value;

use crate::sources::manifest::SourceRecord;

/// Settings whose values are lists of names. They are stored with each name quoted where needed.
const LISTS: [&str; 6] = [
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
];

/// Returns the statements that make the database of a record under the name `name`.
///
/// The first makes it, and must not be in a transaction. The others set its owner, comment,
/// settings and privileges; they fail where a role is missing. Fails if the record is not of a
/// database.
pub fn create_statements(name: &str, record: &SourceRecord) -> Result<Vec<String>, String> {
    let facts = record.more.get("database").and_then(Value::as_object);
    let facts = facts.ok_or_else(|| format!("{} is no dump of a database", record.place))?;
    let fact = |key: &str| facts.get(key).and_then(Value::as_str);
    let database = identifier(name);
    let mut create = format!(
        "CREATE DATABASE {database} WITH TEMPLATE = template0 ENCODING = {}",
        literal(&record.character_set)
    );
    let locale = fact("datlocale").or(fact("daticulocale"));
    let provider = match (fact("datlocprovider"), locale) {
        (Some("i"), Some(locale)) => Some(("icu", "ICU_LOCALE", locale)),
        (Some("b"), Some(locale)) => Some(("builtin", "BUILTIN_LOCALE", locale)),
        _ => None,
    };
    if let Some((provider, key, locale)) = provider {
        create.push_str(&format!(" LOCALE_PROVIDER = {provider} {key} = {}", literal(locale)));
    }
    for (key, column) in
        [("LC_COLLATE", "datcollate"), ("LC_CTYPE", "datctype"), ("ICU_RULES", "daticurules")]
    {
        if let Some(value) = fact(column) {
            create.push_str(&format!(" {key} = {}", literal(value)));
        }
    }
    let mut statements = vec![create];
    if let Some(owner) = fact("owner") {
        statements.push(format!("ALTER DATABASE {database} OWNER TO {}", identifier(owner)));
    }
    if let Some(comment) = fact("comment") {
        statements.push(format!("COMMENT ON DATABASE {database} IS {}", literal(comment)));
    }
    let limit = facts.get("datconnlimit").and_then(Value::as_i64);
    if let Some(limit) = limit.filter(|limit| *limit >= 0) {
        statements.push(format!("ALTER DATABASE {database} CONNECTION LIMIT {limit}"));
    }
    statements.extend(items(facts.get("settings")).flat_map(|one| settings(&database, one)));
    let grants = facts.get("grants").and_then(Value::as_array);
    if let Some(grants) = grants {
        // What every database has, unless its privileges were changed.
        statements.push(format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC"));
        statements.extend(grants.iter().filter_map(|one| grant(&database, one)));
    }
    Ok(statements)
}

fn items(list: Option<&Value>) -> impl Iterator<Item = &Value> {
    list.and_then(Value::as_array).into_iter().flatten()
}

/// Returns the statements for the settings of a role in the database, or of all roles.
fn settings(database: &str, of_role: &Value) -> Vec<String> {
    let who = match of_role.get("role").and_then(Value::as_str) {
        Some(role) => format!("ROLE {} IN DATABASE {database}", identifier(role)),
        None => format!("DATABASE {database}"),
    };
    let pairs = items(of_role.get("set")).filter_map(Value::as_str);
    let pairs = pairs.filter_map(|pair| pair.split_once('='));
    let statements = pairs.map(|(key, value)| {
        let value = match LISTS.contains(&key) {
            true => names(value).iter().map(|name| literal(name)).collect::<Vec<_>>().join(", "),
            false => literal(value),
        };
        format!("ALTER {who} SET {} TO {value}", identifier(key))
    });
    statements.collect()
}

/// Returns the names of a list such as `"$user", public`.
fn names(list: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let (mut is_quoted, mut characters) = (false, list.chars().peekable());
    while let Some(character) = characters.next() {
        let name = names.last_mut().expect("it begins with one");
        match character {
            '"' if is_quoted && characters.peek() == Some(&'"') => {
                characters.next();
                name.push('"');
            }
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => names.push(String::new()),
            ' ' if !is_quoted => {}
            other => name.push(other),
        }
    }
    names
}

fn grant(database: &str, grant: &Value) -> Option<String> {
    let privilege = grant.get("privilege")?.as_str()?;
    let is_word = privilege.chars().all(|letter| letter.is_ascii_uppercase());
    let role = match grant.get("role").and_then(Value::as_str) {
        Some(role) => identifier(role),
        None => "PUBLIC".to_owned(),
    };
    let may_grant = grant.get("may_grant").and_then(Value::as_bool).unwrap_or_default();
    let option = if may_grant { " WITH GRANT OPTION" } else { "" };
    is_word.then(|| format!("GRANT {privilege} ON DATABASE {database} TO {role}{option}"))
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    match doubled.contains('\\') {
        true => format!("E'{}'", doubled.replace('\\', "\\\\")),
        false => format!("'{doubled}'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(facts: Value) -> SourceRecord {
        SourceRecord {
            character_set: "UTF8".to_owned(),
            more: [("database".to_owned(), facts)].into_iter().collect(),
            ..SourceRecord::default()
        }
    }

    #[test]
    fn a_database_is_made_as_it_was() {
        let facts = serde_json::json!({
            "owner": "a\"da", "comment": "it's \\ ours", "datcollate": "C.UTF-8",
            "datctype": "C.UTF-8", "datconnlimit": 7, "datlocprovider": "c",
            "settings": [
                { "role": null, "set": ["search_path=\"$user\", \"a,\"\"b\", public", "a.b=c=d"] },
                { "role": "ada", "set": ["work_mem=4MB"] },
            ],
            "grants": [
                { "role": null, "privilege": "CONNECT", "may_grant": false },
                { "role": "ada", "privilege": "CREATE", "may_grant": true },
                { "role": "ada", "privilege": "x; --", "may_grant": true },
            ],
        });
        let expected = [
            "CREATE DATABASE \"w\"\"\" WITH TEMPLATE = template0 ENCODING = 'UTF8' \
             LC_COLLATE = 'C.UTF-8' LC_CTYPE = 'C.UTF-8'",
            "ALTER DATABASE \"w\"\"\" OWNER TO \"a\"\"da\"",
            "COMMENT ON DATABASE \"w\"\"\" IS E'it''s \\\\ ours'",
            "ALTER DATABASE \"w\"\"\" CONNECTION LIMIT 7",
            "ALTER DATABASE \"w\"\"\" SET \"search_path\" TO '$user', 'a,\"b', 'public'",
            "ALTER DATABASE \"w\"\"\" SET \"a.b\" TO 'c=d'",
            "ALTER ROLE \"ada\" IN DATABASE \"w\"\"\" SET \"work_mem\" TO '4MB'",
            "REVOKE ALL ON DATABASE \"w\"\"\" FROM PUBLIC",
            "GRANT CONNECT ON DATABASE \"w\"\"\" TO PUBLIC",
            "GRANT CREATE ON DATABASE \"w\"\"\" TO \"ada\" WITH GRANT OPTION",
        ];
        assert_eq!(create_statements("w\"", &record(facts)).unwrap(), expected);
    }

    #[test]
    fn locales_of_other_providers_are_kept() {
        let of = |facts| create_statements("w", &record(facts)).unwrap().remove(0);
        let icu = of(serde_json::json!({ "datlocprovider": "i", "daticulocale": "de" }));
        assert!(icu.ends_with("LOCALE_PROVIDER = icu ICU_LOCALE = 'de'"), "{icu}");
        let builtin = of(serde_json::json!({ "datlocprovider": "b", "datlocale": "C.UTF-8" }));
        assert!(builtin.ends_with("LOCALE_PROVIDER = builtin BUILTIN_LOCALE = 'C.UTF-8'"));
        assert!(create_statements("w", &SourceRecord::default()).is_err());
    }
}
