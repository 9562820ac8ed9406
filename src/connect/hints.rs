//! Hints: what the user can do about an error.

use super::error::Error;
use crate::repo;
use crate::store::{ErrorKind, StoreError};

/// Hint for a foreign or damaged object of `config/`, `gc/` or `intents/`.
pub const REMOVE_IT: &str = "unless a person with a key of the repository made it, remove this \
    object with the store's own tools; restores do not need it";

/// Returns whether a repository does not open because another version of the format made its keys.
pub fn is_of_another_version(error: &repo::Error) -> bool {
    match error {
        repo::Error::Malformed { object, source } => {
            object.starts_with("keys/") && source.is_another_version()
        }
        _ => false,
    }
}

/// Hint where this machine has used a repository.
const MOUNT: &str = "this machine has used one there: mount the disk that holds it; if it is gone \
    for good, `drumlin init \
                     --accept-new-repository` makes a new one";
/// Hint at any other place.
const MAKE: &str = "`drumlin init` makes one there; `--repo` names another place";

/// Returns the hint for an object without a valid justification.
fn unjustified_hint(object: &str) -> &'static str {
    if object.starts_with("index/") {
        "nothing was removed. Somebody with a key made this object, and it hides others: remove it \
            with the store's own tools, then run `drumlin check --level full`"
    } else if object.starts_with("snapshots/") {
        "an old mark of a forgotten snapshot has come back: `drumlin undelete` removes it again; \
            if you restored that older state of the repository yourself, `--accept-rollback` goes \
            on with it"
    } else {
        "nothing was removed. If it names a pack, `drumlin repair --apply` stores again what is \
            needed of it. If somebody forgot or brought back that snapshot just now, forget it \
            again, or wait until its time in the trash is over. Otherwise the record comes from a \
            copy of the repository, or from somebody who has stolen a key: read docs/repair.md \
            before you delete it from gc/"
    }
}

/// Returns the hint for an error of opening.
pub fn hint_of_opening(error: &Error) -> Option<String> {
    match error {
        Error::Settings(error) => error.hint().map(str::to_owned),
        Error::Location(error) => Some(error.hint().to_owned()),
        Error::Store(error) => store_hint(error).map(str::to_owned),
        Error::Repository(error) => hint_of(error).map(str::to_owned),
        Error::WrongSecret { source, origin } => {
            Some(format!("{}; {}", origin.describe(), hint_of(source).unwrap_or_default()))
        }
        Error::Other(trouble) => trouble.hint.clone(),
    }
}

/// Returns the hint for a repository's error.
pub fn hint_of(error: &repo::Error) -> Option<&'static str> {
    match error {
        repo::Error::Store(error) => store_hint(error),
        repo::Error::Unjustified { object, .. } => Some(unjustified_hint(object)),
        error => opening_hint(error)
            .or_else(|| use_hint(error))
            .or_else(|| name_hint(error))
            .or_else(|| damage_hint(error)),
    }
}

/// Returns the hint if a repository does not open, or is another one.
fn opening_hint(error: &repo::Error) -> Option<&'static str> {
    match error {
        repo::Error::NoRepository { is_known, .. } => Some(if *is_known { MOUNT } else { MAKE }),
        repo::Error::ConfigLost { .. } | repo::Error::ConfigDamaged { .. } => Some(
            "`drumlin repair --apply` puts it back from the copy of a machine that has used the \
                repository; make no new one there",
        ),
        repo::Error::KeysLost { .. } => Some(
            "without them no password opens anything: copy `keys/` back from a copy of the \
                repository. A machine that has used the repository has the one key that it used \
                in its cache folder (`--cache-dir`), below `open/`, under the same name as in \
                `keys/`",
        ),
        repo::Error::AnotherRepository { .. } => Some(
            "if you made a new repository there, or know why another one answers, \
                `--accept-new-repository` remembers that one instead",
        ),
        repo::Error::TooManyKeys { .. } => Some(
            "somebody may have added keys to exhaust this machine; `--key ID` tries one alone: \
                its id is its name in keys/, and `key list` \
             shows it where the repository can be opened",
        ),
        repo::Error::AlreadyExists { .. } => {
            Some("use it with its own password or key, or choose another place for the new one")
        }
        repo::Error::WrongSecret { .. } => Some(
            "check which password or key file belongs to this repository; a recovery kit works as \
                --key-file",
        ),
        repo::Error::RolledBack { .. } => Some(
            "this is an older copy of the repository, or what is missing was deleted or is \
                hidden; if you put the older copy there yourself, `--accept-rollback` goes on \
                with it and remembers it",
        ),
        repo::Error::Cache { .. } => {
            Some("`--cache-dir` names another folder; the cache may be deleted at any time")
        }
        repo::Error::ForeignCache { .. } => Some(
            "do not let others write to it (`chmod go-w`), or name a folder of your own with \
                `--cache-dir`",
        ),
        _ => None,
    }
}

