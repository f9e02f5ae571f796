//! Figures as SVG files: title and legend, the plot, and below it the reasons of the numbered marks.
//!
//! No font is read: texts name a family, and whoever shows the file has one. A line with more points than pixels is drawn
//! by the first, least, greatest and last of each column of pixels, so that a file stays small and loses no peak.

use std::ops::Range;
use std::path::{Path, PathBuf};

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};
use plotters::prelude::*;

use crate::error::TrainingError;
use crate::figure::{Axis, Figure, Line, Role};
use crate::time::date_and_time;

const WIDTH: u32 = 1_120;
const HEADER: u32 = 62;
const PLOT: u32 = 400;
const REASON: u32 = 19;
/// More would be no picture any more.
const MOST_REASONS: usize = 10;
/// A reason is cut here, so that it fits the width.
const REASON_CHARACTERS: usize = 150;
/// About the columns of pixels of the plot.
const COLUMNS: f64 = 1_000.0;

const FONT: (&str, i32) = ("sans-serif", 15);
const TITLE: (&str, i32) = ("sans-serif", 20);

const MEASURED: RGBColor = RGBColor(69, 90, 100);
const SAID: RGBColor = RGBColor(21, 101, 192);
const REFERENCE: RGBColor = RGBColor(158, 158, 158);
const ALARM: RGBColor = RGBColor(198, 40, 40);
const SPAN: RGBColor = RGBColor(249, 168, 37);
const TEXT: RGBColor = RGBColor(33, 33, 33);
const FAINT: RGBColor = RGBColor(236, 239, 241);

const MINUTE: f64 = 60e6;
const HOUR: f64 = 60.0 * MINUTE;
const DAY: f64 = 24.0 * HOUR;
/// Steps between dates along the axis.
const TIME_STEPS: [f64; 19] = [
    MINUTE,
    2.0 * MINUTE,
    5.0 * MINUTE,
    15.0 * MINUTE,
    30.0 * MINUTE,
    HOUR,
    3.0 * HOUR,
    6.0 * HOUR,
    12.0 * HOUR,
    DAY,
    2.0 * DAY,
    5.0 * DAY,
    10.0 * DAY,
    20.0 * DAY,
    50.0 * DAY,
    100.0 * DAY,
    200.0 * DAY,
    500.0 * DAY,
    1_000.0 * DAY,
];

impl Role {
    fn colour(self) -> RGBColor {
        match self {
            Self::Measured => MEASURED,
            Self::Said => SAID,
            Self::Reference => REFERENCE,
            Self::Alarm => ALARM,
        }
    }
}

/// Writes a figure as `folder/name.svg`, the folder made where it is missing; returns the path.
pub fn draw(figure: &Figure, folder: &Path) -> Result<PathBuf, TrainingError> {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "_-.".contains(c) { c } else { '_' };
    let name: String = figure.name.chars().map(plain).take(120).collect();
    let path = folder.join(format!("{name}.svg"));
    std::fs::create_dir_all(folder).map_err(TrainingError::io(folder))?;
    std::fs::write(&path, svg(figure).map_err(|problem| TrainingError::content(&path, problem))?)
        .map_err(TrainingError::io(&path))?;
    Ok(path)
}

/// The picture as text.
fn svg(figure: &Figure) -> Result<String, String> {
    let reasons: Vec<&str> =
        figure.marks.iter().map(|mark| mark.reason.as_str()).filter(|reason| !reason.is_empty()).collect();
    let shown = reasons.len().min(MOST_REASONS);
    let rows = shown + usize::from(reasons.len() > shown);
    let below = if rows > 0 { REASON * rows as u32 + 12 } else { 0 };
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, (WIDTH, HEADER + PLOT + below)).into_drawing_area();
        paint(figure, &root, &reasons[..shown], reasons.len())
            .map_err(|error| format!("cannot draw: {error}"))?;
        root.present().map_err(|error| format!("cannot draw: {error}"))?;
    }
    Ok(text)
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;

