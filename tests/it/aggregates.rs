//! The tool `aggregate_records` in front of the sample company.

use odoo_sim::{ADMIN_KEY, SALES_KEY};
use serde_json::{Value, json};

use crate::test_gateway::TestGateway;

/// A gateway whose caller has these rules.
fn stage(rules: &str) -> TestGateway {
    TestGateway::with_key(
        ADMIN_KEY,
        &[
            ("GATEPOST_SERVER__ANONYMOUS_ROLE", "reader"),
            ("GATEPOST_ROLES__READER__RULES", rules),
        ],
    )
}

fn aggregate(stage: &TestGateway, arguments: &Value) -> String {
    let (text, failed) = stage.call("aggregate_records", arguments);
    assert!(!failed, "{text}");
    text
}

fn refusal(stage: &TestGateway, arguments: &Value) -> String {
    let (text, failed) = stage.call("aggregate_records", arguments);
    assert!(failed, "{text}");
    text
}

/// The bodies of the requests for groups that Odoo received.
fn sent(stage: &TestGateway) -> Vec<Value> {
    let calls = stage.fake_odoo.calls();
    let groups = calls.iter();
    groups
        .filter(|call| call.path.ends_with("/formatted_read_group"))
        .map(|call| call.body.clone())
        .collect()
}

/// The lines before the one that says what the result covers.
fn result(text: &str) -> &str {
    text.split("\n(companies:").next().unwrap()
}

#[test]
fn groups_have_a_total_for_each_currency_and_amounts_are_not_mixed() {
    let stage = TestGateway::anonymous();
    let text = aggregate(
        &stage,
        &json!({"model": "sale.order", "group_by": ["state"], "measures": ["count", "amount_total:sum"]}),
    );
    insta::assert_snapshot!(result(&text));
    let sent = sent(&stage);
    let [page, total] = sent.as_slice() else {
        panic!("{sent:?}")
    };
    assert_eq!(
        *page,
        json!({
            "aggregates": ["__count", "amount_total:sum"],
            "context": {"allowed_company_ids": [1, 2]}, "domain": [],
            "groupby": ["state", "currency_id"], "limit": 51,
            "order": "__count desc nulls last, state, currency_id:min",
        })
    );
    assert_eq!(total["groupby"], json!(["currency_id"]));
    assert_eq!(total["domain"], page["domain"]);
}

#[test]
fn one_currency_is_named_once() {
    let stage = TestGateway::with_key(SALES_KEY, &[("GATEPOST_SERVER__ANONYMOUS_ROLE", "reader")]);
    let text = aggregate(
        &stage,
        &json!({"model": "sale.order", "group_by": "state", "measures": "sum(amount_total)", "domain": [["company_id", "=", 1]]}),
    );
    insta::assert_snapshot!(result(&text));
    let text = aggregate(
        &stage,
        &json!({"model": "sale.order", "measures": ["amount_total", "amount_total:mean", "count"], "domain": [["company_id", "=", 1]]}),
    );
    insta::assert_snapshot!(result(&text));
}

#[test]
fn dates_are_grouped_in_the_time_zone_of_the_user() {
    let stage = TestGateway::anonymous();
    let months = json!({"model": "sale.order", "group_by": ["date_order"]});
    let text = aggregate(&stage, &months);
    assert!(text.starts_with("date_order:month | count\n20"), "{text}");
    assert!(text.contains("periods are in Europe/Brussels"), "{text}");
    let mut elsewhere = months;
    elsewhere["context"] = json!({"tz": "Asia/Tokyo"});
    assert!(aggregate(&stage, &elsewhere).contains("periods are in Asia/Tokyo"));
    let zones: Vec<Value> = sent(&stage)
        .iter()
        .map(|body| body["context"]["tz"].clone())
        .collect();
    let zones: Vec<&str> = zones.iter().filter_map(Value::as_str).collect();
    assert_eq!(
        zones,
        [
            "Europe/Brussels",
            "Europe/Brussels",
            "Asia/Tokyo",
            "Asia/Tokyo"
        ]
    );
    assert!(
        sent(&stage)
            .iter()
            .all(|body| body["context"]["tz"].is_string())
    );
}

