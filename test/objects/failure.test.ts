/** Storage that fails, and objects that cannot agree with a connection. */

import { describe, expect, test, vi } from "vitest";
import { Shard } from "../../src/core/shard/shard.ts";
import { Session } from "../../src/core/session/session.ts";
import { SessionStore } from "../../src/core/session/store.ts";
import { ShardStore } from "../../src/core/shard/store.ts";
import * as records from "../../src/link/records.ts";
import { Reason } from "../../src/mqtt/reason.ts";
import { Client } from "./client.ts";
import {
  crash,
  distinct,
  freshObjects,
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

describe("a write of the log that fails", () => {
  const topic = topicOn(1);

  async function pair(): Promise<{ subscriber: Client; publisher: Client }> {
    const subscriber = await Client.connect({ clientId: "subscriber" });
    const publisher = await Client.connect({ clientId: "publisher" });
    await subscriber.subscribe({ topic });
    await publisher.publish(topic, "before");
    return { subscriber, publisher };
  }

  test("leaves the publish unacknowledged and undelivered; it is taken when the storage is well again", async () => {
    const { subscriber, publisher } = await pair();
    await subscriber.delivered((payloads) => payloads.includes("before"));
    const instance = await instanceOf(shardStub(1));
    let failures = 0;
    let ill = true;
    const append = ShardStore.prototype.appendBatch;
    vi.spyOn(ShardStore.prototype, "appendBatch").mockImplementation(function (this: ShardStore, ...batch) {
      if (!ill) return append.apply(this, batch);
      failures += 1;
      throw new Error("disk is ill");
    });
    const message = publisher.message(topic, "during");
    publisher.send(message);
    await until("it was tried again", () => failures >= 3);
    await publisher.ping();
    await subscriber.ping();
    expect(publisher.packets.some((packet) => packet.cmd === "puback" && packet.messageId === message.messageId)).toBe(
      false,
    );
    expect(subscriber.payloads()).toEqual(["before"]);

    ill = false;
    await publisher.acknowledgement(message);
    await subscriber.delivered((payloads) => payloads.includes("during"));
    expect(subscriber.payloads()).toEqual(["before", "during"]);
    expect(await instanceOf(shardStub(1))).not.toBe(instance);
    for (const client of [publisher, subscriber]) expect(client.closed).toBeUndefined();
  });

  test("in the middle of a frame leaves nothing of the frame acknowledged", async () => {
    const { subscriber, publisher } = await pair();
    const append = ShardStore.prototype.appendBatch;
    let failures = 0;
    vi.spyOn(ShardStore.prototype, "appendBatch").mockImplementation(function (this: ShardStore, ...batch) {
      append.apply(this, batch);
      // The row was written, and the turn fails after it.
      if (failures++ === 0) throw new Error("disk is ill");
    });
    const messages = series("", 20).map((payload) => publisher.message(topic, payload));
    publisher.send(...messages);
    for (const message of messages) await publisher.acknowledgement(message);
    await subscriber.delivered((payloads) => payloads.includes("19"));
    expect(distinct(subscriber.payloads())).toEqual(["before", ...series("", 20)]);
    expect(failures).toBeGreaterThanOrEqual(2);
  });

  test("because its table is gone is mended by the restart", async () => {
    const { subscriber, publisher } = await pair();
    await inside(shardStub(1), ({ storage }) => storage.sql.exec("DROP TABLE log").toArray());
    await publisher.publish(topic, "after");
    await subscriber.delivered((payloads) => payloads.includes("after"));
    for (const client of [publisher, subscriber]) {
      await client.ping();
      expect(client.closed).toBeUndefined();
    }
  });

  test("when it is committed, after the turn, holds the acknowledgement back for ever", async () => {
    const { subscriber, publisher } = await pair();
    await subscriber.delivered((payloads) => payloads.includes("before"));
    const instance = await instanceOf(shardStub(1));
    const append = ShardStore.prototype.appendBatch;
    let broken = 0;
    const spy = vi.spyOn(ShardStore.prototype, "appendBatch").mockImplementation(function (this: ShardStore, ...batch) {
      append.apply(this, batch);
      broken += 1;
    });
    // A foreign key that is checked at the commit, and not before it.
    await inside(shardStub(1), ({ storage }) => {
      storage.sql.exec("CREATE TABLE parent (id INTEGER PRIMARY KEY)").toArray();
      storage.sql
        .exec("CREATE TABLE child (id INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)")
        .toArray();
      storage.sql.exec("CREATE TRIGGER ill AFTER INSERT ON log BEGIN INSERT INTO child VALUES (1); END").toArray();
    });
    const message = publisher.message(topic, "during");
    publisher.send(message);
    await until("the object was restarted twice", () => broken >= 2);
    await publisher.ping();
    expect(publisher.packets.some((packet) => packet.cmd === "puback" && packet.messageId === message.messageId)).toBe(
      false,
    );
    expect(subscriber.payloads()).toEqual(["before"]);
    spy.mockRestore();
    await until("the trigger is gone", async () => {
      try {
        await inside(shardStub(1), ({ storage }) => storage.sql.exec("DROP TRIGGER IF EXISTS ill").toArray());
        return true;
      } catch {
        return false;
      }
    });
    await publisher.acknowledgement(message);
    await subscriber.delivered((payloads) => payloads.includes("during"));
    expect(await instanceOf(shardStub(1))).not.toBe(instance);
    expect(await rows(shardStub(1), "SELECT 1 FROM child")).toHaveLength(0);
  });
});

test("a session object whose write fails at CONNECT is asked again, and the client is let in when it works", async () => {
  const put = SessionStore.prototype.putWill;
  let failures = 0;
  vi.spyOn(SessionStore.prototype, "putWill").mockImplementation(function (this: SessionStore, kept) {
    put.call(this, kept);
    if (failures++ < 2) throw new Error("disk is ill");
  });
  const will = { topic: topicOn(1), payload: Buffer.from("will"), qos: 1, retain: false } as const;
  const client = await Client.connect({ clientId: "client", will });
  await client.ping();
  expect(failures).toBe(3);
  expect(await rows(sessionStub("client"), "SELECT due FROM will")).toEqual([{ due: null }]);
});

describe("a connection and an object that do not agree", () => {
  const topic = topicOn(2);

  test("on how many shards there are: the hello is refused, and the client told 0x8B", async () => {
    const first = await Client.connect({ clientId: "first" });
    await first.publish(topic, "the first hello fixes the placement");
    expect(
      await rows(shardStub(2), "SELECT key, value FROM meta WHERE key IN ('shards', 'depth') ORDER BY key"),
    ).toEqual([
      { key: "depth", value: 2 },
      { key: "shards", value: 4 },
    ]);
    await inside(shardStub(2), ({ storage }) =>
      storage.sql.exec("UPDATE meta SET value = 8 WHERE key = 'shards'").toArray(),
    );
    const second = await Client.connect({ clientId: "second" });
    second.send(second.message(topic, "lost"));
    expect((await second.take("disconnect")).reasonCode).toBe(Reason.ServerShuttingDown);
    expect(await second.ended()).toBe(1012);
    expect(await rows(shardStub(2), "SELECT value FROM meta WHERE key = 'shards'")).toEqual([{ value: 8 }]);
  });

  test("on how many levels choose a shard: the hello is refused, also after a restart", async () => {
    const first = await Link.open(shardStub(2));
    first.say((to) => records.writeHello(to, hello("first")));
    await first.hear(records.Kind.Attached);
    await crash(shardStub(2));
    const second = await Link.open(shardStub(2));
    second.say((to) => records.writeHello(to, hello("second", { depth: 3 })));
    expect((await second.hear(records.Kind.Refused)).reason).toBe(Reason.ServerShuttingDown);
    await second.ended();
  });

  test("on any version of the link: a shard refuses the hello, and the client is told 0x8B", async () => {
    const frame = Shard.prototype.frame;
    vi.spyOn(Shard.prototype, "frame").mockImplementation(function (this: Shard, link, bytes, now) {
      return frame.call(this, link, bytes[0] === records.Kind.Hello ? inVersion(9, bytes) : bytes, now);
    });
    const client = await Client.connect({ clientId: "client" });
    client.send(client.message(topic, "lost"));
    expect((await client.take("disconnect")).reasonCode).toBe(Reason.ServerShuttingDown);
    expect(await client.ended()).toBe(1012);
  });

  test("on any version of the link: a 3.1.1 client is closed without a word, as it has none", async () => {
    const frame = Shard.prototype.frame;
    vi.spyOn(Shard.prototype, "frame").mockImplementation(function (this: Shard, link, bytes, now) {
      return frame.call(this, link, bytes[0] === records.Kind.Hello ? inVersion(9, bytes) : bytes, now);
    });
    const client = await Client.connect({ clientId: "client", protocolVersion: 4 });
    client.send(client.message(topic, "lost"));
    expect(await client.ended()).toBe(1012);
    expect(client.packets.map(({ cmd }) => cmd)).toEqual(["connack"]);
  });

  test("on any version of the link: a session object refuses CONNECT, and CONNACK says that the server is unavailable", async () => {
    const frame = Session.prototype.frame;
    vi.spyOn(Session.prototype, "frame").mockImplementation(function (this: Session, link, bytes, now) {
      return frame.call(this, link, bytes[0] === records.Kind.Connect ? inVersion(9, bytes) : bytes, now);
    });
    const client = await Client.open("client", 5, true);
    client.send({
      cmd: "connect",
      protocolId: "MQTT",
      protocolVersion: 5,
      clean: true,
      keepalive: 0,
      clientId: "client",
    });
    expect((await client.take("connack")).reasonCode).toBe(Reason.ServerUnavailable);
    await client.ended();
    expect(await tables(sessionStub("client"))).toEqual([]);
  });

  test("on the tenant: the hello is refused", async () => {
    const link = await Link.open(shardStub(2));
    link.say((to) => records.writeHello(to, hello("stranger", { tenant: "another" })));
    expect((await link.hear(records.Kind.Refused)).reason).toBe(Reason.ImplementationSpecificError);
    await link.ended();
  });

  test("on what a record is: the link is closed, and the object lives on", async () => {
    const instance = await instanceOf(shardStub(2));
    const link = await Link.open(shardStub(2));
    link.say((to) => to.u8(0x7f));
    await link.ended();
    const session = await Link.open(sessionStub("client"));
    session.say((to) => records.writeConnect(to, connect("client")));
    await session.hear(records.Kind.Welcome);
    session.say((to) => to.u8(0x7f));
    await session.ended();
    expect(await instanceOf(shardStub(2))).toBe(instance);
  });

  /** The frame with another range of versions in its first record. */
  function inVersion(version: number, bytes: Uint8Array): Uint8Array {
    const changed = bytes.slice();
    changed[1] = version;
    changed[2] = version;
    return changed;
  }
});
