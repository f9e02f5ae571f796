#!/usr/bin/env python3
"""Pumps that wear out, as two tables: `pumps.csv` to train on, `pump.csv` as a device would send it.

    python3 pumps.py [FOLDER]                                    # . by default

`pumps.csv`: sixty pumps from new to their end, a row an hour: what three sensors showed and the hours that were left.
`pump.csv`: another pump, with times in the last days. Nothing is real: wear grows at a rate of its own in each pump, and shows in
vibration and temperature, in noise.
"""
import csv, os, random, sys, time

folder = sys.argv[1] if len(sys.argv) > 1 else "."
random.seed(1)


def pump():
    """Rows of vibration (mm/s), temperature (Cel), pressure (bar), hours left."""
    life = random.randint(260, 340)
    for hour in range(life):
        wear = (hour / life) ** 2
        yield (
            round(1.0 + 6.0 * wear + random.gauss(0, 0.25), 3),
            round(45.0 + 30.0 * wear + random.gauss(0, 1.5), 2),
            round(6.0 - 1.2 * wear + random.gauss(0, 0.15), 3),
            life - 1 - hour,
        )


with open(os.path.join(folder, "pumps.csv"), "w", newline="") as file:
    out = csv.writer(file)
    out.writerow(["pump", "vibration", "temperature", "pressure", "hours_left"])
    for number in range(60):
        out.writerows((number, *row) for row in pump())

with open(os.path.join(folder, "pump.csv"), "w", newline="") as file:
    out = csv.writer(file)
    out.writerow(["timestamp", "vibration", "temperature", "pressure", "hours_left"])
    rows = list(pump())
    begin = int(time.time()) // 3600 * 3600 - 3600 * len(rows)
    out.writerows((begin + 3600 * hour, *row) for hour, row in enumerate(rows))
