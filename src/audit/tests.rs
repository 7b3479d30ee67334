//! What a journal keeps, whatever happens to it.

use std::{
    fs,
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;

use super::{
    CannotOpen, ChainKey, Damage, History, Journal, JournalSettings, Outcome, Told, Unaudited,
    files_of,
    record::tests::{change, read},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// A folder for a journal.
struct Place {
    folder: TempDir,
    settings: JournalSettings,
}

impl Place {
    fn new() -> Self {
        // In memory where that can be: a thousand openings send to the disk each.
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let folder = folder.unwrap();
        let settings = JournalSettings {
            file: Some(folder.path().join("audit.jsonl")),
            max_file_bytes: 64 << 20,
            keep_files: 3,
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

    /// A journal with so many records, closed again.
    fn with(self, records: u128) -> Self {
        let journal = self.open();
        for request in 1..=records {
            journal.note(read(request));
        }
        assert!(journal.close(PATIENCE));
        self
    }

    fn files(&self) -> Vec<PathBuf> {
        files_of(&self.path()).unwrap()
    }

    fn verify(&self) -> Result<History, Damage> {
        self.told().map(|(history, _)| history)
    }

    fn told(&self) -> Result<(History, Vec<Told>), Damage> {
        let mut all = Vec::new();
        let files = self.files();
        let key = self.settings.key.as_ref();
        let history = History::verify(&files, key, |told, _| all.push(told.clone()))?;
        Ok((history, all))
    }

    /// Everything that is told, in short.
    fn short(&self) -> Vec<String> {
        let (_, all) = self.told().unwrap();
        all.iter()
            .map(|told| match told.kind.as_str() {
                "call" => format!("{} {}", told.request.trim_start_matches('0'), told.outcome),
                kind => kind.to_owned(),
            })
            .collect()
    }
}

fn bytes(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap()
}

#[tokio::test]
async fn a_read_leaves_one_line_and_a_change_two_the_first_of_them_before_it_is_sent() {
    let place = Place::new();
    let journal = place.open();
    journal
        .begin(read(1))
        .await
        .unwrap()
        .end(Outcome::Answered, None);
    let begun = journal.begin(change(2)).await.unwrap();
    // It is on the disk already, with what was handed in before it.
    assert_eq!(place.short(), ["began", "1 answered", "2 begun"]);
    assert_eq!(place.verify().unwrap().open, [(place.path(), 3)]);
    begun.end(Outcome::Unknown("outcome_unknown"), None);
    assert!(journal.close(PATIENCE));
    assert_eq!(place.short().last().unwrap(), "2 unknown");
    let history = place.verify().unwrap();
    assert_eq!(
        (history.open.len(), history.lines, history.first),
        (0, 4, 1)
    );
}

#[tokio::test]
async fn a_call_that_is_dropped_was_cancelled_and_of_a_change_nobody_knows() {
    let place = Place::new();
    let journal = place.open();
    drop(journal.begin(read(1)).await.unwrap());
    drop(journal.begin(change(2)).await.unwrap());
    assert!(journal.close(PATIENCE));
    let (_, told) = place.told().unwrap();
    assert_eq!(place.short()[1..], ["1 cancelled", "2 begun", "2 unknown"]);
    assert_eq!(told[3].reason.as_deref(), Some("hung_up"));
}

#[test]
fn a_journal_goes_on_where_it_ended() {
    let place = Place::new().with(2).with(2);
    let history = place.verify().unwrap();
    assert_eq!((history.lines, history.last.seq, history.torn), (5, 5, 0));
    let mode = fs::metadata(place.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_journal_that_ends_at_any_byte_of_its_last_two_lines_opens_again_and_tells_so() {
    for key in [None, ChainKey::new(&[7; 32])] {
        let mut place = Place::new();
        place.settings.key = key;
        let place = place.with(4);
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
            // Only the line end is missing: the record itself is there.
            let kept = kept + usize::from(whole[cut] == b'\n' && !ends.contains(&cut));
            let torn = !ends.contains(&cut);
            let journal = place.open();
            journal.note(read(9));
            assert!(journal.close(PATIENCE));
            let history = place.verify().unwrap();
            assert_eq!(history.torn, u64::from(torn), "cut at {cut}");
            let lines = u64::try_from(kept + usize::from(torn) + 1).unwrap();
            assert_eq!(history.lines, lines, "cut at {cut}");
        }
    }
}

#[test]
fn a_journal_that_was_torn_in_its_first_line_begins_anew_and_tells_so() {
    let place = Place::new().with(0);
    let whole = bytes(&place.path());
    for cut in 1..whole.len() - 1 {
        fs::write(place.path(), &whole[..cut]).unwrap();
        assert!(place.open().close(PATIENCE));
        assert_eq!(place.short(), ["began", "torn"], "cut at {cut}");
    }
    // What was torn off is beside it.
    assert!(place.folder.path().join("audit.jsonl.torn").exists());
}

#[test]
fn zeros_that_a_loss_of_power_left_at_the_end_are_a_torn_end() {
    let place = Place::new().with(2);
    let mut file = fs::OpenOptions::new()
        .append(true)
        .open(place.path())
        .unwrap();
    file.write_all(&[0; 5000]).unwrap();
    assert!(place.open().close(PATIENCE));
    let history = place.verify().unwrap();
    assert_eq!((history.lines, history.torn), (4, 1));
}

#[test]
fn a_last_line_that_was_changed_is_not_written_over() {
    let place = Place::new().with(2);
    let text = String::from_utf8(bytes(&place.path())).unwrap();
    let at = text.rfind("\"ada\"").unwrap();
    let mut changed = text.into_bytes();
    changed[at + 1] = b'i';
    fs::write(place.path(), &changed).unwrap();
    let error = Journal::open(place.settings.clone()).unwrap_err();
    assert!(matches!(error, CannotOpen::Changed(_)), "{error}");
    assert_eq!(bytes(&place.path()), changed);
    // So is one that was made with another key.
    let mut keyed = Place::new().with(2);
    keyed.settings.key = ChainKey::new(&[7; 32]);
    let error = Journal::open(keyed.settings).unwrap_err();
    assert!(matches!(error, CannotOpen::Changed(_)), "{error}");
}

#[test]
fn two_journals_in_one_file_are_refused_until_one_is_closed() {
    let place = Place::new();
    let journal = place.open();
    let error = Journal::open(place.settings.clone()).unwrap_err();
    assert!(matches!(error, CannotOpen::Taken(_)), "{error}");
    assert!(error.to_string().contains("another process"), "{error}");
    assert!(journal.close(PATIENCE));
    assert!(place.open().close(PATIENCE));
}

#[test]
fn the_chain_goes_on_over_files_and_the_oldest_ones_go() {
    let mut place = Place::new();
    place.settings.max_file_bytes = 1_500;
    let place = place.with(3).with(20);
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
    let (history, told) = place.told().unwrap();
    assert!(history.first > 1, "{history:?}");
    assert_eq!(told.last().unwrap().request, format!("{:032x}", 20));
    // One file more or less in the middle is found.
    fs::remove_file(&files[1]).unwrap();
    assert!(matches!(place.verify(), Err(Damage::Line { line: 1, .. })));
}

#[test]
fn a_file_that_is_older_than_it_may_be_is_followed_by_another() {
    let mut place = Place::new().with(1);
    place.settings.max_file_age = Some(Duration::ZERO);
    let place = place.with(1);
    assert_eq!(
        place.short(),
        ["began", "1 cancelled", "began", "1 cancelled"]
    );
    assert_eq!(place.files().len(), 2);
}

#[test]
fn a_gateway_that_died_between_two_files_goes_on_from_the_one_before() {
    let place = Place::new().with(2);
    let path = place.path();
    fs::rename(&path, path.with_extension("jsonl.1")).unwrap();
    for left in [None, Some(""), Some("{\"seq\":4,\"pr")] {
        if let Some(left) = left {
            fs::write(&path, left).unwrap();
        }
        assert!(place.open().close(PATIENCE));
        assert_eq!(place.verify().unwrap().first, 1);
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_file_that_is_moved_away_is_followed_by_a_new_one() {
    let place = Place::new();
    let journal = place.open();
    journal.note(read(1));
    assert!(journal.flush(PATIENCE));
    let moved = place.path().with_extension("jsonl.1");
    fs::rename(place.path(), moved).unwrap();
    journal.note(read(2));
    assert!(journal.close(PATIENCE));
    assert_eq!(
        place.short(),
        ["began", "1 cancelled", "began", "2 cancelled"]
    );
}

#[test]
fn a_journal_of_which_the_beginning_or_the_middle_was_taken_is_found_out() {
    let place = Place::new().with(5);
    let text = String::from_utf8(bytes(&place.path())).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for gone in 0..lines.len() {
        let mut rest = lines.clone();
        rest.remove(gone);
        fs::write(place.path(), format!("{}\n", rest.join("\n"))).unwrap();
        match place.verify() {
            Err(Damage::Beginning { .. }) => assert_eq!(gone, 0),
            Err(Damage::Line { line, .. }) => {
                assert_eq!(line, u64::try_from(gone).unwrap() + 1);
            }
            // Of the end nothing tells.
            other => assert_eq!(gone, lines.len() - 1, "{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_a_full_disk_kept_out_comes_in_when_there_is_room_and_changes_wait_for_that() {
    let place = Place::new();
    // A folder in the place of the next file: as a disk that takes nothing.
    let mut settings = place.settings.clone();
    settings.max_file_bytes = 1;
    settings.keep_files = 1;
    let journal = Journal::open(settings).unwrap();
    journal.note(read(1));
    assert!(journal.flush(PATIENCE));
    assert_eq!(journal.state(), Some(Ok(())));
    fs::rename(place.path(), place.path().with_extension("jsonl.1")).unwrap();
    fs::create_dir(place.path()).unwrap();
    journal.note(read(2));
    assert!(journal.flush(PATIENCE));
    assert!(matches!(journal.state(), Some(Err(_))));
    assert_eq!(journal.begin(change(3)).await.unwrap_err(), Unaudited);
    // Reads go on.
    drop(journal.begin(read(4)).await.unwrap());
    fs::remove_dir(place.path()).unwrap();
    assert!(journal.flush(PATIENCE));
    assert_eq!(journal.state(), Some(Ok(())));
    journal
        .begin(change(5))
        .await
        .unwrap()
        .end(Outcome::Answered, None);
    assert!(journal.close(PATIENCE));
    let told: Vec<String> = place.short();
    let calls: Vec<&String> = told.iter().filter(|line| *line != "began").collect();
    // With one byte a file, those before the last two are gone.
    assert_eq!(calls, ["5 begun", "5 answered"]);
}

#[test]
fn a_journal_that_keeps_fewer_files_than_before_stays_whole() {
    let place = Place::new();
    let mut settings = place.settings.clone();
    settings.max_file_bytes = 1;
    settings.keep_files = 5;
    let journal = Journal::open(settings.clone()).unwrap();
    let write = |requests: std::ops::Range<u128>| {
        for request in requests {
            journal.note(read(request));
        }
        assert!(journal.flush(PATIENCE));
    };
    write(1..9);
    assert_eq!(place.files().len(), 6);
    settings.keep_files = 2;
    assert!(journal.adjust(&settings));
    write(9..10);
    assert_eq!(place.files().len(), 3);
    write(10..13);
    let history = place.verify().unwrap();
    assert_eq!(history.files, 3);
    // What has a name of somebody's own is not the journal's.
    let own = ["jsonl.9x", "jsonl.007"].map(|end| place.path().with_extension(end));
    for own in &own {
        fs::write(own, "mine").unwrap();
    }
    write(13..14);
    assert!(own.iter().all(|own| own.exists()));
    place.verify().unwrap();
}

#[tokio::test]
async fn records_beyond_those_that_may_wait_are_counted_and_told() {
    let place = Place::new();
    let journal = place.open();
    assert!(journal.flush(PATIENCE));
    fs::rename(place.path(), place.path().with_extension("jsonl.1")).unwrap();
    fs::create_dir(place.path()).unwrap();
    for request in 1..=5_000 {
        journal.note(read(request));
    }
    assert!(journal.flush(PATIENCE));
    assert!(journal.begin(read(1)).await.unwrap().is_crowded());
    fs::remove_dir(place.path()).unwrap();
    assert!(journal.close(PATIENCE));
    let (history, told) = place.told().unwrap();
    assert_eq!(history.lost, 5_000 - 4_096 + 1);
    assert_eq!(
        told.iter().filter(|told| told.kind == "call").count(),
        4_096
    );
}

#[test]
fn a_closed_journal_says_that_it_cannot_be_written() {
    let journal = Place::new().open();
    assert!(journal.close(PATIENCE));
    journal.note(read(1));
    assert!(matches!(journal.state(), Some(Err(_))));
}

#[test]
fn a_reload_carries_on_a_journal_that_stays_in_its_place() {
    let place = Place::new();
    let journal = place.open();
    let mut settings = place.settings.clone();
    settings.values = true;
    settings.max_file_bytes = 1;
    assert!(journal.adjust(&settings));
    assert!(journal.keeps_values());
    settings.stdout = true;
    assert!(!journal.adjust(&settings));
    assert!(Journal::off().adjust(&JournalSettings::default()));
    journal.note(read(1));
    assert!(journal.close(PATIENCE));
    assert_eq!(place.files().len(), 2);
}

#[test]
fn a_line_in_parts_is_found_while_it_is_written() {
    let place = Place::new().with(2);
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
    assert!(matches!(place.verify(), Err(Damage::Torn { line: 3, .. })));
}
