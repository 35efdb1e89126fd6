/** QoS 2 over real sockets: the exchange packet by packet, and MQTT.js that does it by itself. */
import { type EventEmitter, on } from "node:events";
import mqtt, { type IPublishPacket, type MqttClient } from "mqtt";
import { afterEach, describe, expect, test } from "vitest";
import { scope, useBroker } from "./support/broker.ts";
import { Client, type Message, type Version, versionName, VERSIONS } from "./support/client.ts";
import { TRANSPORTS } from "./support/wire.ts";

const use = useBroker();

const versions = VERSIONS.map((version): [string, Version] => [versionName(version), version]);

const hex = (first: number, packetId: number): string =>
  Buffer.of(first, 2, packetId >> 8, packetId & 0xff).toString("hex");

describe.each(TRANSPORTS)("over %s", (transport) => {
  describe.each(versions)("version %s", (_name, version) => {
    test("the exchange from a client: PUBREC, PUBREC for a repeat, PUBCOMP, and the id is free [MQTT-4.3.3-10], [MQTT-4.3.3-12]", async () => {
      const topic = scope();
      const witness = await Client.connected(use.broker);
      await witness.subscribe({ topic, qos: 2 });
      const client = await Client.connected(use.broker, transport, version);
      for (const payload of ["first", "second"]) {
        const publish = client.publishPacket(topic, payload, { qos: 2, messageId: 0x1234 });
        client.send(publish);
        expect((await client.next()).raw.toString("hex")).toBe(hex(0x50, 0x1234));
        for (const dup of [true, false]) {
          client.send({ ...publish, dup });
          expect((await client.next()).raw.toString("hex")).toBe(hex(0x50, 0x1234));
        }
        client.send({ cmd: "pubrel", messageId: 0x1234 });
        expect((await client.next()).raw.toString("hex")).toBe(hex(0x70, 0x1234));
      }
      await client.expectNothing();
      for (const payload of ["first", "second"]) {
        expect(await witness.expectMessage(topic, payload)).toMatchObject({ qos: 2, dup: false });
      }
      await client.publish(topic, "fence", { qos: 1 });
      await witness.expectMessage(topic, "fence");
    });

    test("the exchange to a client: PUBREL for PUBREC, again for a repeat, and nothing after PUBCOMP [MQTT-4.3.3-4]", async () => {
      const topic = scope();
      const client = await Client.connected(use.broker, transport, version);
      expect(await client.subscribe({ topic, qos: 2 })).toEqual([2]);
      const publisher = await Client.connected(use.broker);
      expect(await publisher.publish(topic, "x", { qos: 2 })).toBe(0);
      const message = (await client.expectPacket({ cmd: "publish", qos: 2, dup: false, retain: false })) as Message;
      expect(message.raw[0]).toBe(0x34);
      const messageId = message.messageId!;
      for (let i = 0; i < 2; i++) {
        client.send({ cmd: "pubrec", messageId });
        expect((await client.next()).raw.toString("hex")).toBe(hex(0x62, messageId));
      }
      client.send({ cmd: "pubcomp", messageId });
      await client.expectNothing();
      await publisher.publish(topic, "y", { qos: 2 });
      await client.expectMessage(topic, "y");
      await client.expectNothing();
    });

    test("of ids that nobody knows: PUBREL and PUBCOMP, with 0x92 in MQTT 5 [§3.6.2.1], [§3.7.2.1]", async () => {
      const client = await Client.connected(use.broker, transport, version);
      const unknown = version === 5 ? { reasonCode: 0x92 } : {};
      client.send({ cmd: "pubrec", messageId: 77 });
      await client.expectPacket({ cmd: "pubrel", messageId: 77, ...unknown });
      client.send({ cmd: "pubrel", messageId: 78 });
      await client.expectPacket({ cmd: "pubcomp", messageId: 78, ...unknown });
      client.send({ cmd: "pubcomp", messageId: 79 });
      await client.expectNothing();
    });

    test("a retained message, and a will [MQTT-3.1.2-8], [MQTT-3.8.4-8]", async () => {
      const base = scope();
      const publisher = await Client.connected(use.broker, transport, version, {
        will: { topic: `${base}/will`, payload: Buffer.from("gone"), qos: 2, retain: false },
      });
      await publisher.publish(`${base}/kept`, "kept", { qos: 2, retain: true });
      const client = await Client.connected(use.broker, transport, version);
      await client.subscribe({ topic: `${base}/#`, qos: 2 });
      expect(await client.expectMessage(`${base}/kept`, "kept")).toMatchObject({ qos: 2, retain: true });
      publisher.cut();
      expect(await client.expectMessage(`${base}/will`, "gone")).toMatchObject({ qos: 2, retain: false });
    });
  });

  test("a Receive Maximum of 1 lets the next one come after PUBCOMP, not after PUBREC [MQTT-3.3.4-9]", async () => {
    const topic = scope();
    const client = await Client.connected(use.broker, transport, 5, { properties: { receiveMaximum: 1 } });
    await client.subscribe({ topic, qos: 2 });
    const publisher = await Client.connected(use.broker);
    for (const payload of ["0", "1", "2"]) await publisher.publish(topic, payload, { qos: 2 });
    for (const payload of ["0", "1", "2"]) {
      const { messageId } = (await client.expectPacket({ cmd: "publish", payload: Buffer.from(payload) })) as Message;
      await client.expectNothing();
      client.send({ cmd: "pubrec", messageId: messageId! });
      await client.expectPacket({ cmd: "pubrel", messageId: messageId! });
      await client.expectNothing();
      client.send({ cmd: "pubcomp", messageId: messageId! });
    }
    await client.expectNothing();
  });

  test("CONNACK says nothing of a Maximum QoS, and 256 unreleased messages are not too many; 257 are [MQTT-3.3.4-7]", async () => {
    const topic = scope();
    const client = await Client.open(use.broker, transport, 5);
    const { properties } = await client.connect();
    expect(properties).toMatchObject({ receiveMaximum: 256 });
    expect(properties).not.toHaveProperty("maximumQoS");
    const messages = Array.from({ length: 256 }, () => client.publishPacket(topic, "x", { qos: 2 }));
    client.send(...messages);
    for (const { messageId } of messages) await client.expectPacket({ cmd: "pubrec", messageId: messageId! });
    client.send(messages[0]!);
    await client.expectPacket({ cmd: "pubrec", messageId: messages[0]!.messageId! });
    client.send(client.publishPacket(topic, "x", { qos: 2 }));
    await client.expectDisconnected(0x93, 1008);
  });

  test("the server's own topics are refused with PUBREC 0x87, and the id is free [MQTT-4.3.3-9]", async () => {
    const client = await Client.connected(use.broker, transport, 5);
    for (let i = 0; i < 2; i++) {
      expect(await client.publish("$SYS/a", "no", { qos: 2, messageId: 9 })).toBe(0x87);
    }
    expect(await client.publish(scope(), "yes", { qos: 2, messageId: 9 })).toBe(0);
  });
});

