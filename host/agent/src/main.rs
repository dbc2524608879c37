//! The command `lightmon`; all that it does is in the library.

fn main() -> std::process::ExitCode {
    lightmon::cli::main(std::env::args_os())
}
