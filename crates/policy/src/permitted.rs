//! The proof that policy let something through.

/// Something that policy let through. Only `policy` makes one, so a function
/// that takes one cannot be reached around it.
///
/// ```compile_fail
/// let forged = gatepost::policy::Permitted(1);
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Permitted<T>(T);

impl<T> Permitted<T> {
    pub(super) fn by_policy(what: T) -> Self {
        Self(what)
    }

    /// What was let through.
    pub fn get(&self) -> &T {
        &self.0
    }
}
