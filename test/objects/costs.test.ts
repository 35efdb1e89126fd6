/** What is billed: events that wake an object, and rows written. Counted, not estimated. */

import { describe, expect, test, vi } from "vitest";
import { DirectoryObject, SessionObject, ShardObject } from "../../src/index.ts";
import * as records from "../../src/link/records.ts";
import { PING, PONG } from "../../src/link/ping.ts";
import { Client } from "./client.ts";
import {
  alarmOf,
  clean,
  countRows,
  freshObjects,
  hibernate,
  inside,
  instanceOf,
  rows,
  series,
  sessionStub,
  shardStub,
  tables,
  topicOn,
  until,
} from "./inside.ts";
import { connect, hello, Link } from "./link.ts";

freshObjects();
vi.setConfig({ testTimeout: 10_000 });

/** Counts the events that objects are woken for. */
function countEvents(): () => number {
  const spies = [SessionObject.prototype, ShardObject.prototype].flatMap((prototype) => [
    vi.spyOn(prototype, "fetch"),
    vi.spyOn(prototype, "webSocketMessage"),
    vi.spyOn(prototype, "webSocketClose"),
    vi.spyOn(prototype, "alarm"),
  ]);
  return () => spies.reduce((sum, spy) => sum + spy.mock.calls.length, 0);
}

describe("the counting itself", () => {
  test("sees rows that are written", async () => {
    const counted = await countRows(shardStub(0));
    await inside(shardStub(0), ({ storage }) => {
      storage.sql.exec("INSERT INTO log (first, last, at, entries) VALUES (1, 1, 0, x''), (2, 2, 0, x'')").toArray();
      void storage.setAlarm(Date.now() + 3_600_000);
    });
    expect(counted).toEqual({ written: 2, alarms: 1 });
  });

  test("sees events", async () => {
    const events = countEvents();
    const client = await Client.connect({ clientId: "client" });
    // Its link's upgrade, and CONNECT.
    expect(events()).toBe(2);
    await client.subscribe({ topic: topicOn(1) });
    expect(events()).toBe(4);
  });
});

test("where users, rules and bans are not kept, no client has the directory asked", async () => {
  const calls = (["find", "since", "learn"] as const).map((name) => vi.spyOn(DirectoryObject.prototype, name));
  const client = await Client.connect({ clientId: "client" });
  await client.subscribe({ topic: topicOn(1) });
  expect(calls.map((spy) => spy.mock.calls.length)).toEqual([0, 0, 0]);
});

describe("an idle client", () => {
  test("wakes no object with 50 PINGREQs", async () => {
    const client = await Client.connect({ clientId: "client" });
    await client.subscribe({ topic: topicOn(1) });
    const events = countEvents();
    for (let i = 0; i < 50; i++) await client.ping();
    expect(events()).toBe(0);
  });

  test("wakes no object that sleeps with 50 PINGREQs", async () => {
    const client = await Client.connect({ clientId: "client" });
    await client.subscribe({ topic: topicOn(1) });
    await clean(1);
    const before = await Promise.all([instanceOf(shardStub(1)), instanceOf(sessionStub("client"))]);
    const events = countEvents();
    const attached = vi.spyOn(ShardObject.prototype, "webSocketMessage");
    await hibernate(shardStub(1));
    await hibernate(sessionStub("client"));
    for (let i = 0; i < 50; i++) await client.ping();
    expect(events()).toBe(0);
    expect(attached).not.toHaveBeenCalled();
    // Looking is what wakes them.
    expect(await instanceOf(shardStub(1))).not.toBe(before[0]);
    expect(await instanceOf(sessionStub("client"))).not.toBe(before[1]);
  });

  test("has no alarm set and nothing unsaved, so its objects may sleep", async () => {
    const client = await Client.connect({ clientId: "client" });
    await client.subscribe({ topic: topicOn(1) });
    await clean(1);
    expect(await alarmOf(shardStub(1))).toBeNull();
    expect(await alarmOf(sessionStub("client"))).toBeNull();
  });
});

