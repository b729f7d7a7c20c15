//! The command.

fn main() -> std::process::ExitCode {
    forkspec::cli::main()
}
