//! Numbers that must not be mistaken for one another.

use serde::{Deserialize, Serialize};

/// Position of a leaf in the chain's one log, counted from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LeafIndex(pub u64);

/// Number of a block; genesis is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Height(pub u64);

impl Height {
    /// The height after this one.
    pub fn next(self) -> Height {
        Height(self.0.checked_add(1).expect("a chain never makes 2^64 blocks"))
    }
}

/// How strongly a model means its verdict, in parts per million: 0 ..= 1,000,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Score(u32);

impl Score {
    /// The largest score.
    pub const MAX: Score = Score(1_000_000);

    /// None above one million.
    pub fn from_ppm(ppm: u32) -> Option<Score> {
        (ppm <= Self::MAX.0).then_some(Score(ppm))
    }

    /// What lies above one million becomes one million.
    pub fn saturating_from_ppm(ppm: u32) -> Score {
        Score(ppm.min(Self::MAX.0))
    }

    /// Parts per million.
    pub fn ppm(self) -> u32 {
        self.0
    }
}

macro_rules! plain_display {
    ($($name:ty),*) => {$(
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(&self.0, f)
            }
        }
    )*};
}
plain_display!(LeafIndex, Height);

impl std::fmt::Display for Score {
    /// As a fraction of one with six digits, e.g. `0.934000`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}
