//! `triad models`: what happens to models off the chain, and their files' way onto it. Binding one to a stream is `triad model`.

mod catalogue;
mod eval;
mod exchange;
pub mod on_chain;
pub mod onnx;
mod register;
mod score;
mod train;
mod watch;

use super::Done;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// The kinds of models: what they tell and take, what they cost, on whose word their verdicts rest.
    List(catalogue::ListArgs),
    /// What a kind of model or a model's file is.
    Show(catalogue::ShowArgs),
    /// Score a file: by the default detector (a CSV file, anomalies from 0.5), or by a trained model.
    Score(score::Args),
    /// Train the model of a suite on all that is labelled there.
    Train(train::Args),
    /// Take over an ensemble of trees that XGBoost (JSON) or LightGBM (text) trained, or a small neural network (ONNX).
    Import(exchange::ImportArgs),
    /// Put a model's file on the chain, where every validator has it.
    Register(register::Args),
    /// Run an ONNX model for streams that it is bound to, and sign for what it says (class `attested`).
    Run(Box<onnx::run::Args>),
    /// Serve an ONNX model over HTTP, in the Open Inference Protocol.
    Serve(onnx::serve::Args),
    /// Tries an ONNX file with limits on memory and time; `run` and `serve` call it.
    #[command(hide = true)]
    CheckOnnx(onnx::CheckArgs),
    /// Write a trained model's ensemble of trees alone: compact (TGBT) or as JSON.
    Export(exchange::ExportArgs),
    /// Run public benchmarks over a folder of their layout.
    Eval(eval::Args),
}

pub fn run(command: Command) -> Done {
    match command {
        Command::List(args) => catalogue::list(&args),
        Command::Show(args) => catalogue::show(&args),
        Command::Score(args) => score::run(&args),
        Command::Train(args) => train::run(&args),
        Command::Import(args) => exchange::import_file(&args),
        Command::Register(args) => register::run(&args),
        Command::Run(args) => onnx::run::run(&args),
        Command::Serve(args) => onnx::serve::run(&args),
        Command::CheckOnnx(args) => onnx::check(&args),
        Command::Export(args) => exchange::export(&args),
        Command::Eval(args) => eval::run(&args),
    }
}
