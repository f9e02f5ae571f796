//! Forecasts of regular streams: closed-form, deterministic, refitted as data arrives.
//!
//! Every sum runs in one fixed order and only `+ - * /` and `sqrt` are used, so that a forecast is the same on every
//! machine. [`LagRidge`] predicts the next values of a stream from its last ones; [`Ridge`] is the same regression on
//! any features; [`Conformal`] puts an interval around what was predicted; [`Experts`] mixes forecasts by how well each
//! did. [`ForecastSpec`] is the model that is bound to a stream: it uses all of them and has a bounded state.

mod cholesky;
mod conformal;
mod experts;
mod lag_ridge;
mod ridge;
mod stream;

pub use conformal::Conformal;
pub use experts::Experts;
pub use lag_ridge::{LagRidge, WindowSums};
pub use ridge::{Ridge, RidgeSums};
pub(crate) use stream::ForecastState;
pub use stream::{ForecastSpec, Tells};