#[test]
fn pages_of_groups_have_no_gap_and_cursor_is_bound_to_its_search() {
    let stage = TestGateway::anonymous();
    let mut arguments = json!({"model": "res.partner", "group_by": ["name"], "limit": 7});
    let mut groups = Vec::new();
    for _ in 0..20 {
        let text = aggregate(&stage, &arguments);
        groups.extend(
            text.lines()
                .skip(1)
                .filter(|line| line.contains(" | "))
                .map(str::to_owned),
        );
        let Some(next) = text.split("cursor `").nth(1) else {
            break;
        };
        arguments["cursor"] = json!(next.split('`').next().unwrap());
    }
    let mut unique = groups.clone();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!((groups.len(), unique.len()), (37, 37));
    arguments["measures"] = json!(["color:sum"]);
    refusal(
        &stage,
        &json!({"model": "crm.lead", "group_by": ["stage_id"], "cursor": arguments["cursor"]}),
    );
}

#[test]
fn groups_are_filtered_and_ordered_by_measures() {
    let stage = TestGateway::anonymous();
    let text = aggregate(
        &stage,
        &json!({
            "model": "crm.lead", "group_by": ["stage_id", "partner_id.country_id"],
            "measures": ["expected_revenue:sum", "probability:avg", "partner_id:count_distinct"],
            "having": [["count", ">", "2"]], "order": "expected_revenue desc", "limit": 3,
        }),
    );
    insta::assert_snapshot!(result(&text));
}

#[test]
fn no_record_and_no_group_are_said_plainly() {
    let stage = TestGateway::anonymous();
    let none = json!([["id", "=", 0]]);
    for (arguments, said) in [
        (
            json!({"model": "sale.order", "domain": none}),
            "No record matches.",
        ),
        (
            json!({"model": "sale.order", "domain": none, "group_by": ["state"]}),
            "No record matches.",
        ),
        (
            json!({"model": "sale.order", "group_by": ["state"], "having": [["count", ">", 999]]}),
            "No group matches.",
        ),
    ] {
        let text = aggregate(&stage, &arguments);
        assert_eq!(result(&text), said);
    }
}

#[test]
fn invalid_aggregates_are_refused_before_the_call_with_what_is_valid() {
    let stage = TestGateway::anonymous();
    let sale = |more: Value| {
        let mut arguments = json!({"model": "sale.order"});
        arguments
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        arguments
    };
    let refusals = [
        sale(json!({"group_by": ["stat"]})),
        sale(json!({"group_by": ["date_order:fortnight"]})),
        sale(json!({"group_by": ["validity_date:hour"]})),
        sale(json!({"group_by": ["state:month"]})),
        sale(json!({"group_by": ["order_line"]})),
        sale(json!({"group_by": ["id"]})),
        sale(json!({"group_by": ["message_is_follower"]})),
        sale(json!({"group_by": ["state.name"]})),
        sale(json!({"group_by": ["partner_id.contry_id"]})),
        sale(json!({"measures": ["amount_totl:sum"]})),
        sale(json!({"measures": ["amount_total:median"]})),
        sale(json!({"measures": ["state:sum"]})),
        sale(json!({"measures": ["id"]})),
        sale(json!({"measures": ["order_line:count"]})),
        sale(json!({"group_by": ["state"], "order": "partner_id"})),
        sale(json!({"group_by": ["state"], "order": "count up"})),
        sale(json!({"having": [["count", "~", 1]]})),
        sale(json!({"limit": 501})),
    ]
    .map(|arguments| refusal(&stage, &arguments));
    insta::assert_snapshot!(refusals.join("\n"));
    assert_eq!(sent(&stage), Vec::<Value>::new());
}

