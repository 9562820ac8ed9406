//! Refusal of paths with an unexpanded `~`: a folder named `~` is never meant.

use std::any::TypeId;
use std::path::{Path, PathBuf};

use clap::builder::{PathBufValueParser, TypedValueParser};
use clap::{Arg, Command};

use super::failure::Failure;
use crate::settings::environment::Environment;

/// Environment variables with paths.
const VARIABLES: [&str; 6] = [
    "DRUMLIN_CACHE_DIR",
    "DRUMLIN_CONFIG",
    "DRUMLIN_KEY_FILE",
    "DRUMLIN_PASSWORD_FILE",
    "DRUMLIN_STATE_DIR",
    "AWS_CA_BUNDLE",
];

const HINT: &str = "a shell replaces ~ by your home folder where it stands outside of quotes; \
    write the whole path, or ./~ for what has that name";

/// Makes every argument of every command that is a path refuse `~` and `~/…`.
pub(super) fn refuse_in(command: Command) -> Command {
    command.mut_args(refuse_in_arg).mut_subcommands(refuse_in)
}

/// Fails if a variable that names a path begins with `~`.
pub(super) fn refuse_in_variables(env: &Environment) -> Result<(), Failure> {
    match VARIABLES.into_iter().find(|name| env.path(name).is_some_and(|path| is_of_home(&path))) {
        Some(name) => Err(Failure::usage(format!("the ~ in {name} was not replaced")).hint(HINT)),
        None => Ok(()),
    }
}

fn refuse_in_arg(arg: Arg) -> Arg {
    if arg.get_value_parser().type_id() != TypeId::of::<PathBuf>() {
        return arg;
    }
    arg.value_parser(
        PathBufValueParser::new()
            .try_map(|path| if is_of_home(&path) { Err(HINT) } else { Ok(path) }),
    )
}

fn is_of_home(path: &Path) -> bool {
    path.starts_with("~")
}
