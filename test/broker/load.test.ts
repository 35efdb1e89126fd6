/** One client's trouble is its own: a reader that does not read, a flood, many clients at once. */
import { describe, expect, test } from "vitest";
import { scope, useBroker } from "./support/broker.ts";
import { Client } from "./support/client.ts";
import { TRANSPORTS } from "./support/wire.ts";

const use = useBroker();

const CHUNK = Buffer.alloc(64 * 1024, "x");

describe.each(TRANSPORTS)("a subscriber over %s that stops reading", (transport) => {
  test("holds up nobody, and has every QoS 1 message when it reads again", async () => {
    const count = 500; // 32 MB
    const base = scope();
    const slow = await Client.connected(use.broker, transport, 4);
    const quick = await Client.connected(use.broker, "tcp", 4);
    for (const client of [slow, quick]) await client.subscribe(`${base}/#`);
    slow.pause();
    const publisher = await Client.connected(use.broker, "tcp", 5);
    for (let number = 0; number < count; number++) {
      CHUNK.writeUInt32BE(number);
      const published = publisher.publish(`${base}/x`, Buffer.from(CHUNK), { qos: 1 });
      expect((await quick.message()).payload.readUInt32BE()).toBe(number);
      expect(await published).toBe(0);
    }
    slow.resume();
    const seen = (await slow.messages(count)).map(({ payload }) => payload.readUInt32BE());
    expect(seen).toEqual(Array.from({ length: count }, (_, number) => number));
    await slow.expectNothing();
  }, 60_000);

  test("loses QoS 0 messages if it must, but not its connection nor the order of the others", async () => {
    const count = 1000; // 64 MB
    const base = scope();
    const slow = await Client.connected(use.broker, transport, 4);
    const quick = await Client.connected(use.broker, "tcp", 4);
    await slow.subscribe([
      { topic: `${base}/#`, qos: 0 },
      { topic: `${base}/+/last`, qos: 1 },
    ]);
    await quick.subscribe({ topic: `${base}/#`, qos: 0 });
    slow.pause();
    const publisher = await Client.connected(use.broker, "tcp", 4);
    for (let number = 0; number < count; number++) {
      CHUNK.writeUInt32BE(number);
      await publisher.publish(`${base}/x`, Buffer.from(CHUNK), { qos: 0 });
      expect((await quick.message()).payload.readUInt32BE()).toBe(number);
    }
    slow.resume();
    await publisher.publish(`${base}/x/last`, "last", { qos: 1 });
    const seen: number[] = [];
    for (;;) {
      const { topic, payload } = await slow.message();
      if (topic.endsWith("/last")) break;
      seen.push(payload.readUInt32BE());
    }
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    expect(new Set(seen).size).toBe(seen.length);
    await slow.expectNothing();
  }, 60_000);
});

describe.each(TRANSPORTS)("a publisher over %s that floods", (transport) => {
  test("with QoS 1 has every message taken and delivered in order", async () => {
    const count = 5000;
    const base = scope();
    const subscriber = await Client.connected(use.broker, "tcp", 4);
    await subscriber.subscribe(`${base}/#`);
    const publisher = await Client.connected(use.broker, transport, 4);
    for (let number = 0; number < count; number++) {
      publisher.send(publisher.publishPacket(`${base}/x`, String(number), { qos: 1 }));
    }
    const seen = (await subscriber.messages(count)).map(({ payload }) => Number(payload.toString()));
    expect(seen).toEqual(Array.from({ length: count }, (_, number) => number));
    for (let number = 0; number < count; number++) await publisher.expectPacket({ cmd: "puback" });
  }, 60_000);
});

test("two hundred clients at once, each subscribed to all, all get everything", async () => {
  const base = scope();
  const clients = await Promise.all(
    Array.from({ length: 200 }, (_, number) => Client.connected(use.broker, number % 2 === 0 ? "ws" : "tcp", 4)),
  );
  await Promise.all(clients.map((client) => client.subscribe(`${base}/#`)));
  await Promise.all(clients.slice(0, 20).map((client, number) => client.publish(`${base}/${number}`, "", { qos: 1 })));
  for (const client of clients) {
    const topics = new Set((await client.messages(20)).map(({ topic }) => topic));
    expect(topics.size).toBe(20);
  }
}, 60_000);
