/** Objects that sleep, restart and crash under clients that are connected: a broken link is not a broken client. */

import { abortAllDurableObjects, evictDurableObject } from "cloudflare:test";
import { describe, expect, test, vi } from "vitest";
import { ShardObject } from "../../src/index.ts";
import { Client } from "./client.ts";
import {
  attachments,
  backAgain,
  clean,
  crash,
  distinct,
  freshObjects,
  hibernate,
  inside,
  instanceOf,
  series,
  SHARDS,
  shardStub,
  topicOn,
  until,
} from "./inside.ts";

freshObjects();
vi.setConfig({ testTimeout: 10_000 });

/** What becomes of a shard in the middle of traffic. */
const ENDS: { name: string; end: () => Promise<void> }[] = [
  { name: "hibernates", end: () => hibernate(shardStub(0)) },
  { name: "is evicted with its links", end: () => evictDurableObject(shardStub(0), { webSockets: "close" }) },
  { name: "crashes", end: () => crash(shardStub(0)) },
  { name: "is restarted with all other objects", end: () => abortAllDurableObjects() },
];

const MESSAGES = 120;
const WINDOW = 10;

/** Publishes a series at QoS 1 to one topic of each shard, `WINDOW` unacknowledged at a time, and breaks in thrice. */
async function publishSeries(
  publisher: Client,
  topics: readonly string[],
  interrupt: () => Promise<void>,
): Promise<void> {
  const unacknowledged: Promise<void>[] = [];
  for (let i = 0; i < MESSAGES; i++) {
    const topic = topics[i % topics.length]!;
    unacknowledged.push(publisher.publish(topic, `${i}`));
    if (unacknowledged.length >= WINDOW) await unacknowledged.shift();
    // With a window under way: some of it at the object, some on its way to it, some on its way back.
    if (i % 40 === 20) await interrupt();
  }
  await Promise.all(unacknowledged);
}

describe.each(ENDS)("a shard that $name in the middle of QoS 1 traffic", ({ end }) => {
  test("is noticed by nobody: what is acknowledged arrives, in order, and no socket closes", async () => {
    const topics = SHARDS.map((shard) => topicOn(shard, "traffic"));
    const subscriber = await Client.connect({ clientId: "subscriber" });
    const wildcard = await Client.connect({ clientId: "wildcard" });
    const publisher = await Client.connect({ clientId: "publisher" });
    await subscriber.subscribe({ topic: topics[0]! });
    await wildcard.subscribe({ topic: "#" });
    const fences = await Promise.all(["subscriber", "wildcard", "publisher"].map(backAgain));

    await publishSeries(publisher, topics, end);

    const everything = series("", MESSAGES);
    await wildcard.delivered((payloads) => new Set(payloads).size === MESSAGES);
    for (const [shard, topic] of topics.entries()) {
      const published = everything.filter((_, i) => i % topics.length === shard);
      expect(distinct(wildcard.payloads(topic))).toEqual(published);
    }
    const own = everything.filter((_, i) => i % topics.length === 0);
    await subscriber.delivered((payloads) => new Set(payloads).size === own.length);
    expect(distinct(subscriber.payloads())).toEqual(own);
    // The subscriptions outlive the end, and so do the sessions.
    await end();
    await publisher.publish(topics[0]!, "afterwards");
    await subscriber.delivered((payloads) => payloads.includes("afterwards"));
    await wildcard.delivered((payloads) => payloads.includes("afterwards"));
    for (const client of [subscriber, wildcard, publisher]) {
      await client.ping();
      expect(client.closed).toBeUndefined();
    }
    expect(await Promise.all(["subscriber", "wildcard", "publisher"].map(backAgain))).toEqual(fences);
  });

  test("writes nothing twice to a client that has not acknowledged it, and goes on with its packet ids", async () => {
    const topic = topicOn(0, "slow");
    const subscriber = await Client.connect({ clientId: "slow", acknowledges: false });
    const publisher = await Client.connect({ clientId: "publisher" });
    await subscriber.subscribe({ topic });
    for (const payload of series("before ", 5)) await publisher.publish(topic, payload);
    await subscriber.delivered((payloads) => payloads.length === 5);

    await end();
    for (const payload of series("after ", 5)) await publisher.publish(topic, payload);
    await subscriber.delivered((payloads) => payloads.includes("after 4"));

    expect(subscriber.payloads()).toEqual([...series("before ", 5), ...series("after ", 5)]); // [MQTT-4.4.0-1]
    const ids = subscriber.deliveries.map((delivery) => delivery.messageId!);
    expect(new Set(ids).size).toBe(10);
    expect(ids.filter((id) => id % SHARDS.length !== 0)).toEqual([]);
    for (const delivery of subscriber.deliveries) subscriber.acknowledge(delivery);
    await publisher.publish(topic, "last");
    await subscriber.delivered((payloads) => payloads.includes("last"));
    expect(subscriber.payloads()).toHaveLength(11);
  });
});

