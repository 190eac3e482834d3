//! Parse, run, exit code.

fn main() -> std::process::ExitCode {
    afterlog::cli::main()
}
