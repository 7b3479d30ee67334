//! Permissions of reads, and how calls are rewritten.

use serde_json::{Value, json};

use super::{
    super::{Forbidden, Incomplete, Pattern, Permitted, PolicyFacts, Rule},
    instance, pattern, policy, rule,
};
use gatepost_odoo::{
    Aggregate, Aggregation, Call, Domain, FieldName, FieldPath, GroupKey, GroupOrder, Grouping,
    Measure, MethodName, ModelName, Operation, Order, RecordId, Schema,
};

/// Contacts, their orders, and users, which inherit from contacts.
pub(super) fn schemas() -> PolicyFacts {
    let mut schemas = PolicyFacts::default();
    for (model, fields) in [
        (
            "res.partner",
            json!({
                "id": {"type": "integer"}, "display_name": {"type": "char"},
                "name": {"type": "char"}, "email": {"type": "char"},
                "salary": {"type": "monetary"}, "birthday": {"type": "date"},
                "parent_id": {"type": "many2one", "relation": "res.partner"},
                "user_id": {"type": "many2one", "relation": "res.users"},
                "order_ids": {"type": "one2many", "relation": "sale.order"},
                "category_id": {"type": "many2many", "relation": "res.partner.category"},
                "access_token": {"type": "char"}, "lead_properties": {"type": "properties"},
                "company_id": {"type": "integer"}, "kind": {"type": "integer"}, "vip": {"type": "boolean"},
            }),
        ),
        (
            "sale.order",
            json!({
                "id": {"type": "integer"}, "display_name": {"type": "char"},
                "name": {"type": "char"}, "amount": {"type": "monetary"},
                "partner_id": {"type": "many2one", "relation": "res.partner"},
                "partner_email": {"type": "char", "related": "partner_id.email"},
                "boss_salary": {"type": "monetary", "related": "partner_id.parent_id.salary"},
            }),
        ),
        (
            "res.partner.category",
            json!({
                "id": {"type": "integer"}, "display_name": {"type": "char"},
                "name": {"type": "char"}, "color": {"type": "integer"},
            }),
        ),
        (
            "res.users",
            json!({
                "id": {"type": "integer"}, "login": {"type": "char"},
                "partner_id": {"type": "many2one", "relation": "res.partner"},
                "name": {"type": "char", "related": "partner_id.name"},
                "salary": {"type": "monetary", "related": "partner_id.salary"},
            }),
        ),
    ] {
        let schema = Schema::parse(fields.to_string().as_bytes()).unwrap();
        schemas.add_schema(name(model), schema);
    }
    schemas
}

fn name(model: &str) -> ModelName {
    ModelName::try_from(model).unwrap()
}

fn fields(names: &[&str]) -> Vec<FieldName> {
    names
        .iter()
        .map(|name| FieldName::try_from(*name).unwrap())
        .collect()
}

fn patterns(texts: &[&str]) -> Vec<Pattern> {
    texts.iter().map(|text| pattern(text)).collect()
}

fn reads(model: &str) -> Rule {
    rule("*", model, &[Operation::Read])
}

fn hiding(model: &str, hidden: &[&str]) -> Rule {
    Rule {
        hidden_fields: patterns(hidden),
        ..reads(model)
    }
}

fn showing(model: &str, shown: &[&str]) -> Rule {
    Rule {
        fields: patterns(shown),
        ..reads(model)
    }
}

fn only(rule: Rule, domain: &Value) -> Rule {
    Rule {
        domain: Domain::parse(domain).unwrap(),
        ..rule
    }
}

fn denying(rule: Rule) -> Rule {
    Rule { deny: true, ..rule }
}

fn permit_read(rules: Vec<Rule>, call: Call) -> Result<Permitted<Call>, Forbidden> {
    let (policy, roles) = policy(rules);
    policy
        .permit(&roles, &instance("a"), call, &schemas())
        .map_err(|undecided| match undecided {
            Incomplete::Denied(forbidden) => forbidden,
            Incomplete::NeedsSchema(model) => panic!("it needs {model}"),
            Incomplete::NeedsRecords(search) => panic!("it seeks {search:?}"),
        })
}

