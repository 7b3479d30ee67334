//! Failures of the file, the disk and the clock.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use redb::{Builder, StorageBackend, backends::FileBackend};

use super::{HOUR, PLENTY, idempotency_key, in_file, key, large, open, settings_for, text};
use crate::store::{
    Retention, StateStore, StoreError, StoreHealth, StoreKeyKind, StoreLocation, StoreOpenError,
    command::StoreCommand,
    file::StoreFile,
    file_entries::{ClockReading, FileEntries},
    opening,
    state_store::StoreBackend,
    writer_thread::{WriterHealth, WriterThread},
};

#[tokio::test]
async fn values_and_secrets_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(in_file(&folder, PLENTY));
    let claimed = store
        .put_if_absent(&idempotency_key("x"), text("1"), HOUR)
        .await;
    assert_eq!(claimed.unwrap(), None);
    let secret = store.secret("approvals").await.unwrap();
    assert!(store.is_persistent() && !store.is_shared());
    assert!(store.close(HOUR));
    let result = store.get(&idempotency_key("x")).await;
    assert!(
        matches!(result, Err(StoreError::Unavailable(_))),
        "{result:?}"
    );

    let store = open(in_file(&folder, PLENTY));
    let result = store
        .put_if_absent(&idempotency_key("x"), text("2"), HOUR)
        .await;
    assert_eq!(result.unwrap(), Some(text("1")));
    assert_eq!(store.secret("approvals").await.unwrap(), secret);
}

#[tokio::test]
async fn file_is_private_and_locked_to_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let settings = in_file(&folder, PLENTY);
    let path = folder.path().join("changes.redb");
    assert_eq!(
        StateStore::check_location(settings.clone()).await.unwrap(),
        StoreHealth::Usable
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let store = open(settings.clone());
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let taken = StateStore::open(settings_for(settings.clone())).unwrap_err();
    assert!(matches!(taken, StoreOpenError::Locked(_)), "{taken}");
    assert_eq!(
        StateStore::check_location(settings.clone()).await.unwrap(),
        StoreHealth::InUse
    );
    assert!(store.close(HOUR));
    assert_eq!(
        StateStore::check_location(settings.clone()).await.unwrap(),
        StoreHealth::Usable
    );
    drop(open(settings));
}

#[test]
fn file_creation_error_names_the_path() {
    let path = Path::new("/proc/none/changes.redb").to_owned();
    let settings = StoreLocation::File {
        path,
        max_bytes: PLENTY,
    };
    let error = StateStore::open(settings_for(settings)).unwrap_err();
    assert!(matches!(error, StoreOpenError::Io(..)), "{error}");
    assert!(error.to_string().contains("/proc/none/changes.redb"));
}

/// A disk that a test can fill.
#[derive(Debug)]
struct FullableDisk {
    file: FileBackend,
    full: Arc<AtomicBool>,
}

impl FullableDisk {
    fn check_space(&self) -> io::Result<()> {
        if self.full.load(SeqCst) {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }
}

impl StorageBackend for FullableDisk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_space().and_then(|()| self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.check_space().and_then(|()| self.file.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.check_space()
            .and_then(|()| self.file.write(offset, data))
    }
}

#[tokio::test]
async fn full_disk_fails_writes_and_recovers_when_space_returns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changes.redb");
    let made = open(in_file(&folder, PLENTY));
    assert_eq!(
        made.put_if_absent(&idempotency_key("before"), text("1"), HOUR)
            .await
            .unwrap(),
        None
    );
    assert!(made.close(HOUR));

    let full = Arc::new(AtomicBool::new(false));
    let reopen = {
        let (path, full) = (path.clone(), Arc::clone(&full));
        Box::new(move |max_bytes| {
            let failed = |error: redb::Error| {
                StoreOpenError::Io(path.clone(), io::Error::other(error.to_string()))
            };
            let file = fs::File::options()
                .read(true)
                .write(true)
                .open(&path)
                .unwrap();
            let disk = FullableDisk {
                file: FileBackend::new(file).map_err(|error| failed(error.into()))?,
                full: Arc::clone(&full),
            };
            let database = Builder::new().create_with_backend(disk);
            let database = database.map_err(|error| failed(error.into()))?;
            FileEntries::load(database, max_bytes, ClockReading::now())
                .map_err(|broken| failed(*broken.0))
        })
    };
    let health = Arc::new(WriterHealth::default());
    let entries = reopen(PLENTY).unwrap();
    let keeper = WriterThread::new(entries, reopen, PLENTY, Arc::clone(&health));
    let store = StoreBackend::File(StoreFile::start(path, keeper, health).unwrap());
    let store = StateStore::with_backend(store, Retention::default(), PLENTY);
    assert_eq!(store.check_available().await, Ok(()));
    let claimed = store
        .put_if_absent(&idempotency_key("a"), text("1"), HOUR)
        .await;
    assert_eq!(claimed.unwrap(), None);
    full.store(true, SeqCst);
    for _ in 0..3 {
        let result = store
            .put_if_absent(&idempotency_key("b"), text("1"), HOUR)
            .await;
        assert!(
            matches!(result, Err(StoreError::Unavailable(_))),
            "{result:?}"
        );
    }
    assert!(store.check_available().await.is_err());
    full.store(false, SeqCst);
    // It recovers without any call.
    while store.check_available().await.is_err() {
        tokio::task::yield_now().await;
    }
    for name in ["before", "a"] {
        let result = store.get(&idempotency_key(name)).await;
        assert_eq!(result.unwrap(), Some(text("1")), "{name}");
    }
    // An unacknowledged entry may exist; claiming it shows which.
    let result = store
        .put_if_absent(&idempotency_key("b"), text("2"), HOUR)
        .await
        .unwrap();
    assert!(result.is_none() || result == Some(text("1")));
}

