//! What clients write into paths and queries. Unknown and repeated query parameters are refused: a misspelt `from`
//! that is silently ignored gives a wrong answer.

use axum::extract::Query as AxumQuery;
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use triad_statement::{DeviceId, StreamId};

use crate::problem::Problem;
use crate::state::Api;

/// The named parts of a request's path, percent-decoded.
#[derive(Debug)]
pub(crate) struct Path(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Path {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Path, Problem> {
        let found = RawPathParams::from_request_parts(parts, state).await;
        let found = found.map_err(|_| Problem::parameter("path", "its percent-encoding is not UTF-8"))?;
        Ok(Path(found.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }
}

impl Path {
    pub fn text(&self, name: &str) -> Result<&str, Problem> {
        let found = self.0.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str()).ok_or_else(|| Problem::parameter(name, "it is missing"))
    }

    pub fn number(&self, name: &str) -> Result<u64, Problem> {
        let text = self.text(name)?;
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = text.parse().ok().filter(|_| digits);
        number.ok_or_else(|| Problem::parameter(name, "expected a whole number"))
    }

    /// Letters of either case: people paste Ethereum addresses with checksums.
    pub fn device(&self, name: &str) -> Result<DeviceId, Problem> {
        self.text(name)?.to_ascii_lowercase().parse().map_err(|e| Problem::parameter(name, e))
    }

    /// A stream by its id, or by its device and name.
    pub fn stream(&self) -> Result<StreamId, Problem> {
        if self.0.iter().any(|(n, _)| n == "name") {
            return Ok(triad_statement::stream_id(self.device("id")?, self.text("name")?));
        }
        self.text("id")?.to_ascii_lowercase().parse().map_err(|e| Problem::parameter("id", e))
    }
}

/// The parameters of a query.
#[derive(Debug)]
pub(crate) struct Query(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Query, Problem> {
        let found = AxumQuery::<Vec<(String, String)>>::try_from_uri(&parts.uri);
        let AxumQuery(pairs) = found.map_err(|e| Problem::parameter("query", e))?;
        Ok(Query(pairs))
    }
}

impl Query {
    /// Refuses whatever is not in `known`, or is there twice.
    pub fn only(self, known: &[&str]) -> Result<Query, Problem> {
        for (i, (name, _)) in self.0.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                let known = if known.is_empty() { "none".into() } else { known.join(", ") };
                return Err(Problem::parameter(name, format!("it is unknown here; known: {known}")));
            }
            if self.0[..i].iter().any(|(n, _)| n == name) {
                return Err(Problem::parameter(name, "it is given twice"));
            }
        }
        Ok(self)
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        let parse =
            |text: &str| text.parse().map_err(|_| Problem::parameter(name, "expected a whole number"));
        self.get(name).map(parse).transpose()
    }

    pub fn time(&self, name: &str) -> Result<Option<i64>, Problem> {
        self.get(name)
            .map(|text| crate::time::parse(text).map_err(|e| Problem::parameter(name, e)))
            .transpose()
    }

    /// How many rows a page has.
    pub fn limit(&self, api: &Api) -> Result<usize, Problem> {
        let limits = &api.config.limits;
        match self.number("limit")? {
            None => Ok(limits.default_page),
            Some(n) if (1..=limits.max_page as u64).contains(&n) => Ok(n as usize),
            Some(n) => {
                let why = format!("expected 1 to {}, found {n}", limits.max_page);
                Err(Problem::parameter("limit", why))
            }
        }
    }

    /// `after` as a cursor of `n` numbers, which a page's `next` gave.
    pub fn cursor(&self, n: usize) -> Result<Option<String>, Problem> {
        let Some(text) = self.get("after") else { return Ok(None) };
        let numbers = text.split('.').filter(|number| number.parse::<i64>().is_ok()).count();
        if numbers != n || text.split('.').count() != n {
            return Err(Problem::parameter("after", "expected the `next` of the page before"));
        }
        Ok(Some(text.to_owned()))
    }
}
