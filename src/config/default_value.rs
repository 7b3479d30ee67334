//! Default values that a key's serde attribute states, such as
//! `#[serde(default = "default_value::u64::<3_000>")]`.

pub(super) fn u32<const VALUE: u32>() -> u32 {
    VALUE
}

pub(super) fn u64<const VALUE: u64>() -> u64 {
    VALUE
}

pub(super) fn usize<const VALUE: usize>() -> usize {
    VALUE
}
