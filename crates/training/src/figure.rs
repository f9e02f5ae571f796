//! What a plot shows, apart from how it is drawn: lines, bands and marks over one axis of times or of numbers.

/// What the horizontal axis counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Axis {
    /// Microseconds since the epoch, shown as UTC dates.
    Time,
    /// Anything else, with this name.
    Number(String),
}

/// The part that a line or a mark plays, which decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// What was measured.
    Measured,
    /// What a model said.
    Said,
    /// What neither is: a limit, a reference.
    Reference,
    /// What somebody should look at.
    Alarm,
}

/// Points joined by a line; a gap where the value is missing.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// In the legend.
    pub name: String,
    /// Its part.
    pub role: Role,
    /// Ascending in the first number.
    pub points: Vec<(f64, Option<f64>)>,
}

/// An interval at each point.
#[derive(Debug, Clone, PartialEq)]
pub struct Band {
    /// In the legend.
    pub name: String,
    /// Place, lower end, upper end.
    pub points: Vec<(f64, f64, f64)>,
}

/// A point that is pointed at, with the reason.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Place and value.
    pub at: (f64, f64),
    /// The sentence to it; may be empty.
    pub reason: String,
}

/// One picture.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Name of the file without its ending: letters, digits, `_`, `-` and `.` are kept.
    pub name: String,
    /// Above the picture.
    pub title: String,
    /// Along it.
    pub x: Axis,
    /// Name of the vertical axis.
    pub y: String,
    /// Drawn in this order, over the bands.
    pub lines: Vec<Line>,
    /// Drawn first.
    pub bands: Vec<Band>,
    /// Spans of the horizontal axis that are shaded, with one name in the legend: labelled anomalies.
    pub spans: Vec<(f64, f64)>,
    /// What the spans are.
    pub span_name: String,
    /// Drawn last, numbered where they have a reason.
    pub marks: Vec<Mark>,
    /// What the marks are.
    pub mark_name: String,
}

impl Figure {
    pub(crate) fn new(
        name: impl Into<String>,
        title: impl Into<String>,
        x: Axis,
        y: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            title: title.into(),
            x,
            y: y.into(),
            lines: Vec::new(),
            bands: Vec::new(),
            spans: Vec::new(),
            span_name: String::new(),
            marks: Vec::new(),
            mark_name: String::new(),
        }
    }

    pub(crate) fn line(
        mut self,
        name: &str,
        role: Role,
        points: impl IntoIterator<Item = (f64, f64)>,
    ) -> Self {
        let points = points.into_iter().map(|(x, y)| (x, Some(y))).collect();
        self.lines.push(Line { name: name.into(), role, points });
        self
    }

    pub(crate) fn band(mut self, name: &str, points: impl IntoIterator<Item = (f64, f64, f64)>) -> Self {
        self.bands.push(Band { name: name.into(), points: points.into_iter().collect() });
        self
    }
}
