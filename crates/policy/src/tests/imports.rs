//! Permissions of imports.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    super::{Forbidden, Incomplete, Rule, WriteMode},
    instance, pattern, policy,
    reads::schemas,
    rule,
};
use gatepost_odoo::{Call, Domain, Load, ModelName, Operation};

const READ: Operation = Operation::Read;
const CREATE: Operation = Operation::Create;
const WRITE: Operation = Operation::Write;
const DELETE: Operation = Operation::Delete;

fn name(model: &str) -> ModelName {
    ModelName::try_from(model).unwrap()
}

fn limited_rule(model: &str, effects: &[Operation], domain: &Value) -> Rule {
    Rule {
        domain: Domain::parse(domain).unwrap(),
        ..rule("*", model, effects)
    }
}

fn table(columns: &[&str], rows: &[&[&str]]) -> Load {
    let text = |cells: &[&str]| -> Vec<String> { cells.iter().map(ToString::to_string).collect() };
    Load::new(&text(columns), rows.iter().map(|row| text(row)).collect()).unwrap()
}

/// The operations of an import, if Odoo finds the records 7 and 8 with these
/// domains and no records with any other.
fn permit_partner_import(
    rules: &[Rule],
    (columns, rows): (&[&str], &[&[&str]]),
    true_domains: &[Value],
) -> Result<Vec<String>, Forbidden> {
    permit_import(rules, "res.partner", table(columns, rows), |domain| {
        true_domains.contains(domain)
    })
}

fn permit_import(
    rules: &[Rule],
    model: &str,
    load: Load,
    finds: impl Fn(&Value) -> bool,
) -> Result<Vec<String>, Forbidden> {
    let (policy, roles) = policy(rules.to_vec());
    let call = Call::load(name(model), load);
    let mut schemas = schemas();
    loop {
        match policy.permit_write(&roles, &instance("a"), WriteMode::Direct, &call, &schemas) {
            Ok((_, touched)) => {
                let operations = touched.iter().map(|touch| {
                    let ids: Vec<u32> = touch.ids.iter().map(|id| id.get()).collect();
                    format!("{} {} {ids:?}", touch.operation.as_str(), touch.model)
                });
                return Ok(operations.collect());
            }
            Err(Incomplete::Denied(forbidden)) => return Err(forbidden),
            Err(Incomplete::NeedsSchema(model)) => panic!("{model} is not known"),
            Err(Incomplete::NeedsRecords(searches)) => {
                for search in searches {
                    let found = finds(&search.call().get().arguments()["domain"]);
                    let found: &[i64] = if found { &[7, 8] } else { &[] };
                    schemas.add_memberships(search, &found.iter().copied().collect());
                }
            }
        }
    }
}

#[test]
fn row_creates_a_record_or_updates_the_named_one() {
    let all = [rule("*", "res.partner", &[READ, CREATE, WRITE])];
    let done = |columns, rows| permit_partner_import(&all, (columns, rows), &[]).unwrap();
    assert_eq!(done(&["name"], &[&["A"]]), ["create res.partner []"]);
    assert_eq!(
        done(&[".id", "name"], &[&["7", "A"], &["8", "B"]]),
        ["write res.partner [7, 8]"]
    );
    assert_eq!(
        done(&[".id", "name"], &[&["7", "A"], &["", "B"]]),
        ["create res.partner []", "write res.partner [7]"]
    );
    assert_eq!(
        done(&["id", "name"], &[&["a", "A"]]),
        ["create res.partner []", "write res.partner []"]
    );
    assert_eq!(
        done(&["id", "name"], &[&["", "A"]]),
        ["create res.partner []"]
    );
}

#[test]
fn external_id_requires_update_access_to_every_record() {
    let named: (&[&str], &[&[&str]]) = (&["id", "name"], &[&["a", "A"]]);
    let refused = |rules: &[Rule]| {
        let refused = permit_partner_import(rules, named, &[]).unwrap_err();
        assert!(matches!(refused, Forbidden::ExternalIds(_)), "{refused}");
    };
    let create = || rule("*", "res.partner", &[READ, CREATE]);
    refused(&[create()]);
    refused(&[
        create(),
        limited_rule("res.partner", &[WRITE], &json!([["company_id", "=", 1]])),
    ]);
    let names = |fields: &str| Rule {
        write_fields: Some(vec![pattern(fields)]),
        ..rule("*", "res.partner", &[WRITE])
    };
    refused(&[create(), names("email")]);
    let denied = Rule {
        deny: true,
        ..limited_rule("*", &[WRITE], &json!([["vip", "=", true]]))
    };
    refused(&[create(), names("name"), denied]);
    assert!(permit_partner_import(&[create(), names("name")], named, &[]).is_ok());
    // A row without an id creates a record.
    assert!(permit_partner_import(&[create()], (&["id", "name"], &[&["", "A"]]), &[]).is_ok());
}

