//! Users and their rights of a server whose client cannot dump them: MySQL's.
//!
//! Users are created before rights are given, because a role is a user too; and roles are made
//! default after they are given.

use std::io;
use std::sync::Arc;

use super::client::{Client, quoted_name};
use super::sections::write_file;
use crate::backup::{Dump, FileSink};
use crate::sources::manifest::SharedRecord;

/// Users in one query: their names must fit into one argument of a program.
const USERS_MAX: usize = 100;

/// A dump of users by questions to the server.
pub(super) struct AskedUsers {
    pub(super) client: Arc<Client>,
    pub(super) record: SharedRecord,
}

impl Dump for AskedUsers {
    fn run(self: Box<Self>, sink: &mut dyn FileSink) -> io::Result<()> {
        let text = script(&self.statements()?);
        let file = write_file(sink, "", text.as_bytes())?;
        self.record.update(|record| record.files = vec![file]);
        Ok(())
    }
}

impl AskedUsers {
    /// Returns the server's own statements: a `CREATE USER` and `GRANT`s for each user.
    fn statements(&self) -> io::Result<Vec<String>> {
        let action = "cannot dump users";
        let names = self.client.query(action, NAMES)?;
        let hex =
            self.client.query(action, "SHOW VARIABLES LIKE 'print_identified_with_as_hex'")?;
        // Without it, hashes of passwords hold any bytes.
        let prepare = if hex.is_empty() { "" } else { "SET print_identified_with_as_hex=ON;" };
        let mut statements = Vec::new();
        for some in names.chunks(USERS_MAX) {
            let mut sql = prepare.to_owned();
            for user in some {
                let name: Vec<String> = user.iter().map(|part| quoted_name(part)).collect();
                let name = name.join("@");
                sql.push_str(&format!("SHOW CREATE USER {name};SHOW GRANTS FOR {name};"));
            }
            let rows = self.client.query(action, &sql)?;
            statements.extend(rows.into_iter().filter_map(|row| row.into_iter().next()));
        }
        Ok(statements)
    }
}

/// Asks for the names and hosts of all users but the server's own.
const NAMES: &str = "SELECT User, Host FROM mysql.user \
    WHERE User NOT IN ('mysql.sys', 'mysql.session', 'mysql.infoschema', 'mariadb.sys') \
    ORDER BY User, Host";

/// Returns a script that can be loaded where some of the users are there already.
fn script(statements: &[String]) -> String {
    let (mut users, mut defaults, mut grants) = (String::new(), String::new(), String::new());
    for statement in statements {
        let Some(user) = statement.strip_prefix("CREATE USER ") else {
            grants.push_str(&format!("{statement};\n"));
            continue;
        };
        let (user, roles) = without_default_roles(user);
        users.push_str(&format!("CREATE USER IF NOT EXISTS {user};\n"));
        if let Some(roles) = roles {
            let name = &user[..name_len(&user)];
            defaults.push_str(&format!("SET DEFAULT ROLE {roles} TO {name};\n"));
        }
    }
    format!("{users}{grants}{defaults}-- Dump completed\n")
}

/// Takes the default roles out of the definition of a user.
fn without_default_roles(user: &str) -> (String, Option<String>) {
    const START: &str = " DEFAULT ROLE ";
    let found = find_outside_quotes(user, START).and_then(|start| {
        let rest = &user[start + START.len()..];
        Some((start, &rest[..find_outside_quotes(rest, " REQUIRE ")?]))
    });
    match found {
        None => (user.to_owned(), None),
        Some((start, roles)) => {
            let after = &user[start + START.len() + roles.len()..];
            (format!("{}{after}", &user[..start]), Some(roles.to_owned()))
        }
    }
}

/// Returns the length of the name with its host.
fn name_len(user: &str) -> usize {
    find_outside_quotes(user, " ").unwrap_or(user.len())
}

fn find_outside_quotes(text: &str, wanted: &str) -> Option<usize> {
    let (mut quote, mut is_escaped) = (None, false);
    for (at, byte) in text.bytes().enumerate() {
        match (quote, byte) {
            _ if is_escaped => is_escaped = false,
            (Some(b'\'' | b'"'), b'\\') => is_escaped = true,
            (None, b'`' | b'\'' | b'"') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            (None, _) if text.as_bytes()[at..].starts_with(wanted.as_bytes()) => return Some(at),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_come_before_rights_and_default_roles_after_them() {
        let statements = [
            "CREATE USER `app`@`%` IDENTIFIED WITH 'caching_sha2_password' AS 0x24 DEFAULT ROLE \
             `r`@`%`,`s`@`%` REQUIRE NONE PASSWORD EXPIRE DEFAULT ACCOUNT UNLOCK",
            "GRANT USAGE ON *.* TO `app`@`%`",
            "GRANT `r`@`%`,`s`@`%` TO `app`@`%`",
            "CREATE USER `r`@`%` IDENTIFIED WITH 'x' REQUIRE NONE PASSWORD EXPIRE ACCOUNT LOCK",
            "GRANT SELECT ON `wiki`.* TO `r`@`%`",
        ];
        let expected = "\
CREATE USER IF NOT EXISTS `app`@`%` IDENTIFIED WITH 'caching_sha2_password' AS 0x24 REQUIRE NONE \
PASSWORD EXPIRE DEFAULT ACCOUNT UNLOCK;
CREATE USER IF NOT EXISTS `r`@`%` IDENTIFIED WITH 'x' REQUIRE NONE PASSWORD EXPIRE ACCOUNT LOCK;
GRANT USAGE ON *.* TO `app`@`%`;
GRANT `r`@`%`,`s`@`%` TO `app`@`%`;
GRANT SELECT ON `wiki`.* TO `r`@`%`;
SET DEFAULT ROLE `r`@`%`,`s`@`%` TO `app`@`%`;
-- Dump completed
";
        assert_eq!(script(&statements.map(str::to_owned)), expected);
    }

    #[test]
    fn words_in_names_and_comments_are_no_words() {
        let user = "`a DEFAULT ROLE `@`%` ATTRIBUTE '{\"x\": \"\\' DEFAULT ROLE \"}' REQUIRE NONE";
        assert_eq!(without_default_roles(user), (user.to_owned(), None));
        assert_eq!(&user[..name_len(user)], "`a DEFAULT ROLE `@`%`");
    }
}