/// The domain that a count is sent with.
#[expect(clippy::unwrap_in_result, reason = "a test")]
fn permitted_count_domain(
    rules: Vec<Rule>,
    model: &str,
    domain: &Value,
) -> Result<Value, Forbidden> {
    let domain = Domain::parse(domain).unwrap();
    let call = Call::search_count(name(model), &domain);
    Ok(permit_read(rules, call)?.get().arguments()["domain"].clone())
}

#[expect(clippy::unwrap_in_result, reason = "a test")]
fn permitted_search_arguments(
    rules: Vec<Rule>,
    model: &str,
    names: &[&str],
    order: &str,
) -> Result<Value, Forbidden> {
    let order = Order::parse(order).unwrap();
    let call = Call::search_read(
        name(model),
        &Domain::default(),
        &fields(names),
        &order,
        0,
        9,
    );
    Ok(Value::Object(permit_read(rules, call)?.get().arguments()))
}

#[test]
fn hidden_field_cannot_be_read_searched_or_sorted_and_looks_unknown() {
    let rules = || vec![hiding("res.partner", &["salary"])];
    let refused = Forbidden::Field {
        model: name("res.partner"),
        field: fields(&["salary"]).remove(0),
    };
    for domain in [
        json!([["salary", ">", 10]]),
        json!(["!", ["salary", ">", 10]]),
        json!(["|", ["name", "=", "x"], ["salary", ">", 10]]),
        json!([["parent_id.salary", ">", 10]]),
        json!([["parent_id", "any", [["salary", ">", 10]]]]),
        json!([["parent_id", "not any", [["parent_id.salary", ">", 10]]]]),
    ] {
        let answer = permitted_count_domain(rules(), "res.partner", &domain);
        assert_eq!(answer, Err(refused.clone()), "{domain}");
    }
    assert_eq!(
        permitted_search_arguments(rules(), "res.partner", &["name", "salary"], ""),
        Err(refused.clone())
    );
    assert_eq!(
        permitted_search_arguments(rules(), "res.partner", &["name"], "salary desc"),
        Err(refused)
    );
    assert!(permitted_search_arguments(rules(), "res.partner", &["name"], "name").is_ok());
    let unknown = permitted_search_arguments(rules(), "res.partner", &["nothing"], "").unwrap_err();
    let hidden = permitted_search_arguments(rules(), "res.partner", &["salary"], "").unwrap_err();
    assert_eq!(
        unknown.to_string().replace("nothing", "salary"),
        hidden.to_string()
    );
}

#[test]
fn search_defaults_to_id_order_and_id_field_when_fields_are_hidden() {
    let limited = permitted_search_arguments(
        vec![hiding("res.partner", &["salary"])],
        "res.partner",
        &[],
        "",
    );
    let limited = limited.unwrap();
    assert_eq!(limited["order"], "id desc");
    assert_eq!(limited["fields"], json!(["id"]));
    let free = permitted_search_arguments(vec![reads("res.partner")], "res.partner", &["name"], "")
        .unwrap();
    assert!(free.get("order").is_none());
}

#[test]
fn secret_field_requires_rule_with_its_exact_name() {
    let ask = |rules| permitted_search_arguments(rules, "res.partner", &["access_token"], "");
    assert!(ask(vec![reads("*")]).is_err());
    assert!(ask(vec![showing("res.partner", &["access_*"])]).is_err());
    assert!(ask(vec![showing("res.partner", &["access_token"])]).is_ok());
}

#[test]
fn row_filter_of_rule_applies_to_every_call() {
    let rules = || vec![only(reads("res.partner"), &json!([["company_id", "=", 1]]))];
    assert_eq!(
        permitted_count_domain(rules(), "res.partner", &json!([])),
        Ok(json!([["company_id", "=", 1]]))
    );
    assert_eq!(
        permitted_count_domain(
            rules(),
            "res.partner",
            &json!(["|", ["name", "=", "a"], ["name", "=", "b"]])
        ),
        Ok(json!([
            "&",
            "|",
            ["name", "=", "a"],
            ["name", "=", "b"],
            ["company_id", "=", 1]
        ]))
    );
    let ids = [RecordId::try_from(7).unwrap()];
    let read = Call::read(name("res.partner"), &ids, &fields(&["name"]));
    let permitted = permit_read(rules(), read.clone()).unwrap();
    assert_eq!(permitted.get().method().as_str(), "search_read");
    assert_eq!(
        permitted.get().arguments()["domain"],
        json!(["&", ["id", "in", [7]], ["company_id", "=", 1]])
    );
    assert!(permitted.get().context().include_archived);
    let free = permit_read(vec![reads("res.partner")], read.clone()).unwrap();
    assert_eq!(free.get(), &read);
}

