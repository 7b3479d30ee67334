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
    command::{StoreCommand, StoreMutation, StoreReply},
    failure::StoreError,
    key::StoreKey,
    quota::{Quota, entry_cost},
};

/// By key: when it ends, and the value.
const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");

/// By whether it may go early, when it ends, and its key: what it costs.
const EXPIRY: TableDefinition<'_, &[u8], u64> = TableDefinition::new("ends");

/// What time it was when the file was last written.
const CLOCK: TableDefinition<'_, &str, u64> = TableDefinition::new("clock");

/// The time by which entries end, in milliseconds.
const STORE_CLOCK: &str = "ours";

/// The time of day then, in milliseconds since 1970.
const WALL_CLOCK: &str = "of_day";

/// Entries that are deleted in one transaction besides its work, so that none
/// takes long.
const MAX_PURGED_PER_COMMIT: usize = 256;

/// Why the file cannot be read or written.
#[derive(Debug)]
pub(super) struct StoreFileError(pub(super) Box<redb::Error>);

/// What was just done, one for each deed.
pub(super) type StoreReplies = Vec<Result<StoreReply, StoreError>>;

/// What time it is: by a clock that only goes on, and the time of day.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockReading {
    pub(super) monotonic: Instant,
    pub(super) wall_clock: Timestamp,
}

/// An open file.
///
/// Entries end by a clock of its own. While the process runs that goes on by the
/// steady clock; between two runs it goes on by the time of day, but never back.
/// So a time of day that is set back makes nothing last for ever, and one that
/// is set forward while we run makes nothing end early.
#[derive(Debug)]
pub(super) struct FileEntries {
    database: Database,
    quota: Quota,
    /// The clock of the file at [`since`](Self::since), in milliseconds.
    clock_at_open: u64,
    opened_at: Instant,
}

impl FileEntries {
    /// Makes the tables in a new file.
    ///
    /// # Errors
    /// [`Broken`].
    pub(super) fn create_tables(database: &Database) -> Result<(), StoreFileError> {
        let mut write = database.begin_write()?;
        write.set_two_phase_commit(true);
        write.open_table(ENTRIES)?;
        write.open_table(EXPIRY)?;
        write.open_table(CLOCK)?;
        write.commit()?;
        Ok(())
    }

    /// Goes on with what is in the file.
    ///
    /// # Errors
    /// [`Broken`].
    pub(super) fn load(
        database: Database,
        max_bytes: u64,
        now: ClockReading,
    ) -> Result<Self, StoreFileError> {
        let read = database.begin_read()?;
        let mut room = Quota::new(max_bytes);
        for row in read.open_table(EXPIRY)?.iter()? {
            let (end, cost) = row?;
            if let Some(end) = ExpiryRow::decode(end.value()) {
                room.reserve_class(end.evictable, cost.value());
            }
        }
        let clock = read.open_table(CLOCK)?;
        let known = |name| Ok::<_, StoreFileError>(clock.get(name)?.map_or(0, |time| time.value()));
        let away = wall_clock_millis(now).saturating_sub(known(WALL_CLOCK)?);
        let began = known(STORE_CLOCK)?.saturating_add(away);
        drop(clock);
        drop(read);
        Ok(Self {
            database,
            quota: room,
            clock_at_open: began,
            opened_at: now.monotonic,
        })
    }

    pub(super) fn set_max_bytes(&mut self, max_bytes: u64) {
        self.quota.max_bytes = max_bytes;
    }

