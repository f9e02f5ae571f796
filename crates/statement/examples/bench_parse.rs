//! How long one core takes to parse and to verify statements: `cargo run --release -p triad-statement --example bench_parse`.

use rand::{SeedableRng, rngs::StdRng};
use std::{fs, hint::black_box, sync::LazyLock, time::Instant};
use triad_statement::{Algorithm, Sequence, SigningKey, Statement, StatementBuilder, verify_batch};

const KEYS: usize = 256;
const STATEMENTS: usize = 4_096;
const ROUNDS: usize = 50;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Seconds that this thread has run on a CPU (Linux), which other processes do not stretch; elsewhere the wall clock.
fn busy_seconds() -> f64 {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").ok();
    let nanoseconds = schedstat.and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    nanoseconds.map_or_else(|| START.elapsed().as_secs_f64(), |nanoseconds| nanoseconds / 1e9)
}

fn main() {
    let mut rng = StdRng::seed_from_u64(1);
    for algorithm in Algorithm::ALL {
        let keys: Vec<_> = (0..KEYS).map(|_| SigningKey::generate(algorithm, &mut rng)).collect();
        for readings in [1, 32] {
            let made: Vec<_> = (0..STATEMENTS)
                .map(|index| {
                    let mut builder = StatementBuilder::new(&keys[index % KEYS], Sequence(index as u64));
                    for reading in 0..readings {
                        let time = 1_700_000_000_000_000 + reading * 1_000_000;
                        let value = 21.5 + (index % 100) as f64 / 10.0;
                        builder = builder.number("temperature", Some("Cel"), value, Some(time));
                    }
                    builder.sign()
                })
                .collect();
            let started = busy_seconds();
            for _ in 0..ROUNDS {
                for bytes in &made {
                    black_box(Statement::parse(bytes.clone()).is_ok());
                }
            }
            let parse = (busy_seconds() - started) / (ROUNDS * STATEMENTS) as f64;

            let parsed: Vec<_> =
                made.iter().filter_map(|bytes| Statement::parse(bytes.clone()).ok()).collect();
            let public: Vec<_> = keys.iter().map(SigningKey::public).collect();
            let items: Vec<_> = parsed
                .iter()
                .enumerate()
                .map(|(index, statement)| (statement, &public[index % KEYS]))
                .collect();
            let started = busy_seconds();
            assert!(verify_batch(&items).into_iter().all(|good| good), "every statement verifies");
            let verify = (busy_seconds() - started) / STATEMENTS as f64;
            println!(
                "{algorithm:6} {readings:2} readings  {:5} bytes  parse {:6.0} ns  verify {:7.0} ns",
                made[0].len(),
                parse * 1e9,
                verify * 1e9
            );
        }
    }
}
