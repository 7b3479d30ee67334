//! Killed processes and damaged files.

use std::{
    env,
    fs::{self, File},
    io::{BufRead as _, BufReader, Seek as _, SeekFrom, Write as _},
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use super::{HOUR, PLENTY, idempotency_key, in_file, large, open, settings_for, text};
use crate::store::{StateStore, StoreLocation, StoreOpenError};

/// The path that the child process of the test below writes to.
const VARIABLE: &str = "GATEPOST_TEST_LEDGER";

/// Claims keys one after the other and prints each acknowledged one.
async fn put_until_killed(path: &Path) {
    let store = open(StoreLocation::File {
        path: path.to_owned(),
        max_bytes: PLENTY,
    });
    let mut out = std::io::stdout();
    for number in 0_u64.. {
        let name = format!("{} {number}", std::process::id());
        let claimed = store
            .put_if_absent(&idempotency_key(&name), large(2_000), HOUR)
            .await;
        assert_eq!(claimed.unwrap(), None);
        writeln!(out, "kept {name}").unwrap();
    }
}

#[tokio::test]
async fn killed_process_keeps_all_acknowledged_entries() {
    if let Some(path) = env::var_os(VARIABLE) {
        // In the child process.
        return put_until_killed(path.as_ref()).await;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changes.redb");
    let mut stored: Vec<String> = Vec::new();
    for round in 0..25_u64 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args([
                "--exact",
                "store::tests::damage::killed_process_keeps_all_acknowledged_entries",
                "--nocapture",
            ])
            .env(VARIABLE, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        // Some die while they create or open the file, others while they write.
        let after = round * 7 % 40;
        if round % 5 == 0 {
            tokio::time::sleep(Duration::from_millis(after)).await;
        }
        let mut acknowledged = 0;
        while round % 5 != 0 && acknowledged < after + 1 {
            let line = said.next().unwrap().unwrap();
            if let Some((_, name)) = line.split_once("kept ") {
                stored.push(name.to_owned());
                acknowledged += 1;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        // The lines printed before it died.
        for line in said.map_while(Result::ok) {
            if let Some((_, name)) = line.split_once("kept ") {
                // The last line may be torn: then it names no key, or an earlier one.
                if name.split(' ').count() == 2 && !name.ends_with(' ') {
                    stored.push(name.to_owned());
                }
            }
        }
    }
    assert!(stored.len() > 200, "{}", stored.len());
    let store = open(in_file(&folder, PLENTY));
    for name in &stored {
        let found = store.get(&idempotency_key(name)).await.unwrap();
        assert_eq!(found, Some(large(2_000)), "{name}");
    }
}

/// A file with some entries, closed properly.
async fn populated_file(folder: &tempfile::TempDir) -> Vec<u8> {
    let store = open(in_file(folder, PLENTY));
    for number in 0..40 {
        let key = idempotency_key(&number.to_string());
        store.put(&key, large(3_000), HOUR).await.unwrap();
    }
    assert!(store.close(HOUR));
    fs::read(folder.path().join("changes.redb")).unwrap()
}

/// Opens the file and reads all of it, if possible.
async fn open_and_read_all(folder: &tempfile::TempDir) -> Result<(), StoreOpenError> {
    let store = StateStore::open(settings_for(in_file(folder, PLENTY)))?;
    for number in 0..40 {
        let key = idempotency_key(&number.to_string());
        // Any reply will do, as long as there is one.
        drop(store.get(&key).await);
    }
    drop(store.put(&idempotency_key("new"), text("1"), HOUR).await);
    assert!(store.close(HOUR));
    Ok(())
}

#[tokio::test]
async fn damaged_file_is_reported_without_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = populated_file(&folder).await;
    let path = folder.path().join("changes.redb");
    let mut result = 0;
    let mut seed = 1_u64;
    let mut random = |below: usize| {
        // A simple random number generator.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(seed >> 33).unwrap() % below
    };
    for round in 0..60 {
        fs::write(&path, &bytes).unwrap();
        let mut file = File::options().write(true).open(&path).unwrap();
        if round % 3 == 0 {
            let length = random(bytes.len());
            file.set_len(u64::try_from(length).unwrap()).unwrap();
        } else {
            // In the header, which everything depends on, or anywhere.
            let below = if round % 3 == 1 { 4096 } else { bytes.len() };
            let at = random(below - 8);
            file.seek(SeekFrom::Start(u64::try_from(at).unwrap()))
                .unwrap();
            file.write_all(&[0xa5; 8]).unwrap();
        }
        drop(file);
        match open_and_read_all(&folder).await {
            // It hit unused bytes.
            Ok(()) => {}
            Err(error) => {
                assert!(!matches!(error, StoreOpenError::Locked(_)), "{error}");
                assert!(error.to_string().contains("changes.redb"), "{error}");
                result += 1;
            }
        }
    }
    assert!(result > 20, "{result}");
}

#[tokio::test]
async fn foreign_file_is_rejected_and_left_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("changes.redb");
    for other in ["[keys]\n".repeat(2_000), "x".to_owned()] {
        fs::write(&path, &other).unwrap();
        let error = StateStore::open(settings_for(in_file(&folder, PLENTY))).unwrap_err();
        assert!(matches!(error, StoreOpenError::Damaged(..)), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), other);
    }
}
