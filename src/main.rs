use std::process::ExitCode;

fn main() -> ExitCode {
    kith::cli::run()
}
