"""Publishes statement files with paho-mqtt over MQTT 5 and prints what the acknowledgement says.

    publish.py HOST:PORT FILE...

One line a file: reason code, leaf or "-", reason string. Ends with 0 if every statement was accepted.
"""

import sys
import threading

import paho.mqtt.client as mqtt

TOPIC = "triad/v1/statements"
PATIENCE = 20  # seconds for all acknowledgements


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    files = sys.argv[2:]
    answers, done, connected = {}, threading.Event(), threading.Event()

    def on_connect(client, _data, _flags, reason, _properties):
        if reason.is_failure:
            sys.exit(f"CONNACK {reason}")
        connected.set()

    def on_publish(_client, _data, mid, reason, properties):
        told = dict(getattr(properties, "UserProperty", []))
        answers[mid] = (reason.value, told.get("leaf", "-"), getattr(properties, "ReasonString", ""))
        if len(answers) == len(files):
            done.set()

    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="conformance", protocol=mqtt.MQTTv5)
    client.on_connect, client.on_publish = on_connect, on_publish
    client.connect(host, int(port))
    client.loop_start()
    if not connected.wait(PATIENCE):
        sys.exit("no CONNACK")
    sent = []
    for name in files:
        with open(name, "rb") as file:
            sent.append((name, client.publish(TOPIC, file.read(), qos=1).mid))
    complete = done.wait(PATIENCE)
    client.disconnect()
    client.loop_stop()
    for name, mid in sent:
        code, leaf, why = answers.get(mid, ("no answer", "-", ""))
        print(code, leaf, why)
    return 0 if complete and all(code == 0 for code, _, _ in answers.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
