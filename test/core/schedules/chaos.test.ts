import { expect, test } from "vitest";
import { Chaos } from "../../support/chaos.ts";

const SEEDS = Number(process.env["CHAOS_SEEDS"] ?? 200);
const FIRST = Number(process.env["CHAOS_FIRST"] ?? 1);

test(`links: what must hold holds under random faults (${SEEDS} seeds from ${FIRST})`, { timeout: 600_000 }, () => {
  for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
    const chaos = new Chaos(seed);
    try {
      chaos.run();
    } catch (error) {
      expect.fail(`seed ${seed}: ${(error as Error).stack}\n${chaos.lines.join("\n")}`);
    }
  }
});
