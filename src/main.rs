//! The `drumlin` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    drumlin::cli::main()
}
