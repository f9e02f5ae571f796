//! Content negotiation (RFC 9110, section 12.5.1), as far as a choice of two needs it.

use axum::http::{HeaderMap, header};

/// How much the client wants a media type, in thousandths; 0 is not at all.
fn quality(accept: &str, offered: &str) -> u32 {
    let (kind, _) = offered.split_once('/').unwrap_or((offered, ""));
    let mut best: Option<(u8, u32)> = None;
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default().to_ascii_lowercase();
        let exactness = match name.as_str() {
            "*/*" => 0,
            _ if name.strip_suffix("/*") == Some(kind) => 1,
            _ if name == offered => 2,
            _ => continue,
        };
        let weight = parts.find_map(|p| p.strip_prefix("q=").or_else(|| p.strip_prefix("Q=")));
        let weight = weight.and_then(|q| q.parse::<f32>().ok()).unwrap_or(1.0).clamp(0.0, 1.0);
        if best.is_none_or(|(found, _)| exactness >= found) {
            best = Some((exactness, (weight * 1000.0) as u32));
        }
    }
    best.map_or(0, |(_, q)| q)
}

/// The index of the offered representation that the client likes best, each given by its names; the first of equals.
/// `None` when it takes none of them.
pub(crate) fn choose(headers: &HeaderMap, offered: &[&[&str]]) -> Option<usize> {
    let values: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect();
    let accept = values.join(",");
    if accept.trim().is_empty() {
        return Some(0);
    }
    let wanted = |names: &[&str]| names.iter().map(|name| quality(&accept, name)).max().unwrap_or(0);
    let mut best = None;
    for (i, names) in offered.iter().enumerate() {
        let q = wanted(names);
        if q > 0 && best.is_none_or(|(_, found)| q > found) {
            best = Some((i, q));
        }
    }
    best.map(|(i, _)| i)
}

/// The media type of a header value in lower case, and its parameters.
pub(crate) fn media_type(value: &str) -> (String, Vec<(String, String)>) {
    let mut parts = value.split(';');
    let name = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
    let parameters = parts.filter_map(|p| p.split_once('='));
    let unquoted = |v: &str| v.trim().trim_matches('"').to_ascii_lowercase();
    (name, parameters.map(|(k, v)| (k.trim().to_ascii_lowercase(), unquoted(v))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_liked_wins() {
        let offered: [&[&str]; 2] = [&["application/json"], &["application/cose", "application/cbor"]];
        for (accept, expected) in [
            ("", Some(0)),
            ("*/*", Some(0)),
            ("application/*", Some(0)),
            ("application/cose", Some(1)),
            ("application/cose; cose-type=\"cose-sign1\"", Some(1)),
            ("application/json;q=0.5, application/cbor", Some(1)),
            ("application/cose;q=0.1, application/json", Some(0)),
            ("application/json;q=0, */*", Some(1)),
            ("text/html", None),
            ("text/html, */*;q=0.1", Some(0)),
            (";;,=,q=", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(choose(&headers, &offered), expected, "{accept}");
        }
    }

    #[test]
    fn media_types_have_parameters() {
        let (name, parameters) = media_type("Application/COSE; cose-type=\"cose-sign1\"");
        assert_eq!(name, "application/cose");
        assert_eq!(parameters, [("cose-type".to_owned(), "cose-sign1".to_owned())]);
    }
}
