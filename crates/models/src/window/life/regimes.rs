//! What sensors show in each operating regime: what an engine is compared with, so that a descent is not taken for wear.

/// Settings of a row: those of C-MAPSS are altitude in 1,000 ft, Mach number, throttle resolver angle in %.
pub const SETTINGS: usize = 3;
/// How far settings of one regime lie apart at most, in their units.
pub const SAME_REGIME: [f64; SETTINGS] = [1.0, 0.02, 1.0];
/// The most regimes there are.
pub const MAX_REGIMES: usize = 16;
/// The most sensors of a row.
pub const MAX_SENSORS: usize = 200;
/// A sensor counts as at most this many deviations: one that fails must not outweigh all others.
const MOST_DEVIATIONS: f64 = 10.0;

/// Rows of nearly the same settings: mean and deviation of each sensor, the latter 0 where it stands still.
#[derive(Debug, Clone, PartialEq)]
pub struct Regime {
    /// Of its first row.
    pub settings: [f64; SETTINGS],
    pub mean: Vec<f64>,
    pub deviation: Vec<f64>,
}

/// The regimes that training saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Regimes {
    regimes: Vec<Regime>,
    /// Sensors that vary in some regime.
    moving: Vec<usize>,
}

/// The regime with the nearest settings, measured in [`SAME_REGIME`].
pub fn nearest(regimes: &[Regime], settings: &[f64; SETTINGS]) -> Option<usize> {
    let apart = |regime: &Regime| {
        let each = settings.iter().zip(&regime.settings).zip(SAME_REGIME);
        each.map(|((a, b), unit)| ((a - b) / unit) * ((a - b) / unit)).sum::<f64>()
    };
    (0..regimes.len()).min_by(|&a, &b| apart(&regimes[a]).total_cmp(&apart(&regimes[b])))
}

impl Regimes {
    /// `None` where there are none or too many, of different widths, or with numbers that no training gives.
    pub fn new(regimes: Vec<Regime>) -> Option<Self> {
        let sensors = regimes.first()?.mean.len();
        let sane = |regime: &Regime| {
            let mut numbers = regime.settings.iter().chain(&regime.mean).chain(&regime.deviation);
            regime.mean.len() == sensors
                && regime.deviation.len() == sensors
                && numbers.all(|number| number.is_finite())
                && regime.deviation.iter().all(|deviation| *deviation >= 0.0)
        };
        if !(1..=MAX_SENSORS).contains(&sensors) || regimes.len() > MAX_REGIMES || !regimes.iter().all(sane) {
            return None;
        }
        let moves = |&sensor: &usize| regimes.iter().any(|regime| regime.deviation[sensor] > 0.0);
        let moving = (0..sensors).filter(moves).collect();
        Some(Self { regimes, moving })
    }

    /// From a section of a file: sensors of a row; then settings, means and deviations of each regime.
    pub fn from_numbers(numbers: &[f64]) -> Option<Self> {
        let (&sensors, rest) = numbers.split_first()?;
        if libm::trunc(sensors) != sensors || !(1.0..=MAX_SENSORS as f64).contains(&sensors) {
            return None;
        }
        let sensors = sensors as usize;
        let size = SETTINGS + 2 * sensors;
        if rest.is_empty() || !rest.len().is_multiple_of(size) || rest.len() / size > MAX_REGIMES {
            return None;
        }
        let regime = |numbers: &[f64]| {
            let (mean, deviation) = numbers[SETTINGS..].split_at(sensors);
            let settings = [numbers[0], numbers[1], numbers[2]];
            Regime { settings, mean: mean.into(), deviation: deviation.into() }
        };
        Self::new(rest.chunks_exact(size).map(regime).collect())
    }

    /// What [`Regimes::from_numbers`] reads.
    pub fn numbers(&self) -> Vec<f64> {
        let each = self.regimes.iter().flat_map(|regime| {
            regime.settings.iter().chain(&regime.mean).chain(&regime.deviation).copied().collect::<Vec<f64>>()
        });
        std::iter::once(self.sensors() as f64).chain(each).collect()
    }

    /// Sensors of a row.
    pub fn sensors(&self) -> usize {
        self.regimes[0].mean.len()
    }

    /// Sensors that move somewhere: those that are compared.
    pub fn moving(&self) -> usize {
        self.moving.len()
    }

    /// How many regimes there are.
    pub fn len(&self) -> usize {
        self.regimes.len()
    }

    /// Never: there is at least one.
    pub fn is_empty(&self) -> bool {
        self.regimes.is_empty()
    }

    /// The moving sensors of a row in deviations from what is usual in its regime; `None` for a row (settings, sensors)
    /// of another width.
    pub fn compare(&self, row: &[f64]) -> Option<Vec<f64>> {
        let (settings, sensors) = row.split_first_chunk::<SETTINGS>()?;
        if sensors.len() != self.sensors() {
            return None;
        }
        let regime = &self.regimes[nearest(&self.regimes, settings)?];
        let one = |&sensor: &usize| match regime.deviation[sensor] {
            0.0 => 0.0,
            deviation => {
                let apart = (sensors[sensor] - regime.mean[sensor]) / deviation;
                apart.clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS)
            }
        };
        Some(self.moving.iter().map(one).collect())
    }
}
