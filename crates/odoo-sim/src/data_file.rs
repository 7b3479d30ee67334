//! The format of the files in `data/`.

/// A section of a data file.
pub(super) struct Section {
    pub(super) name: &'static str,
    /// The rest of the first line.
    pub(super) heading: &'static str,
    /// The lines after the first.
    pub(super) body: &'static str,
}

/// The sections of a data file.
///
/// Each starts with a line `[name] heading` and ends before an empty line. Any
/// other paragraph is a comment.
pub(super) fn sections(text: &'static str) -> impl Iterator<Item = Section> {
    text.split("\n\n").filter_map(|paragraph| {
        let (first, body) = paragraph.split_once('\n')?;
        let (name, heading) = first.strip_prefix('[')?.split_once(']')?;
        let heading = heading.trim_start();
        Some(Section {
            name,
            heading,
            body,
        })
    })
}
