//! What every name in Odoo's vocabulary can do, written once.

/// Gives a `struct Name(Arc<str>)` its conversions and a constructor for the
/// names that this program writes itself.
macro_rules! odoo_name {
    ($name:ident, $error:ident) => {
        gatepost_base::checked_name!($name, $error);

        impl $name {
            /// A name that this program writes itself, so that it is correct.
            pub fn known(text: &'static str) -> Self {
                debug_assert!(Self::check(text), "not a {}: {text}", stringify!($name));
                Self(std::sync::Arc::from(text))
            }
        }
    };
}
pub(crate) use odoo_name;

/// Whether the text is an ASCII identifier of Python, of at most 128 bytes.
pub(crate) fn is_identifier(text: &str) -> bool {
    text.len() <= 128
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
