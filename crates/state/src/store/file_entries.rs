//! The tables of the file, and commands on them.

use std::time::Instant;

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
    key::{StoreKey, StoreOwner},
    quota::{Quota, entry_cost},
    time::{MAX_STEP, StoreTime, millis},
};

/// By key: the expiry time and the value.
const ENTRIES: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("entries");

/// By evictability, expiry time and key: the size of the entry.
const EXPIRY: TableDefinition<'_, &[u8], u64> = TableDefinition::new("ends");

/// By key: the caller on whose share the entry counts. Files of earlier versions do not
/// have it.
const OWNERS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("owners");

/// By caller, expiry time and key: the size of an evictable entry. Files of earlier versions
/// do not have it.
const EVICTABLE_OF: TableDefinition<'_, &[u8], u64> = TableDefinition::new("evictable_of");

/// The clocks at the last write.
const CLOCK: TableDefinition<'_, &str, u64> = TableDefinition::new("clock");

/// The clock by which entries expire, in milliseconds.
const STORE_CLOCK: &str = "ours";

/// The wall clock, in milliseconds since 1970.
const WALL_CLOCK: &str = "of_day";

/// The most expired entries of each class that one transaction deletes, so that it
/// stays short.
const MAX_PURGED_PER_COMMIT: usize = 256;

/// The file cannot be read or written.
#[derive(Debug)]
pub(super) struct StoreFileError(pub(super) Box<redb::Error>);

/// The replies, one per command.
pub(super) type StoreReplies = Vec<Result<StoreReply, StoreError>>;

/// A reading of the monotonic clock and the wall clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockReading {
    pub(super) monotonic: Instant,
    pub(super) wall_clock: Timestamp,
}

/// An open file.
///
/// Entries expire by the clock of the file. While the process runs, it follows the
/// monotonic clock; between two runs it follows the wall clock, but never backwards and
/// by [`MAX_STEP`] at most, because it is unknown whether the wall clock was set. So no
/// clock that is set expires an entry early.
#[derive(Debug)]
pub(super) struct FileEntries {
    database: Database,
    quota: Quota,
    /// The clock of the file at [`opened_at`](Self::opened_at), in milliseconds.
    clock_at_open: u64,
    opened_at: Instant,
}

impl FileEntries {
    /// Creates the tables in a new file.
    ///
    /// # Errors
    /// [`StoreFileError`].
    pub(super) fn create_tables(database: &Database) -> Result<(), StoreFileError> {
        let mut write = database.begin_write()?;
        write.set_two_phase_commit(true);
        write.open_table(ENTRIES)?;
        write.open_table(EXPIRY)?;
        write.open_table(OWNERS)?;
        write.open_table(EVICTABLE_OF)?;
        write.open_table(CLOCK)?;
        write.commit()?;
        Ok(())
    }

    /// Loads the clock and the quota from the file.
    ///
    /// # Errors
    /// [`StoreFileError`].
    pub(super) fn load(
        database: Database,
        max_bytes: u64,
        now: ClockReading,
    ) -> Result<Self, StoreFileError> {
        let read = database.begin_read()?;
        let mut quota = Quota::new(max_bytes);
        let owners = match read.open_table(OWNERS) {
            Err(TableError::TableDoesNotExist(_)) => None,
            owners => Some(owners?),
        };
        for row in read.open_table(EXPIRY)?.iter()? {
            let (end, cost) = row?;
            if let Some(end) = ExpiryRow::decode(end.value()) {
                let owner = match &owners {
                    Some(owners) => owners.get(end.key.as_slice())?,
                    None => None,
                };
                let owner = owner.and_then(|row| decode_owner(row.value()));
                quota.reserve(end.evictable, owner, cost.value());
            }
        }
        let clock = read.open_table(CLOCK)?;
        let known = |name| Ok::<_, StoreFileError>(clock.get(name)?.map_or(0, |time| time.value()));
        let downtime = wall_clock_millis(now).saturating_sub(known(WALL_CLOCK)?);
        let clock_at_open = known(STORE_CLOCK)?.saturating_add(downtime.min(millis(MAX_STEP)));
        drop(clock);
        drop(owners);
        drop(read);
        Ok(Self {
            database,
            quota,
            clock_at_open,
            opened_at: now.monotonic,
        })
    }

    pub(super) fn set_max_bytes(&mut self, max_bytes: u64) {
        self.quota.max_bytes = max_bytes;
    }

