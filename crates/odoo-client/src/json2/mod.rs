//! Odoo's JSON/2 (`POST /json/2/<model>/<method>`, Odoo 19 and later).

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use bytes::Bytes;

use super::{CallError, Dialect, OdooApiKey, WireRequest, WireResponse};
use gatepost_odoo::Call;

/// JSON/2 for one database.
#[derive(Clone, Debug)]
pub struct Json2 {
    /// The database, sent as `X-Odoo-Database`.
    pub database: Option<String>,
}

impl Dialect for Json2 {
    fn encode(&self, call: &Call, key: &OdooApiKey) -> Result<WireRequest, CallError> {
        encode::encode(call, key, self.database.as_deref())
    }

    fn decode(&self, response: WireResponse) -> Result<Bytes, CallError> {
        decode::decode(&response)
    }
}
