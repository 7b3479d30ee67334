//! The messages about invalid configurations.

use std::{
    fs,
    path::{Path, PathBuf},
};

use gatepost::config::{Sources, load};

const FOLDER: &str = "tests/fixtures/config";

/// The error of `load` for a file, without environment variables.
fn load_error(file: &Path) -> String {
    let sources = Sources::with_environment(Some(file.to_owned()), []);
    load(&sources).unwrap_err().to_string()
}

/// Every file in the folder is invalid; the expected message is beside it.
#[test]
fn error_of_each_bad_file_matches_its_snapshot() {
    let mut files: Vec<PathBuf> = fs::read_dir(FOLDER)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect();
    files.sort();
    assert!(files.len() >= 10);
    insta::with_settings!({ snapshot_path => "../fixtures/config", prepend_module_to_snapshot => false, omit_expression => true }, {
        for file in files {
            let text = load_error(&file);
            assert!(!text.contains("hunter"), "the text contains a secret: {text}");
            insta::assert_snapshot!(file.file_stem().unwrap().to_str().unwrap(), text);
        }
    });
}
