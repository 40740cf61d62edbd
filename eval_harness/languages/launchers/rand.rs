//! `rand` with the calls of its versions before 0.8, for which benchmarks were written.

pub use newer::{
    distributions, random, rngs, seq, thread_rng, CryptoRng, Error, RngCore, SeedableRng,
};

use distributions::uniform::SampleUniform;
use distributions::{Distribution, Standard};

/// Methods of every source of random numbers.
pub trait Rng: RngCore {
    /// A value of the standard distribution of its type.
    fn gen<T>(&mut self) -> T
    where
        Standard: Distribution<T>,
    {
        Standard.sample(self)
    }

    /// A value from `low` up to and without `high`.
    fn gen_range<T: SampleUniform + PartialOrd>(&mut self, low: T, high: T) -> T {
        newer::Rng::gen_range(self, low..high)
    }

    /// True with probability `p`.
    fn gen_bool(&mut self, p: f64) -> bool {
        newer::Rng::gen_bool(self, p)
    }

    /// A value of a distribution.
    fn sample<T, D: Distribution<T>>(&mut self, distribution: D) -> T {
        distribution.sample(self)
    }
}

impl<R: RngCore + ?Sized> Rng for R {}

/// What programs import at once.
pub mod prelude {
    pub use crate::distributions::Distribution;
    pub use crate::rngs::{SmallRng, StdRng, ThreadRng};
    pub use crate::seq::SliceRandom;
    pub use crate::{random, thread_rng, CryptoRng, Rng, RngCore, SeedableRng};
}
