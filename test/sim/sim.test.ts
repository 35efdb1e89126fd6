/** Trials of the simulated broker, always the same ones. `npm run sim` plays others, and explains what it finds. */
import { availableParallelism } from "node:os";
import { expect, test } from "vitest";
import { play } from "./pool.ts";
import { Tally } from "./tally.ts";

const SEEDS = Number(process.env["SIM_SEEDS"] ?? 300);
const FIRST = Number(process.env["SIM_FIRST"] ?? 1);

test(`every promise is kept on bad days (${SEEDS} seeds from ${FIRST})`, { timeout: 900_000 }, async () => {
  const tally = new Tally();
  await play({ first: FIRST, count: SEEDS, threads: availableParallelism(), all: false }, (told) => tally.add(told));
  expect(tally.findings, "npm run sim -- --seeds 1 --first <seed> explains it").toEqual([]);
});
