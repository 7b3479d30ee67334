//! The records of the sample company, from `data/records.tsv`, which describes its
//! format. Only the dates depend on the day.

use jiff::civil::Date;

use super::{
    computed,
    data_cell::{parse_cell, parse_date},
    data_file::sections,
    database::Database,
    defaults::empty_row,
    models,
    table::{Row, Table, link},
};

const RECORDS: &str = include_str!("../data/records.tsv");

/// The administrator, who creates all records.
const CREATOR: u32 = 2;

/// All models with their records.
pub(super) fn sample_database(today: Date) -> Database {
    let mut database = Database {
        tables: models::empty_tables(),
        last_order_number: 0,
    };
    let created = parse_date("today-400 08:00:00", today);
    for section in sections(RECORDS) {
        let Some(table) = database.tables.get_mut(section.name) else {
            continue;
        };
        for line in section.body.lines() {
            let row = parse_record(table, section.heading, line, today);
            let id = link(&row, "id").unwrap_or_default();
            table.insert_with_id(id, row, CREATOR, &created);
        }
    }
    add_models(&mut database, &created);
    let orders = database
        .table("sale.order")
        .map_or(0, |table| table.last_id);
    for id in 1..=orders {
        computed::recompute_order(&mut database, id);
    }
    let leads = database.table("crm.lead").map_or(0, |table| table.last_id);
    for id in 1..=leads {
        computed::recompute_lead_currency(&mut database, id);
    }
    database.last_order_number = orders;
    database
}

/// Adds a record of `ir.model` for each model.
fn add_models(database: &mut Database, created: &str) {
    let names: Vec<_> = database
        .tables
        .values()
        .map(|table| (table.model, table.label))
        .collect();
    if let Some(table) = database.tables.get_mut("ir.model") {
        for (model, label) in names {
            let mut row = empty_row(table);
            row.insert("name".to_owned(), label.into());
            row.insert("model".to_owned(), model.into());
            table.insert(row, CREATOR, created);
        }
    }
}

fn parse_record(table: &Table, columns: &str, line: &str, today: Date) -> Row {
    let mut row = empty_row(table);
    if let Some(active) = row.get_mut("active") {
        *active = true.into();
    }
    for (column, cell) in columns.split('\t').zip(line.split('\t')) {
        if let (Some(field), false) = (table.fields.get(column), cell.is_empty()) {
            row.insert(column.to_owned(), parse_cell(field.kind, cell, today));
        }
    }
    row
}
