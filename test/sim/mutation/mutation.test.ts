import { expect, test } from "vitest";
import { type Mutation, mutate } from "./mutation.ts";
import { NO_REST, runMutated } from "./run.ts";

const EXAMPLE = `${import.meta.dirname}/example.ts`;

const misplaced: Mutation = {
  name: "every topic is on the last shard",
  file: "src/core/shard/placement.ts",
  find: "return placement.shards === 1 ? 0 : hashOfLevels(topic, 0, placement.depth) % placement.shards;",
  replace: "return placement.shards - 1;",
};

test("what is not mutated runs as it is", async () => {
  expect(await runMutated([], EXAMPLE, "place", ["a/b", 1])).toEqual({ ok: true, value: 0 });
  expect(await runMutated([], EXAMPLE, "relay", ["x"])).toEqual({ ok: true, value: ["x"] });
});

test("a mutation is in force in its thread, and nowhere else", async () => {
  for (const shards of [5, 9]) {
    expect(await runMutated([misplaced], EXAMPLE, "place", ["a/b", shards])).toEqual({ ok: true, value: shards - 1 });
  }
  const { place } = await import("./example.ts");
  expect(place("a/b", 1000)).not.toBe(999);
});

test("several mutations of a file are made one after the other", async () => {
  const more = { ...misplaced, find: "return placement.shards - 1;", replace: "return placement.shards - 2;" };
  expect(await runMutated([misplaced, more], EXAMPLE, "place", ["a/b", 5])).toEqual({ ok: true, value: 3 });
});

test("what is thrown comes back by name, message and stack", async () => {
  const outcome = await runMutated([], EXAMPLE, "failing");
  expect(outcome).toMatchObject({ ok: false, error: { name: "RangeError", message: "out of cheese" } });
  expect(!outcome.ok && outcome.error.stack).toContain("example.ts:");
});

test("what loops for ever is stopped", async () => {
  expect(await runMutated([], EXAMPLE, "loops", [], 1_000)).toMatchObject({ ok: false, error: { name: NO_REST } });
});

test.each([
  ["is not there", { find: "no such text" }, 'mutation "x": its text is 0 times in src/a.ts, not once'],
  ["is there twice", { find: "b" }, 'mutation "x": its text is 2 times in src/a.ts, not once'],
  ["changes nothing", { find: "a", replace: "a" }, "not once"],
])("a mutation whose text %s is refused", (_what, change: Partial<Mutation>, message) => {
  const mutation = { name: "x", file: "src/a.ts", find: "a", replace: "c", ...change };
  expect(() => mutate("a, b, b", mutation)).toThrow(message);
});

test("a mutation that says nothing is refused: not loaded, not to be loaded, no such function", async () => {
  const elsewhere = { ...misplaced, file: "src/edge/tcp.ts", find: "export async function", replace: "async function" };
  await expect(runMutated([{ ...misplaced, find: "no such text" }], EXAMPLE, "place")).rejects.toThrow("0 times");
  await expect(runMutated([elsewhere], EXAMPLE, "place")).rejects.toThrow(/does not load .*tcp\.ts/);
  await expect(runMutated([{ ...misplaced, replace: "return (;" }], EXAMPLE, "place")).rejects.toThrow(
    "cannot be loaded",
  );
  await expect(runMutated([], EXAMPLE, "nothing")).rejects.toThrow("exports no function nothing");
});