// The answer comes from outside of any object, and a test that only waits for it is not woken by it: so it looks again.
describe("the automatic ping of a link", () => {
  test("is answered by a shard without an event, asleep or not", async () => {
    const link = await Link.open(shardStub(1));
    link.say((to) => records.writeHello(to, hello("pinging")));
    await link.hear(records.Kind.Attached);
    await clean(1);
    const events = countEvents();
    link.text(PING);
    await until("its answer", () => link.texts.length === 1);
    await hibernate(shardStub(1));
    link.text(PING);
    await until("its answer", () => link.texts.length === 2);
    expect(link.texts).toEqual([PONG, PONG]);
    expect(events()).toBe(0);
  });

  test("is answered by a session object without an event, and leaves its time", async () => {
    const link = await Link.open(sessionStub("pinging"));
    link.say((to) => records.writeConnect(to, connect("pinging")));
    await link.hear(records.Kind.Welcome);
    const events = countEvents();
    const before = Date.now();
    link.text(PING);
    await until("its answer", () => link.texts.length === 1);
    expect(link.texts).toEqual([PONG]);
    expect(events()).toBe(0);
    const at = await inside(sessionStub("pinging"), (state) =>
      state.getWebSocketAutoResponseTimestamp(state.getWebSockets()[0]!)?.getTime(),
    );
    expect(at).toBeGreaterThanOrEqual(before);
  });
});