fn paint(
    figure: &Figure,
    root: &Area<'_>,
    reasons: &[&str],
    all_reasons: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    root.fill(&WHITE)?;
    let (header, rest) = root.split_vertically(HEADER);
    let (plot, below) = rest.split_vertically(PLOT);
    header.draw(&Text::new(figure.title.clone(), (18, 12), TITLE.into_font().color(&TEXT)))?;
    legend(figure, &header)?;

    let (x, y) = extents(figure);
    let across = Across { from: x.0, to: x.1, time: figure.x == Axis::Time };
    let mut chart = ChartBuilder::on(&plot)
        .margin_left(12)
        .margin_right(24)
        .margin_bottom(6)
        .x_label_area_size(if figure.x == Axis::Time { 26 } else { 44 })
        .y_label_area_size(66)
        .build_cartesian_2d(across, y.0..y.1)?;
    let label = FONT.into_font().color(&TEXT);
    let description = match &figure.x {
        Axis::Time => String::new(),
        Axis::Number(name) => name.clone(),
    };
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT)
        .axis_style(REFERENCE)
        .label_style(label.clone())
        .axis_desc_style(label)
        .x_desc(description)
        .y_desc(figure.y.clone())
        .y_label_formatter(&|value| short(*value))
        .x_labels(9)
        .y_labels(6)
        .draw()?;
    for &(from, to) in &figure.spans {
        chart.draw_series([Rectangle::new([(from, y.0), (to, y.1)], SPAN.mix(0.25).filled())])?;
    }
    for band in &figure.bands {
        let up = band.points.iter().map(|&(x, _, high)| (x, high.clamp(y.0, y.1)));
        let down = band.points.iter().rev().map(|&(x, low, _)| (x, low.clamp(y.0, y.1)));
        chart.draw_series([Polygon::new(up.chain(down).collect::<Vec<_>>(), SAID.mix(0.18).filled())])?;
    }
    for line in &figure.lines {
        let width = if line.role == Role::Reference || line.points.len() > 700 { 1 } else { 2 };
        for run in runs(line, x) {
            let style = line.role.colour().stroke_width(width);
            if let [point] = run.as_slice() {
                chart.draw_series([Circle::new(*point, 2, line.role.colour().filled())])?;
            } else {
                chart.draw_series(LineSeries::new(run, style))?;
            }
        }
    }
    let mut number = 0;
    for mark in &figure.marks {
        chart.draw_series([Circle::new(mark.at, 4, ALARM.stroke_width(2))])?;
        if !mark.reason.is_empty() && number < reasons.len() {
            number += 1;
            let font = FONT.into_font().color(&ALARM);
            // Neighbouring numbers take turns in height, so that they can be read.
            let up = if number % 2 == 0 { 30 } else { 18 };
            let top = if near_top(mark.at.1, y) { up - 12 } else { -up };
            let text = number.to_string();
            let right = -2 + 8 * text.len() as i32;
            chart.draw_series([EmptyElement::at(mark.at)
                + Rectangle::new([(-6, top - 1), (right, top + 12)], WHITE.mix(0.85).filled())
                + Text::new(text, (-4, top), font)])?;
        }
    }
    for (row, reason) in reasons.iter().enumerate() {
        let at = (78, 4 + (REASON * row as u32) as i32);
        let number = Text::new(format!("{}", row + 1), (58, at.1), FONT.into_font().color(&ALARM));
        below.draw(&number)?;
        below.draw(&Text::new(cut(reason), at, FONT.into_font().color(&TEXT)))?;
    }
    if all_reasons > reasons.len() {
        let words = format!("and {} more", all_reasons - reasons.len());
        let at = (78, 4 + (REASON as usize * reasons.len()) as i32);
        below.draw(&Text::new(words, at, FONT.into_font().color(&REFERENCE)))?;
    }
    Ok(())
}

fn near_top(value: f64, (low, high): (f64, f64)) -> bool {
    value > high - 0.12 * (high - low)
}

fn cut(reason: &str) -> String {
    if reason.chars().count() <= REASON_CHARACTERS {
        return reason.into();
    }
    reason.chars().take(REASON_CHARACTERS - 1).chain(['…']).collect()
}

