//! The `warren` binary: hands over to [`warren::cli`] and turns its outcome into an exit code.

fn main() -> std::process::ExitCode {
    warren::cli::main()
}
