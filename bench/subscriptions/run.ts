/**
 * `npm run bench:subscriptions`: how long does a shard look for who wants a message, with a million subscriptions, and
 * how much memory does it need for one? Beside it aedes's matcher with the same subscriptions and topics.
 *
 * The exit code is 1 if the median is not below {@link MEDIAN_NS_MAX}, or if the two do not find equally many.
 */

import { execFile } from "node:child_process";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { table } from "../report.ts";
import { type MatcherName, MATCHERS } from "./matcher.ts";
import type { Measured } from "./measure.ts";
import { CLIENTS, SUBSCRIPTIONS } from "./population.ts";

const ROUNDS = 3;
const MEDIAN_NS_MAX = 10_000;

async function measure(name: MatcherName): Promise<Measured> {
  const script = join(import.meta.dirname, "measure.ts");
  // The default limit depends on the machine's memory.
  const options = ["--expose-gc", "--max-old-space-size=4096"];
  const { stdout } = await promisify(execFile)(process.execPath, [...options, script, name]);
  return JSON.parse(stdout) as Measured;
}

function median(of: readonly number[]): number {
  return of.toSorted((a, b) => a - b)[of.length >> 1]!;
}

const rounded = (value: number): string => Math.round(value).toLocaleString("en-US");

/** The median of the rounds, with the lowest and the highest. */
function spread(of: readonly number[], format = rounded): string {
  return `${format(median(of))} (${format(Math.min(...of))}–${format(Math.max(...of))})`;
}

async function main(): Promise<void> {
  const names = Object.keys(MATCHERS) as MatcherName[];
  const processors = cpus();
  const facts = [
    ["date", new Date().toISOString().slice(0, 16) + "Z"],
    ["runtime", `Node ${process.versions.node}`],
    ["machine", `${processors.length} × ${processors[0]?.model ?? "unknown"}`],
    ["load average before", loadavg()[0]!.toFixed(2)],
    ["subscriptions", `${rounded(SUBSCRIPTIONS)} of ${rounded(CLIENTS)} clients`],
    ["rounds", String(ROUNDS)],
  ];
  console.log(["# Subscriptions", "", ...facts.map(([name, value]) => `- ${name}: ${value}`), ""].join("\n"));

  const rounds: Record<MatcherName, Measured>[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const results: Partial<Record<MatcherName, Measured>> = {};
    for (const name of names) {
      const one = (results[name] = await measure(name));
      console.error(`${round + 1}/${ROUNDS} ${name}: median ${rounded(one.median)} ns, p99 ${rounded(one.p99)} ns`);
    }
    rounds.push(results as Record<MatcherName, Measured>);
  }

  const columns: [title: string, of: (one: Measured) => number, compared: boolean][] = [
    ["median ns/match", (one) => one.median, true],
    ["p99 ns/match", (one) => one.p99, true],
    ["bytes/subscription", (one) => one.bytes, true],
    ["µs/added", (one) => (one.added * 1000) / SUBSCRIPTIONS, false],
  ];
  const hundredths = (value: number): string => value.toFixed(2);
  const header = ["matcher", ...columns.map(([title]) => title)];
  const lines = names.map((name) => [
    name,
    ...columns.map(([, of, compared]) =>
      spread(
        rounds.map((round) => of(round[name])),
        compared ? rounded : (value) => value.toFixed(1),
      ),
    ),
  ]);
  const ratios = columns.map(([, of, compared]) =>
    compared
      ? spread(
          rounds.map(({ dormouse, qlobber }) => of(dormouse) / of(qlobber)),
          hundredths,
        )
      : "",
  );
  console.log(table(header, [...lines, ["dormouse ÷ qlobber", ...ratios]]).join("\n"));

  const [{ dormouse, qlobber }] = rounds as [Record<MatcherName, Measured>];
  const { found, recordBytes } = dormouse;
  console.log(`\nfound: median ${found.median}, at most ${found.max}, ${rounded(found.total)} in all`);
  console.log(`bytes of a subscription in a shard beside the tree: ${rounded(recordBytes)}`);
  if (found.total !== qlobber.found.total) {
    console.log(`qlobber found ${rounded(qlobber.found.total)} in all`);
    process.exitCode = 1;
  }
  const typical = median(rounds.map((round) => round.dormouse.median));
  console.log(`median: ${rounded(typical)} ns (at most ${rounded(MEDIAN_NS_MAX)})`);
  if (!(typical < MEDIAN_NS_MAX)) process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