/// One entry a line, band, kind of span and of mark, in a row below the title.
fn legend(figure: &Figure, header: &Area<'_>) -> Result<(), Box<dyn std::error::Error>> {
    let mut entries: Vec<(&str, RGBAColor, bool)> = Vec::new();
    entries.extend(figure.lines.iter().map(|line| (line.name.as_str(), line.role.colour().mix(1.0), false)));
    entries.extend(figure.bands.iter().map(|band| (band.name.as_str(), SAID.mix(0.25), true)));
    if !figure.spans.is_empty() {
        entries.push((&figure.span_name, SPAN.mix(0.35), true));
    }
    if !figure.marks.is_empty() {
        entries.push((&figure.mark_name, ALARM.mix(1.0), true));
    }
    let mut said: Vec<&str> = Vec::new();
    let mut x = 78;
    for (name, colour, filled) in entries {
        if name.is_empty() || said.contains(&name) {
            continue;
        }
        said.push(name);
        let half = if filled { 5 } else { 1 };
        header.draw(&Rectangle::new([(x, 47 - half), (x + 18, 47 + half)], colour.filled()))?;
        header.draw(&Text::new(name.to_owned(), (x + 24, 40), FONT.into_font().color(&TEXT)))?;
        x += 48 + 7 * name.chars().count() as i32;
    }
    Ok(())
}

/// What both axes must hold; the vertical one with some air. A band that is far wider than all lines is cut.
fn extents(figure: &Figure) -> ((f64, f64), (f64, f64)) {
    let (mut x, mut y) = ((f64::INFINITY, f64::NEG_INFINITY), (f64::INFINITY, f64::NEG_INFINITY));
    let grow = |range: &mut (f64, f64), value: f64| {
        if value.is_finite() {
            *range = (range.0.min(value), range.1.max(value));
        }
    };
    for (at, value) in figure.lines.iter().flat_map(|line| &line.points) {
        grow(&mut x, *at);
        grow(&mut y, value.unwrap_or(f64::NAN));
    }
    for mark in &figure.marks {
        grow(&mut x, mark.at.0);
        grow(&mut y, mark.at.1);
    }
    let lines = y;
    let height = (lines.1 - lines.0).max(f64::MIN_POSITIVE);
    for &(at, low, high) in figure.bands.iter().flat_map(|band| &band.points) {
        grow(&mut x, at);
        grow(&mut y, low.max(lines.0 - height));
        grow(&mut y, high.min(lines.1 + height));
    }
    let widen = |range: (f64, f64), share: f64| match range {
        (low, high) if low > high => (0.0, 1.0),
        (low, high) if low == high => (low - 1.0, high + 1.0),
        (low, high) => (low - share * (high - low), high + share * (high - low)),
    };
    (widen(x, 0.0), widen(y, 0.06))
}

/// The parts of a line without gaps, thinned to what pixels can show.
fn runs(line: &Line, x: (f64, f64)) -> Vec<Vec<(f64, f64)>> {
    let mut runs: Vec<Vec<(f64, f64)>> = vec![Vec::new()];
    let mut steps: Vec<f64> = line.points.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    steps.sort_by(f64::total_cmp);
    // Nobody knows what was in a pause that can be seen.
    let pause = (20.0 * steps.get(steps.len() / 2).copied().unwrap_or(0.0)).max((x.1 - x.0) / 100.0);
    let mut last = f64::INFINITY;
    for &(at, value) in &line.points {
        if at - last > pause && runs.last().is_some_and(|run| !run.is_empty()) {
            runs.push(Vec::new());
        }
        last = at;
        match (value.filter(|value| value.is_finite()), runs.last_mut()) {
            (Some(value), Some(run)) => run.push((at, value)),
            (None, Some(run)) if !run.is_empty() => runs.push(Vec::new()),
            _ => {}
        }
    }
    runs.retain(|run| !run.is_empty());
    let column = |at: f64| ((at - x.0) / (x.1 - x.0) * COLUMNS) as i64;
    let thin = |run: Vec<(f64, f64)>| -> Vec<(f64, f64)> {
        if run.len() < 4 * COLUMNS as usize {
            return run;
        }
        let mut out = Vec::new();
        for part in run.chunk_by(|a, b| column(a.0) == column(b.0)) {
            let extreme = |greatest: bool| {
                (0..part.len()).max_by(|&a, &b| {
                    let order = part[a].1.total_cmp(&part[b].1);
                    if greatest { order } else { order.reverse() }
                })
            };
            let mut kept: Vec<usize> = [Some(0), extreme(false), extreme(true), Some(part.len() - 1)]
                .into_iter()
                .flatten()
                .collect();
            kept.sort_unstable();
            kept.dedup();
            out.extend(kept.into_iter().map(|at| part[at]));
        }
        out
    };
    runs.into_iter().map(thin).collect()
}