    /// Runs all commands in one durable transaction. After an error it may be
    /// committed or not, and the file must be reopened.
    ///
    /// # Errors
    /// Outer: [`StoreFileError`]. Inner, for one command: [`StoreError::Full`].
    pub(super) fn execute(
        &mut self,
        commands: Vec<(StoreKey, StoreCommand)>,
        now: ClockReading,
    ) -> Result<StoreReplies, StoreFileError> {
        let time = self.store_time(now);
        if !commands.is_empty() && commands.iter().all(|(_, command)| command.is_read_only()) {
            return self.execute_read_only(commands, time);
        }
        let mut write = self.begin_write()?;
        let (quota, replies) = {
            let mut tables = WriteTables::open(&write, self.quota.clone(), time)?;
            tables.purge_expired()?;
            let replies = commands
                .into_iter()
                .map(|(key, command)| tables.execute(key, command))
                .collect::<Result<StoreReplies, StoreFileError>>()?;
            (tables.quota, replies)
        };
        write_clock(&mut write, time, now)?;
        write.commit()?;
        self.quota = quota;
        Ok(replies)
    }

    /// Closes the file.
    ///
    /// # Errors
    /// [`StoreFileError`]; acknowledged commands are durable anyway.
    pub(super) fn close(self) -> Result<(), StoreFileError> {
        Ok(self.database.close()?)
    }

    #[cfg(test)]
    pub(super) fn quota(&self) -> Quota {
        self.quota.clone()
    }

    fn execute_read_only(
        &self,
        commands: Vec<(StoreKey, StoreCommand)>,
        time: u64,
    ) -> Result<StoreReplies, StoreFileError> {
        let read: ReadTransaction = self.database.begin_read()?;
        let entries = read.open_table(ENTRIES)?;
        commands
            .into_iter()
            .map(|(key, command)| {
                let row = entries.get(key.to_bytes().as_slice())?;
                let stored = row.and_then(|row| FileEntry::decode(row.value()));
                let (reply, _no_change) =
                    command.decide(stored.and_then(|entry| entry.value_at(time)));
                Ok(Ok(at_time(reply, time, &self.quota)))
            })
            .collect()
    }

    fn begin_write(&self) -> Result<WriteTransaction, StoreFileError> {
        let mut write = self.database.begin_write()?;
        // Values come from clients, and a one-phase commit detects a torn write by a
        // checksum that a client could forge.
        write.set_two_phase_commit(true);
        Ok(write)
    }

    /// The current time by the clock of the file.
    fn store_time(&self, now: ClockReading) -> u64 {
        let ran = now.monotonic.saturating_duration_since(self.opened_at);
        self.clock_at_open.saturating_add(millis(ran))
    }
}

/// The tables in one write transaction.
struct WriteTables<'t> {
    entries: Table<'t, &'static [u8], &'static [u8]>,
    expiry: Table<'t, &'static [u8], u64>,
    owners: Table<'t, &'static [u8], &'static [u8]>,
    evictable_of: Table<'t, &'static [u8], u64>,
    quota: Quota,
    now: u64,
}

impl<'t> WriteTables<'t> {
    fn open(write: &'t WriteTransaction, quota: Quota, time: u64) -> Result<Self, StoreFileError> {
        Ok(Self {
            entries: write.open_table(ENTRIES)?,
            expiry: write.open_table(EXPIRY)?,
            owners: write.open_table(OWNERS)?,
            evictable_of: write.open_table(EVICTABLE_OF)?,
            quota,
            now: time,
        })
    }

    fn execute(
        &mut self,
        key: StoreKey,
        command: StoreCommand,
    ) -> Result<Result<StoreReply, StoreError>, StoreFileError> {
        let row = self.entries.get(key.to_bytes().as_slice())?;
        let known = row.and_then(|row| FileEntry::decode(row.value()));
        let before = known
            .as_ref()
            .map(|entry| (entry.expires_at, entry.value.len()));
        let stored = known.and_then(|entry| entry.value_at(self.now));
        let (reply, change) = command.decide(stored);
        match change {
            StoreMutation::None => {}
            StoreMutation::Delete => self.delete(key, before)?,
            StoreMutation::Set(value, ttl) => {
                let wanted = entry_cost(value.len());
                let cost_before = before.map_or(0, |(_, size)| entry_cost(size));
                if let Err(full) = self.quota.check(key, cost_before, wanted) {
                    return Ok(Err(full));
                }
                self.delete(key, before)?;
                while !self.quota.fits_now(wanted) && self.evict()? {}
                self.set(key, &value, self.now.saturating_add(millis(ttl)))?;
            }
        }
        Ok(Ok(at_time(reply, self.now, &self.quota)))
    }

    /// Evicts the first entry of the caller who has the most; returns whether there was
    /// one to evict. Entries of earlier versions have no caller.
    fn evict(&mut self) -> Result<bool, StoreFileError> {
        let Some(StoreOwner(owner)) = self.quota.owner_to_evict() else {
            return self.delete_first_expiring(true, u64::MAX);
        };
        let first = {
            let mut rows = self.evictable_of.range::<&[u8]>(owner.as_slice()..)?;
            let row = rows.next().transpose()?;
            row.map(|(row, cost)| (row.value().to_vec(), cost.value()))
        };
        let own = first
            .as_ref()
            .and_then(|(row, cost)| Some((row.strip_prefix(&owner)?, *cost)));
        let Some((end, cost)) = own else {
            return self.delete_first_expiring(true, u64::MAX);
        };
        let row = [&[1], end].concat();
        // An earlier version deletes entries but not this row of theirs.
        self.evictable_of
            .remove(owned_row(StoreOwner(owner), &row).as_slice())?;
        self.delete_row(&row, cost)?;
        Ok(true)
    }

