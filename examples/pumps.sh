#!/usr/bin/env bash
# From a table to verdicts of a remaining life: trains on pumps that ran to their end, puts the model on a development
# chain, binds it, lets another pump send its readings, and shows what was told beside what was true.
#
#     examples/pumps.sh [FOLDER]        needs `triad` on the PATH, python3 and curl; ports 8080, 8545, 1883 free
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
folder="${1:-pumps}"
mkdir -p "$folder"
cd "$folder"
python3 "$here/pumps.py"

triad models train --csv pumps.csv --target hours_left --most 150 --unit h --group pump --out pumps.tmdl

triad node --dev --data-dir node >node.log 2>&1 &
node=$!
trap 'kill $node 2>/dev/null; wait $node 2>/dev/null || true' EXIT
for _ in $(seq 100); do curl -fs http://127.0.0.1:8080/v1/validators >/dev/null && break; sleep 0.2; done

triad key new --alg ed25519 --out pump.pem >/dev/null
device="$(triad device register --key pump.pem --json | grep -o '0x[0-9a-f]\{40\}' | head -1)"
at="$(triad models register --file pumps.tmdl --json | grep -o '"at":"0x[0-9a-fA-F]*"' | cut -d'"' -f4)"
triad model bind "$device" vibration trees --at "$at"
triad model bind "$device" vibration forecast --interval-ms 3600000 --horizon 12 --high 6
triad publish --csv pump.csv --key pump.pem --columns vibration,temperature,pressure --speed max
triad models list --device "$device" --name vibration

echo
echo "What was told every fifty hours, and what was true:"
url="http://127.0.0.1:8080/v1/devices/$device/streams/vibration/verdicts"
curl -fs "$url?kind=remaining-life&limit=1000" | python3 -c '
import csv, json, sys
true = [float(row["hours_left"]) for row in csv.DictReader(open("pump.csv"))]
told = json.load(sys.stdin)["verdicts"]
for hour, verdict in list(enumerate(told))[::50] + [(len(told) - 1, told[-1])]:
    print("  hour %3d  %3.0f h left  %s  (%s)" % (hour, true[hour], verdict["reason"], verdict["class"]))
error = [min(150, left) - verdict["value"] for left, verdict in zip(true, told)]
print("  root mean square error %.1f h over %d hours" % ((sum(e * e for e in error) / len(error)) ** 0.5, len(error)))'
echo "When it was first expected to shake more than 6 mm/s within twelve hours:"
curl -fs "$url?kind=expected-high&limit=1" | python3 -c '
import json, sys
for verdict in json.load(sys.stdin)["verdicts"]:
    print("  at %s: %s" % (verdict["time"], verdict["reason"]))'
