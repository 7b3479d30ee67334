use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Domain, Operand, Term};

fn parsed(value: &Value) -> Result<Value, String> {
    Domain::parse(value)
        .map(|domain| domain.to_json())
        .map_err(|error| error.to_string())
}

#[test]
fn adjacent_conditions_are_joined_by_explicit_and() {
    assert_eq!(
        parsed(&json!([["a", "=", 1], ["b", "=", 2], ["c", "=", 3]])).unwrap(),
        json!(["&", "&", ["a", "=", 1], ["b", "=", 2], ["c", "=", 3]])
    );
    assert_eq!(
        parsed(&json!([
            "|",
            ["a", "=", 1],
            ["b", "=", 2],
            "!",
            ["c", "=", 3]
        ]))
        .unwrap(),
        json!(["&", "|", ["a", "=", 1], ["b", "=", 2], "!", ["c", "=", 3]])
    );
}

#[test]
fn combining_domains_yields_complete_expressions() {
    let of = |value: Value| Domain::parse(&value).unwrap();
    let two = || of(json!([["a", "=", 1], ["b", "=", 2]]));
    let one = || of(json!([["c", "=", 3]]));
    assert_eq!(
        two().and(one()).to_json(),
        json!(["&", "&", ["a", "=", 1], ["b", "=", 2], ["c", "=", 3]])
    );
    assert_eq!(
        one().or(two()).negated().to_json(),
        json!(["!", "|", ["c", "=", 3], "&", ["a", "=", 1], ["b", "=", 2]])
    );
    // The empty domain matches every record.
    let every = Domain::default;
    assert_eq!(every().and(one()), one());
    assert_eq!(one().and(every()), one());
    assert_eq!(one().and(one()), one());
    assert_eq!(one().or(every()), every());
    assert_eq!(one().or(one()), one());
    assert_eq!(every().negated(), Domain::nothing());
    assert!(two().and(one()).implies(&one()) && two().and(one()).implies(&two()));
    assert!(one().and(two()).implies(&two()) && one().implies(&every()));
    assert!(!two().implies(&one()) && !every().implies(&one()));
    assert!(!one().or(two()).implies(&one()) && !one().negated().implies(&one()));
}

#[test]
fn unambiguous_nonstandard_domains_are_accepted() {
    assert_eq!(parsed(&json!([])).unwrap(), json!([]));
    assert_eq!(
        parsed(&json!("[[\"a\", \"=\", 1]]")).unwrap(),
        json!([["a", "=", 1]])
    );
    assert_eq!(
        parsed(&json!(["a", "=", 1])).unwrap(),
        json!([["a", "=", 1]])
    );
    assert_eq!(
        parsed(&json!([["a", "==", null]])).unwrap(),
        json!([["a", "=", false]])
    );
    assert_eq!(
        parsed(&json!([["a", "NOT  IN", [1]]])).unwrap(),
        json!([["a", "not in", [1]]])
    );
    assert_eq!(parsed(&json!([[1, "=", 1]])).unwrap(), json!([[1, "=", 1]]));
    assert_eq!(
        parsed(&json!([["line_ids", "any", [["qty", ">", 1]]]])).unwrap(),
        json!([["line_ids", "any", [["qty", ">", 1]]]])
    );
}

#[test]
fn invalid_domain_error_shows_correct_form() {
    let wrong = [
        json!({"name": "x"}),
        json!("[('name','=','x')]"),
        json!([["name", "equals", "x"]]),
        json!([["name", "="]]),
        json!(["|", ["a", "=", 1]]),
        json!(["or", ["a", "=", 1]]),
        json!([["id", "in", 5]]),
        json!([["id", "=", [5]]]),
        json!([["name", "ilike", false]]),
        json!([["date", ">", null]]),
        json!([["na me", "=", 1]]),
        json!([["name", "=", "a\u{0}b"]]),
        json!([["line_ids", "any", 5]]),
        json!(null),
    ];
    let messages: Vec<String> = wrong
        .iter()
        .map(|value| parsed(value).unwrap_err())
        .collect();
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn oversized_or_deep_domain_is_rejected() {
    let many: Vec<Value> = (0..300).map(|_| json!(["a", "=", 1])).collect();
    let long = parsed(&Value::Array(many)).unwrap_err();
    let mut deep = json!([["a", "=", 1]]);
    for _ in 0..10 {
        deep = json!([["line_ids", "any", deep]]);
    }
    insta::assert_snapshot!([long, parsed(&deep).unwrap_err()].join("\n"), @r"
    the domain is too large: at most 256 terms; split the search
    the domain is too large: at most 4 levels of sub-domains; split the search
    ");
}

/// Arbitrary JSON.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z&|!=<>. ]{0,8}".prop_map(Value::from),
        Just(json!("=")),
        Just(json!("any")),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            inner.prop_map(|value| json!({ "key": value })),
        ]
    })
}

fn well_formed(terms: &[Term]) -> bool {
    let mut owed = 1_i64;
    for term in terms {
        match term {
            Term::And | Term::Or => owed += 1,
            Term::Not => {}
            Term::Constant(_) => owed -= 1,
            Term::Condition(condition) => {
                owed -= 1;
                if let Operand::Domain(domain) = &condition.operand
                    && !well_formed(domain.terms())
                {
                    return false;
                }
            }
        }
    }
    terms.is_empty() || owed == 0
}

proptest! {
    #[test]
    fn accepted_domain_is_well_formed_and_round_trips(value in any_json()) {
        if let Ok(domain) = Domain::parse(&value) {
            prop_assert!(well_formed(domain.terms()));
            prop_assert_eq!(Domain::parse(&domain.to_json()).unwrap(), domain);
        }
    }
}
