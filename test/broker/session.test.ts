/** One client id, one connection: what CONNACK says of it, and what becomes of the old one when a new one comes. */
import type { IConnackPacket } from "mqtt-packet";
import { describe, expect, test } from "vitest";
import { scope, useBroker } from "./support/broker.ts";
import { packet, string, twoBytes } from "./support/bytes.ts";
import { Client, type Received, VERSIONS } from "./support/client.ts";
import { TRANSPORTS } from "./support/wire.ts";

const use = useBroker();

describe("CONNACK", () => {
  test("gives a client without an id a new one each time, which works [MQTT-3.1.3-6], [MQTT-3.2.2-16]", async () => {
    const ids = new Set<string>();
    for (const clean of [true, false]) {
      for (const transport of TRANSPORTS) {
        const client = await Client.open(use.broker, transport);
        client.sendBytes(packet(0x10, string("MQTT"), [5, clean ? 2 : 0], twoBytes(0), [0], string("")));
        const connack = (await client.expectPacket({ cmd: "connack", reasonCode: 0 })) as IConnackPacket & Received;
        ids.add(connack.properties!.assignedClientIdentifier!);
        await client.expectNothing();
      }
    }
    expect(ids.size).toBe(4);
    expect(ids).not.toContain("");
    const [id] = ids;
    const owner = await Client.connected(use.broker, "ws", 5, { clientId: id! });
    await owner.expectNothing();
  });

  test("takes a 3.1.1 client without an id if its session is clean [v3 MQTT-3.1.3-6]", async () => {
    const [one, two] = [await Client.open(use.broker, "tcp", 4), await Client.open(use.broker, "tcp", 4)];
    expect(await one.connect({ clientId: "" })).toMatchObject({ returnCode: 0 });
    expect(await two.connect({ clientId: "" })).toMatchObject({ returnCode: 0 });
    await one.expectNothing();
  });

  test.each(VERSIONS)(
    "says that a session is present exactly when it is, version %s [MQTT-3.2.2-3]",
    async (version) => {
      const clientId = `present-${version}`;
      const keeping = { clientId, clean: false, ...(version === 5 && { properties: { sessionExpiryInterval: 100 } }) };
      // MQTT 3.1 has no bit for it.
      const present = version > 3;
      for (const [options, sessionPresent] of [
        [keeping, false],
        [keeping, present],
        [{ clientId, clean: true }, false],
        [{ clientId, clean: true }, false],
        [keeping, false],
      ] as const) {
        const client = await Client.open(use.broker, "ws", version);
        expect(await client.connect(options)).toMatchObject({ sessionPresent });
        client.send({ cmd: "disconnect", ...(version === 5 && { reasonCode: 0 }) });
        await client.expectClosed(1000);
      }
    },
  );

  test("a session without an expiry interval ends with its connection, clean start or not [MQTT-3.1.2-23]", async () => {
    for (let count = 0; count < 2; count++) {
      const client = await Client.open(use.broker);
      expect(await client.connect({ clientId: "brief", clean: false })).toMatchObject({ sessionPresent: false });
      await client.subscribe(scope());
      client.send({ cmd: "disconnect", reasonCode: 0 });
      await client.expectClosed(1000);
    }
  });

  test("says what the session expiry interval is if it is not what was asked for [§3.2.2.3.2]", async () => {
    for (const [asked, given] of [
      [undefined, undefined],
      [0, undefined],
      [1, undefined],
      [7_776_000, undefined],
      [7_776_001, 7_776_000],
      [0xffff_ffff, 7_776_000],
    ]) {
      const client = await Client.open(use.broker);
      const { properties } = await client.connect(
        asked === undefined ? {} : { properties: { sessionExpiryInterval: asked } },
      );
      expect(properties!["sessionExpiryInterval"]).toBe(given);
    }
  });

  test("leaves out what is a default, as that there are shared subscriptions [MQTT §3.2.2.3]", async () => {
    const client = await Client.open(use.broker);
    const { properties } = await client.connect({ keepalive: 10 });
    expect(Object.keys(properties!).toSorted()).toEqual(["maximumPacketSize", "receiveMaximum", "topicAliasMaximum"]);
  });
});

