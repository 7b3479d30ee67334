//! What must be remembered of changes. (Stands in until the real one is merged.)
#![allow(missing_docs, clippy::all, clippy::pedantic, clippy::restriction)]
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::{collections::HashMap, sync::Mutex, time::Duration};
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Key(String);
impl Key {
    fn of(kind: &str, parts: &[&[u8]]) -> Self {
        let mut h = Sha256::new();
        for p in parts {
            h.update((p.len() as u64).to_be_bytes());
            h.update(p);
        }
        Self(format!("{kind}:{:x}", h.finalize()))
    }
    pub fn once(parts: &[&str]) -> Self {
        Self::of(
            "once",
            &parts.iter().map(|p| p.as_bytes()).collect::<Vec<_>>(),
        )
    }
    pub fn undo(parts: &[&str]) -> Self {
        Self::of(
            "undo",
            &parts.iter().map(|p| p.as_bytes()).collect::<Vec<_>>(),
        )
    }
    pub fn approval(number: &[u8]) -> Self {
        Self::of("approval", &[number])
    }
}
#[derive(Debug, thiserror::Error)]
#[error("away")]
pub struct LedgerError;
#[derive(Debug)]
pub struct LedgerSettings {
    pub keep_keys: Duration,
    pub keep_undo: Duration,
    pub approval: Duration,
    pub max_undo_bytes: usize,
}
#[derive(Debug)]
pub struct Ledger {
    settings: LedgerSettings,
    map: Mutex<HashMap<Key, Bytes>>,
}
impl Default for Ledger {
    fn default() -> Self {
        Self::memory()
    }
}
impl Ledger {
    pub fn memory() -> Self {
        Self {
            settings: LedgerSettings {
                keep_keys: Duration::from_secs(86400),
                keep_undo: Duration::from_secs(86400 * 3),
                approval: Duration::from_secs(600),
                max_undo_bytes: 262144,
            },
            map: Mutex::default(),
        }
    }
    pub fn settings(&self) -> &LedgerSettings {
        &self.settings
    }
    pub async fn claim(
        &self,
        key: &Key,
        value: Bytes,
        _ttl: Duration,
    ) -> Result<Option<Bytes>, LedgerError> {
        let mut m = self.map.lock().unwrap();
        if let Some(v) = m.get(key) {
            return Ok(Some(v.clone()));
        }
        m.insert(key.clone(), value);
        Ok(None)
    }
    pub async fn replace(
        &self,
        key: &Key,
        expected: &[u8],
        value: Bytes,
        _ttl: Duration,
    ) -> Result<bool, LedgerError> {
        let mut m = self.map.lock().unwrap();
        if m.get(key).is_some_and(|v| **v == *expected) {
            m.insert(key.clone(), value);
            Ok(true)
        } else {
            Ok(false)
        }
    }
    pub async fn get(&self, key: &Key) -> Result<Option<Bytes>, LedgerError> {
        Ok(self.map.lock().unwrap().get(key).cloned())
    }
    pub async fn put(&self, key: &Key, value: Bytes, _ttl: Duration) -> Result<(), LedgerError> {
        self.map.lock().unwrap().insert(key.clone(), value);
        Ok(())
    }
    pub async fn take(&self, key: &Key) -> Result<Option<Bytes>, LedgerError> {
        Ok(self.map.lock().unwrap().remove(key))
    }
    pub async fn remove(&self, key: &Key, expected: &[u8]) -> Result<bool, LedgerError> {
        let mut m = self.map.lock().unwrap();
        if m.get(key).is_some_and(|v| **v == *expected) {
            m.remove(key);
            Ok(true)
        } else {
            Ok(false)
        }
    }
    pub async fn secret(&self, _name: &str) -> Result<[u8; 32], LedgerError> {
        Ok([7; 32])
    }
}
