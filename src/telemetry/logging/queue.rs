//! The queue of log lines and the thread that writes them.

use std::{
    io::{self, Write},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use tracing::warn;
use tracing_subscriber::fmt::MakeWriter;

/// Lines and bytes that may wait.
const MAX_LINES: usize = 8_192;
const MAX_BYTES: usize = 4 << 20;

/// How often a full queue is tried again by [`flush`].
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// How long the thread waits for more lines when it has written all, so that it does
/// not wake up for each of many.
const LINGER: Duration = Duration::from_millis(2);

/// Lines of this process that found no room.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// The queue of this process, for [`flush`].
static QUEUE: OnceLock<LogQueue> = OnceLock::new();

/// The sending end: what a subscriber writes to. Each write is one line.
#[derive(Clone, Debug)]
pub(super) struct LogQueue {
    lines: SyncSender<Entry>,
    waiting_bytes: Arc<AtomicUsize>,
}

#[derive(Debug)]
enum Entry {
    /// Answered when everything before it is written.
    Flush(SyncSender<()>),
    Line(Vec<u8>),
}

impl LogQueue {
    /// Starts the thread.
    pub(super) fn start(output: impl Write + Send + 'static) -> io::Result<Self> {
        let queue = Self::spawn(output)?;
        // A second log is refused by the subscriber.
        QUEUE.set(queue.clone()).ok();
        Ok(queue)
    }

    fn spawn(output: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, lines) = sync_channel(MAX_LINES);
        let queue = Self {
            lines: sender,
            waiting_bytes: Arc::default(),
        };
        let waiting_bytes = Arc::clone(&queue.waiting_bytes);
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || write_lines(&lines, &waiting_bytes, output))?;
        Ok(queue)
    }

    fn push(&self, line: &[u8]) {
        let waiting = self.waiting_bytes.fetch_add(line.len(), Relaxed);
        let fits = waiting.saturating_add(line.len()) <= MAX_BYTES;
        if !fits || self.lines.try_send(Entry::Line(line.to_vec())).is_err() {
            self.waiting_bytes.fetch_sub(line.len(), Relaxed);
            DROPPED.fetch_add(1, Relaxed);
        }
    }
}

impl Write for LogQueue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogQueue {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// How many lines found no room in the queue since the start.
pub fn dropped_lines() -> u64 {
    DROPPED.load(Relaxed)
}

/// Waits until the lines logged so far are written, but not longer than `within`.
pub fn flush(within: Duration) {
    if let Some(queue) = QUEUE.get() {
        queue.flush_within(within);
    }
}

impl LogQueue {
    fn flush_within(&self, within: Duration) {
        let (sender, written) = sync_channel(1);
        let started = Instant::now();
        let mut entry = Entry::Flush(sender);
        loop {
            let left = within.saturating_sub(started.elapsed());
            entry = match self.lines.try_send(entry) {
                Ok(()) => {
                    // Late, or the thread ended: there is nowhere left to say so.
                    written.recv_timeout(left).ok();
                    return;
                }
                Err(TrySendError::Full(entry)) if !left.is_zero() => entry,
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => return,
            };
            pause(RETRY_INTERVAL.min(left));
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the thread of the log serves nothing else, and `flush` runs when the process ends"
)]
fn pause(time: Duration) {
    thread::sleep(time);
}

/// Writes what arrives, and says how many lines were dropped when it can write
/// again.
fn write_lines(lines: &Receiver<Entry>, waiting_bytes: &AtomicUsize, mut output: impl Write) {
    let mut reported = 0;
    loop {
        let entry = match lines.try_recv() {
            Ok(entry) => entry,
            Err(TryRecvError::Disconnected) => return,
            Err(TryRecvError::Empty) => {
                pause(LINGER);
                let Ok(entry) = lines.recv() else { return };
                entry
            }
        };
        match entry {
            Entry::Flush(sender) => {
                // The one who waited may have given up.
                sender.send(()).ok();
            }
            Entry::Line(line) => {
                waiting_bytes.fetch_sub(line.len(), Relaxed);
                // A closed stderr cannot be reported to anyone.
                output.write_all(&line).ok();
                let dropped = DROPPED.load(Relaxed);
                if dropped != reported {
                    reported = dropped;
                    warn!(
                        lines = dropped,
                        "Dropped log lines since the start because standard error was not read fast enough"
                    );
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, Write},
        sync::{
            atomic::Ordering::Relaxed,
            mpsc::{Receiver, Sender, channel},
        },
        time::Duration,
    };

    use super::{DROPPED, LogQueue, MAX_BYTES, MAX_LINES};

    /// An output whose every write waits until the test allows it.
    struct StalledOutput {
        allowed: Receiver<()>,
        written: Sender<Vec<u8>>,
    }

    impl Write for StalledOutput {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.allowed.recv().map_err(io::Error::other)?;
            self.written
                .send(bytes.to_vec())
                .map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn stalled_reader_stops_no_one_and_dropped_lines_are_counted() {
        let (allow, allowed) = channel();
        let (sender, written) = channel();
        let output = StalledOutput {
            allowed,
            written: sender,
        };
        let queue = LogQueue::spawn(output).unwrap();
        let before = DROPPED.load(Relaxed);
        let lines = 3 * MAX_LINES;
        for number in 0..lines {
            queue.push(format!("{number}\n").as_bytes());
        }
        let dropped = usize::try_from(DROPPED.load(Relaxed) - before).unwrap();
        // One line may have been taken out of the queue.
        assert!(lines - dropped <= MAX_LINES + 1, "{dropped}");
        queue.flush_within(Duration::ZERO);
        // What was kept is written in its order.
        let kept: Vec<usize> = (dropped..lines)
            .map(|_| {
                allow.send(()).unwrap();
                let line = String::from_utf8(written.recv().unwrap()).unwrap();
                line.trim_end().parse().unwrap()
            })
            .collect();
        assert!(kept.is_sorted(), "{kept:?}");
        assert_eq!(kept.first(), Some(&0));
        queue.push(&vec![b'x'; MAX_BYTES + 1]);
        assert_eq!(
            usize::try_from(DROPPED.load(Relaxed) - before).unwrap(),
            dropped + 1
        );
    }

    #[test]
    fn flush_returns_when_everything_is_written() {
        let (allow, allowed) = channel();
        let (sender, written) = channel();
        let queue = LogQueue::spawn(StalledOutput {
            allowed,
            written: sender,
        })
        .unwrap();
        for _ in 0..10 {
            allow.send(()).unwrap();
            queue.push(b"line\n");
        }
        queue.flush_within(Duration::from_secs(20));
        assert_eq!(written.try_iter().count(), 10);
    }
}