#[test]
fn import_update_must_match_row_filter_before_and_after() {
    let rules = [
        rule("*", "res.partner", &[READ]),
        limited_rule("res.partner", &[WRITE], &json!([["company_id", "=", 1]])),
    ];
    let of = |ids: &[u32]| json!(["&", ["id", "in", ids], ["company_id", "=", 1]]);
    let update =
        |rows, truths: &[Value]| permit_partner_import(&rules, (&[".id", "name"], rows), truths);
    let both: &[&[&str]] = &[&["7", "A"], &["8", "B"]];
    assert!(update(both, &[of(&[7, 8])]).is_ok());
    let outside = update(both, &[]).unwrap_err();
    assert!(matches!(outside, Forbidden::Records { .. }), "{outside}");
    let new = update(&[&["7", "A"], &["", "B"]], &[of(&[7])]).unwrap_err();
    assert!(
        matches!(
            new,
            Forbidden::Operation {
                operation: CREATE,
                ..
            }
        ),
        "{new}"
    );
    let moved = |company| {
        permit_partner_import(
            &rules,
            (&[".id", "company_id"], &[&["7", company]]),
            &[of(&[7])],
        )
    };
    assert!(moved("1").is_ok());
    assert!(matches!(
        moved("2"),
        Err(Forbidden::OutsideAfterWrite { .. })
    ));
    assert!(matches!(moved("1_0"), Err(Forbidden::Undecidable { .. })));
    assert!(moved("").is_err());
}

#[test]
fn import_create_is_evaluated_on_cells_with_known_values() {
    let domain = json!(["|", ["company_id", "=", 1], ["user_id", "=", 5]]);
    let rules = [
        rule("*", "*", &[READ]),
        rule("*", "res.users", &[READ]),
        limited_rule("res.partner", &[CREATE], &domain),
    ];
    let create =
        |columns: &[&str], row: &[&str]| permit_partner_import(&rules, (columns, &[row]), &[]);
    assert!(create(&["company_id"], &["1"]).is_ok());
    assert!(create(&["user_id/.id"], &["5"]).is_ok());
    for (columns, row) in [
        (&["name"][..], &["A"][..]),
        (&["company_id"], &[""]),
        (&["company_id"], &["2"]),
        (&["company_id"], &[" 1"]),
        (&["user_id/.id"], &["6"]),
        // Only Odoo knows which record a name or an external id refers to.
        (&["user_id"], &["Ada"]),
        (&["user_id/id"], &["base.user_admin"]),
        (&["company_id", "user_id"], &["2", "Ada"]),
    ] {
        assert!(create(columns, row).is_err(), "{columns:?} {row:?}");
    }
    let one_wrong =
        permit_partner_import(&rules, (&["company_id"], &[&["1"], &["2"], &["1"]]), &[]);
    assert!(one_wrong.is_err());
}

#[test]
fn import_links_under_row_filter_require_database_ids() {
    let create = || rule("*", "sale.order", &[READ, CREATE]);
    let link = |rules: &[Rule], column: &str, cell: &str, truths: &[Value]| {
        permit_import(
            rules,
            "sale.order",
            table(&[column], &[&[cell]]),
            |domain| truths.contains(domain),
        )
    };
    let all = || [create(), rule("*", "res.partner", &[READ])];
    let some = [
        create(),
        limited_rule("res.partner", &[READ], &json!([["company_id", "=", 1]])),
    ];
    for (column, cell) in [
        ("partner_id", "A"),
        ("partner_id/id", "x.a"),
        ("partner_id/.id", "7"),
    ] {
        assert!(link(&all(), column, cell, &[]).is_ok(), "{column}");
        let closed = link(&[create()], column, cell, &[]);
        assert!(matches!(closed, Err(Forbidden::Linking { .. })), "{column}");
        // An empty cell links to no record.
        assert!(link(&[create()], column, "", &[]).is_ok(), "{column}");
    }
    for (column, cell) in [("partner_id", "A"), ("partner_id/id", "x.a")] {
        let refused = link(&some, column, cell, &[]).unwrap_err();
        assert!(
            matches!(refused, Forbidden::LinkingByName { .. }),
            "{refused}"
        );
    }
    let found = json!(["&", ["id", "in", [7]], ["company_id", "=", 1]]);
    assert!(link(&some, "partner_id/.id", "7", &[found]).is_ok());
    assert!(link(&some, "partner_id/.id", "9", &[]).is_err());
}