/// Returns the hint if the repository refuses an action.
fn use_hint(error: &repo::Error) -> Option<&'static str> {
    match error {
        repo::Error::NotForgotten { .. } => {
            Some("`drumlin snapshots --forgotten` lists what is in the trash")
        }
        repo::Error::Undecided { .. } => {
            Some("it stays in the trash; try again when the prune has ended")
        }
        repo::Error::SecondCollector { .. } => {
            Some("nothing was removed; let all prunes end, run `drumlin check`, then one prune")
        }
        repo::Error::NoLocks { .. } => Some(
            "set `lock = { mode = \"governance\", days = 30 }` for the repository, whose bucket \
                must have object lock",
        ),
        repo::Error::UnusableStore { .. } => {
            Some("nothing but test objects was written there; use another place")
        }
        repo::Error::Collected { .. } => {
            Some("`drumlin snapshots --forgotten` lists what can be brought back, and until when")
        }
        repo::Error::InTrash { .. } => {
            Some("`drumlin undelete` brings it back; it is protected then")
        }
        repo::Error::Protected { .. } => Some("`drumlin forget --unprotect` ends the protection"),
        repo::Error::LastKey => Some("add another key first: `drumlin key add`"),
        _ => None,
    }
}

/// Returns the hint for a name of a snapshot, key or path.
fn name_hint(error: &repo::Error) -> Option<&'static str> {
    match error {
        repo::Error::NotFound { what: "snapshot", .. } => Some("`drumlin snapshots` lists them"),
        repo::Error::NotFound { what: "key", .. } => Some("`drumlin key list` lists them"),
        repo::Error::NotFound { what: "path", .. } => {
            Some("paths are stored absolute; `drumlin ls SNAPSHOT` shows them")
        }
        repo::Error::Ambiguous { .. } => Some("give more of its digits"),
        _ => None,
    }
}

/// Returns the hint for a damaged object.
fn damage_hint(error: &repo::Error) -> Option<&'static str> {
    match error {
        repo::Error::Damaged { object, .. }
        | repo::Error::Malformed { object, .. }
        | repo::Error::WrongContent { object }
            if ["gc/", "intents/", "config/"].iter().any(|class| object.starts_with(class)) =>
        {
            Some(REMOVE_IT)
        }
        error if error.is_of_index() => Some(
            "`drumlin repair --apply` rebuilds it from the packs; it may also be removed with the \
                store's own tools: nothing in it can be used",
        ),
        error if is_of_another_version(error) => Some(
            "use the version of Drumlin that made the repository; if it was this one, the key is \
                damaged: try another key",
        ),
        error if error.is_damage() => Some(
            "`drumlin check --level full` says what is damaged and which files it concerns, \
                `drumlin repair` what can be done",
        ),
        _ => None,
    }
}

/// Returns the hint for a store's error.
pub fn store_hint(error: &StoreError) -> Option<&'static str> {
    match error.kind {
        ErrorKind::Full => {
            Some("make room where the repository is; what is stored so far is used by the next run")
        }
        ErrorKind::Unreadable => Some(
            "look for errors of that disk in the system's log; `drumlin check --level full` says \
                which files it concerns, `drumlin repair` what can be done; if the disk is \
                failing, copy the whole repository to another one first",
        ),
        ErrorKind::NotPermitted => Some(
            "the user who runs this, or the credential, must be allowed to read and write the \
                repository's folder or bucket",
        ),
        ErrorKind::Unavailable => Some(
            "nothing was changed by this request; check the network and the address, then run it \
                again",
        ),
        ErrorKind::Unanswered => Some(
            "check the network, then run it again: what is stored so far is used, and nothing is \
                half written",
        ),
        _ => None,
    }
}
