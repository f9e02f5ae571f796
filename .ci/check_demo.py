"""Checks the last line of `triad demo --json`: every member that scripts rely on, and what the main job must achieve."""

import json
import sys

MEMBERS = (
    "readings_sent readings_final verdicts anomalies labelled_found false_alarms excursions silences penalty_paid "
    "receipt_bytes receipt_verified tampered_rejected audit_ok readings_per_s ack_ms_p50 ack_ms_p99 bytes_per_reading"
).split()

with open(sys.argv[1], encoding="utf-8") as file:
    told = json.load(file)
missing = [name for name in MEMBERS if name not in told]
if missing:
    sys.exit(f"the demo's last line lacks {', '.join(missing)}")

number = lambda name: float(told[name])  # amounts of tokens may be text
demands = {
    "all readings are final": number("readings_sent") > 0 and told["readings_final"] == told["readings_sent"],
    "a labelled failure is found": number("labelled_found") >= 1,
    "at most 3 false alarms": number("false_alarms") <= 3,
    "excursions are seen": number("excursions") >= 1,
    "the silence is seen": number("silences") >= 1,
    "a penalty is paid": number("penalty_paid") > 0,
    "the receipt is verified": told["receipt_verified"] is True,
    "the tampered receipt is rejected": told["tampered_rejected"] is True,
    "the audit passes": told["audit_ok"] is True,
}
failed = [name for name, holds in demands.items() if not holds]
if failed:
    sys.exit("the demo does not show: " + "; ".join(failed))
print(f"the demo shows all {len(demands)} demands")