/// A number in few characters.
fn short(value: f64) -> String {
    let size = value.abs();
    let trim = |text: String| {
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
    };
    if size >= 1e9 {
        trim(format!("{:.2}", value / 1e9)) + " G"
    } else if size >= 1e6 {
        trim(format!("{:.2}", value / 1e6)) + " M"
    } else if size >= 1e4 {
        trim(format!("{:.1}", value / 1e3)) + " k"
    } else {
        trim(format!("{value:.3}"))
    }
}

/// The horizontal axis: round numbers, or dates at steps that people use.
struct Across {
    from: f64,
    to: f64,
    time: bool,
}

impl Ranged for Across {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let share = (value - self.from) / (self.to - self.from);
        limit.0 + (f64::from(limit.1 - limit.0) * share.clamp(-1.0, 2.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        let most = hint.max_num_points().clamp(2, 9) as f64;
        let span = self.to - self.from;
        let step = if self.time {
            TIME_STEPS
                .into_iter()
                .find(|step| span / step <= most)
                .unwrap_or(TIME_STEPS[TIME_STEPS.len() - 1])
        } else {
            let mut step = 1e-9;
            let mut turn = [2.0, 2.5, 2.0].into_iter().cycle();
            while span / step > most {
                step *= turn.next().unwrap_or(2.0);
            }
            step
        };
        let first = (self.from / step).ceil();
        (0..2 * most as usize).map(|n| (first + n as f64) * step).filter(|at| *at <= self.to).collect()
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Across {
    fn format_ext(&self, value: &f64) -> String {
        if !self.time {
            return short(*value);
        }
        let text = date_and_time(*value as i64);
        let part = if self.to - self.from > 4.0 * DAY { text.get(..10) } else { text.get(5..) };
        part.unwrap_or_default().into()
    }
}

#[cfg(test)]
mod tests {
    use super::{draw, runs, svg};
    use crate::figure::{Axis, Figure, Line, Mark, Role};

    #[test]
    fn a_peak_survives_thinning_and_gaps_part_lines() {
        let points = (0..50_000).map(|at| (f64::from(at), Some(if at == 31_234 { 9.0 } else { 0.0 })));
        let line = Line { name: "a".into(), role: Role::Measured, points: points.collect() };
        let thinned = runs(&line, (0.0, 49_999.0));
        assert!(thinned[0].len() <= 4_004 && thinned[0].contains(&(31_234.0, 9.0)), "{}", thinned[0].len());
        let points = vec![(0.0, Some(1.0)), (1.0, None), (2.0, Some(f64::NAN)), (3.0, Some(2.0))];
        let parted = Line { points, ..line.clone() };
        assert_eq!(runs(&parted, (0.0, 3.0)), [vec![(0.0, 1.0)], vec![(3.0, 2.0)]]);
        let points = (0..100).map(|at| (f64::from(if at < 50 { at } else { at + 40 }), Some(1.0)));
        let paused = Line { points: points.collect(), ..line };
        assert_eq!(runs(&paused, (0.0, 139.0)).len(), 2);
    }

    #[test]
    fn reasons_are_written_escaped_and_names_stay_in_their_folder() {
        let mut figure =
            Figure::new("../a b", "x < y", Axis::Time, "°C").line("t", Role::Said, [(0.0, 1.0), (6e7, 2.0)]);
        figure.marks =
            (0..12).map(|at| Mark { at: (5e6 * f64::from(at), 1.5), reason: format!("<{at}>") }).collect();
        let text = svg(&figure).unwrap();
        assert!(text.contains("&lt;0&gt;") && text.contains("and 2 more") && !text.contains("<0>"), "{text}");
        let folder = std::env::temp_dir().join(format!("triad-drawn-{}", std::process::id()));
        let path = draw(&figure, &folder).unwrap();
        assert_eq!(path, folder.join(".._a_b.svg"));
        std::fs::remove_dir_all(&folder).unwrap();
        // Nothing to show is a picture, too, and no panic.
        assert!(svg(&Figure::new("e", "", Axis::Number("n".into()), "")).is_ok());
    }
}
