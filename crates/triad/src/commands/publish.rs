//! `triad publish`: replays a CSV file as a signed device over MQTT.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use triad_statement::{DeviceId, Sequence, StatementBuilder};

use super::{Done, Remote, block_on};
use crate::client::Api;
use crate::publisher::Publisher;
use crate::signer::read_device_key;
use crate::timestamp;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The CSV has a header line; the time column holds RFC 3339 or `YYYY-MM-DD HH:MM:SS` (UTC), or seconds since\nthe epoch.\n\nExamples:\n  triad publish --csv log.csv --key sensor.pem --name temperature --unit Cel\n  triad publish --csv log.csv --key sensor.pem --name temperature --speed 60     (60 times as fast)\n  triad publish --csv log.csv --key sensor.pem --name temperature --speed max --pack 32\n  triad publish --csv pump.csv --key pump.pem --columns vibration,temperature,pressure    (a stream a column)"
)]
pub struct Args {
    /// The file to replay.
    #[arg(long)]
    csv: PathBuf,
    /// The device's secret key.
    #[arg(long)]
    key: PathBuf,
    /// The device's id, if its key was rotated [default: the key's own].
    #[arg(long)]
    device: Option<DeviceId>,
    /// The device that is spoken for.
    #[arg(long)]
    on_behalf_of: Option<DeviceId>,
    /// The stream's name.
    #[arg(long, required_unless_present = "columns")]
    name: Option<String>,
    /// The unit (SenML: Cel, Far, kWh, %RH, …).
    #[arg(long)]
    unit: Option<String>,
    /// A row's numbers instead of one: a stream for each of these columns, named as it.
    #[arg(long, value_delimiter = ',', conflicts_with_all = ["name", "unit", "value_column"])]
    columns: Vec<String>,
    #[arg(long, default_value = "timestamp")]
    time_column: String,
    #[arg(long, default_value = "value")]
    value_column: String,
    /// Times as fast as recorded, or `max`: as fast as it is acknowledged.
    #[arg(long, default_value = "1")]
    speed: String,
    /// Rows a statement.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pack: u32,
    /// Statements in flight.
    #[arg(long, default_value_t = 100)]
    window: usize,
    /// The MQTT door.
    #[arg(long, env = "TRIAD_MQTT", default_value = "127.0.0.1:1883", value_name = "HOST:PORT")]
    mqtt: String,
    #[command(flatten)]
    remote: Remote,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

/// Microseconds since the epoch, and the numbers of the columns.
pub type Row = (i64, Vec<f64>);

fn read_csv(path: &Path, time: &str, columns: &[&str]) -> anyhow::Result<Vec<Row>> {
    let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse_csv(file, time, columns).with_context(|| path.display().to_string())
}

/// The same of CSV from anywhere.
pub fn parse_csv(input: impl std::io::Read, time: &str, columns: &[&str]) -> anyhow::Result<Vec<Row>> {
    let mut reader = csv::Reader::from_reader(input);
    let header = reader.headers()?.clone();
    let column = |name: &str| {
        let names = header.iter().collect::<Vec<_>>().join(", ");
        header
            .iter()
            .position(|h| h == name)
            .with_context(|| format!("there is no column `{name}`; the columns are: {names}"))
    };
    let time = column(time)?;
    let columns = columns.iter().map(|name| column(name)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut rows = Vec::new();
    for (i, row) in reader.records().enumerate() {
        let row = row?;
        let place = || format!("row {}", i + 2);
        let at = timestamp::parse(row.get(time).unwrap_or_default()).with_context(place)?;
        let number = |&column: &usize| row.get(column).unwrap_or_default().trim().parse::<f64>();
        rows.push((at, columns.iter().map(number).collect::<Result<_, _>>().with_context(place)?));
    }
    if rows.is_empty() {
        bail!("there are no rows");
    }
    Ok(rows)
}

pub fn run(args: Args) -> Done {
    block_on(publish(args))?;
    Ok(ExitCode::SUCCESS)
}

async fn publish(args: Args) -> anyhow::Result<()> {
    // Each column with the name of its stream.
    let streams: Vec<(&str, &str)> = match &args.name {
        Some(name) => vec![(&args.value_column, name)],
        None => args.columns.iter().map(|column| (column.as_str(), column.as_str())).collect(),
    };
    let columns: Vec<&str> = streams.iter().map(|(column, _)| *column).collect();
    let rows = read_csv(&args.csv, &args.time_column, &columns)?;
    let key = read_device_key(&args.key)?;
    let id = args.device.unwrap_or(key.public().id());
    let speed: Option<f64> = match args.speed.as_str() {
        "max" => None,
        text => Some(
            text.parse().ok().filter(|s| *s > 0.0).context("--speed takes a positive number, or `max`")?,
        ),
    };
    let device = Api::new(&args.remote.api)?.get(&format!("/v1/devices/{id}")).await?;
    let next =
        device["next_sequence"]["number"].as_u64().context("the device has used up its epoch: raise it")?;
    let mut sequence = Sequence(next);
    let mut publisher = Publisher::connect(&args.mqtt, &format!("triad-publish-{id}"), args.window).await?;
    let bar = if args.json { ProgressBar::hidden() } else { ProgressBar::new(rows.len() as u64) };
    if let Ok(style) =
        ProgressStyle::with_template("{bar:40} {pos}/{len} rows final · {per_sec} · {eta} left")
    {
        bar.set_style(style);
    }
    let (started, first) = (Instant::now(), rows[0].0);
    for pack in rows.chunks(args.pack as usize) {
        if let Some(speed) = speed {
            let due = Duration::from_secs_f64((pack[0].0 - first).max(0) as f64 / 1e6 / speed);
            tokio::time::sleep(due.saturating_sub(started.elapsed())).await;
        }
        let mut builder = StatementBuilder::new(&key, sequence).kid(id);
        if let Some(origin) = args.on_behalf_of {
            builder = builder.on_behalf_of(origin);
        }
        for (time, values) in pack {
            for ((_, name), value) in streams.iter().zip(values) {
                builder = builder.number(name, args.unit.as_deref(), *value, Some(*time));
            }
        }
        publisher.publish(builder.sign().to_vec()).await?;
        sequence = Sequence(sequence.0 + 1);
        bar.set_position((publisher.acknowledged() * u64::from(args.pack)).min(rows.len() as u64));
    }
    let report = publisher.finish().await?;
    bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    let readings = rows.len() * streams.len();
    let rate = readings as f64 / seconds;
    if args.json {
        println!(
            "{}",
            json!({"readings": readings, "statements": report.acknowledged, "seconds": seconds, "readings_per_s": rate,
                "ack_ms_p50": report.percentile_ms(50), "ack_ms_p99": report.percentile_ms(99)})
        );
    } else {
        println!(
            "{} readings in {} statements are final; {rate:.0} readings/s; acknowledged in {:.1} ms (p50), {:.1} ms (p99)",
            readings,
            report.acknowledged,
            report.percentile_ms(50),
            report.percentile_ms(99)
        );
    }
    Ok(())
}