#[test]
fn path_condition_is_limited_to_readable_related_records() {
    let rules = || {
        vec![
            reads("sale.order"),
            only(reads("res.partner"), &json!([["company_id", "=", 1]])),
        ]
    };
    let company = json!(["company_id", "=", 1]);
    assert_eq!(
        permitted_count_domain(
            rules(),
            "sale.order",
            &json!([["partner_id.name", "=", "x"]])
        ),
        Ok(json!([[
            "partner_id",
            "any",
            ["&", ["name", "=", "x"], company]
        ]]))
    );
    assert_eq!(
        permitted_count_domain(
            rules(),
            "sale.order",
            &json!([["partner_id.parent_id.name", "=", "x"]])
        ),
        Ok(json!([[
            "partner_id",
            "any",
            [
                "&",
                ["parent_id", "any", ["&", ["name", "=", "x"], company]],
                company
            ]
        ]]))
    );
    assert_eq!(
        permitted_count_domain(
            rules(),
            "sale.order",
            &json!([["partner_id", "not any", []]])
        ),
        Ok(json!([["partner_id", "not any", [company]]]))
    );
    // Without a row filter the path is unchanged.
    assert_eq!(
        permitted_count_domain(
            vec![reads("*")],
            "sale.order",
            &json!([["partner_id.name", "=", "x"]])
        ),
        Ok(json!([["partner_id.name", "=", "x"]]))
    );
    // A linked record is identified by its id.
    assert_eq!(
        permitted_count_domain(rules(), "sale.order", &json!([["partner_id", "=", 7]])),
        Ok(json!([["partner_id", "=", 7]]))
    );
}

#[test]
fn path_into_denied_model_or_non_relation_is_rejected() {
    for domain in [
        json!([["user_id.login", "=", "x"]]),
        json!([["user_id", "any", []]]),
        json!([["user_id", "not any", [["login", "=", "x"]]]]),
        json!([["user_id", "ilike", "x"]]),
        json!([["user_id", "in", [1, "x"]]]),
        json!([["user_id", "child_of", 1]]),
    ] {
        let refused = permitted_count_domain(vec![reads("res.partner")], "res.partner", &domain);
        assert!(
            matches!(refused, Err(Forbidden::Operation { .. })),
            "{domain}: {refused:?}"
        );
    }
    for domain in [
        json!([["name.x", "=", 1]]),
        json!([["birthday.month_number.x", "=", 1]]),
        json!([["name", "any", []]]),
        json!([["id", "any", [["name", "=", "x"]]]]),
    ] {
        let refused = permitted_count_domain(vec![reads("*")], "res.partner", &domain);
        assert!(matches!(refused, Err(Forbidden::Path { .. })), "{domain}");
    }
    let parts = json!([
        ["birthday.month_number", "=", 1],
        ["lead_properties.size", "=", 2]
    ]);
    assert!(permitted_count_domain(vec![reads("*")], "res.partner", &parts).is_ok());
    assert!(
        permitted_count_domain(vec![hiding("*", &["birthday"])], "res.partner", &parts).is_err()
    );
}

