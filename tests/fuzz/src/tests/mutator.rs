//! Changes seeds a little, the same way each time.

/// The largest input, in bytes.
const MAX_BYTES: usize = 16 * 1024;

/// Bytes that end or begin something in the formats of the inputs.
const SPECIAL: &[u8] = b"\"\\{}[],:.-+0919eE \n\t\r\0&|!*/~%\xff\xc3\xa9";

/// Makes inputs of seeds.
pub(super) struct Mutator {
    seeds: Vec<Vec<u8>>,
    state: u64,
}

impl Mutator {
    pub(super) fn new(seeds: Vec<Vec<u8>>) -> Self {
        Self {
            seeds,
            state: 0x9E37_79B9_7F4A_7C15,
        }
    }

    /// A seed with one to eight changes.
    pub(super) fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.some_seed();
        for _ in 0..=self.below(8) {
            self.mutate(&mut input);
        }
        input.truncate(MAX_BYTES);
        input
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let start = self.below(input.len() + 1);
        let end = (start + 1 + self.below(16)).min(input.len());
        match self.below(6) {
            0 => drop(input.drain(start..end)),
            1 => {
                input.insert(start, SPECIAL[self.below(SPECIAL.len())]);
            }
            2 => {
                if let Some(byte) = input.get_mut(start) {
                    *byte ^= 1 << self.below(8);
                }
            }
            // Repeats a part, up to 64 times.
            3 => {
                let part = input.get(start..end).unwrap_or_default();
                let part = part.repeat(1 << self.below(7));
                input.splice(start..start, part);
            }
            // Takes a part of another seed, instead of a part or in addition.
            kind => {
                let other = self.some_seed();
                let from = self.below(other.len() + 1);
                let to = (from + 1 + self.below(64)).min(other.len());
                let part = other.get(from..to).unwrap_or_default().to_vec();
                let end = if kind == 4 { start } else { end };
                input.splice(start..end, part);
            }
        }
    }

    fn some_seed(&mut self) -> Vec<u8> {
        let which = self.below(self.seeds.len());
        self.seeds.get(which).cloned().unwrap_or_default()
    }

    /// A pseudorandom number below this (xorshift).
    fn below(&mut self, limit: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        let limit = u64::try_from(limit).unwrap();
        usize::try_from(self.state % limit).unwrap()
    }
}
