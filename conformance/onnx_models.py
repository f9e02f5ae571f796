#!/usr/bin/env python3
"""Exports models of scikit-learn, serves each with `triad models serve`, and compares what a client of the Open Inference Protocol is
told with onnxruntime; then asks wrongly and expects problem documents.

    onnx_models.py PATH_TO_TRIAD      needs the packages of examples/onnx.txt
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import warnings

import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from sklearn import ensemble, linear_model, neural_network, preprocessing, svm, tree
from sklearn.pipeline import make_pipeline

warnings.filterwarnings("ignore")
triad = sys.argv[1]
random = np.random.default_rng(11)
X = random.normal(size=(400, 4)).astype(np.float32)
two = (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int)
three = two + (X[:, 3] > 0)
number = 2 * X[:, 0] + X[:, 3]
some = dict(n_estimators=30, random_state=1)
net = dict(hidden_layer_sizes=(16, 8), max_iter=300, random_state=1)
scaled = lambda model: make_pipeline(preprocessing.StandardScaler(), model)
models = {
    "LogisticRegression": linear_model.LogisticRegression().fit(X, two),
    "LogisticRegression of three": linear_model.LogisticRegression().fit(X, three),
    "StandardScaler, LogisticRegression": scaled(linear_model.LogisticRegression()).fit(X, two),
    "PolynomialFeatures": make_pipeline(preprocessing.PolynomialFeatures(2), linear_model.LogisticRegression()).fit(X, two),
    "LinearRegression": linear_model.LinearRegression().fit(X, number),
    "DecisionTreeClassifier": tree.DecisionTreeClassifier(max_depth=5).fit(X, two),
    "RandomForestClassifier": ensemble.RandomForestClassifier(**some).fit(X, three),
    "RandomForestRegressor": ensemble.RandomForestRegressor(**some).fit(X, number),
    "ExtraTreesClassifier": ensemble.ExtraTreesClassifier(**some).fit(X, two),
    "GradientBoostingClassifier": ensemble.GradientBoostingClassifier(**some).fit(X, two),
    "GradientBoostingRegressor": ensemble.GradientBoostingRegressor(**some).fit(X, number),
    "AdaBoostClassifier": ensemble.AdaBoostClassifier(**some).fit(X, two),
    "IsolationForest": ensemble.IsolationForest(**some).fit(X),
    "MLPClassifier": scaled(neural_network.MLPClassifier(**net)).fit(X, two),
    "MLPRegressor": scaled(neural_network.MLPRegressor(**net)).fit(X, number),
}
failed = 0


def said(what, good, why=""):
    global failed
    failed += not good
    print(("ok " if good else "FAIL ") + what + ("" if good else ": " + why), flush=True)


def ask(url, body=None):
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"} if data else {})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def serve(path):
    server = subprocess.Popen([triad, "models", "serve", "--file", path, "--name", "m", "--listen", "127.0.0.1:0"],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    line = server.stdout.readline()
    return server, line.split(",")[0]


def compare(name, file, folder):
    path = folder / "model.onnx"
    path.write_bytes(file)
    session = onnxruntime.InferenceSession(file)
    rows = X[:40]
    expected = session.run(None, {"X": rows})
    if isinstance(expected[-1], list):
        expected[-1] = np.array([list(row.values()) for row in expected[-1]])
    server, url = serve(path)
    try:
        if not url:
            return said(name, False, server.stderr.read().strip())
        status, answer = ask(url + "/infer", {"inputs": [
            {"name": "X", "datatype": "FP32", "shape": list(rows.shape), "data": rows.tolist()}]})
        if status != 200 or len(answer["outputs"]) != len(expected):
            return said(name, False, json.dumps(answer)[:300])
        worst = 0.0
        for output, numbers in zip(answer["outputs"], expected):
            found = np.array(output["data"], dtype=float)
            numbers = np.asarray(numbers, dtype=float).ravel()
            worst = max(worst, float(np.max(np.abs(found - numbers) / (1 + np.abs(numbers)))))
        said("%s: at most %.1e from onnxruntime" % (name, worst), worst < 1e-5, "too far")
    finally:
        server.terminate()
        server.wait()


def wrong(folder):
    path = folder / "model.onnx"
    path.write_bytes(to_onnx(models["LogisticRegression"], X[:1]).SerializeToString())
    server, url = serve(path)
    tensor = {"name": "X", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
    infer = lambda **change: ask(url + "/infer", {"inputs": [{**tensor, **change}]})
    cases = {
        "no JSON": ask(url + "/infer", b"{"),
        "another name": infer(name="Y"),
        "another type": infer(datatype="INT64"),
        "another shape": infer(shape=[1, 3], data=[1, 2, 3]),
        "too few numbers": infer(data=[1, 2, 3]),
        "texts": infer(data=["1", "2", "3", "4"]),
        "an infinite number": ask(url + "/infer", json.dumps({"inputs": [tensor]}).replace("4]}", "1e999]}").encode()),
        "too long a request": ask(url + "/infer", b" " * (1 << 21)),
        "another model": ask(url[:-1] + "n/infer", {"inputs": [tensor]}),
    }
    try:
        for name, (status, answer) in cases.items():
            good = status in (400, 404, 413) and answer["status"] == status and answer["error"]
            said("%s: %d, %s" % (name, status, answer.get("detail", "")), good, json.dumps(answer)[:300])
        said("ready", ask(url.split("/models")[0] + "/health/ready") == (200, {"ready": True}))
    finally:
        server.terminate()
        server.wait()


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    for name, model in models.items():
        compare(name, to_onnx(model, X[:1], target_opset={"": 17, "ai.onnx.ml": 3}).SerializeToString(), folder)
    wrong(folder)
    path = folder / "svm.onnx"
    path.write_bytes(to_onnx(svm.SVC(probability=True).fit(X, two), X[:1]).SerializeToString())
    server, url = serve(path)
    why = server.stderr.read()
    server.wait()
    said("a support vector machine is refused by name", not url and "SVMClassifier" in why, why)
sys.exit(1 if failed else 0)
