//! Where random bytes come from: the system; in the simulator, a seed.

use rand::RngCore;
#[cfg(feature = "simulation")]
use rand::{SeedableRng as _, rngs::StdRng};

/// A source of random bytes. Clones draw from the same source.
#[derive(Debug, Clone)]
pub(crate) enum Draws {
    /// The system's.
    System,
    /// One that repeats itself.
    #[cfg(feature = "simulation")]
    Seeded(std::sync::Arc<std::sync::Mutex<StdRng>>),
}

impl Draws {
    /// A source that gives the same bytes for the same seed.
    #[cfg(feature = "simulation")]
    pub(crate) fn seeded(seed: u64) -> Self {
        Self::Seeded(std::sync::Arc::new(std::sync::Mutex::new(StdRng::seed_from_u64(seed))))
    }
}

impl RngCore for Draws {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.fill_bytes(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill_bytes(&mut bytes);
        u64::from_le_bytes(bytes)
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        match self {
            Self::System => rand::rng().fill_bytes(bytes),
            #[cfg(feature = "simulation")]
            Self::Seeded(rng) => rng.lock().unwrap_or_else(std::sync::PoisonError::into_inner).fill_bytes(bytes),
        }
    }
}