#[test]
fn import_lines_are_authorized_on_their_own_model() {
    let partners = || rule("*", "res.partner", &[READ, CREATE, WRITE]);
    let orders = |effects: &[Operation]| rule("*", "sale.order", effects);
    let lines: (&[&str], &[&[&str]]) = (
        &["name", "order_ids/name", "order_ids/amount"],
        &[&["A", "x", "1"], &["", "y", "2"], &["B", "", ""]],
    );
    assert_eq!(
        permit_partner_import(&[partners(), orders(&[READ, CREATE])], lines, &[]).unwrap(),
        ["create sale.order []", "create res.partner []"]
    );
    for effects in [&[READ][..], &[READ, WRITE], &[READ, DELETE]] {
        assert!(permit_partner_import(&[partners(), orders(effects)], lines, &[]).is_err());
    }
    let hidden = Rule {
        hidden_fields: vec![pattern("amount")],
        ..orders(&[READ, CREATE])
    };
    assert!(permit_partner_import(&[partners(), hidden], lines, &[]).is_err());
    // Each line is checked.
    let small = limited_rule("sale.order", &[CREATE], &json!([["amount", "<", 2]]));
    assert!(
        permit_partner_import(&[partners(), orders(&[READ]), small.clone()], lines, &[]).is_err()
    );
    let one: (&[&str], &[&[&str]]) = (lines.0, &[&["A", "x", "1"]]);
    assert!(permit_partner_import(&[partners(), orders(&[READ]), small], one, &[]).is_ok());
    // An existing line is moved from its previous order, and changed.
    let known: (&[&str], &[&[&str]]) = (&["name", "order_ids/.id"], &[&["A", "5"]]);
    assert!(permit_partner_import(&[partners(), orders(&[READ, CREATE])], known, &[]).is_err());
    assert_eq!(
        permit_partner_import(&[partners(), orders(&[READ, WRITE])], known, &[]).unwrap(),
        ["write sale.order [5]", "create res.partner []"]
    );
    // Odoo looks up lines by name or external id without checking any rule.
    let whole = [partners(), orders(&[READ, CREATE, WRITE, DELETE])];
    for column in ["order_ids", "order_ids/id"] {
        assert!(permit_partner_import(&whole, (&["name", column], &[&["A", "x"]]), &[]).is_err());
    }
}

#[test]
fn import_update_without_lines_requires_delete_on_lines() {
    let rows: (&[&str], &[&[&str]]) = (&[".id", "order_ids/name"], &[&["7", ""]]);
    let partners = || rule("*", "res.partner", &[READ, WRITE]);
    let with = |effects: &[Operation]| {
        permit_partner_import(&[partners(), rule("*", "sale.order", effects)], rows, &[])
    };
    assert!(with(&[READ, CREATE, WRITE]).is_err());
    assert_eq!(
        with(&[READ, WRITE, DELETE]).unwrap(),
        [
            "write sale.order []",
            "delete sale.order []",
            "write res.partner [7]"
        ]
    );
}

#[test]
fn unresolvable_or_secret_import_column_is_rejected() {
    let all = [rule("*", "*", &[READ, CREATE, WRITE, DELETE])];
    for column in [
        "nothing",
        "name/id",
        "email/.id",
        "parent_id/name",
        "lead_properties/x",
    ] {
        let refused = permit_partner_import(&all, (&[column], &[&["1"]]), &[]);
        assert!(refused.is_err(), "{column}");
    }
    assert!(permit_partner_import(&all, (&["access_token"], &[&["1"]]), &[]).is_err());
}

fn effects() -> impl Strategy<Value = Vec<Operation>> {
    prop::sample::subsequence(vec![READ, CREATE, WRITE, DELETE], 0..=4)
}

fn some_rules() -> impl Strategy<Value = Vec<Rule>> {
    let domain = prop::sample::select(vec![
        json!([]),
        json!([]),
        json!([["company_id", "=", 1]]),
        json!([["amount", "<", 2]]),
        json!([["name", "=", "A"]]),
    ]);
    let fields = prop::sample::select(vec![None, None, Some("name"), Some("order_ids")]);
    let model = prop::sample::select(vec!["*", "res.partner", "sale.order", "res.users"]);
    let one = (
        model,
        effects(),
        domain,
        fields,
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(model, effects, domain, fields, one, other, third)| Rule {
            deny: one && other && third,
            write_fields: fields.map(|name| {
                [name, "user_id", "parent_id", "company_id"]
                    .map(pattern)
                    .to_vec()
            }),
            ..limited_rule(model, &effects, &domain)
        });
    let base = ["*", "res.users"].map(|model| rule("*", model, &[READ]));
    let wide = rule("*", "*", &[READ, CREATE, WRITE, DELETE]);
    (any::<bool>(), prop::collection::vec(one, 0..7)).prop_map(move |(open, mut rules)| {
        rules.extend(base.clone());
        rules.extend(open.then(|| wide.clone()));
        rules
    })
}

