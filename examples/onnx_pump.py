#!/usr/bin/env python3
"""Trains scikit-learn on pumps that ran to their end, exports the model, and writes a pump's hours to be sent.

    onnx_pump.py [FOLDER]      needs scikit-learn, skl2onnx and onnxruntime; writes pump.onnx, pump.csv and told.json

pump.onnx tells the probability that a pump fails within 24 hours, from its vibration, temperature and pressure. pump.csv
are the last hours of a pump that the model never saw; told.json what onnxruntime tells of each.
"""
import csv
import json
import pathlib
import sys

import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".")
random = np.random.default_rng(5)
columns = ["vibration", "temperature", "pressure"]


def pump(life):
    """Readings of each hour until the end, and the hours left."""
    left = np.arange(life, 0, -1)
    worn = np.exp(-left / 30)
    vibration = 2 + 5 * worn + random.normal(0, 0.3, life)
    temperature = 60 + 12 * worn + random.normal(0, 1.5, life)
    pressure = 6 - 1.5 * worn + random.normal(0, 0.2, life)
    return np.column_stack([vibration, temperature, pressure]).astype(np.float32), left


pumps = [pump(int(random.integers(150, 400))) for _ in range(40)]
rows = np.concatenate([readings for readings, _ in pumps[:30]])
fails = np.concatenate([left <= 24 for _, left in pumps[:30]])
model = make_pipeline(StandardScaler(), GradientBoostingClassifier(n_estimators=60, max_depth=3, random_state=5))
model.fit(rows, fails)
others = np.concatenate([readings for readings, _ in pumps[30:]])
soon = np.concatenate([left <= 24 for _, left in pumps[30:]])
print("area under the curve on ten other pumps: %.3f" % roc_auc_score(soon, model.predict_proba(others)[:, 1]))

opset = {"": 17, "ai.onnx.ml": 3}
file = to_onnx(model, rows[:1], target_opset=opset).SerializeToString()
(folder / "pump.onnx").write_bytes(file)

readings, left = pump(60)
with open(folder / "pump.csv", "w", newline="") as out:
    table = csv.writer(out)
    table.writerow(["timestamp", "hours_left"] + columns)
    for hour, row in enumerate(readings):
        table.writerow([1_700_000_000 + 3600 * hour, left[hour]] + [repr(float(number)) for number in row])
session = onnxruntime.InferenceSession(file)
probabilities = session.run(None, {session.get_inputs()[0].name: readings})[1]
(folder / "told.json").write_text(json.dumps([float(row[1]) for row in probabilities]) + "\n")
