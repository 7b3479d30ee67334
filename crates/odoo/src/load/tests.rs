use serde_json::json;

use super::{CellMeaning, Column, InvalidLoad, Load, parse_ids};
use crate::Schema;

fn load(columns: &[&str], rows: &[&[&str]]) -> Result<Load, InvalidLoad> {
    let text = |cells: &[&str]| cells.iter().map(ToString::to_string).collect();
    let columns: Vec<String> = text(columns);
    Load::new(&columns, rows.iter().map(|row| text(row)).collect())
}

fn order() -> Schema {
    Schema::parse(
        br#"{"name":{"type":"char"},"create_date":{"type":"datetime"},"partner_id":{"type":"many2one","relation":"res.partner"},
             "order_line":{"type":"one2many","relation":"sale.order.line"}}"#,
    )
    .unwrap()
}

#[test]
fn column_parses_to_path_and_cell_meaning() {
    let of = |text| {
        let column = Column::parse(text)?;
        Some((column.steps().len(), column.meaning()))
    };
    assert_eq!(of("id"), Some((0, CellMeaning::ExternalId)));
    assert_eq!(of(".id"), Some((0, CellMeaning::DatabaseId)));
    assert_eq!(of(" name "), Some((1, CellMeaning::Value)));
    assert_eq!(of("country_id/id"), Some((1, CellMeaning::ExternalId)));
    assert_eq!(
        of("order_line/product_id/.id"),
        Some((2, CellMeaning::DatabaseId))
    );
    for wrong in [
        "",
        "/",
        "name/",
        "/id",
        "a//b",
        "country_id.id",
        "country_id:id",
        "id/name",
        ".id/x",
        "props.colour",
        "a b",
        "a/b/c/d/e/f/g",
        "náme",
    ] {
        assert_eq!(of(wrong), None, "{wrong}");
    }
}

#[test]
fn malformed_or_oversized_table_is_rejected() {
    assert!(load(&["name", "email"], &[&["A", ""]]).is_ok());
    let refused = [
        load(&[], &[]),
        load(&["name"; 101], &[]),
        load(&["name", "name"], &[]),
        load(&["id", ".id"], &[]),
        load(&["country_id", "country_id/id"], &[]),
        load(&["name"], &[&["A"], &[]]),
        load(&["name"], &[&["A", "B"]]),
        load(&["name"], &[&["A\0B"]]),
        load(&["name"], &[&[&"x".repeat(70_000)]]),
        load(&["name"], &vec![&[&*"x".repeat(60_000)][..]; 40]),
    ];
    for one in refused {
        assert!(one.is_err(), "{one:?}");
    }
}

#[test]
fn external_id_must_be_in_an_import_module() {
    let row = |id: &str| load(&["id", "name"], &[&[id, "A"]]);
    for good in [
        "",
        "customer_42",
        "a-b",
        "__import__.a.b",
        "__export__.res_partner_1_x",
    ] {
        assert!(row(good).is_ok(), "{good}");
    }
    for bad in [
        "base.main_company",
        "legacy.a",
        ".a",
        "__import__.",
        "a b",
        "__import__.a b",
        "é",
    ] {
        assert!(
            matches!(row(bad), Err(InvalidLoad::ExternalId { row: 1, .. })),
            "{bad}"
        );
    }
    // A link is looked up, whatever module its external id is from.
    assert!(load(&["country_id/id"], &[&["base.be"]]).is_ok());
}

#[test]
fn database_id_cell_holds_plain_numbers() {
    let plain: Vec<u32> = parse_ids("7, 12")
        .unwrap()
        .iter()
        .map(|id| id.get())
        .collect();
    assert_eq!(plain, [7, 12]);
    for wrong in [
        "x",
        "0",
        "-1",
        "1_0",
        "+1",
        "1.0",
        "2147483648",
        "1,",
        "false",
        "٣",
    ] {
        assert!(load(&[".id"], &[&[wrong]]).is_err(), "{wrong}");
        assert!(load(&["country_id/.id"], &[&[wrong]]).is_err(), "{wrong}");
    }
    assert!(load(&[".id"], &[&["1,2"]]).is_err());
    assert!(load(&["category_id/.id"], &[&["1,2"]]).is_ok());
}

#[test]
fn rows_naming_the_same_record_are_rejected() {
    let twice = load(&["id"], &[&["a"], &[""], &["__import__.a"]]);
    assert!(matches!(
        twice,
        Err(InvalidLoad::DuplicateRecord {
            first: 1,
            second: 3,
            ..
        })
    ));
    assert!(load(&["id"], &[&["a"], &["__export__.a"], &[""], &[""]]).is_ok());
    assert!(load(&[".id"], &[&["5"], &["5"]]).is_err());
}

#[test]
fn row_with_only_line_cells_continues_previous_record() {
    let table = load(
        &["partner_id", "order_line/name", "order_line/qty"],
        &[
            &["A", "x", "1"],
            &["", "y", ""],
            &["B", "", ""],
            &["", "", ""],
            &["", "z", ""],
        ],
    )
    .unwrap();
    assert_eq!(table.record_start_rows(&order()), [0, 2, 3]);
    let first = load(&["name", "order_line/name"], &[&["", "x"], &["", "y"]]).unwrap();
    assert_eq!(first.record_start_rows(&order()), [0]);
}

#[test]
fn dry_run_adds_invalid_cell_to_each_record() {
    let table = load(
        &["name", "order_line/name"],
        &[&["A", "x"], &["", "y"], &["B", ""]],
    )
    .unwrap();
    let plain = table.arguments();
    assert_eq!(plain["fields"], json!(["name", "order_line/name"]));
    let tried = table.into_dry_run(&order()).unwrap().arguments();
    assert_eq!(
        tried["fields"],
        json!(["name", "order_line/name", "create_date", ".id"])
    );
    assert_eq!(
        tried["data"],
        json!([
            ["A", "x", "never", "-1"],
            ["", "y", "", ""],
            ["B", "", "never", ""]
        ])
    );
    let updates = || load(&[".id", "name"], &[&["7", "A"]]).unwrap();
    let tried = updates().into_dry_run(&order()).unwrap();
    assert_eq!(tried.arguments()["data"], json!([["7", "A", "never"]]));
    // Without the time there is the id, or no trial.
    let bare = Schema::from_fields([]);
    let tried = load(&["name"], &[&["A"]])
        .unwrap()
        .into_dry_run(&bare)
        .unwrap();
    assert_eq!(tried.arguments()["data"], json!([["A", "-1"]]));
    assert_eq!(updates().into_dry_run(&bare), None);
}
