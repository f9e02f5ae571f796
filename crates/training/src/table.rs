//! Tables with a header line, and folders of them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::TrainingError;

/// A CSV file in memory.
#[derive(Debug)]
pub(crate) struct Table {
    pub path: PathBuf,
    pub header: Vec<String>,
    pub rows: Vec<csv::StringRecord>,
}

impl Table {
    pub fn read(path: &Path) -> Result<Self, TrainingError> {
        Self::read_separated(path, b',')
    }

    /// A table whose cells are parted by something else than commas.
    pub fn read_separated(path: &Path, delimiter: u8) -> Result<Self, TrainingError> {
        let text = fs::read(path).map_err(TrainingError::io(path))?;
        let wrong = |error: csv::Error| TrainingError::content(path, error.to_string());
        let mut reader =
            csv::ReaderBuilder::new().flexible(true).delimiter(delimiter).from_reader(text.as_slice());
        let header = reader.headers().map_err(wrong)?.iter().map(|name| name.trim().to_owned()).collect();
        let rows = reader.records().collect::<Result<_, _>>().map_err(wrong)?;
        Ok(Self { path: path.into(), header, rows })
    }

    /// Where the column is whose name is one of these, whatever the case.
    pub fn column(&self, names: &[&str]) -> Option<usize> {
        let named = |name: &&str| self.header.iter().position(|column| column.eq_ignore_ascii_case(name));
        names.iter().find_map(named)
    }

    /// The same for a column that must be there.
    pub fn expect_column(&self, name: &str) -> Result<usize, TrainingError> {
        self.column(&[name]).ok_or_else(|| {
            let found = self.header.join(", ");
            TrainingError::content(&self.path, format!("no column {name:?}; there are: {found}"))
        })
    }

    /// A number of every row; `None` where the cell is empty.
    pub fn numbers(&self, column: usize) -> Result<Vec<Option<f64>>, TrainingError> {
        let number = |(row, record): (usize, &csv::StringRecord)| {
            let text = record.get(column).unwrap_or_default().trim();
            if text.is_empty() {
                return Ok(None);
            }
            match text.parse::<f64>() {
                Ok(value) if value.is_finite() => Ok(Some(value)),
                Ok(_) => Ok(None),
                Err(_) => {
                    let problem = format!("line {}: {text:?} in column {} is no number", row + 2, column + 1);
                    Err(TrainingError::content(&self.path, problem))
                }
            }
        };
        self.rows.iter().enumerate().map(number).collect()
    }

    /// Numbers of every row, each of which must be there.
    pub fn expect_numbers(&self, column: usize) -> Result<Vec<f64>, TrainingError> {
        let missing = |row| {
            let problem = format!("line {}: no number in column {}", row + 2, column + 1);
            TrainingError::content(&self.path, problem)
        };
        let numbers = self.numbers(column)?;
        numbers.into_iter().enumerate().map(|(row, value)| value.ok_or_else(|| missing(row))).collect()
    }

    /// Times of every row, microseconds since the epoch.
    pub fn times(&self, column: usize) -> Result<Vec<i64>, TrainingError> {
        let time = |(row, record): (usize, &csv::StringRecord)| {
            let text = record.get(column).unwrap_or_default();
            crate::time::microseconds(text).ok_or_else(|| {
                let problem = format!("line {}: {text:?} in column {} is no time", row + 2, column + 1);
                TrainingError::content(&self.path, problem)
            })
        };
        self.rows.iter().enumerate().map(time).collect()
    }
}

/// All CSV files below a folder, sorted by path.
pub(crate) fn csv_files(folder: &Path) -> Result<Vec<PathBuf>, TrainingError> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(TrainingError::io(folder))? {
        let path = entry.map_err(TrainingError::io(folder))?.path();
        if path.is_dir() {
            files.extend(csv_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "csv") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
