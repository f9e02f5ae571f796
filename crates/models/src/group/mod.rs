//! Several streams judged together, a row of values at a time: which rows are out of the ordinary, and where the level
//! changes.
//!
//! The first rows teach: each column's values are gathered in blocks of [`BLOCK`] rows, and from the blocks' means the
//! column is told apart into noise and drift (a local level model: Harvey 1989, Forecasting, Structural Time Series
//! Models, 4.2). After that a column's smoothed value is compared with a level that follows a drifting column and stays
//! where a column is steady, in units of what the two could differ by unprovoked; the row's distance is that of the column
//! furthest out. A row is an anomaly from [`LIMIT`] on, and after a large excursion from half of that excursion on, so that
//! it ends when most of it is over. While it lasts the levels stand still; one that lasts twice as long as the learning
//! did is taken for the new ordinary. A change point is a difference of the means of the last 30 rows and the 30 before.
//!
//! Deterministic (`+ - * /` and `sqrt` in one order), at most [`MAX_GROUP_STATE_BYTES`] a group, no clock: a gap in time
//! is a gap in nobody's rows. A value that is missing leaves its column as it was; one that is no number is refused.

mod column;
mod state_bytes;

pub use state_bytes::MAX_GROUP_STATE_BYTES;

use column::Column;

/// Rows of a block.
const BLOCK: u32 = 20;
/// Rows between two looks for a change of level.
const STRIDE: u32 = 10;
/// Deviations from which on a row is an anomaly.
const LIMIT: f64 = 4.0;
/// Share of the greatest distance that a row must reach, too.
const STILL: f64 = 0.5;
/// How fast the greatest distance is forgotten, a row: half of it in 700.
const FADE: f64 = 0.999;
/// Deviations of a difference of means that are a change, and the share of the last change that the next must reach.
const CHANGE: f64 = 4.0;
const NEXT_CHANGE: f64 = 0.6;
/// How fast the last change is forgotten, a look.
const CHANGE_FADE: f64 = 0.94;
/// Rows that the next change is away at least.
const CHANGE_WAIT: u16 = 40;
/// Greater magnitudes count as this, so that their squares stay numbers.
const GREATEST: f64 = 1e100;

/// Which streams, and how long they teach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupSpec {
    columns: u8,
    learning: u16,
}

impl GroupSpec {
    /// 1 to 12 columns, 100 to 480 rows that teach (rounded down to whole blocks of 20); `None` for other numbers.
    pub fn new(columns: u8, learning: u16) -> Option<Self> {
        let blocks = learning / BLOCK as u16;
        ((1..=12).contains(&columns) && (5..=24).contains(&blocks))
            .then_some(Self { columns, learning: blocks * BLOCK as u16 })
    }

    /// How many values a row has.
    pub fn columns(self) -> usize {
        self.columns.into()
    }

    /// How many rows teach.
    pub fn learning(self) -> u32 {
        self.learning.into()
    }
}

/// A row that cannot be judged; the state is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    /// Too many values or too few.
    #[error("a row of {found} values, {expected} are expected")]
    Columns {
        /// How many the group has.
        expected: usize,
        /// How many came.
        found: usize,
    },
    /// NaN or infinite.
    #[error("value {0} of the row is not a finite number")]
    NotFinite(usize),
}

/// What is said of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupJudgement {
    /// In [0, 1), an anomaly from 0.5 on; 0 while learning.
    pub score: f64,
    /// The column furthest out, from 0.
    pub column: usize,
    /// Its smoothed value less its level, in the column's unit.
    pub difference: f64,
    /// How large a difference is usual, in the same unit; 0 while learning.
    pub usual: f64,
    /// Whether a level has changed since the last look; the change lies within the last 60 rows, mostly 15 to 40 back.
    pub change: bool,
}

impl GroupJudgement {
    /// Whether the row is out of the ordinary.
    pub fn anomaly(&self) -> bool {
        self.score >= 0.5
    }
}

/// What is remembered of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupState {
    spec: GroupSpec,
    /// Saturates.
    rows: u32,
    columns: Vec<Column>,
    greatest: f64,
    /// Rows of the present anomaly.
    lasting: u16,
    last_change: f64,
    since_change: u16,
}

impl GroupState {
    /// Nothing seen yet.
    pub fn new(spec: GroupSpec) -> Self {
        Self {
            spec,
            rows: 0,
            columns: (0..spec.columns).map(|_| Column::default()).collect(),
            greatest: 0.0,
            lasting: 0,
            last_change: 0.0,
            since_change: CHANGE_WAIT,
        }
    }

    /// Takes in a row and judges it; `None` where a stream is silent.
    ///
    /// # Errors
    /// [`GroupError`] for a row of another width or with a value that is not finite.
    pub fn step(&mut self, row: &[Option<f64>]) -> Result<GroupJudgement, GroupError> {
        let (expected, found) = (self.columns.len(), row.len());
        if expected != found {
            return Err(GroupError::Columns { expected, found });
        }
        if let Some(at) = row.iter().position(|value| value.is_some_and(|value| !value.is_finite())) {
            return Err(GroupError::NotFinite(at));
        }
        let learning = self.rows < self.spec.learning();
        self.rows = self.rows.saturating_add(1);
        for (column, value) in self.columns.iter_mut().zip(row) {
            if let Some(value) = value {
                column.take_in(value.clamp(-GREATEST, GREATEST), learning);
            }
            if learning && self.rows.is_multiple_of(BLOCK) {
                column.end_block();
            }
        }
        let change = self.look_for_change(learning);
        if learning {
            if self.rows == self.spec.learning() {
                self.columns.iter_mut().for_each(Column::end_learning);
            }
            return Ok(GroupJudgement { score: 0.0, column: 0, difference: 0.0, usual: 0.0, change: false });
        }
        Ok(self.judge(row, change))
    }

    fn judge(&mut self, row: &[Option<f64>], change: bool) -> GroupJudgement {
        let mut furthest = (0, 0.0);
        for (at, column) in self.columns.iter().enumerate() {
            let distance = column.distance();
            if distance > furthest.1 {
                furthest = (at, distance);
            }
        }
        let (at, distance) = furthest;
        let ratio = distance / LIMIT.max(STILL * self.greatest);
        self.greatest = (self.greatest * FADE).max(distance);
        let column = &self.columns[at];
        let (difference, usual) = (column.difference(), column.usual());
        if ratio < 1.0 {
            self.lasting = 0;
            for (column, value) in self.columns.iter_mut().zip(row) {
                if let Some(value) = value {
                    column.follow(value.clamp(-GREATEST, GREATEST));
                }
            }
        } else {
            self.lasting += 1;
            if u32::from(self.lasting) >= 2 * self.spec.learning() {
                self.columns.iter_mut().for_each(Column::accept);
                (self.lasting, self.greatest) = (0, 0.0);
            }
        }
        GroupJudgement { score: ratio / (1.0 + ratio), column: at, difference, usual, change }
    }

    fn look_for_change(&mut self, learning: bool) -> bool {
        self.since_change = self.since_change.saturating_add(1);
        if !self.rows.is_multiple_of(STRIDE) {
            return false;
        }
        let apart = self.columns.iter_mut().map(Column::end_stride).fold(0.0, f64::max);
        self.last_change *= CHANGE_FADE;
        let change = !learning
            && self.since_change >= CHANGE_WAIT
            && apart > CHANGE
            && apart > NEXT_CHANGE * self.last_change;
        if change {
            (self.last_change, self.since_change) = (apart, 0);
        }
        change
    }
}