describe("a shard that is idle and clean when it hibernates", () => {
  /** A subscriber and a publisher that used the shard, and a shard that has nothing more to do. */
  async function idle(shard: number): Promise<{ subscriber: Client; publisher: Client; topic: string }> {
    const topic = topicOn(shard, "idle");
    const subscriber = await Client.connect({ clientId: "subscriber", acknowledges: false });
    const publisher = await Client.connect({ clientId: "publisher" });
    await subscriber.subscribe({ topic });
    return { subscriber, publisher, topic };
  }

  test("wakes with its links: they are not opened again, and a publish is delivered", async () => {
    const { subscriber, publisher, topic } = await idle(2);
    await publisher.publish(topic, "before");
    subscriber.acknowledge(await subscriber.take("publish"));
    await clean(2);
    const instance = await instanceOf(shardStub(2));
    const accepted = await inside(shardStub(2), (state) => state.getWebSockets().length);

    await hibernate(shardStub(2));
    const opened = vi.spyOn(ShardObject.prototype, "fetch");
    await publisher.publish(topic, "after");
    const delivery = await subscriber.take("publish");

    expect(String(delivery.payload)).toBe("after");
    expect(delivery.messageId! % SHARDS.length).toBe(2);
    expect(await instanceOf(shardStub(2))).not.toBe(instance);
    expect(opened).not.toHaveBeenCalled();
    expect(await inside(shardStub(2), (state) => state.getWebSockets().length)).toBe(accepted);
  });

  test("wakes with what is in flight: the acknowledgement is taken, and its packet id not given again before", async () => {
    const { subscriber, publisher, topic } = await idle(1);
    await publisher.publish(topic, "unacknowledged");
    const first = await subscriber.take("publish");
    await clean(1);

    await hibernate(shardStub(1));
    await publisher.publish(topic, "second");
    const second = await subscriber.take("publish");
    expect(second.messageId).not.toBe(first.messageId);
    expect(second.messageId! % SHARDS.length).toBe(1);

    subscriber.acknowledge(first);
    subscriber.acknowledge(second);
    await subscriber.ping();
    await publisher.publish(topic, "third");
    expect(String((await subscriber.take("publish")).payload)).toBe("third");
    expect(subscriber.deliveries).toHaveLength(3);
  });

  test("wakes with the window that its connection allows it", async () => {
    const topic = topicOn(3, "window");
    const properties = { receiveMaximum: 8 };
    const subscriber = await Client.connect({ clientId: "subscriber", acknowledges: false, properties });
    const publisher = await Client.connect({ clientId: "publisher" });
    await subscriber.subscribe({ topic });
    await publisher.publish(topic, "0");
    await subscriber.take("publish");
    await clean(3);

    await hibernate(shardStub(3));
    for (const payload of series("more ", 20)) await publisher.publish(topic, payload);
    for (let i = 0; i < 7; i++) await subscriber.take("publish");
    await subscriber.ping();
    expect(subscriber.deliveries).toHaveLength(8); // [MQTT-3.3.4-9]

    for (let i = 0; i < 21; i++) {
      await subscriber.delivered((payloads) => payloads.length > i);
      subscriber.acknowledge(subscriber.deliveries[i]!);
    }
    expect(subscriber.payloads()).toEqual(["0", ...series("more ", 20)]);
  });
});

test("a session with more subscriptions than its link can remember comes back when the shard wakes, and loses nothing", async () => {
  const shard = 1;
  const topics = Array.from({ length: 40 }, (_, i) => topicOn(shard, `a long name for a topic, number ${i}`));
  const many = await Client.connect({ clientId: "many" });
  const few = await Client.connect({ clientId: "few" });
  const publisher = await Client.connect({ clientId: "publisher" });
  await many.subscribe(...topics.map((topic) => ({ topic })));
  await few.subscribe({ topic: topics[0]! });
  await publisher.publish(topics[0]!, "before");
  await many.delivered((payloads) => payloads.includes("before"));
  await until("the links of the others are remembered", async () => {
    const kept = await attachments(shardStub(shard));
    return kept.filter((attachment) => attachment === null).length === 1;
  });
  const kept = (await attachments(shardStub(shard))).filter((attachment) => attachment !== null) as Uint8Array[];
  expect(kept).toHaveLength(2);
  for (const attachment of kept) expect(attachment.byteLength).toBeLessThanOrEqual(1024);

  const opened = vi.spyOn(ShardObject.prototype, "fetch");
  await hibernate(shardStub(shard));
  for (const [i, topic] of topics.entries()) await publisher.publish(topic, `${i}`);
  await many.delivered((payloads) => payloads.length === topics.length + 1);
  await few.delivered((payloads) => payloads.includes("0"));

  expect(opened).toHaveBeenCalledTimes(1);
  expect(many.payloads()).toEqual(["before", ...series("", topics.length)]);
  for (const client of [many, few, publisher]) expect(client.closed).toBeUndefined();
});
