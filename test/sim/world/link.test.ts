import { describe, expect, test } from "vitest";
import type { Client } from "./client.ts";
import { World } from "./world.ts";

const HOUR_MS = 3_600_000;
/** Two pings, the second of which finds the first without an answer. */
const PINGS_MS = 490_000;

function pair(): { world: World; publisher: Client; subscriber: Client } {
  const world = new World({ shards: 1 });
  const subscriber = world.connected("subscriber");
  const publisher = world.connected("publisher");
  subscriber.subscribe("a", 1);
  world.settle();
  publisher.publish("a", "0", { qos: 1 });
  world.settle();
  return { world, publisher, subscriber };
}

describe("links: a dead link", () => {
  test("that the Worker learns of is replaced, and the object closes its end of the old one", () => {
    const { world, publisher, subscriber } = pair();
    const old = world.link(subscriber, 0);
    old.die({ worker: 0 });
    publisher.publish("a", "1", { qos: 1 });
    world.advance(5_000);
    expect(subscriber.payloads).toEqual(["0", "1"]);
    expect(world.shards[0]!.sockets.has(old)).toBe(false);
    expect(world.link(subscriber, 0)).not.toBe(old);
  });

  test("that only the object learns of is found by its Worker's pings, and nothing is lost", () => {
    const { world, publisher, subscriber } = pair();
    world.link(subscriber, 0).die({ object: 0 });
    // The session is forgotten after the grace, and the connection does not know: it comes back too late for what it missed.
    publisher.publish("a", "1", { qos: 1 });
    world.advance(30_000);
    expect(subscriber.payloads).toEqual(["0"]);
    world.advance(PINGS_MS);
    expect(subscriber.closed, "a gap is not passed over in silence").toBeDefined();
  });

  test("of a publisher that only the object learns of is found by its Worker's pings, and nothing is lost", () => {
    const { world, publisher, subscriber } = pair();
    world.link(publisher, 0).die({ object: 0 });
    const id = publisher.publish("a", "1", { qos: 1 });
    world.advance(30_000);
    expect(publisher.acknowledged).toEqual([1]);
    world.advance(PINGS_MS);
    expect(publisher.closed).toBeUndefined();
    expect(publisher.acknowledged).toEqual([1, id]);
    expect(subscriber.payloads).toEqual(["0", "1"]);
  });

  test("that nobody learns of is found by its Worker's pings: while the object waits, nothing is lost", () => {
    const { world, publisher, subscriber } = pair();
    world.link(subscriber, 0).die();
    publisher.publish("a", "1", { qos: 1 });
    world.advance(PINGS_MS);
    expect(subscriber.payloads).toEqual(["0", "1"]);
    expect(subscriber.closed).toBeUndefined();
  });

  test("to the session object does not hide the end of a client that goes meanwhile", () => {
    for (const learn of [{}, { object: 0 }, { worker: 0 }]) {
      const { world, subscriber: watcher } = pair();
      const will = { topic: "a", payload: Buffer.from("will"), qos: 1 as const, retain: false };
      const client = world.connected("d1", { will, properties: { sessionExpiryInterval: 3600 } });
      world.settle();
      world.link(client, "session").die(learn);
      world.advance(20_000);
      client.cut();
      world.advance(60_000);
      expect(watcher.payloads.filter((payload) => payload === "will")).toEqual(["will"]);
      world.advance(HOUR_MS);
      const back = world.connected("d1", { clean: false });
      expect(back.last("connack")!.sessionPresent).toBe(false);
    }
  });
});

describe("links: a Worker that dies without a close", () => {
  test("leaves a will, which is published when the object looks for its connection", () => {
    const world = new World({ shards: 1 });
    const watcher = world.connected("watcher", {}, 5, "other");
    watcher.subscribe("will", 1);
    const will = { topic: "will", payload: Buffer.from("w"), qos: 1 as const, retain: false };
    world.connected("d1", { will });
    world.settle();
    world.killWorker("worker", { closes: false });
    world.advance(11 * HOUR_MS);
    expect(watcher.payloads).toEqual([]);
    world.advance(2 * HOUR_MS);
    expect(watcher.payloads).toEqual(["w"]);
  });

  test("does not pin the log for ever", () => {
    const world = new World({ shards: 1 });
    const publisher = world.connected("publisher", {}, 5, "other");
    const subscriber = world.connected("subscriber");
    subscriber.subscribe("a", 1);
    world.settle();
    world.killWorker("worker", { closes: false });
    publisher.publish("a", "1", { qos: 1 });
    world.advance(HOUR_MS);
    const rows = (): number => world.shards[0]!.sql.rows("SELECT * FROM log").length;
    expect(rows()).toBe(1);
    world.advance(25 * HOUR_MS);
    expect(rows()).toBe(0);
  });
});
