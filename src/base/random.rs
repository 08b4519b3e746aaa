//! The only source of randomness: the operating system's generator.

/// Hands out random bytes. An argument like the clock, so that who needs randomness says so.
#[derive(Clone, Copy, Debug)]
pub struct Random(());

impl Random {
    /// The operating system's generator.
    pub const fn system() -> Self {
        Self(())
    }

    /// `N` bytes that nobody can foretell.
    ///
    /// # Panics
    /// Where the operating system has no randomness to give: nothing that this program does is safe then, so
    /// the request fails closed.
    #[expect(clippy::disallowed_methods, reason = "the one place where randomness is drawn")]
    pub fn bytes<const N: usize>(self) -> [u8; N] {
        let mut bytes = [0; N];
        getrandom::fill(&mut bytes).expect("the operating system gives randomness");
        bytes
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_two_draws_are_alike() {
        let draws: HashSet<[u8; 16]> = (0..1000).map(|_| Random::system().bytes()).collect();
        assert_eq!(draws.len(), 1000);
    }
}
