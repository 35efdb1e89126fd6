import { describe, expect, test } from "vitest";
import { StorageFailure } from "../../support/node-sql.ts";
import type { Client } from "./client.ts";
import type { ShardNode } from "./node.ts";
import { World } from "./world.ts";

const UNSAVED_MS = 100;

interface Scene {
  readonly world: World;
  readonly publisher: Client;
  readonly subscriber: Client;
  readonly shard: ShardNode;
}

/** A publisher, a subscriber at QoS 1, and a shard whose writes take {@link UNSAVED_MS} from now on. */
function scene(): Scene {
  const world = new World({ shards: 1 });
  const subscriber = world.connected("subscriber");
  const publisher = world.connected("publisher");
  subscriber.subscribe("a", 1);
  world.settle();
  publisher.publish("a", "0", { qos: 1 });
  world.settle();
  const shard = world.shards[0]!;
  shard.unsavedMs = UNSAVED_MS;
  return { world, publisher, subscriber, shard };
}

const logged = (shard: ShardNode): number => shard.sql.rows("SELECT * FROM log").length;

describe("the output gate", () => {
  test("keeps what follows a write until the write is durable, and in its order", () => {
    const { world, publisher, subscriber, shard } = scene();
    const first = publisher.publish("a", "1", { qos: 1 });
    world.advance(UNSAVED_MS / 2);
    const second = publisher.publish("a", "2", { qos: 1 });
    world.advance(UNSAVED_MS / 4);
    expect(shard.unsaved).toBe(true);
    expect(publisher.acknowledged).toEqual([1]);
    expect(subscriber.payloads).toEqual(["0"]);
    world.advance(3 * UNSAVED_MS);
    expect(shard.unsaved).toBe(false);
    expect(publisher.acknowledged).toEqual([1, first, second]);
    expect(subscriber.payloads).toEqual(["0", "1", "2"]);
  });

  test("is open when nothing is unsaved: QoS 0 does not wait", () => {
    const { world, publisher, subscriber } = scene();
    world.advance(10_000);
    publisher.publish("a", "1");
    world.advance(5);
    expect(subscriber.payloads).toEqual(["0", "1"]);
    publisher.publish("a", "2", { qos: 1 });
    publisher.publish("a", "3");
    world.advance(50);
    expect(subscriber.payloads, "behind a write it waits").toEqual(["0", "1"]);
  });

  test.each([true, false])("loses what waits in a crash, and the writes or not (lost: %s)", (loseUnsaved) => {
    const { world, publisher, subscriber, shard } = scene();
    world.advance(5_000);
    const before = logged(shard);
    const id = publisher.publish("a", "1", { qos: 1 });
    world.advance(10);
    expect(logged(shard)).toBe(before + 1);
    shard.crash({ loseUnsaved });
    expect(logged(shard)).toBe(before + (loseUnsaved ? 0 : 1));
    expect([publisher.acknowledged, subscriber.payloads]).toEqual([[1], ["0"]]);
    world.advance(5_000);
    expect(publisher.acknowledged).toEqual([1, id]);
    // What was stored and not answered is published again: at QoS 1 that may be seen.
    expect(subscriber.payloads).toEqual(loseUnsaved ? ["0", "1"] : ["0", "1", "1"]);
  });

  test("opens before the object is evicted, which does not happen with unsaved writes", () => {
    const { world, publisher, subscriber, shard } = scene();
    publisher.publish("a", "1", { qos: 1 });
    world.advance(10);
    shard.evict();
    expect(shard.unsaved).toBe(false);
    world.settle();
    expect(subscriber.payloads).toEqual(["0", "1"]);
  });

  test.each([true, false])("a turn that fails leaves earlier ones to fate (lost: %s)", (lost) => {
    const { world, publisher, subscriber, shard } = scene();
    subscriber.publish("a", "by the other", { qos: 1 });
    world.advance(5_000);
    const before = logged(shard);
    publisher.publish("a", "1", { qos: 1 });
    world.advance(10);
    world.losesUnsaved = () => lost;
    shard.sql.failWrites = true;
    subscriber.publish("a", "fails", { qos: 1 });
    world.advance(10);
    expect(shard.failures.at(-1)).toBeInstanceOf(StorageFailure);
    expect(logged(shard)).toBe(before + (lost ? 0 : 1));
    shard.sql.failWrites = false;
    world.advance(5_000);
    expect(publisher.acknowledged).toEqual([1, 2]);
  });

  test("keeps WELCOME until the session is stored; a client whose CONNECT was lost with the object is welcomed again", () => {
    const world = new World({ shards: 1, unsavedMs: UNSAVED_MS });
    const client = world.client("d1");
    client.connect({ properties: { sessionExpiryInterval: 100 } });
    world.advance(UNSAVED_MS / 2);
    expect(client.received).toEqual([]);
    world.session("d1").crash({ loseUnsaved: true });
    expect(world.session("d1").sql.rows("SELECT name FROM sqlite_master")).toEqual([]);
    world.advance(5_000);
    expect(client.all("connack").map(({ sessionPresent }) => sessionPresent)).toEqual([false]);
    expect(world.session("d1").sql.rows("SELECT * FROM session")).toHaveLength(1);
  });

  test("keeps calls: a will is not handed over before it is stored that it is due", () => {
    const world = new World({ shards: 1 });
    const watcher = world.connected("watcher");
    watcher.subscribe("will", 1);
    const client = world.connected("d1", { will: { topic: "will", payload: Buffer.from("w"), qos: 1, retain: false } });
    world.settle();
    const session = world.session("d1");
    session.unsavedMs = UNSAVED_MS;
    const calls: string[] = [];
    world.onCall = ({ what }) => void calls.push(what);
    client.cut();
    world.advance(50);
    expect(session.unsaved).toBe(true);
    expect(calls).toEqual([]);
    session.crash({ loseUnsaved: true });
    // Nobody is there to say it again: the object learns of the end by its alarm.
    session.ring();
    world.advance(60_000);
    expect(calls).toEqual(["publishWill"]);
    expect(watcher.payloads).toEqual(["w"]);
  });

  test("takes the alarm back to what was saved", () => {
    const world = new World({ shards: 1 });
    const client = world.connected("d1", { properties: { sessionExpiryInterval: 100 } });
    world.settle();
    const session = world.session("d1");
    const before = session.alarmAt;
    session.unsavedMs = UNSAVED_MS;
    client.send({ cmd: "disconnect", reasonCode: 0 });
    world.advance(50);
    expect(session.alarmAt).toBeLessThan(before!);
    session.crash({ loseUnsaved: true });
    expect(session.alarmAt).toBe(before);
  });

  test("of a link that was closed and an object that crashed, the connection learns that the link is gone", () => {
    const world = new World({ shards: 1 });
    const first = world.connected("d1", { properties: { sessionExpiryInterval: 100 } }, 5, "w1");
    world.session("d1").unsavedMs = UNSAVED_MS;
    const second = world.client("d1", 5, "w2");
    second.connect({ properties: { sessionExpiryInterval: 100 } });
    world.advance(20);
    // The first one was told and its link closed, both of it in the gate.
    expect(first.closed).toBeUndefined();
    world.session("d1").crash({ loseUnsaved: true });
    world.advance(20_000);
    expect([first, second].filter(({ closed }) => closed === undefined)).toHaveLength(1);
  });
});

describe("a crash", () => {
  test("may leave on its way what had left the gate", () => {
    for (const loseSent of [true, false]) {
      const { world, publisher, subscriber, shard } = scene();
      shard.unsavedMs = 0;
      world.link(subscriber, 0).down.delayMs = 50;
      publisher.publish("a", "1", { qos: 1 });
      world.advance(10);
      shard.crash({ loseSent });
      world.advance(45);
      expect(subscriber.payloads, `lost: ${loseSent}`).toEqual(loseSent ? ["0"] : ["0", "1"]);
      world.advance(5_000);
      expect(subscriber.payloads).toEqual(["0", "1"]);
    }
  });
});
