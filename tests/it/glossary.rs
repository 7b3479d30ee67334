//! The glossary of ARCHITECTURE.md names existing types and modules.

use std::{fs, path::Path};

use crate::architecture::files;

const ARCHITECTURE: &str = include_str!("../../ARCHITECTURE.md");

/// The terms of the glossary, without generic parameters.
fn terms() -> Vec<&'static str> {
    let (_, glossary) = ARCHITECTURE.split_once("\n## Glossary\n").unwrap();
    let (glossary, _) = glossary.split_once("\n## ").unwrap();
    glossary
        .lines()
        .filter_map(|line| line.strip_prefix("- `")?.split_once('`'))
        .map(|(term, _)| term.split_once('<').map_or(term, |(name, _)| name))
        .collect()
}

/// Whether a line of Rust declares a type or a module of this name.
fn declares(line: &str, term: &str) -> bool {
    let line = line.trim_start();
    let line = line
        .strip_prefix("pub")
        .and_then(|rest| rest.split_once(' '))
        .map_or(line, |(_, item)| item);
    ["struct ", "enum ", "trait ", "type ", "mod "]
        .iter()
        .filter_map(|keyword| line.strip_prefix(keyword))
        .any(|rest| {
            rest.strip_prefix(term)
                .is_some_and(|after| !after.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
        })
}

#[test]
fn every_glossary_term_is_a_type_or_module() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let sources: Vec<String> = ["src", "crates"]
        .iter()
        .flat_map(|folder| files(&root.join(folder)))
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let declared = |term: &str| {
        sources
            .iter()
            .any(|text| text.lines().any(|line| declares(line, term)))
    };
    let missing: Vec<&str> = terms().into_iter().filter(|term| !declared(term)).collect();
    assert_eq!(missing, Vec::<&str>::new());
}

#[test]
fn glossary_has_terms_in_every_area() {
    assert!(terms().len() >= 40, "{}", terms().len());
}
