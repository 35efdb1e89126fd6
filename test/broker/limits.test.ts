/** The largest that is taken, and one more. The defaults first, then each limit as an operator sets it. */
import { describe, expect, test } from "vitest";
import { useBroker } from "./support/broker.ts";
import { Bystander } from "./support/bystander.ts";
import { packet, string, variableByteInteger } from "./support/bytes.ts";
import { Client } from "./support/client.ts";
import { TRANSPORTS } from "./support/wire.ts";

const MIB = 1024 * 1024;

/** A QoS 1 PUBLISH of version 5 that has this many bytes altogether. */
function publishOf(bytes: number, topic: string): Buffer {
  const around = 1 + variableByteInteger(bytes).length + string(topic).length + 2 + 1;
  const payload = Buffer.alloc(bytes - around, "x");
  const built = packet(0x32, string(topic), [0, 9], [0], payload);
  expect(built.length).toBe(bytes);
  return built;
}

const levels = (count: number): string => Array(count).fill("l").join("/");

describe("by default", () => {
  const use = useBroker();

  test("CONNACK announces them [MQTT §3.2.2.3]", async () => {
    const client = await Client.open(use.broker);
    expect((await client.connect()).properties).toEqual({
      receiveMaximum: 256,
      maximumPacketSize: MIB,
      topicAliasMaximum: 32,
    });
  });

  describe.each(TRANSPORTS)("over %s", (transport) => {
    test("a packet of exactly 1 MiB is published and delivered, and one byte more is refused [§3.2.2.3.6]", async () => {
      const bystander = await Bystander.connected(use.broker);
      const subscriber = await Client.connected(use.broker, transport);
      await subscriber.subscribe(`large/${transport}`);
      const publisher = await Client.connected(use.broker, transport);
      const largest = publishOf(MIB, `large/${transport}`);
      publisher.sendBytes(largest);
      const { payload } = await subscriber.message();
      expect(payload.equals(largest.subarray(largest.length - payload.length))).toBe(true);
      await publisher.expectPacket({ cmd: "puback", messageId: 9, reasonCode: 0 });
      publisher.sendBytes(publishOf(MIB + 1, "large/x").subarray(0, 1000));
      await publisher.expectDisconnected(0x95, 1009);
      await bystander.undisturbed();
    });

    test("a topic of 65,535 bytes is published, delivered and retained [MQTT-4.7.3-3]", async () => {
      const topic = `${transport}/${"ü".repeat(32_765)}${"x".repeat(65_535 - 65_530 - transport.length - 1)}`;
      expect(Buffer.byteLength(topic)).toBe(65_535);
      const client = await Client.connected(use.broker, transport);
      await client.subscribe(topic);
      await client.publish(topic, "long", { qos: 1, retain: true });
      await client.expectMessage(topic, "long");
      const later = await Client.connected(use.broker, transport, 4);
      await later.subscribe(topic);
      expect(await later.expectMessage(topic, "long")).toMatchObject({ retain: true });
      await client.publish(topic, "", { qos: 1, retain: true });
    });

    test("a topic of 128 levels is published and delivered", async () => {
      const client = await Client.connected(use.broker, transport);
      await client.subscribe([{ topic: levels(128) }, { topic: `${levels(127)}/+` }]);
      await client.publish(levels(128), "deep", { qos: 1 });
      await client.expectMessage(levels(128), "deep");
    });

    test("a client id of 256 bytes is taken", async () => {
      const clientId = `${transport}-${"ü".repeat(120)}${"i".repeat(15 - transport.length)}`;
      expect(Buffer.byteLength(clientId)).toBe(256);
      const client = await Client.connected(use.broker, transport, 5, { clientId });
      await client.expectNothing();
    });
  });

  test("a PUBLISH beyond the Receive Maximum of 256 is answered 0x93 [§3.3.4]", async () => {
    const client = await Client.connected(use.broker);
    const publishes = Array.from({ length: 257 }, () => client.encode(client.publishPacket("quota/x", "", { qos: 1 })));
    client.sendBytes(...publishes);
    // In one frame, so that none can be acknowledged before the last is read.
    await client.expectDisconnected(0x93, 1008);
  });
});