describe("keep alive", () => {
  test.each(TRANSPORTS)(
    "any packet keeps a client alive, over %s; only silence ends it [MQTT-3.1.2-22]",
    async (transport) => {
      const client = await Client.connected(use.broker, transport, 5, { keepalive: 1 });
      const since = performance.now();
      // A PINGREQ a quarter second after each answer, until twice the limit has passed.
      while (performance.now() - since < 3_000) {
        await client.expectNothing();
        await new Promise((resolve) => setTimeout(resolve, 250));
      }
      const silentSince = performance.now();
      await client.expectDisconnected(0x8d, 1008);
      expect(performance.now() - silentSince).toBeGreaterThan(1_000);
      expect(performance.now() - silentSince).toBeLessThan(3_000);
    },
  );

  test("bytes that are not yet a packet do not keep a client alive [MQTT-3.1.2-22]", async () => {
    const client = await Client.connected(use.broker, "tcp", 5, { keepalive: 1 });
    client.sendBytes([0x30, 100]);
    const drip = setInterval(() => client.sendBytes([0x61]), 300);
    await client.expectDisconnected(0x8d).finally(() => clearInterval(drip));
  });
});

describe("takeover [MQTT-3.1.4-3]", () => {
  test.each(VERSIONS)(
    "the new connection stays, the old one is told 0x8E if it can be and closed, version %s",
    async (version) => {
      const topic = scope();
      const clientId = `taken-${version}`;
      const old = await Client.connected(use.broker, "tcp", version, { clientId });
      await old.subscribe(topic);
      const next = await Client.connected(use.broker, "ws", version, { clientId });
      await old.expectDisconnected(0x8e, 1008);
      await next.publish(topic, "nobody subscribes to it any more", { qos: 1 });
      await next.subscribe(topic);
      await next.publish(topic, "mine", { qos: 1 });
      await next.expectMessage(topic, "mine");
      await next.expectNothing();
    },
  );

  test("the old connection's will is published [§3.1.4]", async () => {
    const base = scope();
    const witness = await Client.connected(use.broker);
    await witness.subscribe(`${base}/#`);
    const clientId = "taken-will";
    const old = await Client.connected(use.broker, "ws", 5, {
      clientId,
      will: { topic: `${base}/will`, payload: "old", qos: 1, retain: false },
    });
    const next = await Client.connected(use.broker, "ws", 5, {
      clientId,
      will: { topic: `${base}/will`, payload: "new", qos: 1, retain: false },
    });
    await old.expectDisconnected(0x8e);
    await witness.expectMessage(`${base}/will`, "old");
    next.cut();
    await witness.expectMessage(`${base}/will`, "new");
    await witness.publish(`${base}/fence`, "fence", { qos: 1 });
    await witness.expectMessage(`${base}/fence`, "fence");
  });

  test("of ten connections with one id at once exactly one stays, and it works", async () => {
    const base = scope();
    const witness = await Client.connected(use.broker);
    await witness.subscribe(`${base}/#`);
    for (let round = 0; round < 5; round++) {
      const clientId = `racers-${round}`;
      const will = { topic: `${base}/will`, payload: "gone", qos: 1 as const, retain: false };
      const clients = await Promise.all(
        Array.from({ length: 10 }, (_, number) => Client.open(use.broker, number % 2 === 0 ? "ws" : "tcp", 5)),
      );
      for (const client of clients) client.send(client.connectPacket({ clientId, will }));
      const answers = await Promise.all(clients.map((client) => client.expectPacket({ cmd: "connack" })));
      const accepted = answers.filter((connack) => (connack as { reasonCode?: number }).reasonCode === 0).length;
      await allButOneClosed(clients);
      const open = clients.filter((client) => !client.isClosed);
      expect(open.length).toBe(1);
      await open[0]!.publish(`${base}/survivor`, String(round), { qos: 1 });
      // Each connection that was accepted and then taken over has its will published.
      const wills = accepted - 1;
      const topics = (await witness.messages(wills + 1)).map(({ topic }) => topic.split("/").at(-1)!);
      expect(topics.filter((topic) => topic === "will").length).toBe(wills);
      expect(topics).toContain("survivor");
      open[0]!.send({ cmd: "disconnect", reasonCode: 0 });
    }
  });

  async function allButOneClosed(clients: readonly Client[]): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    let closed = 0;
    for (const client of clients) {
      void client.closed().then(
        () => ++closed === clients.length - 1 && resolve(),
        () => {},
      );
    }
    await promise;
  }
});
