use super::super::{DenialHint, Forbidden, Pattern};
use gatepost_odoo::{FieldName, FieldPath, MethodName, ModelName, Operation, RecordId};

/// One example of each variant, and of each part that its text depends on.
fn one_of_each() -> Vec<Forbidden> {
    let model = || ModelName::known("sale.order");
    let field = || FieldName::known("partner_id");
    let path = || FieldPath::known("partner_id.country_id");
    let method = || MethodName::known("action_confrm");
    let ids = (1..=22).map(|id| RecordId::try_from(id).unwrap()).collect();
    let undecidable = |operation, hint| Forbidden::Undecidable {
        model: model(),
        operation,
        field: path(),
        hint,
    };
    vec![
        Forbidden::Arguments {
            model: model(),
            method: method(),
            why: "`kind` must be one of \"a\"".to_owned(),
        },
        Forbidden::Commands {
            model: model(),
            field: "order_line".to_owned(),
        },
        Forbidden::ExternalIds(model()),
        Forbidden::Field {
            model: model(),
            field: field(),
        },
        Forbidden::Grouping {
            model: model(),
            path: path(),
        },
        Forbidden::Hierarchy(model()),
        Forbidden::Instance(gatepost_base::InstanceName::try_from("production").unwrap()),
        Forbidden::Linking {
            model: model(),
            field: field(),
        },
        Forbidden::LinkingByName {
            model: model(),
            field: field(),
        },
        Forbidden::LinkingUntyped {
            model: model(),
            field: field(),
        },
        Forbidden::Method {
            model: model(),
            method: method(),
            near: None,
        },
        Forbidden::Method {
            model: model(),
            method: method(),
            near: Some(MethodName::known("action_confirm")),
        },
        Forbidden::Method {
            model: model(),
            method: MethodName::known("read_group"),
            near: None,
        },
        Forbidden::Method {
            model: model(),
            method: MethodName::known("unlink"),
            near: None,
        },
        Forbidden::NameSearch(model()),
        Forbidden::Operation {
            model: model(),
            operation: Operation::Read,
        },
        Forbidden::Operation {
            model: model(),
            operation: Operation::Call,
        },
        Forbidden::OutsideAfterWrite {
            model: model(),
            operation: Operation::Create,
            field: path(),
        },
        Forbidden::Path {
            model: model(),
            path: path(),
        },
        Forbidden::Records {
            model: model(),
            operation: Operation::Write,
            ids,
        },
        Forbidden::Sorting {
            model: model(),
            field: field(),
        },
        undecidable(Operation::Write, DenialHint::LeaveOut(field())),
        undecidable(Operation::Write, DenialHint::None),
        undecidable(Operation::Create, DenialHint::OwningList),
        undecidable(Operation::Create, DenialHint::SeparateCall(field())),
        undecidable(Operation::Write, DenialHint::SeparateCall(field())),
        undecidable(Operation::Write, DenialHint::Value),
        Forbidden::Writing {
            model: model(),
            field: field(),
        },
    ]
}

#[test]
fn every_refusal_says_what_to_do_instead() {
    let texts: Vec<String> = one_of_each().iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(texts.join("\n"));
}

#[test]
fn every_kind_of_refusal_is_in_the_list_of_kinds() {
    let mut kinds: Vec<&str> = one_of_each().iter().map(Forbidden::kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut words = Forbidden::WORDS;
    words.sort_unstable();
    assert_eq!(kinds, words);
}

#[test]
fn invalid_pattern_error_shows_correct_form() {
    insta::assert_snapshot!(
        Pattern::parse("sale.*.x").unwrap_err(),
        @"`sale.*.x` is not a pattern; write a name such as `sale.order`, or a prefix with one `*` at the end such as `sale.*`"
    );
}