    /// Does all of it in one transaction, which is on the disk then. After an
    /// error nobody knows whether it is, and the file has to be opened anew.
    ///
    /// # Errors
    /// [`Broken`]. Inside, of one deed: [`LedgerError::Full`].
    pub(super) fn execute(
        &mut self,
        deeds: Vec<(StoreKey, StoreCommand)>,
        now: ClockReading,
    ) -> Result<StoreReplies, StoreFileError> {
        let time = self.store_time(now);
        if !deeds.is_empty() && deeds.iter().all(|(_, deed)| deed.is_read_only()) {
            return self.execute_read_only(deeds, time);
        }
        let mut write = self.begin_write()?;
        let (room, answers) = {
            let mut sheet = WriteTables::open(&write, self.quota, time)?;
            sheet.purge_expired()?;
            let answers = deeds
                .into_iter()
                .map(|(key, deed)| sheet.execute(key, deed))
                .collect::<Result<StoreReplies, StoreFileError>>()?;
            (sheet.quota, answers)
        };
        write_clock(&mut write, time, now)?;
        write.commit()?;
        self.quota = room;
        Ok(answers)
    }

    /// Lets go of the file in order.
    ///
    /// # Errors
    /// [`Broken`]; what was acknowledged is on the disk anyway.
    pub(super) fn close(self) -> Result<(), StoreFileError> {
        Ok(self.database.close()?)
    }

    #[cfg(test)]
    pub(super) fn quota(&self) -> Quota {
        self.quota
    }

    fn execute_read_only(
        &self,
        deeds: Vec<(StoreKey, StoreCommand)>,
        time: u64,
    ) -> Result<StoreReplies, StoreFileError> {
        let read: ReadTransaction = self.database.begin_read()?;
        let entries = read.open_table(ENTRIES)?;
        deeds
            .into_iter()
            .map(|(key, deed)| {
                let row = entries.get(key.to_bytes().as_slice())?;
                let there = row.and_then(|row| FileEntry::decode(row.value()));
                let (told, _no_change) = deed.decide(there.and_then(|entry| entry.value_at(time)));
                Ok(Ok(told))
            })
            .collect()
    }

    fn begin_write(&self) -> Result<WriteTransaction, StoreFileError> {
        let mut write = self.database.begin_write()?;
        // What is kept comes from clients, and with one phase a torn commit is told
        // from a whole one by a checksum that somebody could aim at.
        write.set_two_phase_commit(true);
        Ok(write)
    }

    /// The time by which entries end.
    fn store_time(&self, now: ClockReading) -> u64 {
        let ran = now.monotonic.saturating_duration_since(self.opened_at);
        self.clock_at_open.saturating_add(millis(ran))
    }
}

/// The tables as one transaction sees them.
struct WriteTables<'t> {
    entries: Table<'t, &'static [u8], &'static [u8]>,
    expiry: Table<'t, &'static [u8], u64>,
    quota: Quota,
    now: u64,
}

impl<'t> WriteTables<'t> {
    fn open(write: &'t WriteTransaction, room: Quota, time: u64) -> Result<Self, StoreFileError> {
        Ok(Self {
            entries: write.open_table(ENTRIES)?,
            expiry: write.open_table(EXPIRY)?,
            quota: room,
            now: time,
        })
    }

    fn execute(
        &mut self,
        key: StoreKey,
        deed: StoreCommand,
    ) -> Result<Result<StoreReply, StoreError>, StoreFileError> {
        let row = self.entries.get(key.to_bytes().as_slice())?;
        let known = row.and_then(|row| FileEntry::decode(row.value()));
        let before = known
            .as_ref()
            .map(|entry| (entry.expires_at, entry.value.len()));
        let there = known.and_then(|entry| entry.value_at(self.now));
        let (told, change) = deed.decide(there);
        match change {
            StoreMutation::None => {}
            StoreMutation::Delete => self.delete(key, before)?,
            StoreMutation::Set(value, ttl) => {
                let wanted = entry_cost(value.len());
                let cost_before = before.map_or(0, |(_, size)| entry_cost(size));
                if !self
                    .quota
                    .fits_after_eviction(key.kind(), cost_before, wanted)
                {
                    return Ok(Err(StoreError::Full));
                }
                self.delete(key, before)?;
                while !self.quota.fits_now(wanted) && self.delete_first_expiring(true, u64::MAX)? {}
                self.set(key, &value, self.now.saturating_add(millis(ttl)))?;
            }
        }
        Ok(Ok(told))
    }

