//! What may happen to a file, to the disk under it, and to the clock.

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

use super::{HOUR, PLENTY, at, in_file, key, large, once, open, text};
use crate::store::{
    CannotOpen, Kind, Ledger, LedgerError, LedgerPlace, Retention, Store, Usable,
    deed::Deed,
    entries::{Entries, Moment},
    file::LedgerFile,
    keeper::{Health, Keeper},
    opening,
};

#[tokio::test]
async fn what_was_remembered_is_known_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(in_file(&folder, PLENTY));
    let claimed = ledger.claim(&once("x"), text("1"), HOUR).await;
    assert_eq!(claimed.unwrap(), None);
    let secret = ledger.secret("approvals").await.unwrap();
    assert!(ledger.outlives_restart() && !ledger.is_shared());
    assert!(ledger.close(HOUR));
    let told = ledger.get(&once("x")).await;
    assert!(matches!(told, Err(LedgerError::Unavailable(_))), "{told:?}");

    let ledger = open(in_file(&folder, PLENTY));
    let told = ledger.claim(&once("x"), text("2"), HOUR).await;
    assert_eq!(told.unwrap(), Some(text("1")));
    assert_eq!(ledger.secret("approvals").await.unwrap(), secret);
}

#[tokio::test]
async fn the_file_is_its_owners_alone_and_of_one_process_alone() {
    let folder = tempfile::tempdir().unwrap();
    let settings = in_file(&folder, PLENTY);
    let path = folder.path().join("changes.redb");
    assert_eq!(
        Ledger::examine(settings.clone()).await.unwrap(),
        Usable::Yes
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let ledger = open(settings.clone());
    assert_eq!(
        fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let taken = Ledger::open(at(settings.clone())).unwrap_err();
    assert!(matches!(taken, CannotOpen::Taken(_)), "{taken}");
    assert!(taken.to_string().contains("used by another process"));
    assert_eq!(
        Ledger::examine(settings.clone()).await.unwrap(),
        Usable::InUse
    );
    assert!(ledger.close(HOUR));
    assert_eq!(
        Ledger::examine(settings.clone()).await.unwrap(),
        Usable::Yes
    );
    drop(open(settings));
}

#[test]
fn a_file_that_cannot_be_made_is_told_with_its_path() {
    let path = Path::new("/proc/none/changes.redb").to_owned();
    let settings = LedgerPlace::File {
        path,
        max_bytes: PLENTY,
    };
    let error = Ledger::open(at(settings)).unwrap_err();
    assert!(matches!(error, CannotOpen::Io(..)), "{error}");
    assert!(error.to_string().contains("/proc/none/changes.redb"));
}

/// A disk that is full when it is told to be.
#[derive(Debug)]
struct Disk {
    file: FileBackend,
    full: Arc<AtomicBool>,
}

impl Disk {
    fn room(&self) -> io::Result<()> {
        if self.full.load(SeqCst) {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.room().and_then(|()| self.file.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.room().and_then(|()| self.file.sync_data())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.room().and_then(|()| self.file.write(offset, data))
    }
}

#[tokio::test]
async fn on_a_full_disk_nothing_is_promised_and_with_room_it_goes_on_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changes.redb");
    let made = open(in_file(&folder, PLENTY));
    assert_eq!(
        made.claim(&once("before"), text("1"), HOUR).await.unwrap(),
        None
    );
    assert!(made.close(HOUR));

    let full = Arc::new(AtomicBool::new(false));
    let reopen = {
        let (path, full) = (path.clone(), Arc::clone(&full));
        Box::new(move |max_bytes| {
            let failed = |error: redb::Error| {
                CannotOpen::Io(path.clone(), io::Error::other(error.to_string()))
            };
            let file = fs::File::options()
                .read(true)
                .write(true)
                .open(&path)
                .unwrap();
            let disk = Disk {
                file: FileBackend::new(file).map_err(|error| failed(error.into()))?,
                full: Arc::clone(&full),
            };
            let database = Builder::new().create_with_backend(disk);
            let database = database.map_err(|error| failed(error.into()))?;
            Entries::go_on(database, max_bytes, Moment::now()).map_err(|broken| failed(*broken.0))
        })
    };
    let health = Arc::new(Health::default());
    let entries = reopen(PLENTY).unwrap();
    let keeper = Keeper::new(entries, reopen, PLENTY, Arc::clone(&health));
    let store = Store::File(LedgerFile::start(path, keeper, health).unwrap());
    let ledger = Ledger::of(store, Retention::default());
    assert_eq!(ledger.state().await, Ok(()));
    let claimed = ledger.claim(&once("a"), text("1"), HOUR).await;
    assert_eq!(claimed.unwrap(), None);
    full.store(true, SeqCst);
    for _ in 0..3 {
        let told = ledger.claim(&once("b"), text("1"), HOUR).await;
        assert!(matches!(told, Err(LedgerError::Unavailable(_))), "{told:?}");
    }
    assert!(ledger.state().await.is_err());
    full.store(false, SeqCst);
    // Nobody asks, and it finds out.
    while ledger.state().await.is_err() {
        tokio::task::yield_now().await;
    }
    for name in ["before", "a"] {
        let told = ledger.get(&once(name)).await;
        assert_eq!(told.unwrap(), Some(text("1")), "{name}");
    }
    // What was not acknowledged may be there; whoever claims it is told.
    let told = ledger.claim(&once("b"), text("2"), HOUR).await.unwrap();
    assert!(told.is_none() || told == Some(text("1")));
}

/// A file with a clock of its own.
struct Timed {
    path: std::path::PathBuf,
    _folder: tempfile::TempDir,
}

impl Timed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("changes.redb");
        let this = Self {
            path,
            _folder: folder,
        };
        let begun = opening::open(&this.path, PLENTY).unwrap();
        begun.close().unwrap();
        // Its clock begins in 1970, for nothing was written yet.
        this
    }

    fn open(&self, now: Moment) -> Entries {
        let file = fs::File::options()
            .read(true)
            .write(true)
            .open(&self.path)
            .unwrap();
        let database = Builder::new()
            .create_with_backend(FileBackend::new(file).unwrap())
            .unwrap();
        Entries::go_on(database, PLENTY, now).unwrap()
    }
}

fn later(now: Moment, steady: Duration, of_day: SignedDuration) -> Moment {
    Moment {
        steady: now.steady + steady,
        of_day: now.of_day + of_day,
    }
}

fn is_there(entries: &mut Entries, now: Moment) -> bool {
    let told = entries.run(vec![(once("x"), Deed::Get)], now).unwrap();
    told[0].as_ref().unwrap().found.is_some()
}

fn put(entries: &mut Entries, ttl: Duration, now: Moment) {
    let deed = Deed::Put(text("1"), ttl);
    let told = entries.run(vec![(once("x"), deed)], now).unwrap();
    assert!(told[0].as_ref().unwrap().done);
}

const MINUTE: Duration = Duration::from_mins(1);

fn now() -> Moment {
    Moment {
        steady: Instant::now() + HOUR,
        of_day: Timestamp::now(),
    }
}

#[test]
fn a_time_of_day_that_jumps_while_we_run_neither_ends_nor_keeps_anything() {
    let file = Timed::new();
    for jump in [
        SignedDuration::from_hours(9_000),
        SignedDuration::from_hours(-9_000),
    ] {
        let begun = now();
        let mut entries = file.open(begun);
        put(&mut entries, HOUR, begun);
        assert!(is_there(&mut entries, later(begun, 59 * MINUTE, jump)));
        assert!(!is_there(&mut entries, later(begun, 61 * MINUTE, jump)));
        entries.close().unwrap();
    }
}

#[test]
fn time_goes_on_while_nobody_runs_but_never_back() {
    let file = Timed::new();
    let hour = SignedDuration::from_hours(1);
    for (away, still_there) in [
        (hour / 2, true),
        (hour * 2, false),
        // Set back by a year: it lasts as long as it would have lasted.
        (hour * -8_766, true),
    ] {
        let begun = now();
        let mut entries = file.open(begun);
        put(&mut entries, HOUR, begun);
        entries.close().unwrap();
        let back = later(begun, Duration::ZERO, away);
        let mut entries = file.open(back);
        assert_eq!(is_there(&mut entries, back), still_there, "{away}");
        let hour_later = later(back, 61 * MINUTE, SignedDuration::ZERO);
        assert!(!is_there(&mut entries, hour_later), "{away}");
        entries.close().unwrap();
    }
}

#[test]
fn what_has_ended_is_gone_from_the_file_and_its_room_is_counted_right() {
    let file = Timed::new();
    let begun = now();
    let mut entries = file.open(begun);
    let empty = entries.room();
    for number in 0..500_u32 {
        let kind = if number % 2 == 0 {
            Kind::Once
        } else {
            Kind::Undo
        };
        let deed = Deed::Put(large(1_000), MINUTE);
        let told = entries.run(vec![(key(kind, &number.to_string()), deed)], begun);
        assert!(told.unwrap()[0].is_ok());
    }
    let used = entries.room();
    assert_ne!(used, empty);
    entries.close().unwrap();
    // The same, counted from the file.
    let mut entries = file.open(begun);
    assert_eq!(entries.room(), used);
    let ended = later(begun, 2 * MINUTE, SignedDuration::ZERO);
    for _ in 0..2 {
        entries.run(Vec::new(), ended).unwrap();
    }
    assert_eq!(entries.room(), empty);
}

#[tokio::test]
async fn a_caller_who_left_before_it_was_written_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = open(in_file(&folder, PLENTY));
    {
        let key = once("x");
        let mut claim = Box::pin(ledger.claim(&key, Bytes::new(), HOUR));
        drop(futures_util::poll!(&mut claim));
    }
    // Either it was written in time or not at all; the next one is told which.
    let told = ledger.claim(&once("x"), text("2"), HOUR).await.unwrap();
    assert!(told.is_none() || told == Some(Bytes::new()));
    assert_eq!(ledger.state().await, Ok(()));
}
