//! Lines that are written often and must not slow down whoever writes them: gathered in memory, written out in turns.

use std::{
    fmt, io,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Duration,
};

/// How long a line waits for others at most.
const PAUSE: Duration = Duration::from_millis(200);

/// The most bytes that wait. Beyond, lines are dropped and counted: a full disk or a stuck pipe stops no request.
const MAX_WAITING: usize = 8 * 1024 * 1024;

/// The size at which waiting lines are written without a pause.
const MANY: usize = 256 * 1024;

/// A place to which many threads write lines. Clones lead to the same one; when the last is dropped, what waits is
/// written.
#[derive(Clone)]
pub struct Lines {
    shared: Arc<Owner>,
}

/// Ends the writing thread with the last handle.
struct Owner {
    buffer: Arc<Buffer>,
    writer: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Buffer {
    state: Mutex<State>,
    changed: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    closed: bool,
}

impl fmt::Debug for Lines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines").field("dropped", &self.dropped()).finish_non_exhaustive()
    }
}

impl Lines {
    /// Lines to `sink`, written by a thread of their own.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn new(sink: impl io::Write + Send + 'static) -> io::Result<Self> {
        let buffer = Arc::new(Buffer::default());
        let theirs = buffer.clone();
        let writer = std::thread::Builder::new().name("lines".into()).spawn(move || write(&theirs, sink))?;
        Ok(Self { shared: Arc::new(Owner { buffer, writer: Some(writer) }) })
    }

    /// Appends what `line` writes, which ends with its newline.
    pub fn push(&self, line: impl FnOnce(&mut Vec<u8>)) {
        let buffer = &self.shared.buffer;
        let mut state = buffer.lock();
        if state.waiting.len() >= MAX_WAITING {
            buffer.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let before = state.waiting.len();
        line(&mut state.waiting);
        let waiting = state.waiting.len();
        drop(state);
        if before == 0 || (before < MANY && waiting >= MANY) {
            buffer.changed.notify_one();
        }
    }

    /// How many lines were dropped because the place took no more.
    pub fn dropped(&self) -> u64 {
        self.shared.buffer.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.buffer.lock().closed = true;
        self.buffer.changed.notify_one();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Buffer {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A line that panicked while it was written leaves at most a part of itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what waits, again and again, until the last handle is gone.
fn write(buffer: &Buffer, mut sink: impl io::Write) {
    let mut spare = Vec::new();
    let mut failed = false;
    loop {
        let nothing = |state: &mut State| state.waiting.is_empty() && !state.closed;
        let few = |state: &mut State| state.waiting.len() < MANY && !state.closed;
        let state = buffer.changed.wait_while(buffer.lock(), nothing).unwrap_or_else(PoisonError::into_inner);
        let waited = buffer.changed.wait_timeout_while(state, PAUSE, few);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let closed = state.closed;
        std::mem::swap(&mut state.waiting, &mut spare);
        drop(state);
        if !spare.is_empty() {
            let written = sink.write_all(&spare).and_then(|()| sink.flush());
            if let Err(error) = &written
                && !failed
            {
                tracing::error!(%error, "the access log cannot be written; requests go on without it");
            }
            failed = written.is_err();
            spare.clear();
            // One burst must not hold its memory for ever.
            spare.shrink_to(2 * MANY);
        }
        if closed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    struct Sink(mpsc::Sender<Vec<u8>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn each_line_is_written_whole_and_in_order_before_the_last_handle_is_gone() {
        let (sender, written) = mpsc::channel();
        let lines = Lines::new(Sink(sender)).unwrap();
        let other = lines.clone();
        for number in 0..1000 {
            let handle = if number % 2 == 0 { &lines } else { &other };
            handle.push(|line| line.extend_from_slice(format!("{number}\n").as_bytes()));
        }
        drop(lines);
        drop(other);
        let text = written.into_iter().flatten().collect::<Vec<u8>>();
        let text = String::from_utf8(text).unwrap();
        assert!(text.ends_with('\n') && text.lines().map(str::parse).eq((0..1000).map(Ok)), "{text}");
    }

    #[test]
    fn a_place_that_takes_nothing_costs_lines_and_no_waiting() {
        /// Blocks until the test lets it go.
        struct Stuck(mpsc::Receiver<()>);
        impl io::Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let _ = self.0.recv();
                Ok(bytes.len())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (go_on, stuck) = mpsc::channel();
        let lines = Lines::new(Stuck(stuck)).unwrap();
        for _ in 0..3 {
            lines.push(|line| line.resize(line.len() + MAX_WAITING, b'a'));
        }
        assert!(lines.dropped() >= 1);
        drop(go_on);
    }
}
