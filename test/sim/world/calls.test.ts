import { expect, test } from "vitest";
import type { Call, Fate } from "./calls.ts";
import type { Client } from "./client.ts";
import { World } from "./world.ts";

const will = { topic: "will", payload: Buffer.from("w"), qos: 1 as const, retain: false };

/** A watcher of a will, and a client that has gone. */
function gone(onCall: (call: Call) => Fate | undefined): { world: World; watcher: Client } {
  const world = new World({ shards: 1 });
  const watcher = world.connected("watcher");
  watcher.subscribe("will", 1);
  const client = world.connected("d1", { will });
  world.settle();
  world.onCall = onCall;
  client.cut();
  return { world, watcher };
}

test.each(["before", "after"] as const)("a call that fails %s it was carried out is made again", (fails) => {
  const fates = [fails, fails, undefined];
  let calls = 0;
  const { world, watcher } = gone(() => ({ fails: fates[calls++] }));
  world.advance(5_000);
  expect(watcher.payloads).toEqual(fails === "before" ? [] : ["w"]);
  world.advance(120_000);
  expect(calls).toBe(3);
  expect(watcher.payloads, "it is carried out once").toEqual(["w"]);
  expect(world.session("d1").sql.rows("SELECT name FROM sqlite_master")).toEqual([]);
});

test("a call and its answer take as long as they are said to", () => {
  const { world, watcher } = gone(() => ({ delayMs: 3_000, answerDelayMs: 4_000 }));
  world.advance(2_900);
  expect(watcher.payloads).toEqual([]);
  expect(world.sleepless().map(({ node, why }) => [node.party, why])).toContainEqual([
    "session d1",
    ["1 calls that are not answered"],
  ]);
  world.advance(200);
  expect(watcher.payloads).toEqual(["w"]);
  world.advance(3_800);
  expect(world.session("d1").sleeps).toBe(false);
  world.advance(200);
  expect(world.session("d1").sleeps).toBe(true);
  expect(world.session("d1").sql.rows("SELECT name FROM sqlite_master")).toEqual([]);
});

test.each([false, true])("calls to one object are carried out in their order, unless they go alone (%s)", (alone) => {
  const world = new World({ shards: 1 });
  const properties = { sessionExpiryInterval: 100 };
  const first = world.connected("d1", { properties });
  first.subscribe("a", 1);
  world.settle();
  const told: string[] = [];
  world.onStep = ({ to, what }) => to === "shard 0" && told.push(what);
  // A clean start has the shard wipe what the session left. Then comes a will, which is faster.
  world.onCall = ({ what }) => ({ delayMs: what === "wipe" ? 5_000 : 0, alone });
  const second = world.client("d1");
  second.connect({ will, properties });
  world.settle();
  second.send({ cmd: "disconnect", reasonCode: 4 });
  world.advance(9_000);
  const calls = told.filter((what) => what === "wipe" || what === "publishWill");
  expect(calls.slice(0, 2)).toEqual(alone ? ["publishWill", "wipe"] : ["wipe", "publishWill"]);
  world.advance(200_000);
  expect(world.session("d1").failures).toEqual([]);
  expect(world.session("d1").sql.rows("SELECT name FROM sqlite_master")).toEqual([]);
});

test("a shard that crashes with an answer in its gate has failed, whether it has stored the will or not", () => {
  for (const loseUnsaved of [true, false]) {
    const { world, watcher } = gone(() => ({}));
    world.shards[0]!.unsavedMs = 100;
    while (!world.shards[0]!.unsaved) world.step(world.now + 1_000);
    world.advance(20);
    expect(watcher.payloads).toEqual([]);
    world.shards[0]!.crash({ loseUnsaved });
    world.advance(5_000);
    expect(watcher.payloads, `lost: ${loseUnsaved}`).toEqual(loseUnsaved ? [] : ["w"]);
    world.advance(60_000);
    expect(watcher.payloads).toEqual(["w"]);
  }
});
