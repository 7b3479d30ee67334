use serde_json::Value;

use crate::{data, data_file::sections, methods, models};

#[test]
fn every_line_of_models_file_declares_a_field() {
    let text = include_str!("../../data/models.txt");
    let tables = models::empty_tables();
    let lines_of = |name: &str| {
        let section = sections(text).find(|section| section.name == name);
        section.unwrap().body.lines().count()
    };
    for section in sections(text).filter(|section| !section.heading.is_empty()) {
        let heading: Vec<_> = section.heading.split(" | ").collect();
        assert!(["internal", "sales", "admin"].contains(&heading[1]));
        let thread = heading.get(3).map_or(0, |part| {
            assert_eq!(*part, "thread");
            lines_of("thread")
        });
        let declared = lines_of(section.name) + lines_of("*") + thread;
        assert_eq!(
            tables[section.name].fields.len(),
            declared,
            "{}",
            section.name
        );
    }
    let relations = tables.values().flat_map(|table| table.fields.values());
    for relation in relations.filter_map(|field| field.relation) {
        assert!(tables.contains_key(relation), "{relation}");
    }
}

#[test]
fn every_cell_of_records_file_is_a_value_of_its_field() {
    let database = data::sample_database(jiff::civil::date(2026, 11, 21));
    for section in sections(include_str!("../../data/records.tsv")) {
        let table = &database.tables[section.name];
        let columns: Vec<_> = section.heading.split('\t').collect();
        for column in &columns {
            assert!(table.fields.contains_key(column), "{column}");
        }
        for line in section.body.lines() {
            assert!(line.split('\t').count() <= columns.len(), "{line}");
        }
        assert_eq!(table.rows.len(), section.body.lines().count());
        for row in table.rows.values() {
            assert!(row.values().all(|value| *value != Value::Null), "{row:?}");
        }
    }
}

#[test]
fn every_line_of_methods_file_declares_a_method() {
    let tables = models::empty_tables();
    for section in sections(include_str!("../../data/methods.txt")) {
        let table = tables
            .get(section.name)
            .unwrap_or_else(|| &tables["sale.order"]);
        for line in section.body.lines() {
            let name = line.split(' ').next();
            assert!(methods::for_model(table).any(|method| Some(method.name) == name));
        }
    }
}
