#!/usr/bin/env bash
# A model from scikit-learn on a chain: trains and exports it, binds its hash and its runner to a pump's stream, lets the pump
# send its last hours, runs the model, shows what was told beside what onnxruntime tells, and verifies a verdict's receipt offline.
#
#     examples/onnx.sh [FOLDER]        needs `triad` on the PATH, curl, and python3 with the packages of examples/onnx.txt;
#                                      ports 8080, 8545, 1883 and 8090 free
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
folder="${1:-pump-onnx}"
mkdir -p "$folder"
cd "$folder"
python3 "$here/onnx_pump.py" .
triad models show pump.onnx

triad node --dev --data-dir node >node.log 2>&1 &
started=($!)
trap 'kill "${started[@]}" 2>/dev/null; wait 2>/dev/null || true' EXIT
for _ in $(seq 100); do curl -fs http://127.0.0.1:8080/v1/validators >/dev/null && break; sleep 0.2; done

register() { # register NAME: a device with a key of its own
  triad key new --alg ed25519 --out "$1.pem" >/dev/null
  triad device register --key "$1.pem" --json | grep -o '0x[0-9a-f]\{40\}' | head -1
}
pump="$(register pump)"
runner="$(register runner)"
triad model bind "$pump" vibration onnx --file pump.onnx --runner "$runner" --tells failure-risk \
  --inputs vibration,temperature,pressure
triad models list --device "$pump" --name vibration 2>/dev/null || true

triad publish --csv pump.csv --key pump.pem --columns vibration,temperature,pressure --speed max
triad models run --file pump.onnx --key runner.pem --device "$pump" --name vibration --once --json >verdicts.jsonl
# Nothing is judged twice.
triad models run --file pump.onnx --key runner.pem --device "$pump" --name vibration --once --json >>verdicts.jsonl
triad models list --device "$pump" --name vibration

echo
echo "What was told, every six hours and at the end:"
python3 - <<'PYTHON'
import csv, json
left = [row["hours_left"] for row in csv.DictReader(open("pump.csv"))]
told = json.load(open("told.json"))
verdicts = [json.loads(line) for line in open("verdicts.jsonl")]
assert len(verdicts) == len(left), (len(verdicts), len(left))
for hour, verdict in list(enumerate(verdicts))[::6] + [(len(verdicts) - 1, verdicts[-1])]:
    print("  %3s h left: %s (%s, leaf %s)" % (left[hour], verdict["reason"], verdict["class"], verdict["statement"]))
apart = max(abs(verdict["value"] - risk) for verdict, risk in zip(verdicts, told))
print("  at most %.1e from onnxruntime" % apart)
assert apart < 1e-5
PYTHON

leaf="$(tail -n 1 verdicts.jsonl | python3 -c 'import json, sys; print(json.load(sys.stdin)["statement"])')"
curl -fs "http://127.0.0.1:8080/v1/statements/$leaf/receipt" >verdict.receipt
curl -fs http://127.0.0.1:8080/v1/genesis >genesis.json
echo
echo "The receipt of the runner's last statement, verified with the genesis file alone (its last verdict):"
triad verify verdict.receipt --genesis genesis.json >verified.txt
head -n 8 verified.txt
grep -A 4 '^Verdict' verified.txt | tail -n 5
grep '^In the log' verified.txt

triad models serve --file pump.onnx --listen 127.0.0.1:8090 >serve.log 2>&1 &
started+=($!)
for _ in $(seq 600); do curl -fs http://127.0.0.1:8090/v2/health/ready >/dev/null && break; sleep 0.2; done
echo
echo "The same model over HTTP:"
curl -fs http://127.0.0.1:8090/v2/models/pump/infer \
  -d '{"inputs":[{"name":"X","datatype":"FP32","shape":[1,3],"data":[6.9,71.5,4.6]}]}'
echo
