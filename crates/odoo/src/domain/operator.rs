//! The operators of a condition.

/// How a condition compares (Odoo 19, `odoo/orm/domains.py`,
/// `CONDITION_OPERATORS`, without the deprecated spellings).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Operator {
    /// A related record matches the sub-domain.
    Any,
    /// The record or one below it in the hierarchy.
    ChildOf,
    /// Equal.
    Equal,
    /// Equal text with `%` and `_` as wild cards, without regard to case.
    EqualIlike,
    /// Equal text with `%` and `_` as wild cards.
    EqualLike,
    /// Greater.
    Greater,
    /// Greater or equal.
    GreaterOrEqual,
    /// Contains the text, without regard to case.
    Ilike,
    /// One of a list.
    In,
    /// Less.
    Less,
    /// Less or equal.
    LessOrEqual,
    /// Contains the text.
    Like,
    /// No related record matches the sub-domain.
    NotAny,
    /// Not equal.
    NotEqual,
    /// Not equal text with wild cards, without regard to case.
    NotEqualIlike,
    /// Not equal text with wild cards.
    NotEqualLike,
    /// Does not contain the text, without regard to case.
    NotIlike,
    /// None of a list.
    NotIn,
    /// Does not contain the text.
    NotLike,
    /// The record or one above it in the hierarchy.
    ParentOf,
}

/// What an operator requires on its right side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OperandKind {
    /// A domain on the related model.
    Domain,
    /// An id, a list of ids, or a name.
    Hierarchy,
    /// A list of values.
    List,
    /// One value, `false` for an empty field.
    Scalar,
    /// A number or text: neither a boolean nor empty.
    Sortable,
    /// A text that the field contains, or a pattern.
    Text,
}

/// Every operator with its spelling.
const SPELLINGS: [(Operator, &str); 20] = [
    (Operator::Equal, "="),
    (Operator::NotEqual, "!="),
    (Operator::Less, "<"),
    (Operator::LessOrEqual, "<="),
    (Operator::Greater, ">"),
    (Operator::GreaterOrEqual, ">="),
    (Operator::In, "in"),
    (Operator::NotIn, "not in"),
    (Operator::Ilike, "ilike"),
    (Operator::NotIlike, "not ilike"),
    (Operator::Like, "like"),
    (Operator::NotLike, "not like"),
    (Operator::EqualIlike, "=ilike"),
    (Operator::EqualLike, "=like"),
    (Operator::NotEqualIlike, "not =ilike"),
    (Operator::NotEqualLike, "not =like"),
    (Operator::ChildOf, "child_of"),
    (Operator::ParentOf, "parent_of"),
    (Operator::Any, "any"),
    (Operator::NotAny, "not any"),
];

impl Operator {
    /// The operator as Odoo spells it.
    pub fn as_str(self) -> &'static str {
        SPELLINGS
            .iter()
            .find(|(operator, _)| *operator == self)
            .map_or("=", |(_, spelling)| *spelling)
    }

    /// The operator of a spelling. Upper case, double spaces and the common
    /// spellings `==` and `<>` are accepted.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .to_lowercase();
        let text = match text.as_str() {
            "==" => "=",
            "<>" => "!=",
            other => other,
        };
        SPELLINGS
            .iter()
            .find(|(_, spelling)| *spelling == text)
            .map(|(operator, _)| *operator)
    }

    /// All spellings, for an error text.
    pub(super) fn all() -> String {
        SPELLINGS
            .map(|(_, spelling)| format!("`{spelling}`"))
            .join(", ")
    }

    /// The operator without its negation, and whether it was negated: `not in`
    /// is (`in`, `true`).
    pub fn without_negation(self) -> (Self, bool) {
        let positive = match self {
            Self::NotAny => Self::Any,
            Self::NotEqual => Self::Equal,
            Self::NotEqualIlike => Self::EqualIlike,
            Self::NotEqualLike => Self::EqualLike,
            Self::NotIlike => Self::Ilike,
            Self::NotIn => Self::In,
            Self::NotLike => Self::Like,
            Self::Any
            | Self::ChildOf
            | Self::Equal
            | Self::EqualIlike
            | Self::EqualLike
            | Self::Greater
            | Self::GreaterOrEqual
            | Self::Ilike
            | Self::In
            | Self::Less
            | Self::LessOrEqual
            | Self::Like
            | Self::ParentOf => self,
        };
        (positive, positive != self)
    }

    /// What its right side must be.
    pub fn operand_kind(self) -> OperandKind {
        match self {
            Self::Any | Self::NotAny => OperandKind::Domain,
            Self::ChildOf | Self::ParentOf => OperandKind::Hierarchy,
            Self::In | Self::NotIn => OperandKind::List,
            Self::Equal | Self::NotEqual => OperandKind::Scalar,
            Self::Greater | Self::GreaterOrEqual | Self::Less | Self::LessOrEqual => {
                OperandKind::Sortable
            }
            Self::EqualIlike
            | Self::EqualLike
            | Self::Ilike
            | Self::Like
            | Self::NotEqualIlike
            | Self::NotEqualLike
            | Self::NotIlike
            | Self::NotLike => OperandKind::Text,
        }
    }
}
