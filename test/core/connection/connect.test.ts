import mqttPacket, { type Packet } from "mqtt-packet";
import { describe, expect, test } from "vitest";
import { World } from "../../sim/world/world.ts";

const will = { topic: "will", payload: Buffer.from("gone"), qos: 1 as const, retain: false };

function bytes(...packets: object[]): Buffer {
  return Buffer.concat(packets.map((packet) => mqttPacket.generate(packet as Packet, { protocolVersion: 5 })));
}

const CONNECT = {
  cmd: "connect",
  clientId: "client",
  clean: true,
  keepalive: 0,
  protocolId: "MQTT",
  protocolVersion: 5,
};

describe("the first packet", () => {
  test("[MQTT-3.1.0-1] what cannot become a CONNECT is not heard to its end", () => {
    const world = new World();
    const client = world.client("client");
    client.raw(new TextEncoder().encode("GET / HTTP/1.1"));
    world.settle();
    expect(client.received).toEqual([]);
    expect(client.closed).toBe(1002);
  });

  test("[MQTT-3.1.0-1] anything but CONNECT closes without a word", () => {
    for (const packet of [
      { cmd: "pingreq" },
      { cmd: "publish", topic: "t", payload: "x", qos: 0 },
      { cmd: "disconnect" },
    ]) {
      const world = new World();
      const client = world.client("client");
      client.send(packet);
      world.settle();
      expect(client.received).toEqual([]);
      expect(client.closed).toBe(1002);
      expect(client.driver.done).toBe(true);
    }
  });

  test("links: a client that sends nothing is closed after connectSecondsMax", () => {
    const world = new World({ delayMs: 0, limits: { connectSecondsMax: 10 } });
    const client = world.client("client");
    world.advance(9_999);
    expect(client.closed).toBeUndefined();
    world.advance(1);
    expect(client.closed).toBe(1002);
    expect(world.sessions.size).toBe(0);
  });

  test("links: half a CONNECT and then silence is a client that sends nothing", () => {
    const world = new World({ delayMs: 0 });
    const client = world.client("client");
    client.raw(bytes(CONNECT).subarray(0, 10));
    world.advance(5_000);
    client.raw(bytes(CONNECT).subarray(10, 12));
    world.advance(4_999);
    expect(client.closed).toBeUndefined();
    world.advance(1);
    expect(client.closed).toBe(1002);
    expect(client.received).toEqual([]);
  });

  test("[MQTT-3.1.2-2] a level from 5 on that is unknown is refused with 0x84 in the form of MQTT 5", () => {
    const world = new World();
    const client = world.client("client");
    const connect = bytes(CONNECT);
    connect[connect.indexOf("MQTT") + 4] = 6;
    client.raw(connect);
    world.settle();
    expect(client.received).toMatchObject([{ cmd: "connack", reasonCode: 0x84, sessionPresent: false }]);
    expect(client.closed).toBeDefined();
  });

  test("[v3 MQTT-3.1.2-2] a level below 4 that is unknown is refused with 0x01 in the form of 3.1.1", () => {
    const world = new World();
    const client = world.client("client", 4);
    client.raw(Uint8Array.of(0x10, 13, 0, 4, 77, 81, 84, 84, 2, 2, 0, 0, 0, 1, 65));
    world.settle();
    expect(client.received).toMatchObject([{ cmd: "connack", returnCode: 1, sessionPresent: false }]);
    expect(client.closed).toBeDefined();
  });

  test("[v3 MQTT-3.1.4-1] a malformed CONNECT of 3.1.1 is closed without CONNACK", () => {
    const world = new World();
    const client = world.client("client", 4);
    // The reserved flag is set.
    client.raw(Uint8Array.of(0x10, 13, 0, 4, 77, 81, 84, 84, 4, 3, 0, 0, 0, 1, 65));
    world.settle();
    expect(client.received).toEqual([]);
    expect(client.closed).toBeDefined();
  });

  test("[MQTT-3.1.0-2] a second CONNECT is a protocol error, and its will is published", () => {
    const world = new World();
    const watcher = world.connected("watcher");
    watcher.subscribe("will");
    const client = world.connected("client", { will });
    client.connect();
    world.settle();
    expect(client.last("disconnect")!.reasonCode).toBe(0x82);
    expect(client.closed).toBe(1002);
    world.advance(3_000);
    expect(watcher.payloads).toEqual(["gone"]);
  });
});