/// A file with its own clock.
struct FileWithClock {
    path: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

impl FileWithClock {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("changes.redb");
        let this = Self {
            path,
            _folder: folder,
        };
        let begun = opening::open(&this.path, PLENTY).unwrap();
        begun.close().unwrap();
        // Its clock starts in 1970 because nothing was written yet.
        this
    }

    fn open(&self, now: ClockReading) -> FileEntries {
        let file = fs::File::options()
            .read(true)
            .write(true)
            .open(&self.path)
            .unwrap();
        let database = Builder::new()
            .create_with_backend(FileBackend::new(file).unwrap())
            .unwrap();
        FileEntries::load(database, PLENTY, now).unwrap()
    }
}

fn advanced(now: ClockReading, steady: Duration, of_day: SignedDuration) -> ClockReading {
    ClockReading {
        monotonic: now.monotonic + steady,
        wall_clock: now.wall_clock + of_day,
    }
}

fn key_exists(entries: &mut FileEntries, now: ClockReading) -> bool {
    let result = entries
        .execute(vec![(idempotency_key("x"), StoreCommand::Get)], now)
        .unwrap();
    result[0].as_ref().unwrap().value.is_some()
}

fn put(entries: &mut FileEntries, ttl: Duration, now: ClockReading) {
    let command = StoreCommand::Put(text("1"), ttl);
    let result = entries
        .execute(vec![(idempotency_key("x"), command)], now)
        .unwrap();
    assert!(result[0].as_ref().unwrap().applied);
}

const MINUTE: Duration = Duration::from_mins(1);

fn now() -> ClockReading {
    ClockReading {
        monotonic: Instant::now() + HOUR,
        wall_clock: Timestamp::now(),
    }
}

#[test]
fn wall_clock_jump_while_open_does_not_change_expiry() {
    let file = FileWithClock::new();
    for jump in [
        SignedDuration::from_hours(9_000),
        SignedDuration::from_hours(-9_000),
    ] {
        let begun = now();
        let mut entries = file.open(begun);
        put(&mut entries, HOUR, begun);
        assert!(key_exists(&mut entries, advanced(begun, 59 * MINUTE, jump)));
        assert!(!key_exists(
            &mut entries,
            advanced(begun, 61 * MINUTE, jump)
        ));
        entries.close().unwrap();
    }
}

#[test]
fn clock_set_between_two_runs_expires_nothing_early() {
    let file = FileWithClock::new();
    let hour = SignedDuration::from_hours(1);
    // A long downtime looks like a clock that was set, and counts as ten seconds.
    for away in [hour / 2, hour * 2, hour * 8_766, hour * -8_766] {
        let begun = now();
        let mut entries = file.open(begun);
        put(&mut entries, HOUR, begun);
        entries.close().unwrap();
        let back = advanced(begun, Duration::ZERO, away);
        let mut entries = file.open(back);
        let soon = advanced(back, 59 * MINUTE, SignedDuration::ZERO);
        assert!(key_exists(&mut entries, soon), "{away}");
        let hour_later = advanced(back, 61 * MINUTE, SignedDuration::ZERO);
        assert!(!key_exists(&mut entries, hour_later), "{away}");
        entries.close().unwrap();
    }
}

#[test]
fn expired_entries_are_purged_and_quota_is_recounted() {
    let file = FileWithClock::new();
    let begun = now();
    let mut entries = file.open(begun);
    let empty = entries.quota();
    for number in 0..500_u32 {
        let kind = if number % 2 == 0 {
            StoreKeyKind::Idempotency
        } else {
            StoreKeyKind::Undo
        };
        let command = StoreCommand::Put(large(1_000), MINUTE);
        let result = entries.execute(vec![(key(kind, &number.to_string()), command)], begun);
        assert!(result.unwrap()[0].is_ok());
    }
    let used = entries.quota();
    assert_ne!(used, empty);
    entries.close().unwrap();
    // The same, counted in the file.
    let mut entries = file.open(begun);
    assert_eq!(entries.quota(), used);
    let ended = advanced(begun, 2 * MINUTE, SignedDuration::ZERO);
    for _ in 0..2 {
        entries.execute(Vec::new(), ended).unwrap();
    }
    assert_eq!(entries.quota(), empty);
}

#[tokio::test]
async fn abandoned_put_is_stored_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(in_file(&folder, PLENTY));
    {
        let key = idempotency_key("x");
        let mut claim = Box::pin(store.put_if_absent(&key, Bytes::new(), HOUR));
        drop(futures_util::poll!(&mut claim));
    }
    // It was written in time or not at all; the next call shows which.
    let result = store
        .put_if_absent(&idempotency_key("x"), text("2"), HOUR)
        .await
        .unwrap();
    assert!(result.is_none() || result == Some(Bytes::new()));
    assert_eq!(store.check_available().await, Ok(()));
}
