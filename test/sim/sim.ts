/**
 * `npm run sim -- --seeds 10000 --first 1`: trials of the simulated broker, one after the other and on all processors,
 * until one finds something. Prints what happened, how fast, and a finding as a drawing of the smallest trial that shows
 * the same. `--seeds 1 --first <seed>` repeats one. Ends with 1 if anything was found.
 */
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { findingOf } from "./finding.ts";
import { minimise } from "./minimise.ts";
import { play } from "./pool.ts";
import { simulate } from "./simulate.ts";
import { Tally } from "./tally.ts";
import { draw } from "./trace.ts";

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "200" },
    first: { type: "string", default: "1" },
    threads: { type: "string", default: String(availableParallelism()) },
    /** Goes on after a finding, and tells of each only what it is. */
    all: { type: "boolean", default: false },
  },
});

const first = Number(values.first);
const count = Number(values.seeds);
const threads = Number(values.threads);
const tally = new Tally();
const startedMs = performance.now();
await play({ first, count, threads, all: values.all }, (told) => tally.add(told));
console.log(tally.report((performance.now() - startedMs) / 1000, threads));
const found = tally.findings.toSorted((one, other) => one.seed - other.seed);
for (const { seed, kind, says } of found) console.log(`seed ${seed}: ${kind}: ${says}`);
if (found.length > 0 && !values.all) await explain(found[0]!.seed);
process.exit(found.length > 0 ? 1 : 0);

async function explain(seed: number): Promise<void> {
  const finding = await findingOf(simulate(seed));
  if (!finding) throw new Error(`seed ${seed} finds nothing the second time`);
  console.log(`\nseed ${seed}\n${finding.story}\n\nmaking it smaller …`);
  const { cut, finding: smallest, tries } = await minimise(seed, finding);
  console.log(`after ${tries} trials: ${smallest.says}\n`);
  console.log(await draw(seed, cut, smallest));
}
