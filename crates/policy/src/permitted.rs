//! The proof that policy permitted something.

/// Something that policy permitted. Only this crate constructs one, so a
/// function that takes one cannot be reached around the policy.
///
/// ```compile_fail,E0423
/// let forged = gatepost_policy::Permitted(1);
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Permitted<T>(T);

impl<T> Permitted<T> {
    pub(super) fn by_policy(what: T) -> Self {
        Self(what)
    }

    /// What policy permitted.
    pub fn get(&self) -> &T {
        &self.0
    }
}