describe("rows written", () => {
  /** A publisher and a subscriber that have settled on a shard. */
  async function pair(
    shard: number,
    filterOf = (topic: string): string => topic,
  ): Promise<{ publisher: Client; subscriber: Client; topic: string }> {
    const topic = topicOn(shard);
    const subscriber = await Client.connect({ clientId: "subscriber" });
    const publisher = await Client.connect({ clientId: "publisher" });
    await subscriber.subscribe({ topic: filterOf(topic) });
    // The first message reserves offsets for the next million.
    await publisher.publish(topic, "first");
    await subscriber.delivered((payloads) => payloads.includes("first"));
    await clean(shard);
    return { publisher, subscriber, topic };
  }

  test("100 QoS 1 publishes in one frame cost one row of the log", async () => {
    const { publisher, subscriber, topic } = await pair(1);
    const before = (await rows(shardStub(1), "SELECT 1 FROM log")).length;
    const counted = await countRows(shardStub(1));
    const messages = series("", 100).map((payload) => publisher.message(topic, payload));
    publisher.send(...messages);
    for (const message of messages) await publisher.acknowledgement(message);
    const log = await rows(shardStub(1), "SELECT 1 FROM log");
    expect(log).toHaveLength(before + 1);
    expect(counted.written).toBe(1);
    await subscriber.delivered((payloads) => payloads.length === 101);
  });

  test("100 QoS 1 publishes in one frame to a share group cost a row of the log, and its deletion, and one for the group", async () => {
    const { publisher, subscriber, topic } = await pair(1, (name) => `$share/group/${name}`);
    const counted = await countRows(shardStub(1));
    const messages = series("", 100).map((payload) => publisher.message(topic, payload));
    publisher.send(...messages);
    for (const message of messages) await publisher.acknowledgement(message);
    await subscriber.delivered((payloads) => payloads.length === 101);
    await until("the log is trimmed", async () => (await rows(shardStub(1), "SELECT 1 FROM log")).length === 0);
    await clean(1);
    // The group's is written once more if its second ends while the member acknowledges.
    expect([3, 4]).toContain(counted.written);
  });

  test("100 QoS 2 publishes in one frame cost one row of the log and one of ids; their releases one row deleted", async () => {
    const { publisher, subscriber, topic } = await pair(1);
    await subscriber.subscribe({ topic, qos: 2 });
    await publisher.publish(topic, "first of QoS 2", { qos: 2 });
    await subscriber.delivered((payloads) => payloads.includes("first of QoS 2"));
    await clean(1);
    const before = (await rows(shardStub(1), "SELECT 1 FROM log")).length;
    const counted = await countRows(shardStub(1));
    const messages = series("", 100).map((payload) => publisher.message(topic, payload, { qos: 2 }));
    publisher.send(...messages);
    for (const message of messages) await publisher.reception(message);
    expect(await rows(shardStub(1), "SELECT 1 FROM log")).toHaveLength(before + 1);
    expect(await rows(shardStub(1), "SELECT session, length(ids) AS bytes FROM received")).toEqual([
      { session: "publisher", bytes: 200 },
    ]);
    expect(counted).toEqual({ written: 2, alarms: 0 });
    await subscriber.delivered((payloads) => payloads.length === 102);
    await clean(1);

    const releasing = await countRows(shardStub(1));
    publisher.send(...messages.map(({ messageId }) => ({ cmd: "pubrel" as const, messageId: messageId! })));
    for (const { messageId } of messages) await publisher.take("pubcomp", (packet) => packet.messageId === messageId);
    expect(await rows(shardStub(1), "SELECT 1 FROM received")).toEqual([]);
    expect(releasing).toEqual({ written: 1, alarms: 0 });
  });

  test("QoS 1 publishes that nobody wants at QoS 1 cost none, once no session can still come back", async () => {
    const topic = topicOn(1);
    const publisher = await Client.connect({ clientId: "publisher" });
    const subscriber = await Client.connect({ clientId: "subscriber" });
    await subscriber.subscribe({ topic, qos: 0 });
    vi.spyOn(Date, "now").mockReturnValue(Date.now() + 50_000);
    const counted = await countRows(shardStub(1));
    for (const payload of series("", 10)) await publisher.publish(topic, payload);
    await subscriber.delivered((payloads) => payloads.length === 10);
    expect(counted).toEqual({ written: 0, alarms: 0 });
  });

  test("100 QoS 0 publishes cost none", async () => {
    const { publisher, subscriber, topic } = await pair(1);
    const counted = await countRows(shardStub(1));
    publisher.send(...series("", 100).map((payload) => publisher.message(topic, payload, { qos: 0 })));
    await subscriber.delivered((payloads) => payloads.length === 101);
    expect(counted).toEqual({ written: 0, alarms: 0 });
  });

  test("100 retained QoS 0 values of one topic cost what one costs: the topic's row and its index", async () => {
    const { publisher, topic } = await pair(1);
    const counted = await countRows(shardStub(1));
    for (const payload of series("", 100)) publisher.send(publisher.message(topic, payload, { qos: 0, retain: true }));
    await until(
      "the checkpoint has come",
      async () => (await rows(shardStub(1), "SELECT 1 FROM retained")).length === 1,
    );
    expect(counted.written).toBeLessThanOrEqual(2);
  });

  test("CONNECT without a will costs none in the session object, and no alarm", async () => {
    const counted = await countRows(sessionStub("client"));
    await Client.connect({ clientId: "client" });
    expect(counted).toEqual({ written: 0, alarms: 0 });
  });

  test("CONNECT with a will costs its row, two for its table, and an alarm", async () => {
    const counted = await countRows(sessionStub("client"));
    const will = { topic: topicOn(1), payload: Buffer.from("will"), qos: 1, retain: false } as const;
    await Client.connect({ clientId: "client", will });
    expect(counted).toEqual({ written: 3, alarms: 1 });
  });

  test("a client that connects again and again leaves no row behind", async () => {
    for (let i = 0; i < 3; i++) {
      const client = await Client.connect({ clientId: "client" });
      await client.disconnect();
    }
    const stub = sessionStub("client");
    await until("the session has ended", async () => (await tables(stub)).length === 0);
    expect(await alarmOf(stub)).toBeNull();
  });

  test("a subscription of a session that ends with its client costs none", async () => {
    const { subscriber } = await pair(1);
    const counted = await countRows(shardStub(1));
    await subscriber.subscribe({ topic: topicOn(1, "another") });
    await clean(1);
    // The checkpoint trims the log, which is one row deleted.
    expect(counted.written).toBeLessThanOrEqual(1);
  });
});