describe("as set by an operator", () => {
  const use = useBroker({
    PACKET_BYTES_MAX: "2048",
    TOPIC_LEVELS_MAX: "3",
    CLIENT_ID_BYTES_MAX: "30",
    TOPIC_BYTES_MAX: "40",
    RECEIVE_MAXIMUM: "2",
    SUBSCRIPTIONS_MAX: "2",
    CONNECT_SECONDS_MAX: "1",
    KEEP_ALIVE_SECONDS_MAX: "60",
  });

  test("CONNACK announces them [MQTT §3.2.2.3]", async () => {
    const client = await Client.open(use.broker);
    expect((await client.connect({ keepalive: 61 })).properties).toMatchObject({
      receiveMaximum: 2,
      maximumPacketSize: 2048,
      serverKeepAlive: 60, // [MQTT-3.2.2-21]
    });
    const content = await Client.open(use.broker);
    expect((await content.connect({ keepalive: 60 })).properties).not.toHaveProperty("serverKeepAlive");
    const never = await Client.open(use.broker);
    expect((await never.connect({ keepalive: 0 })).properties).toMatchObject({ serverKeepAlive: 60 });
  });

  describe.each(TRANSPORTS)("over %s", (transport) => {
    test("PACKET_BYTES_MAX: 2048 bytes are taken, 2049 are not", async () => {
      const client = await Client.connected(use.broker, transport);
      await client.subscribe("p/x");
      client.sendBytes(publishOf(2048, "p/x"));
      await client.take(({ cmd }) => cmd === "puback", "PUBACK");
      expect((await client.message()).raw.length).toBe(2048);
      client.sendBytes(publishOf(2049, "p/x"));
      await client.expectDisconnected(0x95, 1009);
    });

    test("PACKET_BYTES_MAX holds for CONNECT, which is closed without an answer", async () => {
      const client = await Client.open(use.broker, transport);
      client.send(client.connectPacket({ username: "u", password: Buffer.alloc(2048) }));
      await client.expectClosed(1009);
    });

    test("TOPIC_LEVELS_MAX: 3 levels are taken, 4 are not", async () => {
      const client = await Client.connected(use.broker, transport);
      expect(await client.subscribe([{ topic: "l/l/l" }, { topic: "l/l/l/l" }])).toEqual([1, 0x8f]);
      await client.publish("l/l/l", "three", { qos: 1 });
      await client.expectMessage("l/l/l", "three");
      client.send(client.publishPacket("l/l/l/l", "four", { qos: 1 }));
      await client.expectDisconnected(0x90, 1008);
    });

    test("TOPIC_BYTES_MAX: 40 bytes are taken, 41 are not", async () => {
      const client = await Client.connected(use.broker, transport);
      const topic = "t".repeat(40);
      expect(await client.subscribe([{ topic }, { topic: `${topic}t` }])).toEqual([1, 0x8f]);
      await client.publish(topic, "forty", { qos: 1 });
      await client.expectMessage(topic, "forty");
      client.send(client.publishPacket(`${topic}t`, "one more", { qos: 1 }));
      await client.expectDisconnected(0x90, 1008);
    });

    test("CLIENT_ID_BYTES_MAX: 30 bytes are taken, 31 are not", async () => {
      await Client.connected(use.broker, transport, 5, { clientId: "i".repeat(30) });
      const client = await Client.open(use.broker, transport);
      expect(await client.connect({ clientId: "i".repeat(31) })).toMatchObject({ reasonCode: 0x85 });
      await client.expectClosed(1008);
    });

    test("RECEIVE_MAXIMUM: a third unacknowledged PUBLISH is answered 0x93, and 3.1.1 has no such limit", async () => {
      const three = (client: Client): void => {
        client.sendBytes(...[1, 2, 3].map(() => client.encode(client.publishPacket("q/x", "", { qos: 1 }))));
      };
      const old = await Client.connected(use.broker, transport, 4);
      three(old);
      for (let count = 0; count < 3; count++) await old.expectPacket({ cmd: "puback" });
      const client = await Client.connected(use.broker, transport);
      three(client);
      await client.expectDisconnected(0x93, 1008);
    });

    test("SUBSCRIPTIONS_MAX: a third filter is answered 0x97 [§3.9.3], and one that is given up makes room", async () => {
      const client = await Client.connected(use.broker, transport);
      expect(await client.subscribe([{ topic: "s/1" }, { topic: "s/2" }, { topic: "s/3" }])).toEqual([1, 1, 0x97]);
      expect(await client.subscribe("s/2")).toEqual([1]);
      expect(await client.unsubscribe("s/1")).toEqual([0]);
      expect(await client.subscribe("s/3")).toEqual([1]);
    });

    test("CONNECT_SECONDS_MAX: half a CONNECT and then silence is closed, and so is silence alone", async () => {
      const bystander = await Bystander.connected(use.broker);
      const [half, silent] = [await Client.open(use.broker, transport), await Client.open(use.broker, transport)];
      const connect = half.encode(half.connectPacket());
      half.sendBytes(connect.subarray(0, connect.length / 2));
      await Promise.all([half.expectClosed(1002), silent.expectClosed(1002)]);
      await bystander.undisturbed();
    });

    test("CONNECT_SECONDS_MAX: a CONNECT byte by byte is no excuse", async () => {
      const slow = await Client.open(use.broker, transport);
      const connect = slow.encode(slow.connectPacket());
      slow.sendBytes(connect.subarray(0, 1));
      let at = 1;
      const drip = setInterval(() => slow.sendBytes(connect.subarray(at, ++at)), 200);
      await slow.expectClosed(1002).finally(() => clearInterval(drip));
      expect(at).toBeLessThan(connect.length);
    });
  });
});