describe("who may connect", () => {
  test("[MQTT-3.1.3-6] an empty client id is given one that CONNACK names", () => {
    const world = new World();
    const names = ["", ""].map((id) => world.connected(id).last("connack")!.properties!["assignedClientIdentifier"]);
    expect(names[0]).toMatch(/.+/);
    expect(names[0]).not.toBe(names[1]);
  });

  test("[MQTT-3.2.2-16] a client that brings an id is assigned none", () => {
    const world = new World();
    expect(world.connected("client").last("connack")!.properties).not.toHaveProperty("assignedClientIdentifier");
  });

  test("[v3 MQTT-3.1.3-7] 3.1.1 may come without an id and a clean session", () => {
    const world = new World();
    expect(world.connected("", {}, 4).last("connack")).toMatchObject({ returnCode: 0, sessionPresent: false });
  });

  test("[v3 MQTT-3.1.3-8] 3.1.1 without an id and without a clean session is refused with 0x02", () => {
    const world = new World();
    const client = world.client("", 4);
    client.raw(Uint8Array.of(0x10, 12, 0, 4, 77, 81, 84, 84, 4, 0, 0, 0, 0, 0));
    world.settle();
    expect(client.received).toMatchObject([{ cmd: "connack", returnCode: 2 }]);
    expect(client.closed).toBeDefined();
  });

  test("links: MQTT 3.1 without an id is refused with 0x02", () => {
    const world = new World();
    const client = world.client("", 3);
    client.raw(Uint8Array.of(0x10, 14, 0, 6, 77, 81, 73, 115, 100, 112, 3, 2, 0, 0, 0, 0));
    world.settle();
    expect(client.received).toMatchObject([{ cmd: "connack", returnCode: 2 }]);
  });

  test("[MQTT-4.12.0-1] an authentication method is refused with 0x8C", () => {
    const world = new World();
    const client = world.connected("client", { properties: { authenticationMethod: "SCRAM" } });
    expect(client.received).toMatchObject([{ cmd: "connack", reasonCode: 0x8c }]);
  });

  test("[MQTT-3.1.4-2] [MQTT §3.1.3.3] a will for the server's own topics is refused with 0x87, and never published", () => {
    const world = new World();
    const watcher = world.connected("watcher");
    watcher.subscribe("$SYS/#");
    const client = world.connected("client", { will: { ...will, topic: "$SYS/x" } });
    expect(client.received).toMatchObject([{ cmd: "connack", reasonCode: 0x87 }]);
    expect(client.closed).toBeDefined();
    world.advance(60_000);
    expect(watcher.payloads).toEqual([]);
  });

  test("[MQTT-3.1.4-6] what follows a refused CONNECT is discarded", () => {
    const world = new World();
    const watcher = world.connected("watcher");
    watcher.subscribe("t");
    const client = world.client("client");
    client.raw(
      bytes(
        { ...CONNECT, properties: { authenticationMethod: "x" } },
        { cmd: "publish", topic: "t", payload: "x", qos: 0 },
      ),
    );
    world.settle();
    expect(client.all("connack")).toHaveLength(1);
    expect(watcher.payloads).toEqual([]);
  });
});

describe("CONNACK", () => {
  test("[MQTT §3.2.2.3] it says what differs from the defaults", () => {
    const world = new World({
      limits: { receiveMaximum: 7, packetBytesMax: 5_000, sessionExpirySecondsMax: 60 },
      settings: { keepAliveSecondsMax: 30 },
    });
    const client = world.connected("client", { keepalive: 60, properties: { sessionExpiryInterval: 100 } });
    expect(client.last("connack")).toMatchObject({
      reasonCode: 0,
      sessionPresent: false,
      properties: {
        receiveMaximum: 7,
        maximumPacketSize: 5_000,
        topicAliasMaximum: 32,
        serverKeepAlive: 30,
        sessionExpiryInterval: 60,
      },
    });
    // Without it QoS 2 is supported; the value 2 may not be said [MQTT §3.2.2.3.4].
    expect(client.last("connack")!.properties).not.toHaveProperty("maximumQoS");
  });

  test("[MQTT-3.2.2-21] a keep alive that is taken as it is, is not repeated", () => {
    const world = new World({ settings: { keepAliveSecondsMax: 60 } });
    expect(world.connected("client", { keepalive: 30 }).last("connack")!.properties).not.toHaveProperty(
      "serverKeepAlive",
    );
  });

  test("[MQTT-3.1.4-6] what a client sends before its CONNACK is answered after it", () => {
    const world = new World({ delayMs: 5 });
    const client = world.client("client");
    client.raw(
      bytes(
        CONNECT,
        { cmd: "publish", topic: "t", payload: "1", qos: 1, messageId: 2 },
        { cmd: "pingreq" },
        { cmd: "publish", topic: "t", payload: "2", qos: 1, messageId: 3 },
      ),
    );
    world.settle();
    expect(client.received.map(({ cmd }) => cmd)).toEqual(["connack", "pingresp", "puback", "puback"]);
    expect(client.acknowledged).toEqual([2, 3]);
  });

  test("[MQTT-6.0.0-2] packets are the same wherever the stream is cut", () => {
    const stream = bytes(
      CONNECT,
      { cmd: "publish", topic: "t", payload: "x".repeat(200), qos: 1, messageId: 1 },
      { cmd: "pingreq" },
    );
    for (let cut = 1; cut < stream.length; cut++) {
      const world = new World({ shards: 1, delayMs: 0 });
      const client = world.client("client");
      client.raw(stream.subarray(0, cut));
      world.settle();
      client.raw(stream.subarray(cut));
      world.settle();
      expect(client.received.map(({ cmd }) => cmd).toSorted(), `cut at ${cut}`).toEqual([
        "connack",
        "pingresp",
        "puback",
      ]);
    }
  });

  test("[MQTT-3.2.2-8] a session object that stays away is 0x88, or 0x03 before MQTT 5", () => {
    for (const version of [4, 5] as const) {
      const world = new World();
      world.session("client").reachable = false;
      const client = world.client("client", version);
      client.connect();
      world.advance(29_000);
      expect(client.received).toEqual([]);
      world.advance(5_000);
      expect(client.last("connack")).toMatchObject(version === 5 ? { reasonCode: 0x88 } : { returnCode: 3 });
      expect(client.closed).toBe(1013);
      expect(client.driver.done).toBe(true);
    }
  });

  test("links: a client that goes while it is joining leaves nothing behind", () => {
    const world = new World({ delayMs: 10 });
    const client = world.client("client");
    client.connect({ will });
    world.advance(35);
    client.cut();
    world.advance(120_000);
    expect(client.driver.done).toBe(true);
    expect(world.session("client").sockets.size).toBe(0);
    expect(world.session("client").sql.rows("SELECT name FROM sqlite_master")).toEqual([]);
  });
});