#[test]
fn name_condition_searches_only_visible_name_fields() {
    let looked =
        |rules: Vec<Rule>, domain: Value| permitted_count_domain(rules, "sale.order", &domain);
    // If nothing is hidden, Odoo searches the names itself.
    let by_text = json!([["partner_id", "ilike", "x"]]);
    assert_eq!(
        looked(vec![reads("*")], by_text.clone()),
        Ok(by_text.clone())
    );
    let named = json!(["|", ["name", "ilike", "x"], ["email", "ilike", "x"]]);
    let narrow = || vec![reads("sale.order"), reads("res.partner")];
    assert_eq!(
        looked(narrow(), by_text.clone()),
        Ok(json!([["partner_id", "any", named]]))
    );
    assert_eq!(
        looked(narrow(), json!([["partner_id", "not ilike", "x"]])),
        Ok(json!([["partner_id", "not any", named]]))
    );
    assert_eq!(
        looked(narrow(), json!([["partner_id", "not in", [3, "x"]]])),
        Ok(json!([
            "&",
            [
                "partner_id",
                "not any",
                ["|", ["name", "in", ["x"]], ["email", "in", ["x"]]]
            ],
            ["partner_id", "not in", [3]]
        ]))
    );
    let without_mail = || vec![reads("sale.order"), hiding("res.partner", &["email"])];
    assert_eq!(
        looked(without_mail(), by_text.clone()),
        Ok(json!([["partner_id", "any", [["name", "ilike", "x"]]]]))
    );
    let nameless = || vec![reads("sale.order"), showing("res.partner", &["salary"])];
    for domain in [
        by_text,
        json!([["partner_id", "=", "x"]]),
        json!([["partner_id.display_name", "ilike", "x"]]),
    ] {
        let refused = looked(nameless(), domain.clone());
        assert_eq!(
            refused,
            Err(Forbidden::NameSearch(name("res.partner"))),
            "{domain}"
        );
    }
    assert_eq!(
        looked(
            without_mail(),
            json!([["partner_id.display_name", "not ilike", "x"]])
        ),
        Ok(json!([[
            "partner_id",
            "any",
            ["!", ["name", "ilike", "x"]]
        ]]))
    );
}

#[test]
fn name_search_becomes_search_over_visible_fields() {
    let find = |rules| {
        let call = Call::name_search(name("res.partner"), "x", &Domain::default(), 5);
        permit_read(rules, call).map(|permitted| permitted.get().clone())
    };
    assert_eq!(
        find(vec![reads("*")]).unwrap().method().as_str(),
        "name_search"
    );
    let rule = only(
        hiding("res.partner", &["email"]),
        &json!([["company_id", "=", 1]]),
    );
    let call = find(vec![rule]).unwrap();
    assert_eq!(call.method().as_str(), "search_read");
    assert_eq!(
        Value::Object(call.arguments()),
        json!({
            "domain": ["&", ["name", "ilike", "x"], ["company_id", "=", 1]],
            "fields": ["display_name"], "limit": 5, "order": "id desc",
        })
    );
    assert_eq!(
        find(vec![hiding("res.partner", &["name", "email"])]),
        Err(Forbidden::NameSearch(name("res.partner")))
    );
    assert!(find(vec![hiding("res.partner", &["display_name"])]).is_err());
}

#[test]
fn hierarchy_operator_requires_readable_parent_and_no_row_filter() {
    let ask =
        |rules: Vec<Rule>, domain: Value| permitted_count_domain(rules, "res.partner", &domain);
    let below = || json!([["id", "child_of", 7]]);
    assert!(ask(vec![reads("res.partner")], below()).is_ok());
    assert!(ask(vec![hiding("res.partner", &["salary"])], below()).is_ok());
    let closed = Err(Forbidden::Hierarchy(name("res.partner")));
    assert_eq!(
        ask(vec![hiding("res.partner", &["parent_id"])], below()),
        closed
    );
    let some = only(reads("res.partner"), &json!([["company_id", "=", 1]]));
    assert_eq!(ask(vec![some.clone()], below()), closed);
    assert_eq!(
        ask(vec![some], json!([["parent_id", "parent_of", [7]]])),
        closed
    );
    // A name would be searched in fields that may be hidden.
    let by_name = json!([["id", "child_of", "x"]]);
    assert_eq!(ask(vec![reads("res.partner")], by_name.clone()), closed);
    assert!(ask(vec![reads("*")], by_name).is_ok());
}

