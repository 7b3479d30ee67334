//! The log of the gateways in this process.
//!
//! All tests share one log because the gateways run on their own threads: a test
//! searches it for texts that no other test produces.

use std::{
    borrow::Cow,
    io,
    sync::{Mutex, MutexGuard, Once, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// The message of the line that a served request leaves.
pub(crate) const SERVED: &str = "Served request";
/// The message when the gateway accepts connections.
pub(crate) const LISTENING: &str = "Opened the listeners";
/// The message when a Redis fails.
pub(crate) const REDIS_LOST: &str = "Lost Redis";
/// The message when it works again.
pub(crate) const REDIS_BACK: &str = "Reconnected to Redis";

/// The message when an Odoo cannot be reached.
pub(crate) const ODOO_LOST: &str = "Lost Odoo";
/// The message when it answers again.
pub(crate) const ODOO_BACK: &str = "Reconnected to Odoo";

static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Everything Gatepost logs, and more of the libraries than operators see.
const FILTER: &str = "info,gatepost=trace,reqwest=trace,hyper_util=debug,rustls=debug";

struct LogWriter;

impl io::Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock_log().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts the log; before the first gateway.
pub(crate) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let layer = fmt::layer().with_ansi(false).with_writer(|| LogWriter);
        tracing_subscriber::registry()
            .with(EnvFilter::new(FILTER))
            .with(layer)
            .init();
    });
}

/// The length of the log, in bytes.
pub(crate) fn length() -> usize {
    lock_log().len()
}

/// The log from this position on.
pub(crate) fn written_since(from: usize) -> String {
    let written = lock_log();
    String::from_utf8_lossy(written.get(from..).unwrap_or_default()).into_owned()
}

/// The lines that contain a text.
pub(crate) fn lines_with(text: &str) -> Vec<String> {
    written_since(0)
        .lines()
        .filter(|line| line.contains(text))
        .map(str::to_owned)
        .collect()
}

/// The line of a served request, which is written after its response.
#[expect(
    clippy::disallowed_methods,
    reason = "a test waits on a thread of its own"
)]
pub(crate) fn of_request(id: &str) -> String {
    let request = format!("request.id={id} ");
    let until = Instant::now() + Duration::from_mins(1);
    loop {
        let found = lock_log()
            .rsplit(|byte| *byte == b'\n')
            .map(String::from_utf8_lossy)
            .find(|line| line.contains(SERVED) && line.contains(&request))
            .map(Cow::into_owned);
        if let Some(line) = found {
            return line;
        }
        assert!(Instant::now() < until, "no line of the request {id}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn lock_log() -> MutexGuard<'static, Vec<u8>> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}
