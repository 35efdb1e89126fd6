/** The simulated trial finds every deliberate fault in the broker, so that it would find one that nobody has made on purpose. */

import { expect, test } from "vitest";
import { mutatedFiles } from "../mutation/mutation.ts";
import { runMutated } from "../mutation/run.ts";
import type { Catch } from "./hunt.ts";
import { MUTANTS, UNSEEN } from "./mutants.ts";
import { readTable, table } from "./table.ts";

const all = Object.values(MUTANTS).flat();
/** As many threads as a small machine has cores. */
const THREADS = 2;

test("every fault fits the code, and has a name of its own", () => {
  const unseen = Object.values(UNSEEN).flat();
  for (const { mutations } of [...all, ...unseen]) mutatedFiles(mutations);
  expect(new Set([...all, ...unseen].map(({ name }) => name)).size).toBe(all.length + unseen.length);
});

test("docs/simulation.md lists them (npm run mutants -- --write)", () => {
  expect(readTable()).toBe(table());
});

test(`${all.length} faults are found within their seeds`, { timeout: 900_000 }, async () => {
  const missed: string[] = [];
  const waiting = [...all];
  const work = async (): Promise<void> => {
    for (let mutant = waiting.shift(); mutant; mutant = waiting.shift()) {
      const { name, mutations, seeds } = mutant;
      const outcome = await runMutated(mutations, `${import.meta.dirname}/hunt.ts`, "hunt", [1, seeds], 120_000);
      // What does not come to rest is found too.
      if (outcome.ok && (outcome.value as Catch | undefined) === undefined)
        missed.push(`${name}: not in ${seeds} seeds`);
    }
  };
  await Promise.all(Array.from({ length: THREADS }, work));
  expect(missed).toEqual([]);
});
