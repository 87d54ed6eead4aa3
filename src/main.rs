//! The `warren` binary: hands over to [`warren::cli`] and turns its outcome into an exit code.

/// A proxy allocates some dozens of times per request.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    warren::cli::main()
}