    /// Deletes some expired entries.
    fn purge_expired(&mut self) -> Result<(), StoreFileError> {
        for evictable in [false, true] {
            for _ in 0..MAX_PURGED_PER_COMMIT {
                if !self.delete_first_expiring(evictable, self.now)? {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Deletes the entry of its class that expires first, if it expires by this
    /// time; returns whether there was one.
    fn delete_first_expiring(&mut self, evictable: bool, by: u64) -> Result<bool, StoreFileError> {
        let first = {
            let from = [u8::from(evictable)];
            let mut rows = self.expiry.range::<&[u8]>(from.as_slice()..)?;
            rows.next().transpose()?.map(|(end, cost)| {
                let read = ExpiryRow::decode(end.value());
                (end.value().to_vec(), read, cost.value())
            })
        };
        let Some((row, Some(end), cost)) = first else {
            return Ok(false);
        };
        if end.evictable != evictable || end.expires_at > by {
            return Ok(false);
        }
        self.delete_row(&row, cost)?;
        Ok(true)
    }

    /// Deletes the entry of a row of [`EXPIRY`].
    fn delete_row(&mut self, row: &[u8], cost: u64) -> Result<(), StoreFileError> {
        if self.expiry.remove(row)?.is_none() {
            return Ok(());
        }
        if let Some(end) = ExpiryRow::decode(row) {
            self.entries.remove(end.key.as_slice())?;
            let owner = self.forget_owner(&end.key)?;
            if let (true, Some(owner)) = (end.evictable, owner) {
                self.evictable_of.remove(owned_row(owner, row).as_slice())?;
            }
            self.quota.release(end.evictable, owner, cost);
        }
        Ok(())
    }

    fn set(&mut self, key: StoreKey, value: &[u8], at: u64) -> Result<(), StoreFileError> {
        let cost = entry_cost(value.len());
        let entry = [at.to_be_bytes().as_slice(), value].concat();
        self.entries
            .insert(key.to_bytes().as_slice(), entry.as_slice())?;
        let row = ExpiryRow::encode(key, at);
        self.expiry.insert(row.as_slice(), cost)?;
        if let (true, Some(owner)) = (key.kind().is_evictable(), key.owner()) {
            self.evictable_of
                .insert(owned_row(owner, &row).as_slice(), cost)?;
        }
        if let Some(StoreOwner(owner)) = &key.owner() {
            self.owners
                .insert(key.to_bytes().as_slice(), owner.as_slice())?;
        }
        self.quota
            .reserve(key.kind().is_evictable(), key.owner(), cost);
        Ok(())
    }

    fn forget_owner(
        &mut self,
        key: &[u8; StoreKey::BYTES],
    ) -> Result<Option<StoreOwner>, StoreFileError> {
        let row = self.owners.remove(key.as_slice())?;
        Ok(row.and_then(|row| decode_owner(row.value())))
    }

    fn delete(
        &mut self,
        key: StoreKey,
        before: Option<(u64, usize)>,
    ) -> Result<(), StoreFileError> {
        match before {
            Some((at, size)) => self.delete_row(&ExpiryRow::encode(key, at), entry_cost(size)),
            None => Ok(()),
        }
    }
}

/// A value and its expiry time.
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

/// A decoded row of [`EXPIRY`].
struct ExpiryRow {
    evictable: bool,
    expires_at: u64,
    key: [u8; StoreKey::BYTES],
}

impl ExpiryRow {
    fn encode(key: StoreKey, at: u64) -> Vec<u8> {
        let evictable = u8::from(key.kind().is_evictable());
        [&[evictable], at.to_be_bytes().as_slice(), &key.to_bytes()].concat()
    }

    fn decode(row: &[u8]) -> Option<Self> {
        let (evictable, rest) = row.split_first()?;
        let (at, key) = rest.split_first_chunk()?;
        Some(Self {
            evictable: *evictable != 0,
            expires_at: u64::from_be_bytes(*at),
            key: key.try_into().ok()?,
        })
    }
}

/// The row of [`EVICTABLE_OF`] for a row of [`EXPIRY`].
fn owned_row(StoreOwner(owner): StoreOwner, row: &[u8]) -> Vec<u8> {
    [&owner, row.get(1..).unwrap_or_default()].concat()
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

fn decode_owner(row: &[u8]) -> Option<StoreOwner> {
    row.try_into().ok().map(StoreOwner)
}

fn at_time(reply: StoreReply, time: u64, quota: &Quota) -> StoreReply {
    StoreReply {
        at: StoreTime::from_millis(time),
        pinned_bytes: quota.pinned(),
        ..reply
    }
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
