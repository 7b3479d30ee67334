//! The tables in the file, and what operations do to them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use redb::{
    CommitError, Database, DatabaseError, ReadTransaction, ReadableDatabase as _,
    ReadableTable as _, StorageError, Table, TableDefinition, TableError, TransactionError,
    WriteTransaction,
};

use super::{
    deed::{Change, Deed, Told},
    failure::LedgerError,
    key::Key,
    room::{Room, cost},
};

/// By key: when it ends, and the value.
const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");

/// By whether it may go early, when it ends, and its key: what it costs.
const ENDS: TableDefinition<'_, &[u8], u64> = TableDefinition::new("ends");

/// What time it was when the file was last written.
const CLOCK: TableDefinition<'_, &str, u64> = TableDefinition::new("clock");

/// The time by which entries end, in milliseconds.
const OURS: &str = "ours";

/// The time of day then, in milliseconds since 1970.
const OF_DAY: &str = "of_day";

/// Entries that are deleted in one transaction besides its work, so that none
/// takes long.
const PURGED_AT_ONCE: usize = 256;

/// Why the file cannot be read or written.
#[derive(Debug)]
pub(super) struct Broken(pub(super) Box<redb::Error>);

/// What was just done, one for each deed.
pub(super) type Answers = Vec<Result<Told, LedgerError>>;

/// What time it is: by a clock that only goes on, and the time of day.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) steady: Instant,
    pub(super) of_day: Timestamp,
}

/// An open file.
///
/// Entries end by a clock of its own. While the process runs that goes on by the
/// steady clock; between two runs it goes on by the time of day, but never back.
/// So a time of day that is set back makes nothing last for ever, and one that
/// is set forward while we run makes nothing end early.
#[derive(Debug)]
pub(super) struct Entries {
    database: Database,
    room: Room,
    /// The clock of the file at [`since`](Self::since), in milliseconds.
    began: u64,
    since: Instant,
}

impl Entries {
    /// Makes the tables in a new file.
    ///
    /// # Errors
    /// [`Broken`].
    pub(super) fn begin(database: &Database) -> Result<(), Broken> {
        let mut write = database.begin_write()?;
        write.set_two_phase_commit(true);
        write.open_table(ENTRIES)?;
        write.open_table(ENDS)?;
        write.open_table(CLOCK)?;
        write.commit()?;
        Ok(())
    }

    /// Goes on with what is in the file.
    ///
    /// # Errors
    /// [`Broken`].
    pub(super) fn go_on(database: Database, max_bytes: u64, now: Moment) -> Result<Self, Broken> {
        let read = database.begin_read()?;
        let mut room = Room::new(max_bytes);
        for row in read.open_table(ENDS)?.iter()? {
            let (end, cost) = row?;
            if let Some(end) = End::read(end.value()) {
                room.take_class(end.early, cost.value());
            }
        }
        let clock = read.open_table(CLOCK)?;
        let known = |name| Ok::<_, Broken>(clock.get(name)?.map_or(0, |time| time.value()));
        let away = millis_of_day(now).saturating_sub(known(OF_DAY)?);
        let began = known(OURS)?.saturating_add(away);
        drop(clock);
        drop(read);
        Ok(Self {
            database,
            room,
            began,
            since: now.steady,
        })
    }

    pub(super) fn adjust(&mut self, max_bytes: u64) {
        self.room.max_bytes = max_bytes;
    }

    /// Does all of it in one transaction, which is on the disk then. After an
    /// error nobody knows whether it is, and the file has to be opened anew.
    ///
    /// # Errors
    /// [`Broken`]. Inside, of one deed: [`LedgerError::Full`].
    pub(super) fn run(&mut self, deeds: Vec<(Key, Deed)>, now: Moment) -> Result<Answers, Broken> {
        let time = self.time(now);
        if !deeds.is_empty() && deeds.iter().all(|(_, deed)| deed.only_looks()) {
            return self.look(deeds, time);
        }
        let mut write = self.begin_write()?;
        let (room, answers) = {
            let mut sheet = Sheet::open(&write, self.room, time)?;
            sheet.purge()?;
            let answers = deeds
                .into_iter()
                .map(|(key, deed)| sheet.run(key, deed))
                .collect::<Result<Answers, Broken>>()?;
            (sheet.room, answers)
        };
        note_time(&mut write, time, now)?;
        write.commit()?;
        self.room = room;
        Ok(answers)
    }

    /// Lets go of the file in order.
    ///
    /// # Errors
    /// [`Broken`]; what was acknowledged is on the disk anyway.
    pub(super) fn close(self) -> Result<(), Broken> {
        Ok(self.database.close()?)
    }

    #[cfg(test)]
    pub(super) fn room(&self) -> Room {
        self.room
    }

    fn look(&self, deeds: Vec<(Key, Deed)>, time: u64) -> Result<Answers, Broken> {
        let read: ReadTransaction = self.database.begin_read()?;
        let entries = read.open_table(ENTRIES)?;
        deeds
            .into_iter()
            .map(|(key, deed)| {
                let row = entries.get(key.to_bytes().as_slice())?;
                let there = row.and_then(|row| Entry::read(row.value()));
                let (told, _no_change) = deed.decide(there.and_then(|entry| entry.value_at(time)));
                Ok(Ok(told))
            })
            .collect()
    }

    fn begin_write(&self) -> Result<WriteTransaction, Broken> {
        let mut write = self.database.begin_write()?;
        // What is kept comes from clients, and with one phase a torn commit is told
        // from a whole one by a checksum that somebody could aim at.
        write.set_two_phase_commit(true);
        Ok(write)
    }

