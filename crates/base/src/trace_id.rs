//! The number of one request, ours.

use std::fmt;

/// The number under which one request stands in log, audit and error answers.
///
/// 32 lower-case hex digits, in the form of a W3C trace id (Trace Context,
/// section 3.2.2.3), so that a trace can carry the same number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

impl TraceId {
    /// A fresh random number; never zero, which the standard forbids.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0_u8; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self(u128::from_ne_bytes(bytes).max(1)))
    }

    /// A given number, for tests and for traces that came from elsewhere.
    pub fn new(number: u128) -> Self {
        Self(number.max(1))
    }

    /// The sixteen bytes, the highest first.
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
