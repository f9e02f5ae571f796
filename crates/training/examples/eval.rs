//! `eval SUITE DATA`: a suite's figures, as `triad models eval` prints them.

use std::error::Error;
use std::path::Path;

use triad_training::{Suite, evaluate};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [suite, data] = arguments.as_slice() else { return Err("eval SUITE DATA".into()) };
    for suite in Suite::named(suite)? {
        println!("{:#}", evaluate(suite, Path::new(data))?);
    }
    Ok(())
}
