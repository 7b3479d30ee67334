//! What may be done: roles, grants, and the only maker of `Permitted`.