    /// Forgets some of what has ended.
    fn purge_expired(&mut self) -> Result<(), StoreFileError> {
        for early in [false, true] {
            for _ in 0..MAX_PURGED_PER_COMMIT {
                if !self.delete_first_expiring(early, self.now)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Deletes what ends first of its class, if it ends by this time. Says
    /// whether there was one.
    fn delete_first_expiring(&mut self, early: bool, by: u64) -> Result<bool, StoreFileError> {
        let first = {
            let from = [u8::from(early)];
            let mut rows = self.expiry.range::<&[u8]>(from.as_slice()..)?;
            rows.next().transpose()?.map(|(end, cost)| {
                let read = ExpiryRow::decode(end.value());
                (end.value().to_vec(), read, cost.value())
            })
        };
        let Some((row, Some(end), cost)) = first else {
            return Ok(false);
        };
        if end.evictable != early || end.expires_at > by {
            return Ok(false);
        }
        self.expiry.remove(row.as_slice())?;
        self.entries.remove(end.key.as_slice())?;
        self.quota.release_class(early, cost);
        Ok(true)
    }

    fn set(&mut self, key: StoreKey, value: &[u8], at: u64) -> Result<(), StoreFileError> {
        let cost = entry_cost(value.len());
        let entry = [at.to_be_bytes().as_slice(), value].concat();
        self.entries
            .insert(key.to_bytes().as_slice(), entry.as_slice())?;
        self.expiry
            .insert(ExpiryRow::encode(key, at).as_slice(), cost)?;
        self.quota.reserve(key.kind(), cost);
        Ok(())
    }

    fn delete(
        &mut self,
        key: StoreKey,
        before: Option<(u64, usize)>,
    ) -> Result<(), StoreFileError> {
        if let Some((at, size)) = before {
            self.entries.remove(key.to_bytes().as_slice())?;
            self.expiry.remove(ExpiryRow::encode(key, at).as_slice())?;
            self.quota.release(key.kind(), entry_cost(size));
        }
        Ok(())
    }
}

/// A value with its end.
struct FileEntry {
    expires_at: u64,
    value: Bytes,
}

impl FileEntry {
    fn decode(row: &[u8]) -> Option<Self> {
        let (ends, value) = row.split_first_chunk()?;
        Some(Self {
            expires_at: u64::from_be_bytes(*ends),
            value: Bytes::copy_from_slice(value),
        })
    }

    fn value_at(self, time: u64) -> Option<Bytes> {
        (self.expires_at > time).then_some(self.value)
    }
}

/// A row of [`ENDS`], read.
struct ExpiryRow {
    evictable: bool,
    expires_at: u64,
    key: [u8; StoreKey::BYTES],
}

impl ExpiryRow {
    fn encode(key: StoreKey, at: u64) -> Vec<u8> {
        let early = u8::from(key.kind().is_evictable());
        [&[early], at.to_be_bytes().as_slice(), &key.to_bytes()].concat()
    }

    fn decode(row: &[u8]) -> Option<Self> {
        let (early, rest) = row.split_first()?;
        let (at, key) = rest.split_first_chunk()?;
        Some(Self {
            evictable: *early != 0,
            expires_at: u64::from_be_bytes(*at),
            key: key.try_into().ok()?,
        })
    }
}

fn write_clock(
    write: &mut WriteTransaction,
    time: u64,
    now: ClockReading,
) -> Result<(), StoreFileError> {
    let mut clock = write.open_table(CLOCK)?;
    clock.insert(STORE_CLOCK, time)?;
    clock.insert(WALL_CLOCK, wall_clock_millis(now))?;
    Ok(())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn wall_clock_millis(now: ClockReading) -> u64 {
    u64::try_from(now.wall_clock.as_millisecond()).unwrap_or(0)
}

impl ClockReading {
    pub(super) fn now() -> Self {
        Self {
            monotonic: Instant::now(),
            wall_clock: Timestamp::now(),
        }
    }
}

macro_rules! from {
    ($($error:ty),+) => {
        $(impl From<$error> for StoreFileError {
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