describe("MQTT.js", () => {
  const opened = new Set<MqttClient>();
  afterEach(() => {
    for (const client of opened) client.end(true);
    opened.clear();
  });

  describe.each(TRANSPORTS)("over %s", (transport) => {
    test.each(versions)("version %s: 200 messages each way arrive once and in their order", async (_name, version) => {
      const base = scope("js");
      const connect = async (): Promise<MqttClient> => {
        const url = transport === "ws" ? use.broker.wsUrl : use.broker.tcpUrl;
        const client = await mqtt.connectAsync(url, {
          protocolVersion: version,
          protocolId: version === 3 ? "MQIsdp" : "MQTT",
          reconnectPeriod: 0,
        });
        opened.add(client);
        return client;
      };
      const clients = [await connect(), await connect()];
      const arrivals = clients.map(
        (client) =>
          on(client as unknown as EventEmitter, "message") as AsyncIterableIterator<[string, Buffer, IPublishPacket]>,
      );
      for (const [i, client] of clients.entries()) {
        const [granted] = await client.subscribeAsync(`${base}/${i}`, { qos: 2 });
        expect(granted?.qos).toBe(2);
      }
      const payloads = Array.from({ length: 200 }, (_, i) => `${i}`);
      await Promise.all(
        clients.flatMap((client, i) =>
          payloads.map((payload) => client.publishAsync(`${base}/${1 - i}`, payload, { qos: 2 })),
        ),
      );
      await Promise.all(clients.map((client, i) => client.publishAsync(`${base}/${1 - i}`, "fence", { qos: 2 })));
      for (const arrival of arrivals) {
        for (const payload of [...payloads, "fence"]) {
          const [, got, packet] = (await arrival.next()).value!;
          expect([got.toString(), packet.qos, packet.dup]).toEqual([payload, 2, false]);
        }
      }
      for (const client of clients) expect(client.connected).toBe(true);
    });
  });
});
