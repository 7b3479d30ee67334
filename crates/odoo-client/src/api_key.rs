//! The API key of an Odoo user.

/// The API key with which calls act as an Odoo user.
///
/// It has no `Display` and cannot be serialized; `Debug` does not show it.
#[derive(Clone)]
pub struct OdooApiKey(String);

impl OdooApiKey {
    /// A key from the configuration, without surrounding white space.
    pub fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

gatepost_base::opaque_debug!(OdooApiKey);
