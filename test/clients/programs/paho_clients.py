"""paho-mqtt, told what to do by paho.ts: one process for many clients.

Each line of standard input is an order, a JSON object with an `id`. Each line of standard output is the answer to one
({"id", "answer"} or {"id", "error"}) or a message that arrived ({"client", "message"}). Orders are carried out at the
same time. When standard input ends, so does the process.

It runs with paho-mqtt 1.5 and later, and with 2.
"""

import itertools
import json
import os
import queue
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PATIENCE_SECONDS = 15
PROTOCOLS = {3: mqtt.MQTTv31, 4: mqtt.MQTTv311, 5: mqtt.MQTTv5}
# paho-mqtt 2 wants to know which callbacks it is given.
API = {"callback_api_version": mqtt.CallbackAPIVersion.VERSION1} if hasattr(mqtt, "CallbackAPIVersion") else {}

clients = {}
numbers = itertools.count(1)
output = threading.Lock()


def say(line):
    with output:
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


class Client:
    def __init__(self, order):
        self.number = next(numbers)
        self.five = order["version"] == 5
        self.keeps = order.get("keeps", False)
        self.connacks = queue.Queue()
        self.subacks = queue.Queue()
        self.disconnected = threading.Event()
        session = {} if self.five else {"clean_session": not self.keeps}
        transport = "websockets" if order["transport"] == "ws" else "tcp"
        self.paho = mqtt.Client(
            client_id=order["clientId"], protocol=PROTOCOLS[order["version"]], transport=transport, **session, **API
        )
        self.paho.ws_set_options(path="/mqtt")
        self.paho.on_connect = lambda _client, _userdata, flags, code, *_: self.connacks.put((code, flags))
        self.paho.on_subscribe = lambda _client, _userdata, _mid, codes, *_: self.subacks.put(codes)
        self.paho.on_disconnect = lambda *_: self.disconnected.set()
        self.paho.on_message = lambda _client, _userdata, message: self.arrived(message)
        if "will" in order:
            self.paho.will_set(order["will"]["topic"], order["will"]["payload"], qos=1)
        self.port = order["port"]

    def arrived(self, message):
        properties = getattr(message, "properties", None)
        found = {
            "topic": message.topic,
            "payload": message.payload.decode(),
            "qos": message.qos,
            "retain": bool(message.retain),
        }
        expiry = getattr(properties, "MessageExpiryInterval", None)
        if expiry is not None:
            found["expirySeconds"] = expiry
        user = getattr(properties, "UserProperty", None)
        if user is not None:
            found["user"] = user
        say({"client": self.number, "message": found})

    def open(self):
        options = {}
        if self.five:
            properties = Properties(PacketTypes.CONNECT)
            if self.keeps:
                properties.SessionExpiryInterval = 600
            options = {"clean_start": not self.keeps, "properties": properties}
        self.paho.connect("127.0.0.1", self.port, **options)

    def connected(self):
        """Waits for CONNACK; says whether the session was there."""
        code, flags = self.connacks.get(timeout=PATIENCE_SECONDS)
        if code != 0:
            raise RuntimeError("CONNACK %s" % code)
        return bool(flags["session present"])

    def connect(self):
        clients[self.number] = self
        self.open()
        self.paho.loop_start()
        return self.connected()

    def end(self):
        clients.pop(self.number, None)
        self.paho.disconnect()
        if not self.disconnected.wait(PATIENCE_SECONDS):
            raise RuntimeError("no end of the connection")
        self.paho.loop_stop()


def connect(order):
    client = Client(order)
    present = client.connect()
    return {"client": client.number, "sessionPresent": present}


def subscribe(order):
    client = clients[order["client"]]
    client.paho.subscribe([(filter, order["qos"]) for filter in order["filters"]] if not client.five else [
        (filter, mqtt.SubscribeOptions(qos=order["qos"])) for filter in order["filters"]
    ])
    return [getattr(code, "value", code) for code in client.subacks.get(timeout=PATIENCE_SECONDS)]


def publish(order):
    client = clients[order["client"]]
    options = {}
    if client.five:
        properties = Properties(PacketTypes.PUBLISH)
        if "expirySeconds" in order:
            properties.MessageExpiryInterval = order["expirySeconds"]
        if "user" in order:
            properties.UserProperty = [tuple(pair) for pair in order["user"]]
        options = {"properties": properties}
    sent = [
        client.paho.publish(order["topic"], payload, qos=order["qos"], retain=order.get("retain", False), **options)
        for payload in order["payloads"]
    ]
    for one in sent:
        one.wait_for_publish(PATIENCE_SECONDS)
        if not one.is_published():
            raise RuntimeError("not published")
    return None


def end(order):
    clients[order["client"]].end()


def end_all(_order):
    for client in list(clients.values()):
        client.end()


def vanish(order):
    # Without paho's thread, which would connect again.
    client = Client(order)
    client.open()
    while client.connacks.empty():
        if client.paho.loop(PATIENCE_SECONDS) != mqtt.MQTT_ERR_SUCCESS:
            raise RuntimeError("no CONNACK")
    client.connected()
    client.paho.socket().close()


ORDERS = {
    "connect": connect,
    "subscribe": subscribe,
    "publish": publish,
    "end": end,
    "endAll": end_all,
    "vanish": vanish,
}


def carry_out(order):
    try:
        say({"id": order["id"], "answer": ORDERS[order["do"]](order)})
    except Exception as error:
        say({"id": order["id"], "error": "%s: %s" % (type(error).__name__, error)})


say({"id": 0, "answer": None})
for text in sys.stdin:
    threading.Thread(target=carry_out, args=(json.loads(text),), daemon=True).start()
os._exit(0)