#[test]
fn sorting_by_relation_requires_unrestricted_related_model() {
    let sort =
        |rules: Vec<Rule>| permitted_search_arguments(rules, "sale.order", &["name"], "partner_id");
    assert!(sort(vec![reads("sale.order"), reads("res.partner")]).is_ok());
    for limited in [
        hiding("res.partner", &["salary"]),
        only(reads("res.partner"), &json!([["company_id", "=", 1]])),
    ] {
        let refused = sort(vec![reads("sale.order"), limited]);
        assert!(matches!(refused, Err(Forbidden::Sorting { .. })));
    }
    assert!(matches!(
        sort(vec![reads("sale.order")]),
        Err(Forbidden::Operation { .. })
    ));
}

#[test]
fn related_field_is_visible_only_where_its_target_is_visible() {
    let see = |rules: Vec<Rule>, field: &str| {
        permitted_search_arguments(rules, "sale.order", &[field], "")
    };
    assert!(see(vec![reads("*")], "partner_email").is_ok());
    for rules in [
        vec![reads("sale.order")],
        vec![reads("sale.order"), hiding("res.partner", &["email"])],
        vec![hiding("sale.order", &["partner_id"]), reads("res.partner")],
        vec![reads("*"), denying(showing("res.partner", &["email"]))],
    ] {
        assert!(matches!(
            see(rules, "partner_email"),
            Err(Forbidden::Field { .. })
        ));
    }
    let two_steps = vec![reads("sale.order"), hiding("res.partner", &["parent_id"])];
    assert!(see(two_steps, "boss_salary").is_err());
    let some = vec![
        reads("sale.order"),
        only(reads("res.partner"), &json!([["company_id", "=", 1]])),
    ];
    assert_eq!(
        see(some, "partner_email").unwrap()["domain"],
        json!([
            "|",
            ["partner_id", "=", false],
            ["partner_id", "any", [["company_id", "=", 1]]]
        ])
    );
    // `_inherits`: users have the fields of their contacts.
    let users = |rules: Vec<Rule>, field: &str| {
        permitted_search_arguments(rules, "res.users", &[field], "")
    };
    assert!(users(vec![reads("res.users")], "login").is_ok());
    assert!(users(vec![reads("res.users")], "name").is_err());
    assert!(users(vec![reads("res.users"), reads("res.partner")], "salary").is_ok());
    let hidden = vec![reads("res.users"), hiding("res.partner", &["salary"])];
    assert!(users(hidden.clone(), "salary").is_err());
    assert!(users(hidden, "name").is_ok());
}

#[test]
fn row_filter_covers_only_records_exposing_all_queried_fields() {
    let rules = || {
        vec![
            only(
                showing("res.partner", &["name"]),
                &json!([["kind", "=", 1]]),
            ),
            only(
                showing("res.partner", &["name", "salary"]),
                &json!([["kind", "=", 2]]),
            ),
            only(
                showing("res.partner", &["email"]),
                &json!([["kind", "=", 3]]),
            ),
        ]
    };
    let of = |names: &[&str]| {
        permitted_search_arguments(rules(), "res.partner", names, "").unwrap()["domain"].clone()
    };
    let (one, two, three) = (
        json!(["kind", "=", 1]),
        json!(["kind", "=", 2]),
        json!(["kind", "=", 3]),
    );
    let every = json!(["|", "|", one, two, three]);
    let every = every.as_array().unwrap();
    let with = |more: Vec<Value>| {
        let mut all = vec![json!("&")];
        all.extend(every.iter().cloned());
        all.extend(more);
        Value::Array(all)
    };
    assert_eq!(of(&[]), Value::Array(every.clone()));
    assert_eq!(of(&["salary"]), with(vec![two.clone()]));
    assert_eq!(of(&["name"]), with(vec![json!("|"), one, two]));
    // No record shows both; that is valid, and matches no record.
    assert!(
        of(&["salary", "email"])
            .as_array()
            .unwrap()
            .contains(&three)
    );
}

#[test]
fn rule_filtering_on_missing_field_allows_nothing_and_denies_all() {
    let some = || only(reads("*"), &json!([["vip", "=", true]]));
    assert!(permitted_count_domain(vec![some()], "res.partner", &json!([])).is_ok());
    // Otherwise Odoo's error would reveal the rule.
    let refused = permitted_count_domain(vec![some()], "sale.order", &json!([]));
    assert!(matches!(refused, Err(Forbidden::Operation { .. })));
    let denied = vec![reads("*"), denying(some())];
    assert!(permitted_count_domain(denied, "sale.order", &json!([])).is_err());
}

