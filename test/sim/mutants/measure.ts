/**
 * `node test/sim/mutants/measure.ts --seeds 40`: the first seed that finds each deliberate fault, and how it shows. Tells
 * what the numbers in the lists have to be when the trial has changed.
 */
import { parseArgs } from "node:util";
import { runMutated } from "../mutation/run.ts";
import type { Catch } from "./hunt.ts";
import { MUTANTS } from "./mutants.ts";

const { values } = parseArgs({ options: { seeds: { type: "string", default: "40" } } });
/** A fault that makes trials endless is found as well. */
const LIMIT_MS = 240_000;

const waiting = Object.values(MUTANTS).flat();
const work = async (): Promise<void> => {
  for (let mutant = waiting.shift(); mutant; mutant = waiting.shift()) {
    const { name, mutations } = mutant;
    const task = [1, Number(values.seeds)];
    const outcome = await runMutated(mutations, `${import.meta.dirname}/hunt.ts`, "hunt", task, LIMIT_MS);
    const caught = outcome.ok ? (outcome.value as Catch | undefined) : { seed: 1, signs: ["thrown"] };
    console.log(JSON.stringify({ name, seed: caught?.seed, signs: caught?.signs }));
  }
};
await Promise.all([work(), work()]);
