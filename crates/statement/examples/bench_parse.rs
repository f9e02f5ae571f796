//! How long one core takes to parse and to verify statements: `cargo run --release -p triad-statement --example bench_parse`.

use rand::{SeedableRng, rngs::StdRng};
use std::{hint::black_box, time::Instant};
use triad_statement::{Algorithm, Sequence, SigningKey, Statement, StatementBuilder, verify_batch};

const KEYS: usize = 256;
const STATEMENTS: usize = 4_096;
const ROUNDS: usize = 50;

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
            let started = Instant::now();
            for _ in 0..ROUNDS {
                for bytes in &made {
                    black_box(Statement::parse(bytes.clone()).is_ok());
                }
            }
            let parse = started.elapsed().as_secs_f64() / (ROUNDS * STATEMENTS) as f64;

            let parsed: Vec<_> =
                made.iter().filter_map(|bytes| Statement::parse(bytes.clone()).ok()).collect();
            let public: Vec<_> = keys.iter().map(SigningKey::public).collect();
            let items: Vec<_> = parsed
                .iter()
                .enumerate()
                .map(|(index, statement)| (statement, &public[index % KEYS]))
                .collect();
            let started = Instant::now();
            assert!(verify_batch(&items).into_iter().all(|good| good), "every statement verifies");
            let verify = started.elapsed().as_secs_f64() / STATEMENTS as f64;
            println!(
                "{algorithm:6} {readings:2} readings  {:5} bytes  parse {:6.0} ns  verify {:7.0} ns",
                made[0].len(),
                parse * 1e9,
                verify * 1e9
            );
        }
    }
}