#[test]
fn deny_rule_overrides_every_allow_rule() {
    let ask = |rules: Vec<Rule>| permitted_count_domain(rules, "res.partner", &json!([]));
    let deny = |rule: Rule| vec![reads("*"), reads("res.partner"), denying(rule)];
    assert!(ask(deny(reads("res.partner"))).is_err());
    assert!(ask(deny(reads("res.*"))).is_err());
    assert!(ask(deny(rule("b", "res.*", &[Operation::Read]))).is_ok());
    assert!(ask(deny(rule("*", "res.*", &[Operation::Write]))).is_ok());
    assert_eq!(
        ask(deny(only(reads("res.*"), &json!([["vip", "=", true]])))),
        Ok(json!(["!", ["vip", "=", true]]))
    );
    let field = || deny(showing("res.*", &["sal*"]));
    assert_eq!(ask(field()), Ok(json!([])));
    assert!(permitted_search_arguments(field(), "res.partner", &["salary"], "").is_err());
    let of_some = deny(only(
        showing("res.*", &["salary"]),
        &json!([["vip", "=", true]]),
    ));
    assert_eq!(
        permitted_search_arguments(of_some, "res.partner", &["salary"], "").unwrap()["domain"],
        json!(["!", ["vip", "=", true]])
    );
    // Wildcards of allow rules do not match protected models; those of deny rules
    // do.
    let users = vec![reads("res.users"), denying(reads("res.*"))];
    assert!(permitted_count_domain(users, "res.users", &json!([])).is_err());
}

#[test]
fn unlisted_method_is_denied() {
    let confirm = MethodName::try_from("action_confirm").unwrap();
    let cancel = MethodName::try_from("action_cancel").unwrap();
    let listed = Rule {
        methods: vec![confirm.clone()],
        ..rule("*", "sale.order", &[Operation::Call])
    };
    let allowed = |rules: Vec<Rule>, method: &MethodName| {
        let (policy, roles) = policy(rules);
        policy.allow_method(&roles, &instance("a"), &name("sale.order"), method)
    };
    assert_eq!(
        allowed(vec![listed.clone()], &confirm),
        Ok(Domain::default())
    );
    assert!(allowed(vec![listed.clone()], &cancel).is_err());
    assert!(allowed(vec![rule("*", "*", &[Operation::Call])], &confirm).is_err());
    for denied in [rule("*", "sale.*", &[Operation::Call]), listed.clone()] {
        assert!(allowed(vec![listed.clone(), denying(denied)], &confirm).is_err());
    }
    let fields = Rule {
        fields: patterns(&["amount"]),
        ..rule("*", "sale.*", &[Operation::Call])
    };
    assert!(allowed(vec![listed.clone(), denying(fields)], &confirm).is_ok());
    let other = Rule {
        methods: vec![cancel],
        ..listed.clone()
    };
    assert!(allowed(vec![listed, denying(other)], &confirm).is_ok());
}