#[test]
fn hidden_field_is_indistinguishable_from_a_missing_one_in_aggregates() {
    let hidden = r#"[{ models = ["*"], hidden_fields = ["email*", "phone"] }]"#;
    let stage = stage(hidden);
    for arguments in [
        json!({"model": "res.partner", "group_by": ["FIELD"]}),
        json!({"model": "res.partner", "measures": ["FIELD:count_distinct"]}),
        json!({"model": "res.partner", "group_by": ["name"], "order": "FIELD:max desc"}),
        json!({"model": "res.partner", "group_by": ["name"], "having": [["FIELD:count", ">", 1]]}),
        json!({"model": "res.partner", "domain": [["FIELD", "ilike", "a"]]}),
        json!({"model": "sale.order", "group_by": ["partner_id.FIELD"]}),
    ] {
        let message = |field: &str| {
            let arguments = arguments.to_string().replace("FIELD", field);
            refusal(&stage, &serde_json::from_str(&arguments).unwrap()).replace(field, "FIELD")
        };
        assert_eq!(message("phone"), message("qqqqq"), "{arguments}");
    }
    assert_eq!(sent(&stage), Vec::<Value>::new());
}

/// It fails if a call for groups bypasses the policy.
#[test]
fn record_domain_holds_for_groups_and_totals() {
    let stage = stage(
        r#"[{ models = ["sale.order"], domain = [["state","=","sale"]] }, { models = ["res.currency"] }]"#,
    );
    let text = aggregate(
        &stage,
        &json!({"model": "sale.order", "group_by": ["company_id"], "measures": ["amount_total:sum", "count"]}),
    );
    insta::assert_snapshot!(result(&text));
    let bodies = sent(&stage);
    assert_eq!(bodies.len(), 2);
    for body in bodies {
        assert_eq!(body["domain"], json!([["state", "=", "sale"]]));
    }
    let state = aggregate(
        &stage,
        &json!({"model": "sale.order", "group_by": ["state"]}),
    );
    assert!(state.starts_with("state | count\nsale | "), "{state}");
    assert!(!state.contains("cancel"), "{state}");
}

#[test]
fn records_that_hide_a_field_are_left_out_and_that_is_said() {
    let stage = stage(
        r#"[{ models = ["sale.order"], hidden_fields = ["amount*"] },
            { models = ["sale.order"], fields = ["amount_total"], domain = [["company_id","=",2]] }]"#,
    );
    let text = aggregate(
        &stage,
        &json!({"model": "sale.order", "measures": ["amount_total:sum", "count"]}),
    );
    insta::assert_snapshot!(result(&text));
    assert_eq!(sent(&stage)[0]["domain"], json!([["company_id", "=", 2]]));
}

#[test]
fn records_left_out_because_of_condition_order_or_path_are_mentioned() {
    let of_one_company = |field: &str| {
        format!(
            r#"[{{ models = ["sale.order", "res.partner"], hidden_fields = ["{field}"] }},
                {{ models = ["sale.order"], fields = ["{field}"], domain = [["company_id","=",2]] }}]"#
        )
    };
    let hidden_amount = of_one_company("amount_untaxed");
    let hidden_country = r#"[{ models = ["sale.order"] }, { models = ["res.partner"], hidden_fields = ["country_id"] },
            { models = ["res.partner"], fields = ["country_id"], domain = [["is_company","=",true]] },
            { models = ["res.country"] }]"#;
    let hidden_partners = r#"[{ models = ["sale.order"] }, { models = ["res.country"] },
            { models = ["res.partner"], domain = [["is_company","=",true]] }]"#;
    let country = json!({"group_by": ["partner_id.country_id"]});
    for (rules, more, path) in [
        (
            &*hidden_amount,
            json!({"group_by": ["partner_id"], "having": [["amount_untaxed:max", ">", 0]]}),
            "amount_untaxed",
        ),
        (
            &*hidden_amount,
            json!({"group_by": ["partner_id"], "order": "amount_untaxed:max desc"}),
            "amount_untaxed",
        ),
        (hidden_country, country.clone(), "partner_id.country_id"),
        (hidden_partners, country, "partner_id.country_id"),
    ] {
        let stage = stage(rules);
        let mut arguments = more;
        arguments["model"] = json!("sale.order");
        let text = aggregate(&stage, &arguments);
        let remark =
            format!("records that hide `{path}` from you are in no group, but in the total");
        assert!(text.contains(&remark), "{arguments}: {text}");
        let bodies = sent(&stage);
        assert_ne!(bodies[0]["domain"], json!([]), "{arguments}");
        assert_eq!(bodies[1]["domain"], json!([]), "{arguments}");
        // One group has no total, unless others were filtered out.
        if arguments.get("having").is_none() {
            arguments["domain"] = json!([["id", "=", 1]]);
            let text = aggregate(&stage, &arguments);
            let remark = format!("records that hide `{path}` from you are left out");
            assert!(text.contains(&remark), "{arguments}: {text}");
        }
    }
}

