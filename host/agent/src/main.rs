//! The command `lightmon`. All of its code is in the library.

fn main() -> std::process::ExitCode {
    lightmon::cli::main(std::env::args_os())
}
