//! The network as a table, a line a node.

use serde_json::Value;

/// What one node says of itself; `None` where it does not answer.
#[derive(Debug, Clone)]
pub struct Row {
    pub name: String,
    pub at: String,
    pub network: Option<Value>,
    /// Why it is not ready, from `/readyz`.
    pub not_ready: Option<String>,
}

fn number(value: &Value) -> String {
    match value.as_f64() {
        Some(n) if n.fract() == 0.0 => format!("{n}"),
        Some(n) => format!("{n:.1}"),
        None => "-".into(),
    }
}

/// The whole table, with its heading; `*` marks the leader of the highest view that any of them is in.
pub fn render(rows: &[Row]) -> String {
    let newest = rows.iter().filter_map(|r| r.network.as_ref()).max_by_key(|n| n["view"].as_u64());
    let leader = newest.and_then(|n| n["leader"].as_str()).unwrap_or_default().to_owned();
    let mut lines = vec![[
        "node".to_owned(),
        "role".into(),
        "height".into(),
        "lag".into(),
        "finality ms".into(),
        "peers".into(),
        "views given up".into(),
        "api".into(),
        "state".into(),
    ]];
    for row in rows {
        let star = if row.name == leader { "*" } else { " " };
        let empty = Value::Null;
        let n = row.network.as_ref().unwrap_or(&empty);
        let peers = match (n["connected"].as_u64(), n["validators"].as_u64()) {
            (Some(connected), Some(all)) => format!("{connected}/{all}"),
            _ => "-".into(),
        };
        let state = match (&row.network, &row.not_ready) {
            (None, _) => "does not answer".into(),
            _ if n["voting"] == "denied" => "does not vote: see its log".into(),
            (_, Some(why)) => why.split(&[':', '('][..]).next().unwrap_or(why).trim().to_owned(),
            _ => "ready".into(),
        };
        lines.push([
            format!("{}{star}", row.name),
            n["role"].as_str().unwrap_or("-").to_owned(),
            number(&n["height"]),
            number(&n["lag"]),
            number(&n["finality_ms"]),
            peers,
            number(&n["views_given_up"]),
            row.at.clone(),
            state,
        ]);
    }
    let width = |column: usize| lines.iter().map(|l| l[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..lines[0].len()).map(width).collect();
    let mut out = String::new();
    for line in &lines {
        let cells: Vec<String> =
            line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        out.push_str(cells.join("  ").trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_leader_is_marked_and_silence_is_said() {
        let up = json!({"role": "validator", "height": 7, "lag": 0, "finality_ms": 12.34, "connected": 3,
            "validators": 4, "views_given_up": 1, "view": 9, "leader": "a"});
        let rows = [
            Row { name: "a".into(), at: "x".into(), network: Some(up), not_ready: None },
            Row { name: "b".into(), at: "y".into(), network: None, not_ready: None },
            Row {
                name: "c".into(),
                at: "z".into(),
                network: Some(json!({"voting": "denied"})),
                not_ready: None,
            },
        ];
        let table = render(&rows);
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[1].starts_with("a*") && lines[1].contains("12.3") && lines[1].contains("3/4"));
        assert!(lines[1].ends_with("ready") && lines[2].ends_with("does not answer"));
        assert!(lines[3].ends_with("does not vote: see its log"));
    }
}
