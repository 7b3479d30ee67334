//! The models in `data/models.txt`, which describes its format.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    data_file::{Section, sections},
    table::{Field, Group, OnDelete, Table},
};

const MODELS: &str = include_str!("../data/models.txt");

/// All models, without records.
pub(super) fn empty_tables() -> BTreeMap<&'static str, Table> {
    let fields_of = |name| {
        let found = sections(MODELS).find(|section| section.name == name);
        found.map_or("", |section| section.body)
    };
    let (every_model, thread) = (fields_of("*"), fields_of("thread"));
    sections(MODELS)
        .filter_map(|section| parse_model(&section, every_model, thread))
        .map(|table| (table.model, table))
        .collect()
}

/// Parses a model; `None` for the fields that several models share.
fn parse_model(
    section: &Section,
    every_model: &'static str,
    thread: &'static str,
) -> Option<Table> {
    let mut heading = section.heading.split(" | ");
    let label = heading.next()?;
    let read_group = match heading.next()? {
        "internal" => Group::Internal,
        "sales" => Group::Sales,
        _ => Group::Admin,
    };
    let order = heading.next()?;
    let thread = heading.next().map_or("", |_| thread);
    let fields = [section.body, thread, every_model];
    Some(Table {
        model: section.name,
        label,
        read_group,
        fields: Arc::new(
            fields
                .into_iter()
                .flat_map(str::lines)
                .filter_map(parse_field)
                .collect(),
        ),
        rows: BTreeMap::new(),
        order,
        last_id: 0,
    })
}

fn parse_field(line: &'static str) -> Option<(&'static str, Field)> {
    let (declaration, attributes) = line.split_once(" | ").unwrap_or((line, ""));
    let attribute = |name: &str| {
        let mut attributes = attributes
            .split(" | ")
            .filter_map(|one| one.split_once('='));
        attributes.find_map(|(key, value)| (key == name).then_some(value))
    };
    let (name, rest) = declaration.split_once(' ')?;
    // Choices may contain spaces; the flags are one word without any.
    let (flags, kind, label) = rest.match_indices(' ').find_map(|(at, _)| {
        let (kind, after) = rest.split_at_checked(at)?;
        let (flags, label) = after.trim_start().split_once(' ')?;
        (flags.chars().all(|one| "*~=$^%@-".contains(one))).then_some((flags, kind, label))
    })?;
    let (kind, detail) = kind.split_once(':').unwrap_or((kind, ""));
    let (relation, inverse) = match kind {
        "selection" | "float" => (None, None),
        _ => match detail.split_once('/') {
            Some((relation, inverse)) => (Some(relation), Some(inverse)),
            None => (Some(detail).filter(|detail| !detail.is_empty()), None),
        },
    };
    let has = |flag: char| flags.contains(flag);
    let field = Field {
        kind,
        label,
        relation,
        inverse,
        choices: detail
            .split(',')
            .filter_map(|choice| choice.split_once('='))
            .collect(),
        decimals: detail.parse().ok(),
        required: has('*'),
        stored: !has('~'),
        readonly: has('~') || has('='),
        check_company: has('@'),
        on_delete: if has('^') {
            OnDelete::Cascade
        } else if has('%') || has('*') {
            OnDelete::Restrict
        } else {
            OnDelete::SetNull
        },
        depends: attribute("depends").map_or_else(Vec::new, |names| names.split(',').collect()),
        default: attribute("default"),
        computed: attribute("computed"),
        domain: attribute("domain"),
        related: attribute("related"),
        size: attribute("size").and_then(|size| size.parse().ok()),
        group: has('$').then_some(Group::Admin),
    };
    Some((name, field))
}
