#!/usr/bin/env python3
"""A device: signs one temperature reading and publishes it until it is final.

    pip install cbor2 paho-mqtt pycryptodome
    python3 device.py [VALUE] [HOST] [PORT] [KEY FILE]       # 21.5 127.0.0.1 1883 device.pem

The first run makes a key and prints the device id: register it (`triad device register --help`), then run again.
"""
import os, sys, threading, time
import cbor2
import paho.mqtt.client as mqtt
from Crypto.Hash import keccak
from Crypto.PublicKey import ECC
from Crypto.Signature import eddsa

value, host, port, file = (sys.argv[1:] + ["21.5", "127.0.0.1", "1883", "device.pem"][len(sys.argv) - 1:])[:4]
if not os.path.exists(file):
    open(file, "w", opener=lambda p, f: os.open(p, f, 0o600)).write(ECC.generate(curve="Ed25519").export_key(format="PEM"))
key = ECC.import_key(open(file).read())
cose_key = cbor2.dumps({1: 1, -1: 6, -2: key.public_key().export_key(format="raw")}, canonical=True)
device = keccak.new(digest_bits=256, data=cose_key).digest()[12:]
print(f"device 0x{device.hex()}")

# Every number is used once; written down before it is used, so that not even a crash repeats one.
number = int(open(file + ".sequence").read()) + 1 if os.path.exists(file + ".sequence") else 0
open(file + ".sequence", "w").write(str(number))

protected = cbor2.dumps({1: -8, 3: 112, 4: device, 15: {-65537: number}}, canonical=True)  # EdDSA, SenML, who, number
payload = cbor2.dumps([{0: "temperature", 1: "Cel", 2: float(value), 6: int(time.time())}])  # name, unit, value, time
signature = eddsa.new(key, "rfc8032").sign(cbor2.dumps(["Signature1", protected, b"", payload], canonical=True))
statement = cbor2.dumps(cbor2.CBORTag(18, [protected, {}, payload, signature]), canonical=True)

answered = threading.Event()
answer = {}

def on_publish(client, userdata, mid, reason, properties):  # the PUBACK: final and on disk, or refused
    answer.update(ok=not reason.is_failure, **dict(getattr(properties, "UserProperty", [])))
    print(f"final: leaf {answer['leaf']} in block {answer['height']}" if answer["ok"]
          else f"refused, {reason}: {getattr(properties, 'ReasonString', '')}")
    answered.set()

client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
client.on_publish = on_publish
client.connect(host, int(port))
client.loop_start()
client.publish("triad/v1/statements", statement, qos=1)
answered.wait(30) or print("no answer yet; the same statement may be sent again")
client.disconnect()
sys.exit(0 if answer.get("ok") else 1)