#[test]
fn wildcard_name_search_skips_hidden_fields_of_protected_model() {
    let star = || reads("*");
    let sought = |users: Rule| {
        let call = Call::name_search(name("res.users"), "joel", &Domain::default(), 9);
        permit_read(vec![star(), users], call)
    };
    // Odoo would search the login too.
    let call = sought(showing("res.users", &["name", "partner_id"])).unwrap();
    assert_eq!(call.get().method().as_str(), "search_read");
    assert_eq!(
        call.get().arguments()["domain"],
        json!([["name", "ilike", "joel"]])
    );
    let by_name = |users: Rule| {
        let domain = json!([["user_id", "ilike", "joel"]]);
        permitted_count_domain(vec![star(), users], "res.partner", &domain).unwrap()
    };
    let only_one = || only(reads("res.users"), &json!([["id", "=", 2]]));
    let sent = by_name(only_one()).to_string();
    assert!(sent.contains(r#"["id","=",2]"#), "{sent}");
    // If all fields are visible, the condition is unchanged.
    assert_eq!(
        by_name(reads("res.users")),
        json!([["user_id", "ilike", "joel"]])
    );
    let whole = permitted_count_domain(
        vec![star(), only_one(), reads("res.users")],
        "res.partner",
        &json!([["user_id", "ilike", "joel"]]),
    );
    assert_eq!(whole.unwrap(), json!([["user_id", "ilike", "joel"]]));
}

#[test]
fn rule_filtering_on_missing_field_does_not_narrow_other_rules() {
    let here = || only(reads("res.partner"), &json!([["company_id", "=", 1]]));
    // Orders have an amount, contacts have none.
    let elsewhere = || only(reads("*"), &json!([["amount", ">", 5]]));
    assert_eq!(
        permitted_count_domain(vec![here(), elsewhere()], "res.partner", &json!([])).unwrap(),
        json!([["company_id", "=", 1]])
    );
    let closed = permitted_count_domain(vec![elsewhere()], "res.partner", &json!([])).unwrap_err();
    assert!(matches!(closed, Forbidden::Operation { .. }), "{closed}");
    // A deny rule whose domain cannot be evaluated denies all records.
    let denied = vec![here(), denying(elsewhere())];
    assert!(permitted_count_domain(denied, "res.partner", &json!([])).is_err());
}

/// The aggregation that groups by these and computes these, in an order.
fn aggregation(
    groupings: &[&str],
    measures: &[(&str, Aggregate)],
    order: &[GroupKey],
) -> Aggregation {
    let measures = measures.iter();
    Aggregation {
        domain: Domain::default(),
        groupings: groupings
            .iter()
            .map(|text| Grouping::parse(text).unwrap())
            .collect(),
        measures: measures
            .map(|(field, function)| Measure::Of(FieldName::try_from(*field).unwrap(), *function))
            .collect(),
        having: Vec::new(),
        order: order
            .iter()
            .map(|key| GroupOrder {
                key: key.clone(),
                descending: false,
            })
            .collect(),
        offset: 0,
        limit: 9,
    }
}

fn permitted_aggregation(
    rules: Vec<Rule>,
    model: &str,
    aggregation: Aggregation,
) -> Result<Value, Forbidden> {
    let permitted = permit_read(rules, Call::aggregate(name(model), aggregation))?;
    Ok(Value::Object(permitted.get().arguments()))
}

fn by_grouping(text: &str) -> GroupKey {
    GroupKey::Grouping(Grouping::parse(text).unwrap())
}

#[test]
fn hidden_field_is_neither_grouped_nor_measured_nor_sorted_by() {
    let hiding = || vec![hiding("*", &["salary"])];
    let salary = FieldName::known("salary");
    let of_salary = Measure::Of(salary.clone(), Aggregate::Max);
    let hidden = || Forbidden::Field {
        model: name("res.partner"),
        field: salary.clone(),
    };
    for grouped in [
        aggregation(&["salary"], &[], &[]),
        aggregation(&["kind"], &[("salary", Aggregate::Sum)], &[]),
        aggregation(&["kind"], &[], &[GroupKey::Measure(of_salary)]),
    ] {
        let refused = permitted_aggregation(hiding(), "res.partner", grouped);
        assert_eq!(refused.unwrap_err(), hidden());
    }
    for path in [
        "partner_id.salary",
        "boss_salary",
        "partner_id.parent_id.salary",
    ] {
        let grouped = aggregation(&[path], &[], &[]);
        let refused = permitted_aggregation(hiding(), "sale.order", grouped);
        assert!(
            matches!(refused, Err(Forbidden::Field { .. })),
            "{path}: {refused:?}"
        );
    }
    let related = aggregation(&[], &[("boss_salary", Aggregate::Avg)], &[]);
    let refused = permitted_aggregation(hiding(), "sale.order", related);
    assert!(
        matches!(refused, Err(Forbidden::Field { .. })),
        "{refused:?}"
    );
    let secret = aggregation(&["access_token"], &[], &[]);
    let refused = permitted_aggregation(vec![reads("*")], "res.partner", secret);
    assert!(
        matches!(refused, Err(Forbidden::Field { .. })),
        "{refused:?}"
    );
}

#[test]
fn groups_contain_only_records_that_show_every_field_used() {
    let rules = || {
        vec![
            showing("res.partner", &["kind", "name"]),
            only(
                showing("res.partner", &["salary"]),
                &json!([["company_id", "=", 1]]),
            ),
            only(reads("sale.order"), &json!([["name", "=", "S1"]])),
        ]
    };
    let sum = aggregation(&["kind"], &[("salary", Aggregate::Sum)], &[]);
    let sent = permitted_aggregation(rules(), "res.partner", sum).unwrap();
    assert_eq!(sent["domain"], json!([["company_id", "=", 1]]));
    let count = aggregation(&["kind"], &[("name", Aggregate::Count)], &[]);
    let sent = permitted_aggregation(rules(), "res.partner", count).unwrap();
    assert_eq!(sent["domain"], json!([]));
    // Orders whose customer hides the salary are in no group.
    let path = aggregation(&["partner_id.salary"], &[], &[]);
    let sent = permitted_aggregation(rules(), "sale.order", path).unwrap();
    assert_eq!(
        sent["domain"],
        json!([
            "&",
            ["name", "=", "S1"],
            "|",
            ["partner_id", "=", false],
            ["partner_id", "any", [["company_id", "=", 1]]]
        ])
    );
}

#[test]
fn groups_that_show_more_than_a_read_are_refused() {
    let refused = |rules: Vec<Rule>, model: &str, path: &'static str| {
        let refused = permitted_aggregation(rules, model, aggregation(&[path], &[], &[]));
        let expected = Forbidden::Grouping {
            model: name(model),
            path: FieldPath::known(path),
        };
        assert_eq!(refused.unwrap_err(), expected, "{path}");
    };
    let all = || vec![reads("*")];
    // Odoo returns the name of the record.
    refused(all(), "sale.order", "id");
    refused(all(), "sale.order", "partner_id.id");
    refused(all(), "res.partner", "order_ids");
    refused(all(), "res.partner", "lead_properties");
    refused(all(), "res.partner", "order_ids.name");
    // A read shows the ids of tags, a group their names.
    let tagged = || aggregation(&["category_id"], &[], &[]);
    assert!(permitted_aggregation(all(), "res.partner", tagged()).is_ok());
    let some = json!([["color", "=", 1]]);
    let some_tags = vec![
        reads("res.partner"),
        only(reads("res.partner.category"), &some),
    ];
    refused(some_tags, "res.partner", "category_id");
    let no_tags = permitted_aggregation(vec![reads("res.partner")], "res.partner", tagged());
    assert!(
        matches!(no_tags, Err(Forbidden::Operation { .. })),
        "{no_tags:?}"
    );
}

#[test]
fn groups_are_sorted_by_linked_records_only_if_all_of_them_are_visible() {
    let order = |keys: &[GroupKey]| aggregation(&["partner_id"], &[], keys);
    let by_link = [by_grouping("partner_id")];
    let sent = permitted_aggregation(vec![reads("*")], "sale.order", order(&by_link)).unwrap();
    assert_eq!(sent["order"], "partner_id");
    let hiding = || vec![hiding("res.partner", &["salary"]), reads("sale.order")];
    let refused = permitted_aggregation(hiding(), "sale.order", order(&by_link));
    assert!(
        matches!(refused, Err(Forbidden::Sorting { .. })),
        "{refused:?}"
    );
    // Without an order, Odoo would sort by the linked records too.
    let sent = permitted_aggregation(hiding(), "sale.order", order(&[])).unwrap();
    assert_eq!(sent["order"], "partner_id:min");
    let by_id = [GroupKey::LinkedId(FieldName::known("partner_id"))];
    let sent = permitted_aggregation(hiding(), "sale.order", order(&by_id)).unwrap();
    assert_eq!(sent["order"], "partner_id:min");
    for key in [
        by_grouping("amount"),
        GroupKey::LinkedId(FieldName::known("boss_salary")),
    ] {
        let refused = permitted_aggregation(vec![reads("*")], "sale.order", order(&[key]));
        assert!(
            matches!(refused, Err(Forbidden::Grouping { .. })),
            "{refused:?}"
        );
    }
}
