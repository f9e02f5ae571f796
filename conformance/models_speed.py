#!/usr/bin/env python3
"""What a reading costs: our anomaly detector beside detectors and a forecaster of Python, on the same rows.

Not part of `conformance/run`: figures need an idle machine. In an environment of its own:

    python3 -m venv /tmp/models-speed
    /tmp/models-speed/bin/pip install -r conformance/models_speed_requirements.txt
    /tmp/models-speed/bin/python conformance/models_speed.py --triad target/release/triad --csv FILE

FILE: a table with the columns `timestamp` and `value`; its first 2,000 rows are judged, one by one, by everybody. Ours is
measured by `triad models score` (the judging alone, without reading the file), the others in processor time around their calls alone. Each
is run five times (the forest, which takes long, twice) and the quickest run counts. The tasks are alike, not the same: River's half-space trees and the random
cut forest score how unusual a value is; SNARIMAX forecasts the next value and learns from its error.
"""
import argparse
import csv
import importlib.metadata
import json
import subprocess
import tempfile
import time
from pathlib import Path

import rrcf
from river import anomaly, linear_model, optim, preprocessing, time_series

ROWS = 2_000
RUNS = 5
SHINGLE = 8


def half_space_trees(values):
    """River's defaults; values scaled to [0, 1] as it expects."""
    low, high = min(values), max(values)
    model = anomaly.HalfSpaceTrees(seed=1)
    for value in values:
        row = {"value": (value - low) / (high - low)}
        model.score_one(row)
        model.learn_one(row)


def snarimax(values):
    """A day of lags of the order that River's own example has, one step ahead."""
    regressor = preprocessing.StandardScaler() | linear_model.LinearRegression(
        intercept_init=values[0], optimizer=optim.SGD(0.01), intercept_lr=0.3)
    model = time_series.SNARIMAX(p=12, d=0, q=0, m=12, sp=3, sq=0, regressor=regressor)
    for at, value in enumerate(values):
        if at > 48:
            model.forecast(horizon=1)
        model.learn_one(value)


def random_cut_forest(values):
    """As in the library's example of streaming: 40 trees of 256 points, shingles of 8."""
    trees = [rrcf.RCTree() for _ in range(40)]
    for at, point in enumerate(rrcf.shingle(values, size=SHINGLE)):
        for tree in trees:
            if len(tree.leaves) > 256:
                tree.forget_point(at - 256)
            tree.insert_point(point, index=at)
            tree.codisp(at)


def of_triad(triad, rows):
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "rows.csv"
        with table.open("w", newline="") as file:
            csv.writer(file).writerows([("timestamp", "value"), *rows])
        command = [triad, "models", "score", "--csv", table, "--out", Path(folder) / "scores.csv", "--json"]
        said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        assert said["rows"] == len(rows), said
        return said["ns_a_reading"]


def measured(judge, values):
    started = time.process_time_ns()
    judge(values)
    return (time.process_time_ns() - started) / len(values)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--triad", required=True, help="the release build of triad")
    parser.add_argument("--csv", required=True, help="a table with the columns timestamp and value")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    with open(arguments.csv, newline="") as file:
        rows = [(row["timestamp"], row["value"]) for row in csv.DictReader(file)][:ROWS]
    if len(rows) < ROWS:
        raise SystemExit(f"{arguments.csv} has {len(rows)} rows; {ROWS} are needed")
    values = [float(value) for _, value in rows]
    version = importlib.metadata.version
    others = {
        f"river {version('river')} HalfSpaceTrees": half_space_trees,
        f"rrcf {version('rrcf')}, 40 trees of 256": random_cut_forest,
        f"river {version('river')} SNARIMAX": snarimax,
    }
    ours = min(of_triad(arguments.triad, rows) for _ in range(RUNS))
    out = {"rows": len(rows), "ns_a_reading": {"triad anomaly": ours}, "times_ours": {}}
    for name, judge in others.items():
        ns = min(measured(judge, values) for _ in range(RUNS if judge is not random_cut_forest else 2))
        out["ns_a_reading"][name] = round(ns)
        out["times_ours"][name] = round(ns / ours)
    if arguments.json:
        print(json.dumps(out))
        return
    for name, ns in out["ns_a_reading"].items():
        print(f"{name:32} {ns:12,.0f} ns a reading   {ns / ours:8,.0f} times ours")


if __name__ == "__main__":
    main()
