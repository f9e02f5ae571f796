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
