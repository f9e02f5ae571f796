#!/usr/bin/env bash
# ONNX models against the tools that made them: exports of scikit-learn through the inference endpoint beside onnxruntime, and the whole
# way from training to a verdict whose receipt verifies offline (examples/onnx.sh). Apart from conformance/run, since its packages
# take 400 MB.
#
#     conformance/onnx.sh PATH_TO_TRIAD        ports 8080, 8545, 1883 and 8090 free
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
triad="$(cd "$(dirname "$1")" && pwd)/$(basename "$1")"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/../examples/onnx.txt"
export PYTHONDONTWRITEBYTECODE=1
"$work/venv/bin/python" "$here/onnx_models.py" "$triad"
mkdir "$work/bin" && ln -s "$triad" "$work/bin/triad"
PATH="$work/venv/bin:$work/bin:$PATH" "$here/../examples/onnx.sh" "$work/pump"
