//! The layers: a folder imports only from folders above it.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The folders, in the order in which they may import each other.
const ORDER: [&str; 13] = [
    "audit",
    "elicitation",
    "render",
    "telemetry",
    "access",
    "validation",
    "writes",
    "tools",
    "gateway",
    "diagnostics",
    "config",
    "edge",
    "cli",
];

/// Exceptions to the order, each with its reason.
const EXCEPTIONS: [(&str, &str); 0] = [];

pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
    found
}

/// The folders that a text imports as `crate::folder`, in a `use` or inline.
fn imported_folders(text: &str) -> Vec<&'static str> {
    let plain: String = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, " "])
        .collect();
    let mut found = Vec::new();
    for part in plain.split("crate::").skip(1) {
        let part = part.trim_start();
        for folder in ORDER {
            let group = part.strip_prefix('{').map(|inside| {
                // The names at the first level of a group.
                let mut depth = 0;
                let mut names = vec![String::new()];
                for char in inside.chars() {
                    match char {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => names.push(String::new()),
                        other if depth == 0 => names.last_mut().unwrap().push(other),
                        _ => {}
                    }
                }
                names
            });
            let names = group.unwrap_or_else(|| vec![part.to_owned()]);
            let named = |name: &String| {
                name.trim().strip_prefix(folder).is_some_and(|rest| {
                    !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
                })
            };
            if names.iter().any(named) {
                found.push(folder);
            }
        }
    }
    found
}

#[test]
fn folder_imports_only_from_folders_above_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    for (rank, folder) in ORDER.iter().enumerate() {
        for file in files(&root.join(folder)) {
            if file.components().any(|part| part.as_os_str() == "tests")
                || file.ends_with("tests.rs")
            {
                continue;
            }
            for other in imported_folders(&fs::read_to_string(&file).unwrap()) {
                let above = ORDER.iter().position(|name| *name == other).unwrap() <= rank;
                if !above && !EXCEPTIONS.contains(&(*folder, other)) {
                    wrong.push(format!("{} imports `{other}`", file.display()));
                }
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn import_order_lists_every_folder() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders: Vec<String> = fs::read_dir(root)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .map(|path| path.file_name().unwrap().to_string_lossy().into_owned())
        .collect();
    folders.sort();
    let mut order: Vec<&str> = ORDER.to_vec();
    order.sort_unstable();
    assert_eq!(folders, order);
}

#[test]
fn pingora_is_used_only_in_edge() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in files(&root) {
        let inside = file.starts_with(root.join("edge"));
        let names = fs::read_to_string(&file).unwrap().contains("pingora::");
        assert!(inside || !names, "{}", file.display());
    }
}

/// The lines of code of a file, without comments, declarations of modules, imports
/// and tests.
fn own_lines(text: &str) -> usize {
    let code = text
        .split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(text);
    let mut is_import = false;
    let is_own = |line: &&str| {
        let line = line.trim();
        let declares = ["mod ", "pub mod ", "use ", "pub use ", "pub(crate) use "];
        let begins = is_import || declares.iter().any(|start| line.starts_with(start));
        is_import = begins && !line.ends_with(';');
        !begins && !line.is_empty() && !line.starts_with("//") && !line.starts_with("#[")
    };
    code.lines().filter(is_own).count()
}

#[test]
fn module_file_declares_and_reexports_and_file_is_short() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = files(&root.join("src"));
    for crate_folder in fs::read_dir(root.join("crates")).unwrap() {
        sources.extend(files(&crate_folder.unwrap().path().join("src")));
    }
    sources.retain(|file| {
        !file.components().any(|part| part.as_os_str() == "tests") && !file.ends_with("tests.rs")
    });
    for file in sources {
        let max = if file.ends_with("mod.rs") || file.ends_with("lib.rs") {
            60
        } else {
            500
        };
        let own = own_lines(&fs::read_to_string(&file).unwrap());
        assert!(own <= max, "{} has {own} lines of code", file.display());
    }
}
