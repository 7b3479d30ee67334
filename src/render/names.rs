//! Ids with their names.

use serde::Deserialize;
use serde_json::Value;

use super::Rendered;
use gatepost_base::text::{MAX_CELL_CHARS, one_line};

/// One record: as `name_search` gives it, or as a search for the name does.
#[derive(Deserialize)]
#[serde(untagged)]
enum NamedRecord {
    Pair(i64, Value),
    Record { id: i64, display_name: Value },
}

/// The records in an answer of `name_search`, `[[id, name], …]`, or of a search
/// for their `display_name`; one a line, at most `limit` of them; and whether
/// there were more.
///
/// # Errors
/// When the answer is not such a list.
pub fn names(
    answer: &[u8],
    limit: u32,
    budget_bytes: usize,
) -> Result<(Rendered, bool), serde_json::Error> {
    let found: Vec<NamedRecord> = serde_json::from_slice(answer)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut text = String::new();
    let mut shown = 0;
    for one in found.iter().take(limit) {
        let (NamedRecord::Pair(id, name)
        | NamedRecord::Record {
            id,
            display_name: name,
        }) = one;
        // Odoo says `false` where there is none.
        let name = name.as_str().unwrap_or_default();
        let line = format!("{id} | {}\n", one_line(name, MAX_CELL_CHARS));
        if text.len() + line.len() + 10 > budget_bytes {
            break;
        }
        if shown == 0 {
            text.push_str("id | name\n");
        }
        text.push_str(&line);
        shown += 1;
    }
    Ok((Rendered { text, shown }, shown < found.len()))
}

/// The records in such an answer.
///
/// # Errors
/// When the answer is not such a list.
pub fn parse_names(answer: &[u8]) -> Result<Vec<(i64, String)>, serde_json::Error> {
    let found: Vec<NamedRecord> = serde_json::from_slice(answer)?;
    Ok(found
        .into_iter()
        .map(|one| match one {
            NamedRecord::Pair(id, name)
            | NamedRecord::Record {
                id,
                display_name: name,
            } => (id, name.as_str().unwrap_or_default().to_owned()),
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::names;

    #[test]
    fn each_id_and_name_is_on_one_line() {
        let (shaped, more) =
            names(br#"[[15,"Azure"],[27,"Azure, Bo|b"],[34,"x"]]"#, 2, 999).unwrap();
        insta::assert_snapshot!(shaped.text, @r"
        id | name
        15 | Azure
        27 | Azure, Bo\|b
        ");
        assert!(more);
        let searched = br#"[{"id":15,"display_name":"Azure"},{"id":16,"display_name":false}]"#;
        let (shaped, more) = names(searched, 2, 999).unwrap();
        assert_eq!(shaped.text, "id | name\n15 | Azure\n16 | \n");
        assert!(!more);
        assert!(names(b"{}", 2, 999).is_err());
    }
}