    /// The time by which entries end.
    fn time(&self, now: Moment) -> u64 {
        let ran = now.steady.saturating_duration_since(self.since);
        self.began.saturating_add(millis(ran))
    }
}

/// The tables as one transaction sees them.
struct Sheet<'t> {
    entries: Table<'t, &'static [u8], &'static [u8]>,
    ends: Table<'t, &'static [u8], u64>,
    room: Room,
    time: u64,
}

impl<'t> Sheet<'t> {
    fn open(write: &'t WriteTransaction, room: Room, time: u64) -> Result<Self, Broken> {
        Ok(Self {
            entries: write.open_table(ENTRIES)?,
            ends: write.open_table(ENDS)?,
            room,
            time,
        })
    }

    fn run(&mut self, key: Key, deed: Deed) -> Result<Result<Told, LedgerError>, Broken> {
        let row = self.entries.get(key.to_bytes().as_slice())?;
        let known = row.and_then(|row| Entry::read(row.value()));
        let before = known.as_ref().map(|entry| (entry.ends, entry.value.len()));
        let there = known.and_then(|entry| entry.value_at(self.time));
        let (told, change) = deed.decide(there);
        match change {
            Change::None => {}
            Change::Delete => self.delete(key, before)?,
            Change::Set(value, ttl) => {
                let wanted = cost(value.len());
                let cost_before = before.map_or(0, |(_, size)| cost(size));
                if !self.room.can_hold(key.kind(), cost_before, wanted) {
                    return Ok(Err(LedgerError::Full));
                }
                self.delete(key, before)?;
                while !self.room.has(wanted) && self.drop_first(true, u64::MAX)? {}
                self.set(key, &value, self.time.saturating_add(millis(ttl)))?;
            }
        }
        Ok(Ok(told))
    }

    /// Forgets some of what has ended.
    fn purge(&mut self) -> Result<(), Broken> {
        for early in [false, true] {
            for _ in 0..PURGED_AT_ONCE {
                if !self.drop_first(early, self.time)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Deletes what ends first of its class, if it ends by this time. Says
    /// whether there was one.
    fn drop_first(&mut self, early: bool, by: u64) -> Result<bool, Broken> {
        let first = {
            let from = [u8::from(early)];
            let mut rows = self.ends.range::<&[u8]>(from.as_slice()..)?;
            rows.next().transpose()?.map(|(end, cost)| {
                let read = End::read(end.value());
                (end.value().to_vec(), read, cost.value())
            })
        };
        let Some((row, Some(end), cost)) = first else {
            return Ok(false);
        };
        if end.early != early || end.at > by {
            return Ok(false);
        }
        self.ends.remove(row.as_slice())?;
        self.entries.remove(end.key.as_slice())?;
        self.room.free_class(early, cost);
        Ok(true)
    }

    fn set(&mut self, key: Key, value: &[u8], at: u64) -> Result<(), Broken> {
        let cost = cost(value.len());
        let entry = [at.to_be_bytes().as_slice(), value].concat();
        self.entries
            .insert(key.to_bytes().as_slice(), entry.as_slice())?;
        self.ends.insert(End::row(key, at).as_slice(), cost)?;
        self.room.take(key.kind(), cost);
        Ok(())
    }

    fn delete(&mut self, key: Key, before: Option<(u64, usize)>) -> Result<(), Broken> {
        if let Some((at, size)) = before {
            self.entries.remove(key.to_bytes().as_slice())?;
            self.ends.remove(End::row(key, at).as_slice())?;
            self.room.free(key.kind(), cost(size));
        }
        Ok(())
    }
}

/// A value with its end.
struct Entry {
    ends: u64,
    value: Bytes,
}

impl Entry {
    fn read(row: &[u8]) -> Option<Self> {
        let (ends, value) = row.split_first_chunk()?;
        Some(Self {
            ends: u64::from_be_bytes(*ends),
            value: Bytes::copy_from_slice(value),
        })
    }

    fn value_at(self, time: u64) -> Option<Bytes> {
        (self.ends > time).then_some(self.value)
    }
}

/// A row of [`ENDS`], read.
struct End {
    early: bool,
    at: u64,
    key: [u8; Key::BYTES],
}

impl End {
    fn row(key: Key, at: u64) -> Vec<u8> {
        let early = u8::from(key.kind().may_go_early());
        [&[early], at.to_be_bytes().as_slice(), &key.to_bytes()].concat()
    }

    fn read(row: &[u8]) -> Option<Self> {
        let (early, rest) = row.split_first()?;
        let (at, key) = rest.split_first_chunk()?;
        Some(Self {
            early: *early != 0,
            at: u64::from_be_bytes(*at),
            key: key.try_into().ok()?,
        })
    }
}

fn note_time(write: &mut WriteTransaction, time: u64, now: Moment) -> Result<(), Broken> {
    let mut clock = write.open_table(CLOCK)?;
    clock.insert(OURS, time)?;
    clock.insert(OF_DAY, millis_of_day(now))?;
    Ok(())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn millis_of_day(now: Moment) -> u64 {
    u64::try_from(now.of_day.as_millisecond()).unwrap_or(0)
}

impl Moment {
    pub(super) fn now() -> Self {
        Self {
            steady: Instant::now(),
            of_day: Timestamp::now(),
        }
    }
}

macro_rules! from {
    ($($error:ty),+) => {
        $(impl From<$error> for Broken {
            fn from(error: $error) -> Self {
                Self(Box::new(error.into()))
            }
        })+
    };
}

from!(
    CommitError,
    DatabaseError,
    StorageError,
    TableError,
    TransactionError
);
