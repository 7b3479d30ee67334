//! What may be the value of a label.

use std::borrow::Cow;

use super::RequestOutcome;
use crate::telemetry::{ChangeOutcome, ErrorSource, RpcErrorType, TokenLookupOutcome};
use gatepost_base::{CredentialName, InstanceName, ProviderName};
use gatepost_state::{
    limits::{LimitOutcome, LimitScope, LimitStore},
    store::{StoreErrorReason, StoreOperation},
};

/// A value from a closed set: a variant, a configured name, or a word of this
/// program. Texts of requests are none of these, so they cannot become labels.
pub(crate) trait LabelValue {
    /// The value as it is exposed.
    fn label(&self) -> Cow<'_, str>;
}

/// A label that is empty where it does not apply, as `OpenTelemetry`'s conventions
/// want it; our own labels are `none` there.
pub(crate) struct OrEmpty<T>(pub(crate) Option<T>);

impl LabelValue for &'static str {
    fn label(&self) -> Cow<'_, str> {
        Cow::Borrowed(self)
    }
}

impl<T: LabelValue> LabelValue for Option<T> {
    fn label(&self) -> Cow<'_, str> {
        self.as_ref().map_or(Cow::Borrowed("none"), T::label)
    }
}

impl<T: LabelValue> LabelValue for OrEmpty<T> {
    fn label(&self) -> Cow<'_, str> {
        self.0.as_ref().map_or(Cow::Borrowed(""), T::label)
    }
}

impl LabelValue for RpcErrorType {
    fn label(&self) -> Cow<'_, str> {
        Cow::Owned(self.to_string())
    }
}

macro_rules! labels_by_as_str {
    ($($value:ty),* $(,)?) => {
        $(impl LabelValue for $value {
            fn label(&self) -> Cow<'_, str> {
                Cow::Borrowed(self.as_str())
            }
        })*
    };
}

labels_by_as_str!(
    &CredentialName,
    &InstanceName,
    &ProviderName,
    ChangeOutcome,
    ErrorSource,
    LimitOutcome,
    LimitScope,
    LimitStore,
    RequestOutcome,
    StoreErrorReason,
    StoreOperation,
    TokenLookupOutcome,
);
