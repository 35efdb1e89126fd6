import { expect, test } from "vitest";
import type { Step } from "./step.ts";
import { World } from "./world.ts";

const line = ({ from, to, what }: Step): string => `${from} → ${to}: ${what}`;

test("whoever watches is told who says what to whom, in the words of the protocol", () => {
  const world = new World({ shards: 2 });
  const steps: Step[] = [];
  world.onStep = (step) => steps.push(step);
  const client = world.connected("d1");
  client.publish("a", "one", { qos: 1 });
  client.publish("a", "two", { qos: 1 });
  world.settle();
  const { shard } = world.shardOf("a");
  expect(steps.map(line)).toEqual([
    "client d1 → connection d1.1: CONNECT",
    "connection d1.1 → session d1: link?",
    "session d1 → connection d1.1: open",
    "connection d1.1 → session d1: CONNECT",
    "session d1 → connection d1.1: WELCOME",
    "connection d1.1 → client d1: CONNACK",
    "client d1 → connection d1.1: PUBLISH",
    "client d1 → connection d1.1: PUBLISH",
    `connection d1.1 → shard ${shard}: link?`,
    `shard ${shard} → connection d1.1: open`,
    `connection d1.1 → shard ${shard}: HELLO, PUBLISH×2`,
    `shard ${shard} → connection d1.1: ATTACHED, PUBLISHED×2, TAKEN`,
    "connection d1.1 → client d1: PUBACK×2",
  ]);
  expect(world.steps).toBe(steps.length);
  expect(steps.map(({ at }) => at)).toEqual(steps.map(({ at }) => at).toSorted((a, b) => a - b));
});

test("faults and what is due by the clock are told as well", () => {
  const world = new World({ shards: 1 });
  const client = world.connected("d1");
  client.subscribe("a", 1);
  world.settle();
  const told: string[] = [];
  world.onStep = (step) => told.push(line(step));
  world.link(client, 0).drop();
  world.shards[0]!.crash();
  world.session("d1").evict();
  world.shards[0]!.ring();
  client.cut();
  world.killWorker("worker");
  expect(told).toEqual([
    "connection d1.1 → shard 0: link breaks",
    "platform → shard 0: crash",
    "connection d1.1 → shard 0: link breaks",
    "platform → session d1: evict",
    "platform → shard 0: alarm",
    "platform → client d1: cut",
    "platform → worker worker: kill",
  ]);
  told.length = 0;
  world.advance(120_000);
  expect(told).toContain("shard 0 → shard 0: alarm");
  const later = world.connected("d2");
  later.subscribe("a", 1);
  world.advance(5_000);
  expect(told).toContain("shard 0 → shard 0: timer");
  const steps = world.steps;
  world.onStep = undefined;
  later.publish("a", "unseen");
  world.settle();
  expect(world.steps).toBeGreaterThan(steps);
});
