//! The journal under failures: torn lines, forged records, full disks.

use std::{
    fs,
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;

use super::{
    AuditOutcome, AuditUnavailable, ChainDamage, ChainKey, Journal, JournalOpenError,
    JournalSettings, JournalSummary, PendingRecord, Record, Rotation, StoredRecord, journal_files,
    record::tests::{read_record, write_record},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A folder for a journal.
struct TestJournal {
    folder: TempDir,
    settings: JournalSettings,
}

impl TestJournal {
    fn new() -> Self {
        // In memory if possible, because a thousand openings would sync the disk
        // each.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let folder = folder.unwrap();
        let settings = JournalSettings {
            file: Some(folder.path().join("audit.jsonl")),
            rotation: Rotation {
                max_bytes: 64 << 20,
                max_age: None,
                keep_files: 3,
            },
            ..JournalSettings::default()
        };
        Self { folder, settings }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("audit.jsonl")
    }

    fn open(&self) -> Journal {
        Journal::open(self.settings.clone()).unwrap()
    }

    /// A closed journal with this number of records.
    fn with_records(self, records: u128) -> Self {
        let journal = self.open();
        for request in 1..=records {
            journal.record(read_record(request));
        }
        assert!(journal.close(PATIENCE));
        self
    }

    fn files(&self) -> Vec<PathBuf> {
        journal_files(&self.path()).unwrap()
    }

    fn verify(&self) -> Result<JournalSummary, ChainDamage> {
        self.read_all().map(|(history, _)| history)
    }

    fn read_all(&self) -> Result<(JournalSummary, Vec<StoredRecord>), ChainDamage> {
        let mut all = Vec::new();
        let files = self.files();
        let key = self.settings.key.as_ref();
        let history = JournalSummary::verify(&files, key, |entry, _| all.push(entry.clone()))?;
        Ok((history, all))
    }

    /// All records, in short form.
    fn summaries(&self) -> Vec<String> {
        let (_, all) = self.read_all().unwrap();
        all.iter()
            .map(|entry| match entry.kind.as_str() {
                "call" => format!(
                    "{} {}",
                    entry.request.trim_start_matches('0'),
                    entry.outcome
                ),
                kind => kind.to_owned(),
            })
            .collect()
    }
}

impl Journal {
    async fn begin(&self, record: Record) -> Result<PendingRecord, AuditUnavailable> {
        self.pending(record).start().await
    }
}

fn bytes(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

#[tokio::test]
async fn read_is_one_line_and_write_is_two_with_the_first_before_sending() {
    let place = TestJournal::new();
    let journal = place.open();
    journal
        .begin(read_record(1))
        .await
        .unwrap()
        .finish(AuditOutcome::Answered, None);
    let begun = journal.begin(write_record(2)).await.unwrap();
    // It is already durable, with the records that were queued before it.
    assert_eq!(place.summaries(), ["began", "1 answered", "2 begun"]);
    assert_eq!(
        place.verify().unwrap().unfinished_writes,
        [(place.path(), 3)]
    );
    begun.finish(AuditOutcome::Unknown("outcome_unknown"), None);
    assert!(journal.close(PATIENCE));
    assert_eq!(place.summaries().last().unwrap(), "2 unknown");
    let history = place.verify().unwrap();
    assert_eq!(
        (
            history.unfinished_writes.len(),
            history.lines,
            history.first_seq
        ),
        (0, 4, 1)
    );
}

#[tokio::test]
async fn dropped_read_is_cancelled_and_dropped_write_is_unknown() {
    let place = TestJournal::new();
    let journal = place.open();
    drop(journal.begin(read_record(1)).await.unwrap());
    drop(journal.begin(write_record(2)).await.unwrap());
    assert!(journal.close(PATIENCE));
    let (_, entries) = place.read_all().unwrap();
    assert_eq!(
        place.summaries()[1..],
        ["1 cancelled", "2 begun", "2 unknown"]
    );
    assert_eq!(entries[3].reason.as_deref(), Some("hung_up"));
}

#[test]
fn reopened_journal_continues_its_chain() {
    let place = TestJournal::new().with_records(2).with_records(2);
    let history = place.verify().unwrap();
    assert_eq!(
        (history.lines, history.end.seq, history.torn_count),
        (5, 5, 0)
    );
    let mode = fs::metadata(place.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn journal_cut_at_any_byte_reopens_and_records_the_tear() {
    for key in [None, ChainKey::new(&[7; 32])] {
        let mut place = TestJournal::new();
        place.settings.key = key;
        let place = place.with_records(4);
        let whole = bytes(&place.path());
        let ends: Vec<usize> = whole
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == b'\n')
            .map(|(at, _)| at + 1)
            .collect();
        let lines = ends.len();
        for cut in ends[lines - 3]..whole.len() {
            fs::write(place.path(), &whole[..cut]).unwrap();
            let kept = ends.iter().filter(|end| **end <= cut).count();
            // Only the line end is missing; the record itself is complete.
            let kept = kept + usize::from(whole[cut] == b'\n' && !ends.contains(&cut));
            let torn = !ends.contains(&cut);
            let journal = place.open();
            journal.record(read_record(9));
            assert!(journal.close(PATIENCE));
            let history = place.verify().unwrap();
            assert_eq!(history.torn_count, u64::from(torn), "cut at {cut}");
            let lines = u64::try_from(kept + usize::from(torn) + 1).unwrap();
            assert_eq!(history.lines, lines, "cut at {cut}");
        }
    }
}

#[test]
fn journal_torn_in_its_first_line_restarts_and_records_the_tear() {
    let place = TestJournal::new().with_records(0);
    let whole = bytes(&place.path());
    for cut in 1..whole.len() - 1 {
        fs::write(place.path(), &whole[..cut]).unwrap();
        assert!(place.open().close(PATIENCE));
        assert_eq!(place.summaries(), ["began", "torn"], "cut at {cut}");
    }
    // The torn part is in a file beside it.
    assert!(place.folder.path().join("audit.jsonl.torn").exists());
}

#[test]
fn trailing_zeros_are_a_torn_end() {
    let place = TestJournal::new().with_records(2);
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(place.path())
        .unwrap();
    file.write_all(&[0; 5000]).unwrap();
    assert!(place.open().close(PATIENCE));
    let history = place.verify().unwrap();
    assert_eq!((history.lines, history.torn_count), (4, 1));
}

#[test]
fn journal_with_a_changed_last_line_is_not_overwritten() {
    let place = TestJournal::new().with_records(2);
    let text = String::from_utf8(bytes(&place.path())).unwrap();
    let at = text.rfind("\"ada\"").unwrap();
    let mut changed = text.into_bytes();
    changed[at + 1] = b'i';
    fs::write(place.path(), &changed).unwrap();
    let error = Journal::open(place.settings.clone()).unwrap_err();
    assert!(
        matches!(error, JournalOpenError::HashMismatch(_)),
        "{error}"
    );
    assert_eq!(bytes(&place.path()), changed);
    // So is one that was written with another key.
    let mut keyed = TestJournal::new().with_records(2);
    keyed.settings.key = ChainKey::new(&[7; 32]);
    let error = Journal::open(keyed.settings).unwrap_err();
    assert!(
        matches!(error, JournalOpenError::HashMismatch(_)),
        "{error}"
    );
}

#[test]
fn journal_file_is_locked_until_it_is_closed() {
    let place = TestJournal::new();
    let journal = place.open();
    let error = Journal::open(place.settings.clone()).unwrap_err();
    assert!(matches!(error, JournalOpenError::Locked(_)), "{error}");
    assert!(journal.close(PATIENCE));
    assert!(place.open().close(PATIENCE));
}

#[test]
fn chain_spans_rotated_files_and_oldest_are_removed() {
    let mut place = TestJournal::new();
    place.settings.rotation.max_bytes = 1_500;
    let place = place.with_records(3).with_records(20);
    let files = place.files();
    let names: Vec<_> = files
        .iter()
        .map(|file| file.file_name().unwrap().to_str().unwrap())
        .collect();
    let expected = [
        "audit.jsonl.3",
        "audit.jsonl.2",
        "audit.jsonl.1",
        "audit.jsonl",
    ];
    assert_eq!(names, expected);
    let (history, entries) = place.read_all().unwrap();
    assert!(history.first_seq > 1, "{history:?}");
    assert_eq!(entries.last().unwrap().request, format!("{:032x}", 20));
    // A missing or additional file in the middle is detected.
    fs::remove_file(&files[1]).unwrap();
    assert!(matches!(
        place.verify(),
        Err(ChainDamage::InvalidLine(_, 1, _))
    ));
}

#[test]
fn file_older_than_max_age_is_rotated() {
    let mut place = TestJournal::new().with_records(1);
    place.settings.rotation.max_age = Some(Duration::ZERO);
    let place = place.with_records(1);
    assert_eq!(
        place.summaries(),
        ["began", "1 cancelled", "began", "1 cancelled"]
    );
    assert_eq!(place.files().len(), 2);
}

#[test]
fn interrupted_rotation_continues_from_the_previous_file() {
    let place = TestJournal::new().with_records(2);
    let path = place.path();
    fs::rename(&path, path.with_extension("jsonl.1")).unwrap();
    for left in [None, Some(""), Some("{\"seq\":4,\"pr")] {
        if let Some(left) = left {
            fs::write(&path, left).unwrap();
        }
        assert!(place.open().close(PATIENCE));
        assert_eq!(place.verify().unwrap().first_seq, 1);
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn moved_file_is_followed_by_a_new_one() {
    let place = TestJournal::new();
    let journal = place.open();
    journal.record(read_record(1));
    assert!(journal.flush(PATIENCE));
    let moved = place.path().with_extension("jsonl.1");
    fs::rename(place.path(), moved).unwrap();
    journal.record(read_record(2));
    assert!(journal.close(PATIENCE));
    assert_eq!(
        place.summaries(),
        ["began", "1 cancelled", "began", "2 cancelled"]
    );
}

#[test]
fn missing_first_or_middle_line_is_detected() {
    let place = TestJournal::new().with_records(5);
    let text = String::from_utf8(bytes(&place.path())).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for gone in 0..lines.len() {
        let mut rest = lines.clone();
        rest.remove(gone);
        fs::write(place.path(), format!("{}\n", rest.join("\n"))).unwrap();
        match place.verify() {
            Err(ChainDamage::MissingFileStart(_)) => assert_eq!(gone, 0),
            Err(ChainDamage::InvalidLine(_, line, _)) => {
                assert_eq!(line, u64::try_from(gone).unwrap() + 1);
            }
            // A missing end cannot be detected.
            other => assert_eq!(gone, lines.len() - 1, "{other:?}"),
        }
    }
}

#[tokio::test]
async fn unwritable_journal_rejects_writes_until_it_recovers() {
    let place = TestJournal::new();
    // A folder in place of the next file, like a disk that cannot be written.
    let mut settings = place.settings.clone();
    settings.rotation.max_bytes = 1;
    settings.rotation.keep_files = 1;
    let journal = Journal::open(settings).unwrap();
    journal.record(read_record(1));
    assert!(journal.flush(PATIENCE));
    assert_eq!(journal.check_available(), Some(Ok(())));
    fs::rename(place.path(), place.path().with_extension("jsonl.1")).unwrap();
    fs::create_dir(place.path()).unwrap();
    journal.record(read_record(2));
    assert!(journal.flush(PATIENCE));
    assert!(matches!(journal.check_available(), Some(Err(_))));
    assert_eq!(
        journal.begin(write_record(3)).await.unwrap_err(),
        AuditUnavailable
    );
    // Reads continue.
    drop(journal.begin(read_record(4)).await.unwrap());
    fs::remove_dir(place.path()).unwrap();
    assert!(journal.flush(PATIENCE));
    assert_eq!(journal.check_available(), Some(Ok(())));
    journal
        .begin(write_record(5))
        .await
        .unwrap()
        .finish(AuditOutcome::Answered, None);
    assert!(journal.close(PATIENCE));
    let summaries: Vec<String> = place.summaries();
    let calls: Vec<&String> = summaries.iter().filter(|line| *line != "began").collect();
    // With one byte per file, those before the last two are deleted.
    assert_eq!(calls, ["5 begun", "5 answered"]);
}

#[test]
fn lowering_keep_files_leaves_an_intact_chain() {
    let place = TestJournal::new();
    let mut settings = place.settings.clone();
    settings.rotation.max_bytes = 1;
    settings.rotation.keep_files = 5;
    let journal = Journal::open(settings.clone()).unwrap();
    let write = |requests: std::ops::Range<u128>| {
        for request in requests {
            journal.record(read_record(request));
        }
        assert!(journal.flush(PATIENCE));
    };
    write(1..9);
    assert_eq!(place.files().len(), 6);
    settings.rotation.keep_files = 2;
    assert!(journal.reconfigure(&settings));
    write(9..10);
    assert_eq!(place.files().len(), 3);
    write(10..13);
    let history = place.verify().unwrap();
    assert_eq!(history.files, 3);
    // Files with other names do not belong to the journal.
    let own = ["jsonl.9x", "jsonl.007"].map(|end| place.path().with_extension(end));
    for own in &own {
        fs::write(own, "mine").unwrap();
    }
    write(13..14);
    assert!(own.iter().all(|own| own.exists()));
    place.verify().unwrap();
}

#[tokio::test]
async fn records_beyond_the_queue_limit_are_recorded_as_lost() {
    let place = TestJournal::new();
    let journal = place.open();
    assert!(journal.flush(PATIENCE));
    fs::rename(place.path(), place.path().with_extension("jsonl.1")).unwrap();
    fs::create_dir(place.path()).unwrap();
    for request in 1..=5_000 {
        journal.record(read_record(request));
    }
    assert!(journal.flush(PATIENCE));
    assert!(journal.begin(read_record(1)).await.unwrap().may_be_lost());
    fs::remove_dir(place.path()).unwrap();
    assert!(journal.close(PATIENCE));
    let (history, entries) = place.read_all().unwrap();
    assert_eq!(history.lost_records, 5_000 - 4_096 + 1);
    assert_eq!(
        entries.iter().filter(|entry| entry.kind == "call").count(),
        4_096
    );
}

#[test]
fn closed_journal_reports_that_it_cannot_be_written() {
    let journal = TestJournal::new().open();
    assert!(journal.close(PATIENCE));
    journal.record(read_record(1));
    assert!(matches!(journal.check_available(), Some(Err(_))));
}

#[test]
fn reload_reconfigures_a_journal_in_the_same_file() {
    let place = TestJournal::new();
    let journal = place.open();
    let mut settings = place.settings.clone();
    settings.include_values = true;
    settings.rotation.max_bytes = 1;
    assert!(journal.reconfigure(&settings));
    assert!(journal.includes_values());
    settings.stdout = true;
    assert!(!journal.reconfigure(&settings));
    assert!(Journal::off().reconfigure(&JournalSettings::default()));
    journal.record(read_record(1));
    assert!(journal.close(PATIENCE));
    assert_eq!(place.files().len(), 2);
}

#[test]
fn incomplete_last_line_is_reported_as_torn() {
    let place = TestJournal::new().with_records(2);
    let mut file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(place.path())
        .unwrap();
    let length = file.seek(std::io::SeekFrom::End(0)).unwrap();
    file.set_len(length - 5).unwrap();
    let mut rest = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut rest).unwrap();
    assert!(matches!(place.verify(), Err(ChainDamage::Torn(_, 3))));
}
