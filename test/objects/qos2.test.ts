/** QoS 2 through objects that sleep, restart and crash: what is taken is taken once, whatever ends in between. */

import { abortAllDurableObjects, evictDurableObject } from "cloudflare:test";
import { describe, expect, test, vi } from "vitest";
import { ShardStore } from "../../src/core/shard/store.ts";
import { Client } from "./client.ts";
import {
  alarmOf,
  clean,
  crash,
  freshObjects,
  hibernate,
  inside,
  rows,
  series,
  sessionStub,
  SHARDS,
  shardStub,
  topicOn,
  until,
} from "./inside.ts";

freshObjects();
vi.setConfig({ testTimeout: 20_000 });

/** An object that sleeps cannot be evicted. */
async function awake(stub: DurableObjectStub): Promise<DurableObjectStub> {
  await inside(stub, () => {});
  return stub;
}

/** What becomes of the objects in the middle of traffic. */
const ENDS: { name: string; end: () => Promise<void> }[] = [
  { name: "a shard hibernates", end: async () => hibernate(await awake(shardStub(0))) },
  {
    name: "a shard is evicted with its links",
    end: async () => evictDurableObject(await awake(shardStub(0)), { webSockets: "close" }),
  },
  { name: "a shard crashes", end: () => crash(shardStub(0)) },
  { name: "the publisher's session object crashes", end: () => crash(sessionStub("publisher")) },
  { name: "all objects are aborted", end: () => abortAllDurableObjects() },
];

const received = (shard: number): Promise<object[]> => rows(shardStub(shard), "SELECT session FROM received");

describe.each(ENDS)("when $name", ({ end }) => {
  test("in the middle of QoS 2 traffic, every message is delivered exactly once, in order, and no id is left", async () => {
    const topics = SHARDS.map((shard) => topicOn(shard, "traffic"));
    const subscriber = await Client.connect({ clientId: "subscriber" });
    const slow = await Client.connect({
      clientId: "slow",
      protocolVersion: 5,
      properties: { receiveMaximum: SHARDS.length },
    });
    const publisher = await Client.connect({ clientId: "publisher" });
    for (const client of [subscriber, slow]) expect(await client.subscribe({ topic: "#", qos: 2 })).toEqual([2]);

    const count = 120;
    const underWay: Promise<void>[] = [];
    for (let i = 0; i < count; i++) {
      underWay.push(publisher.publish(topics[i % topics.length]!, `${i}`, { qos: 2 }));
      if (underWay.length >= 10) await underWay.shift();
      if (i % 40 === 20) await end();
    }
    await Promise.all(underWay);

    // What comes behind it from every shard shows that nothing comes twice.
    for (const topic of topics) await publisher.publish(topic, "fence", { qos: 2 });
    for (const client of [subscriber, slow]) {
      await client.delivered((payloads) => payloads.filter((payload) => payload === "fence").length === topics.length);
      for (const [shard, topic] of topics.entries()) {
        const published = series("", count).filter((_, i) => i % topics.length === shard);
        expect(client.payloads(topic).filter((payload) => payload !== "fence")).toEqual(published);
      }
      expect(client.deliveries.every(({ dup }) => !dup)).toBe(true);
    }
    for (const shard of SHARDS) expect(await received(shard)).toEqual([]);
    for (const client of [subscriber, slow, publisher]) {
      await client.ping();
      expect(client.closed).toBeUndefined();
    }
  });

  test("between PUBREC and PUBREL, a repeat is not delivered, PUBCOMP comes, and then the id is free", async () => {
    const topic = topicOn(0, "between");
    const subscriber = await Client.connect({ clientId: "subscriber" });
    const publisher = await Client.connect({ clientId: "publisher", protocolVersion: 4 });
    await subscriber.subscribe({ topic, qos: 2 });
    const message = publisher.message(topic, "first", { qos: 2 });
    publisher.send(message);
    await publisher.reception(message);
    await end();
    publisher.send({ ...message, dup: true });
    await publisher.completion(message);
    await end();
    await publisher.publish(topic, "second", { qos: 2, messageId: message.messageId! });
    await subscriber.delivered((payloads) => payloads.includes("second"));
    expect(subscriber.payloads()).toEqual(["first", "second"]);
  });

  test("between PUBLISH and PUBREC of a subscriber, nothing is written to it again, and it completes", async () => {
    const topic = topicOn(0, "slow");
    const subscriber = await Client.connect({ clientId: "subscriber", acknowledges: false });
    const publisher = await Client.connect({ clientId: "publisher" });
    await subscriber.subscribe({ topic, qos: 2 });
    await publisher.publish(topic, "first", { qos: 2 });
    const first = await subscriber.take("publish");
    await end();
    subscriber.acknowledge(first);
    await subscriber.take("pubrel", ({ messageId }) => messageId === first.messageId);
    await end();
    subscriber.send({ cmd: "pubcomp", messageId: first.messageId! });
    await publisher.publish(topic, "second", { qos: 2 });
    expect(String((await subscriber.take("publish")).payload)).toBe("second");
    expect(subscriber.payloads()).toEqual(["first", "second"]); // [MQTT-4.4.0-1]
  });
});

test("a write of ids that fails leaves neither ids nor message, and the message is taken once when it succeeds", async () => {
  const topic = topicOn(1);
  const subscriber = await Client.connect({ clientId: "subscriber" });
  const publisher = await Client.connect({ clientId: "publisher" });
  await subscriber.subscribe({ topic, qos: 2 });
  const put = ShardStore.prototype.putReceived;
  let failures = 0;
  let ill = true;
  vi.spyOn(ShardStore.prototype, "putReceived").mockImplementation(function (this: ShardStore, ...row) {
    put.apply(this, row);
    // The row was written, and the turn fails after it.
    if (!ill) return;
    failures += 1;
    throw new Error("disk is ill");
  });
  const messages = series("", 20).map((payload) => publisher.message(topic, payload, { qos: 2 }));
  publisher.send(...messages);
  await until("it was tried again", () => failures >= 3);
  await publisher.ping();
  expect(publisher.packets.filter(({ cmd }) => cmd === "pubrec")).toEqual([]);
  expect(subscriber.payloads()).toEqual([]);
  ill = false;
  for (const message of messages) await publisher.completion(message);
  await subscriber.delivered((payloads) => payloads.length === 20);
  await publisher.publish(topic, "fence", { qos: 2 });
  await subscriber.delivered((payloads) => payloads.includes("fence"));
  expect(subscriber.payloads()).toEqual([...series("", 20), "fence"]);
});

test("a publisher that goes without PUBREL leaves no row and no alarm, once its grace is over", async () => {
  const topic = topicOn(1);
  for (const leave of ["disconnect", "cut"] as const) {
    const publisher = await Client.connect({ clientId: "publisher" });
    const message = publisher.message(topic, "x", { qos: 2 });
    publisher.send(message);
    await publisher.reception(message);
    expect(await received(1)).toHaveLength(1);
    await publisher[leave]();
    await until("its ids are gone", async () => (await received(1)).length === 0);
  }
  await clean(1);
  expect(await inside(shardStub(1), (state) => state.getWebSockets().length)).toBe(0);
  expect(await alarmOf(shardStub(1))).toBeNull();
});
