import { expect, test } from "vitest";
import { World } from "./world.ts";

const will = { topic: "will", payload: Buffer.from("w"), qos: 1 as const, retain: false };

test("an alarm goes off again until its turn does not fail", () => {
  const world = new World({ shards: 1, alarmRetryMs: 2_000 });
  const watcher = world.connected("watcher");
  watcher.subscribe("will", 1);
  const client = world.connected("d1", { will, properties: { sessionExpiryInterval: 60 } });
  world.settle();
  client.cut();
  const session = world.session("d1");
  world.advance(5_000);
  expect(watcher.payloads, "due with the end of the session").toEqual(["w"]);
  session.sql.failWrites = true;
  const { rings } = session;
  world.advance(62_000);
  expect(session.rings).toBeGreaterThan(rings + 1);
  expect(session.alarmAt).toBeDefined();
  session.sql.failWrites = false;
  world.advance(60_000);
  expect(session.alarmAt).toBeUndefined();
  expect(session.sql.rows("SELECT name FROM sqlite_master")).toEqual([]);
});

test("an alarm whose turn is lost before it was durable goes off again", () => {
  const world = new World({ shards: 1 });
  const client = world.connected("d1", { properties: { sessionExpiryInterval: 60 } });
  world.settle();
  client.cut();
  world.advance(3_000);
  const session = world.session("d1");
  session.unsavedMs = 500;
  world.advance(57_200);
  expect([session.rings, session.alarmAt, session.unsaved]).toEqual([1, undefined, true]);
  session.crash({ loseUnsaved: true });
  expect(session.alarmAt).toBe(world.now + 1);
  world.advance(60_000);
  expect(session.rings).toBeGreaterThan(1);
  expect(session.alarmAt).toBeUndefined();
  expect(session.sql.rows("SELECT name FROM sqlite_master")).toEqual([]);
});

test("an alarm may go off twice, or before its time, and nothing comes of it", () => {
  const world = new World({ shards: 1 });
  const watcher = world.connected("watcher");
  watcher.subscribe("will", 1);
  const properties = { willDelayInterval: 10 };
  const client = world.connected("d1", {
    will: { ...will, properties },
    properties: { sessionExpiryInterval: 100 },
  });
  world.settle();
  client.cut();
  for (let i = 0; i < 20; i++) {
    world.session("d1").ring();
    world.session("d1").ring();
    world.advance(400);
  }
  expect(watcher.payloads).toEqual([]);
  for (let i = 0; i < 20; i++) {
    world.session("d1").ring();
    world.advance(400);
  }
  expect(watcher.payloads).toEqual(["w"]);
});
