//! Gives a fuzz body inputs on stable Rust, for `cargo test`: what `cargo fuzz` does better, with coverage, on nightly.
//!
//! Always true: without PRIVYSEAL_SOAK the inputs are the same in every run, as far as the time lets it come; an input
//! that a body does not stand is printed in hexadecimal digits, to become a seed.

use std::panic::{catch_unwind, AssertUnwindSafe};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SHORT: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(600);
const LONGEST: usize = 4096;

/// Calls the body with each seed, and then with seeds that have been changed in up to eight places.
pub fn drive(seeds: &[&[u8]], body: impl Fn(&[u8])) {
    let soak = std::env::var_os("PRIVYSEAL_SOAK").is_some();
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mut numbers = Numbers(if soak { since_1970.as_nanos() as u64 | 1 } else { 0x9e37_79b9_7f4a_7c15 });
    let end = Instant::now() + if soak { LONG } else { SHORT };
    seeds.iter().for_each(|seed| try_one(seed, &body));
    while Instant::now() < end {
        let mut input = numbers.one_of(seeds).to_vec();
        for _ in 0..=numbers.below(8) {
            numbers.change(&mut input, seeds);
        }
        try_one(&input, &body);
    }
}

fn try_one(input: &[u8], body: &impl Fn(&[u8])) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(input))) {
        let digits: String = input.iter().map(|byte| format!("{byte:02x}")).collect();
        eprintln!("the input was {digits}");
        std::panic::resume_unwind(panic);
    }
}

/// xorshift64: all that is wanted of it is that it goes everywhere.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn change(&mut self, input: &mut Vec<u8>, seeds: &[&[u8]]) {
        let (place, length) = (self.below(input.len() + 1), self.below(9));
        let end = (place + length).min(input.len());
        match self.below(6) {
            0 => input.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 1 << (self.0 & 7)),
            1 => input.iter_mut().skip(place).take(1).for_each(|byte| *byte = self.0 as u8),
            2 => drop(input.drain(place..end)),
            3 => drop(input.splice(place..place, self.next().to_le_bytes().into_iter().take(length))),
            4 => input.truncate(place),
            _ => {
                let other = self.one_of(seeds);
                let from = self.below(other.len() + 1);
                let part = &other[from..(from + 4 * length).min(other.len())];
                input.splice(place..end, part.iter().copied());
            }
        }
        input.truncate(LONGEST);
    }
}
