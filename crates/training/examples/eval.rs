//! `eval SUITE DATA [PLOTS]`: a suite's figures, as `triad models eval` prints them, and its pictures.

use std::error::Error;
use std::path::Path;

use triad_training::{Suite, Watch, draw, evaluate};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [suite, data, plots @ ..] = arguments.as_slice() else {
        return Err("eval SUITE DATA [PLOTS]".into());
    };
    for suite in Suite::named(suite)? {
        let mut watch = Watch::new(|_| {}, !plots.is_empty());
        println!("{:#}", evaluate(suite, Path::new(data), &mut watch)?);
        for figure in watch.take_figures() {
            draw(&figure, Path::new(&plots[0]))?;
        }
    }
    Ok(())
}
