/**
 * `npm run fuzz -- --seconds N --seed S --packets N --mode solo|crowd`: hostile clients against the core until the time or
 * the packets are up, each script with a seed of its own. What fails is shrunk and printed, and is repeated by
 * `--seed <its seed> --scripts 1`. Ends with 1 if anything failed. See docs/fuzzing.md.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { explore, type Mode, MODES, report } from "./hunt.ts";

const { values } = parseArgs({
  options: {
    seconds: { type: "string" },
    packets: { type: "string" },
    scripts: { type: "string" },
    seed: { type: "string", default: "1" },
    mode: { type: "string", default: "solo" },
    /** Keeps what is found beside the cases of the tests. */
    save: { type: "boolean", default: false },
  },
});

if (!(values.mode in MODES)) {
  console.error(`There is no mode ${values.mode}; there are ${Object.keys(MODES).join(", ")}.`);
  process.exit(2);
}
const mode = values.mode as Mode;
const bounded = values.packets !== undefined || values.scripts !== undefined;
const seconds = Number(values.seconds ?? (bounded ? Infinity : 60));
const packets = Number(values.packets ?? Infinity);
const scripts = Number(values.scripts ?? Infinity);

const start = performance.now();
const tally = { packets: 0, answers: 0, connections: 0 };
const kinds = new Map<string, number>();
const first = Number(values.seed);
let seed = first;
let slowest = { ms: 0, seed };
for (; seed - first < scripts && tally.packets < packets; seed++) {
  const before = performance.now();
  if (before - start > seconds * 1000) break;
  const failure = explore(mode, seed, tally);
  const ms = performance.now() - before;
  if (failure === undefined) {
    if (ms > slowest.ms) slowest = { ms, seed };
    continue;
  }
  const kind = failure.why.split("\n")[0]!;
  kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
  if (kinds.get(kind)! > 1) continue;
  const text = report(mode, failure);
  console.log(`\n${text}`);
  if (values.save) writeFileSync(join(import.meta.dirname, "corpus", `${mode}-${seed}.txt`), text);
}
const took = (performance.now() - start) / 1000;
const { rss, heapUsed } = process.memoryUsage();
console.log(
  `${mode}, seeds ${first} to ${seed - 1}: ${tally.packets} packets over ${tally.connections} connections, ` +
    `${tally.answers} packets back, in ${took.toFixed(0)} s (${Math.round(tally.packets / took)} a second)`,
);
console.log(`slowest script ${slowest.ms.toFixed(0)} ms (seed ${slowest.seed})`);
console.log(`memory ${(rss / 2 ** 20).toFixed(0)} MiB, heap ${(heapUsed / 2 ** 20).toFixed(0)} MiB`);
for (const [kind, times] of kinds) console.log(`found ${times} times: ${kind}`);
process.exit(kinds.size === 0 ? 0 : 1);
