//! Check of a server before the first night: programs, login, privileges.

use std::sync::Arc;

use crate::monitor::in_words;
use crate::sources::finding::{Finding, Severity};
use crate::sources::runner::Runner;

use super::choice::choose;
use super::client::Client;
use super::plan::{Planner, Settings};

/// Counts what a dump by this role could not read, or would not hold, with examples. What belongs
/// to an extension is not dumped.
const OBSTACLES: &str = r"
WITH relations AS (
    SELECT c.oid, c.relkind, n.oid AS schema,
        pg_catalog.format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'S', 'f') AND n.nspname <> 'information_schema'
        AND n.nspname NOT LIKE 'pg\_%' AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
            WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
                AND d.deptype = 'e')
), found AS (
    SELECT 'unreadable' AS kind, name FROM relations
    WHERE relkind <> 'f' AND NOT (pg_catalog.has_schema_privilege(schema, 'USAGE')
        AND CASE relkind WHEN 'S' THEN pg_catalog.has_sequence_privilege(oid, 'SELECT')
            ELSE pg_catalog.has_table_privilege(oid, 'SELECT') END)
    UNION ALL SELECT 'hidden', name FROM relations
    WHERE CASE WHEN relkind IN ('r', 'p') THEN pg_catalog.row_security_active(oid) END
    UNION ALL SELECT 'foreign', name FROM relations WHERE relkind = 'f'
    UNION ALL SELECT 'large', l.oid::pg_catalog.text FROM pg_catalog.pg_largeobject_metadata l
    WHERE NOT pg_catalog.pg_has_role(l.lomowner, 'USAGE') AND NOT EXISTS (
        SELECT FROM pg_catalog.aclexplode(l.lomacl) a WHERE a.privilege_type = 'SELECT'
            AND CASE a.grantee WHEN 0 THEN true
                ELSE pg_catalog.pg_has_role(a.grantee, 'USAGE') END)
)
SELECT kind, pg_catalog.count(*),
    pg_catalog.array_to_string((pg_catalog.array_agg(name ORDER BY name))[1:3], ', ')
FROM found GROUP BY kind ORDER BY kind
";

/// Returns what can be known before a dump of a server is made.
///
/// Nothing is changed there. Findings of [`Severity::Error`] would make the dump fail.
pub fn check(settings: &Settings, runner: &Arc<dyn Runner>) -> Vec<Finding> {
    let checker = Checker { settings, runner };
    let mut findings = Vec::new();
    if let Err(error) = checker.check(&mut findings) {
        findings.push(checker.finding(Severity::Error, in_words(&error)));
    }
    findings
}

struct Checker<'a> {
    settings: &'a Settings,
    runner: &'a Arc<dyn Runner>,
}

impl Checker<'_> {
    fn finding(&self, severity: Severity, message: impl Into<String>) -> Finding {
        Finding::new(severity, &self.settings.access.section, message)
    }

    fn check(&self, findings: &mut Vec<Finding>) -> std::io::Result<()> {
        let client = Client::find(&self.settings.access, self.runner.as_ref())?;
        let words = format!("{} on {}", client.words, self.runner.place());
        findings.push(self.finding(Severity::Note, words));
        let planner = Planner::new(self.settings, self.runner)?;
        let words = format!("PostgreSQL {}, as `{}`", planner.about.words, planner.about.role);
        findings.push(self.finding(Severity::Note, words));
        self.check_programs(&planner, findings)?;
        let databases = planner.server().databases(&planner.entry)?;
        match choose(databases, &self.settings.databases, &self.settings.exclude) {
            Ok(choice) => {
                let notices = choice.notices.into_iter();
                findings.extend(notices.map(|notice| self.finding(Severity::Warning, notice)));
                for database in &choice.databases {
                    self.check_database(&planner, &database.name, findings)?;
                }
            }
            Err(message) => findings.push(self.finding(Severity::Error, message)),
        }
        Ok(())
    }

    fn check_programs(
        &self,
        planner: &Planner,
        findings: &mut Vec<Finding>,
    ) -> std::io::Result<()> {
        if !planner.takes_key("pg_dump")? {
            let message = "this `pg_dump` is from before August 2025: owners of objects in a \
                           database can run commands where its dump is loaded";
            let finding = self.finding(Severity::Warning, message);
            findings.push(finding.hint("update PostgreSQL's client programs"));
        }
        if self.settings.has_globals() {
            // It may be missing where `pg_dump` is there.
            planner.takes_key("pg_dumpall")?;
            if !planner.about.may_read_passwords {
                let message = format!(
                    "passwords of roles are left out, because `{}` may not read them",
                    planner.about.role
                );
                let finding = self.finding(Severity::Warning, message);
                findings.push(finding.hint("use a superuser, or note the passwords elsewhere"));
            }
        }
        if planner.about.is_standby {
            let message = "the server is a standby: it may cancel a dump that takes long";
            let finding = self.finding(Severity::Note, message);
            findings.push(finding.hint("see `max_standby_streaming_delay` of the server"));
        }
        Ok(())
    }

    fn check_database(
        &self,
        planner: &Planner,
        database: &str,
        findings: &mut Vec<Finding>,
    ) -> std::io::Result<()> {
        let server = planner.server();
        let action = format!("cannot look into the database `{database}`");
        let rows = server.ask(database, OBSTACLES, 3).map_err(server.failed(&action))?;
        let leaves_out =
            |name: &str| self.settings.options.iter().any(|option| option.starts_with(name));
        // Tables that are not dumped need not be read.
        let error = match leaves_out("--exclude-") {
            true => Severity::Warning,
            false => Severity::Error,
        };
        let role = &planner.about.role;
        for row in &rows {
            let [kind, count, examples] = &row[..] else { continue };
            let of = format!("of the database `{database}` ({count}: {examples})");
            let finding = match kind.as_str() {
                "unreadable" => self
                    .finding(error, format!("`{role}` may not read tables {of}"))
                    .hint(format!("GRANT pg_read_all_data TO {role} (PostgreSQL 14 or newer)")),
                "hidden" if leaves_out("--enable-row-security") => continue,
                "hidden" => self
                    .finding(error, format!("policies hide rows of tables {of} from `{role}`"))
                    .hint(format!("ALTER ROLE {role} BYPASSRLS")),
                "large" => self
                    .finding(error, format!("`{role}` may not read large objects {of}"))
                    .hint(format!("GRANT SELECT ON LARGE OBJECT … TO {role}, or a superuser")),
                _ => self.finding(
                    Severity::Note,
                    format!("rows of foreign tables {of} are not dumped: they are elsewhere"),
                ),
            };
            findings.push(finding);
        }
        Ok(())
    }
}