#[test]
fn records_that_hide_the_currency_are_not_said_to_be_in_the_total() {
    let stage = stage(
        r#"[{ models = ["sale.order"], hidden_fields = ["currency_id"] },
            { models = ["sale.order"], fields = ["currency_id"], domain = [["company_id","=",2]] }]"#,
    );
    let text = aggregate(
        &stage,
        &json!({"model": "sale.order", "group_by": ["partner_id"], "measures": ["amount_total:sum"]}),
    );
    assert!(
        text.contains("records that hide `currency_id` from you are left out"),
        "{text}"
    );
    let bodies = sent(&stage);
    assert_eq!(bodies[1]["domain"], json!([["company_id", "=", 2]]));
}

#[test]
fn order_by_a_link_is_total_even_where_links_are_equal() {
    let stage = TestGateway::anonymous();
    let arguments =
        json!({"model": "crm.lead", "group_by": ["partner_id"], "order": "partner_id desc"});
    aggregate(&stage, &arguments);
    assert_eq!(sent(&stage)[0]["order"], "partner_id desc, partner_id:min");
}

#[test]
fn hidden_currency_is_said_where_amounts_are_added() {
    let stage = stage(r#"[{ models = ["sale.order"], hidden_fields = ["currency_id"] }]"#);
    let text = aggregate(
        &stage,
        &json!({"model": "sale.order", "measures": ["amount_total:sum"]}),
    );
    assert!(
        text.contains("the currency of `amount_total` cannot be grouped by or seen, so amounts of different currencies may be added here"),
        "{text}"
    );
    assert_eq!(sent(&stage)[0]["groupby"], json!([]));
}

#[test]
fn series_of_periods_is_filled_within_the_days_of_the_domain() {
    let stage = TestGateway::anonymous();
    let series = json!({
        "model": "sale.order", "group_by": ["date_order:year"], "fill": true,
        "domain": [["date_order", ">=", "2019-05-01"], ["id", "=", 1]],
    });
    let text = aggregate(&stage, &series);
    let years = text.lines().skip(1).take_while(|line| line.contains(" | "));
    let years: Vec<&str> = years.collect();
    assert_eq!(years[..2], ["2019 | 0", "2020 | 0"], "{text}");
    assert!(
        years.len() > 6 && years.last().unwrap().ends_with(" | 1"),
        "{text}"
    );
    assert!(text.contains("\ntotal: count=1\n"), "{text}");
    for (group_by, more) in [
        (json!(["state"]), json!({})),
        (json!(["date_order:hour"]), json!({})),
        (json!(["date_order:month"]), json!({"order": "count desc"})),
        (
            json!(["date_order:month"]),
            json!({"having": [["count", ">", 1]]}),
        ),
        (json!(["date_order:day"]), json!({"limit": 2})),
    ] {
        let mut arguments = json!({"model": "sale.order", "group_by": group_by, "fill": true});
        arguments
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        assert!(refusal(&stage, &arguments).contains("`fill`"));
    }
}
