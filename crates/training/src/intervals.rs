//! How well prediction intervals keep their promise.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Counts of values inside their interval, overall and by month.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    months: BTreeMap<i64, (u64, u64)>,
    width: f64,
}

impl Coverage {
    pub fn add(&mut self, month: i64, inside: bool, width: f64) {
        let (within, all) = self.months.entry(month).or_default();
        *within += u64::from(inside);
        *all += 1;
        self.width += width;
    }

    /// Overall share inside, the least share of any month with at least a week of hours, and the mean width.
    pub fn figures(&self) -> Value {
        let share = |within: u64, all: u64| (1e4 * within as f64 / all.max(1) as f64).round() / 1e4;
        let (within, all) =
            self.months.values().fold((0, 0), |sum, month| (sum.0 + month.0, sum.1 + month.1));
        let whole = self.months.values().filter(|month| month.1 >= 168);
        let least = whole.map(|month| share(month.0, month.1)).min_by(f64::total_cmp);
        let mean_width = (self.width / all.max(1) as f64 * 1e3).round() / 1e3;
        json!({ "promised": 0.9, "inside": share(within, all), "least_month": least, "mean_width": mean_width })
    }
}

/// How large errors are expected to be: what is usual at this time of the day and so far ahead, and more of it where the
/// latest errors were larger than usual.
#[derive(Debug)]
pub(crate) struct Unrest {
    ahead: usize,
    /// Mean error by time of the day and steps ahead.
    usual: Vec<Option<f64>>,
    now: f64,
    learnt: usize,
}

impl Unrest {
    const USUAL_RATE: f64 = 0.06;
    /// Days before which nothing is known to be usual: one small error would make all others look huge.
    const FIRST_DAYS: usize = 14;
    const NOW_RATE: f64 = 0.02;
    /// Share of the expected size that the latest errors decide.
    const NOW_SHARE: f64 = 0.7;
    /// Nothing counts as more than so many usual errors.
    const MOST: f64 = 5.0;

    pub fn new(slots: usize, ahead: usize) -> Self {
        Self { ahead, usual: vec![None; slots * ahead], now: 1.0, learnt: 0 }
    }

    /// `None` for the first two weeks.
    pub fn size(&self, slot: usize, ahead: usize) -> Option<f64> {
        let usual = self.usual[slot * self.ahead + ahead]?;
        if self.learnt < Self::FIRST_DAYS * (self.usual.len() / self.ahead) {
            return None;
        }
        Some((usual * (1.0 - Self::NOW_SHARE + Self::NOW_SHARE * self.now)).max(1e-9))
    }

    /// How far all forecasts of one value were off, by steps ahead.
    pub fn learn(&mut self, slot: usize, errors: &[Option<f64>]) {
        let days = self.learnt / (self.usual.len() / self.ahead);
        self.learnt += 1;
        // A plain mean at first.
        let rate = Self::USUAL_RATE.max(1.0 / (days + 1) as f64);
        let usual = &mut self.usual[slot * self.ahead..(slot + 1) * self.ahead];
        let (mut sum, mut count) = (0.0, 0.0);
        for (usual, error) in usual.iter_mut().zip(errors) {
            let Some(error) = error.map(f64::abs) else { continue };
            if let Some(usual) = usual {
                sum += (error / usual.max(1e-9)).min(Self::MOST);
                count += 1.0;
                *usual += rate * (error - *usual);
            } else {
                *usual = Some(error);
            }
        }
        if count > 0.0 {
            self.now += Self::NOW_RATE * (sum / count - self.now);
        }
    }
}

/// Months since the year 0, of a time in microseconds since the epoch (UTC).
pub(crate) fn month(time_us: i64) -> i64 {
    let (year, month, _) = crate::time::civil_from_days(time_us.div_euclid(86_400_000_000));
    year * 12 + month
}

#[cfg(test)]
mod tests {
    #[test]
    fn months_change_where_the_calendar_does() {
        let at = |text| super::month(crate::time::microseconds(text).unwrap());
        assert_eq!(at("2016-02-29 23:59:59"), at("2016-02-01"));
        assert_eq!(at("2016-03-01"), at("2016-02-29") + 1);
        assert_eq!(at("2017-01-01"), at("2016-12-31") + 1);
    }
}
