//! The id of a request.

use std::fmt;

/// The id of a request in log, audit record and error response.
///
/// 32 lower-case hexadecimal digits, never zero: a W3C trace id (Trace Context,
/// section 3.2.2.3), so that traces have the same id.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

impl TraceId {
    /// A random id.
    ///
    /// # Errors
    /// If the operating system provides no randomness.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(u128::from_ne_bytes(bytes).max(1)))
    }

    /// The id with this number, for tests and for incoming traces.
    pub fn new(number: u128) -> Self {
        Self(number.max(1))
    }

    /// The sixteen bytes in network order.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceId({self})")
    }
}
