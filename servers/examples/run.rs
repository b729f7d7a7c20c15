//! Runs one of the reference programs: `cargo run --example run -- server 9877`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let name = args.next().unwrap_or_default();
    match forkspec_servers::programs().iter().find(|program| name == program.name) {
        Some(program) => (program.run)(&args.collect::<Vec<_>>()),
        None => ExitCode::from(2),
    }
}
