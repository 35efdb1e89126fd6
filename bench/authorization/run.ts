/**
 * `npm run bench:authorization`: what does it cost to know whether a client may publish to a topic, with fifty rules? For
 * a topic that it has used before, and for one that it has not; beside it a peer that goes through all rules each time.
 *
 * The exit code is 1 if a median is not below {@link MEDIAN_NS_MAX}, or if the two do not decide alike.
 */

import { cpus, loadavg } from "node:os";
import { parseArgs } from "node:util";
import { RuledPolicy } from "../../src/core/authorization/policy.ts";
import { table } from "../report.ts";
import { linear } from "./linear.ts";
import { CLIENT, RULES, rules, topic } from "./population.ts";

const MEDIAN_NS_MAX = 1_000;
/** Decisions between two readings of the clock. Each is of another topic, fewer than a connection remembers. */
const DECISIONS = 48;

interface Decider {
  readonly name: string;
  readonly decide: (topic: string) => boolean;
}

interface Case {
  readonly title: string;
  /** Topics for one sample. Nobody has looked at these strings, as if they had just been read from a packet. */
  readonly topics: (sample: number) => string[];
}

/** Its own memory, and not that of the constants it was put together from. */
const read = (text: string): string => Buffer.from(text).toString();
const used = Array.from({ length: DECISIONS }, (_, number) => read(topic(number)));
const CASES: readonly Case[] = [
  { title: "used before", topics: () => used },
  {
    title: "new",
    topics: (sample) => Array.from({ length: DECISIONS }, (_, at) => read(topic(sample * DECISIONS + at))),
  },
];

function median(of: readonly number[]): number {
  return of.toSorted((a, b) => a - b)[of.length >> 1]!;
}

/** Nanoseconds for a decision, a sample of each of the deciders in turn until the time is over. */
function measure(deciders: readonly Decider[], { topics }: Case, milliseconds: number): number[] {
  const samples: number[][] = deciders.map(() => []);
  const start = performance.now();
  const warm = start + milliseconds / 4;
  for (let sample = 1; ; sample++) {
    const now = performance.now();
    if (now > start + milliseconds && samples[0]!.length > 0) return samples.map(median);
    const published = topics(sample);
    for (const [index, { decide }] of deciders.entries()) {
      let allowed = 0;
      const from = process.hrtime.bigint();
      for (const one of published) if (decide(one)) allowed += 1;
      const nanoseconds = Number(process.hrtime.bigint() - from);
      // The first quarter is for the compiler. What was allowed is looked at so that no decision can be left out.
      if (now > warm && allowed <= DECISIONS) samples[index]!.push(nanoseconds / DECISIONS);
    }
  }
}

function main(): void {
  const { values } = parseArgs({ options: { seconds: { type: "string", default: "10" } } });
  const seconds = Number(values.seconds);
  if (!(seconds > 0)) throw new Error("--seconds must be a number above 0");

  const written = rules();
  if (written.length !== RULES) throw new Error(`there are ${written.length} rules`);
  const permissions = new RuledPolicy(written).of(CLIENT);
  const dormouse: Decider = { name: "dormouse", decide: (one) => permissions.mayPublish(one, false) === true };
  const peer: Decider = { name: "linear", decide: linear(written, CLIENT) };

  const processors = cpus();
  const facts = [
    ["date", new Date().toISOString().slice(0, 16) + "Z"],
    ["runtime", `Node ${process.versions.node}`],
    ["machine", `${processors.length} × ${processors[0]?.model ?? "unknown"}`],
    ["load average before", loadavg()[0]!.toFixed(2)],
    ["rules of the client", String(RULES)],
  ];
  console.log(["# Authorization", "", ...facts.map(([name, value]) => `- ${name}: ${value}`), ""].join("\n"));

  const rounded = (value: number): string => Math.round(value).toLocaleString("en-US");
  const medians = CASES.map((one) => measure([dormouse, peer], one, (seconds * 1000) / CASES.length));
  const rows = CASES.map(({ title }, at) => {
    const [ours, theirs] = medians[at] as [number, number];
    return [title, rounded(ours), rounded(theirs), (ours / theirs).toFixed(3)];
  });
  console.log(table(["topic", "dormouse, median ns", "linear, median ns", "ratio"], rows).join("\n"));

  const differing = Array.from({ length: 10_000 }, (_, number) => topic(number)).find(
    (one) => dormouse.decide(one) !== peer.decide(one),
  );
  if (differing !== undefined) console.log(`\nthey differ on ${differing}`);
  const slowest = Math.max(...medians.map(([ours]) => ours!));
  console.log(`\nslowest median: ${rounded(slowest)} ns (at most ${rounded(MEDIAN_NS_MAX)})`);
  if (differing !== undefined || !(slowest < MEDIAN_NS_MAX)) process.exitCode = 1;
}

main();