fn some_table() -> impl Strategy<Value = Load> {
    let columns = prop::sample::subsequence(
        vec![
            "name",
            "company_id",
            "parent_id/.id",
            "user_id",
            "order_ids/name",
            "order_ids/.id",
            "order_ids/partner_id/.id",
        ],
        1..=5,
    );
    let key = prop::sample::select(vec![None, Some("id"), Some(".id")]);
    let cell = prop::sample::select(vec!["", "1", "7"]);
    (
        columns,
        key,
        prop::collection::vec(prop::collection::vec(cell, 8), 1..5),
    )
        .prop_filter_map("two rows of one record", |(mut columns, key, rows)| {
            columns.extend(key);
            let columns: Vec<String> = columns.iter().map(ToString::to_string).collect();
            let cells = |row: &Vec<&str>| {
                let cells = row.iter().take(columns.len());
                cells.map(ToString::to_string).collect()
            };
            let rows = rows.iter().map(cells).collect();
            Load::new(&columns, rows).ok()
        })
}

proptest! {
    #[test]
    fn removing_an_allow_rule_never_permits_more_imports(
        rules in some_rules(), table in some_table(), gone in any::<prop::sample::Index>(),
    ) {
        let mut fewer = rules.clone();
        if !fewer.is_empty() {
            let at = gone.index(fewer.len());
            if !fewer[at].deny {
                fewer.remove(at);
            }
        }
        let of = |rules: &[Rule]| permit_import(rules, "res.partner", table.clone(), |_| true);
        if of(&fewer).is_ok() {
            prop_assert!(of(&rules).is_ok() || fewer.len() == rules.len());
        }
        // Each permitted operation is allowed by a rule.
        if let Ok(done) = of(&rules) {
            let (policy, roles) = policy(rules);
            for one in done {
                let mut words = one.split(' ');
                let effect = match words.next() {
                    Some("create") => CREATE,
                    Some("write") => WRITE,
                    Some("delete") => DELETE,
                    _ => READ,
                };
                let model = ModelName::try_from(words.next().unwrap()).unwrap();
                prop_assert!(policy.allow(&roles, &instance("a"), &model, effect).is_ok());
            }
        }
    }
}

#[test]
fn import_lines_are_evaluated_against_their_parent_row() {
    let orders = [
        rule("*", "sale.order", &[READ, CREATE, WRITE]),
        rule("*", "res.company", &[READ]),
        limited_rule(
            "sale.line",
            &[READ, CREATE, WRITE, DELETE],
            &json!([["company_id", "=", 1]]),
        ),
    ];
    let load = |(columns, rows): (&[&str], &[&[&str]]), truths: &[Value]| {
        let call = Call::load(name("sale.order"), table(columns, rows));
        super::writes::permit_with_search_results(
            &orders,
            &call,
            super::writes::orders(),
            |asked| truths.contains(asked),
        )
    };
    let columns: &[&str] = &["name", "company_id/.id", "line_ids/name"];
    let two: &[&[&str]] = &[&["A", "1", "x"], &["", "", "y"], &["B", "1", "z"]];
    assert_eq!(load((columns, two), &[]), Ok(()));
    let other: &[&[&str]] = &[&["A", "1", "x"], &["", "", "y"], &["B", "2", "z"]];
    let refused = load((columns, other), &[]).unwrap_err();
    assert!(
        matches!(refused, Forbidden::OutsideAfterWrite { .. }),
        "{refused}"
    );
    for (columns, row) in [
        (&["name", "line_ids/name"][..], &["A", "x"][..]),
        (
            &["name", "company_id", "line_ids/name"],
            &["A", "Mine", "x"],
        ),
        (&["id", "line_ids/name"], &["a_1", "x"]),
    ] {
        let refused = load((columns, &[row]), &[]).unwrap_err();
        assert!(
            matches!(refused, Forbidden::Undecidable { .. }),
            "{refused}"
        );
    }
    // For an existing order, its record is checked; a line that is named is moved
    // into it.
    let there = json!(["&", ["id", "in", [7]], ["company_id", "=", 1]]);
    let line = json!(["&", ["id", "in", [8]], ["company_id", "=", 1]]);
    let columns: &[&str] = &[".id", "line_ids/name"];
    assert_eq!(
        load((columns, &[&["7", "x"]]), std::slice::from_ref(&there)),
        Ok(())
    );
    assert!(load((columns, &[&["7", "x"]]), &[]).is_err());
    let columns: &[&str] = &[".id", "line_ids/.id", "line_ids/name"];
    let moved: &[&[&str]] = &[&["7", "8", "x"]];
    assert_eq!(load((columns, moved), &[there, line.clone()]), Ok(()));
    assert!(load((columns, moved), &[line]).is_err());
}
