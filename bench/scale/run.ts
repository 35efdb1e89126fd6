/**
 * `npm run bench:scale`: what does a shard weigh, and how long does what it does take, as a deployment grows? The
 * production cores and stores over node:sqlite, on disk, each point in a process of its own.
 */

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { chartsOf } from "./charts.ts";
import { measureGrowth } from "./growth.ts";
import { drawChart } from "./plot.ts";
import { tablesOf } from "./tables.ts";

const USAGE = `npm run bench:scale -- [options]
  --sessions A,B  sessions, retained messages and batches of the log (default 10000,100000,1000000)
  --write         puts the tables into docs/scale.md and the plots into docs/scale/`;

const DOCS = join(import.meta.dirname, "../../docs");
/** What is between them in docs/scale.md is written by this program. */
const BEGIN = "<!-- npm run bench:scale -- --write -->";
const END = "<!-- end of what it wrote -->";

function readOptions(): { sizes: number[]; write: boolean } {
  const { values } = parseArgs({
    options: {
      sessions: { type: "string", default: "10000,100000,1000000" },
      write: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    process.exit(0);
  }
  const sizes = values.sessions.split(",").map(Number);
  // Below that there are too few for what is measured.
  if (!sizes.every((size) => Number.isInteger(size) && size >= 5_000)) {
    throw new Error("--sessions takes whole numbers of at least 5000");
  }
  return { sizes: sizes.toSorted((a, b) => a - b), write: values.write };
}

function facts(): string[] {
  const processors = cpus();
  const commit = execFileSync("git", ["describe", "--always", "--dirty", "--exclude", "*"], { encoding: "utf8" });
  return [
    `- date: ${new Date().toISOString().slice(0, 16)}Z`,
    `- commit: ${commit.trim()}`,
    `- runtime: Node ${process.versions.node}`,
    `- machine: ${processors.length} × ${processors[0]?.model ?? "unknown"}`,
    `- load average before: ${loadavg()[0]!.toFixed(2)}`,
    "",
  ];
}

async function main(): Promise<void> {
  const { sizes, write } = readOptions();
  const about = facts();
  const from = performance.now();
  const growth = await measureGrowth(sizes, (what) => {
    console.error(`${((performance.now() - from) / 1000).toFixed(0).padStart(4)} s  ${what}`);
  });
  const lines = [...about, ...tablesOf(growth)];
  console.log(lines.join("\n"));
  if (!write) return;
  const page = join(DOCS, "scale.md");
  const [before, rest] = readFileSync(page, "utf8").split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) throw new Error("docs/scale.md has no place for the tables");
  writeFileSync(page, [before, BEGIN, "\n\n", lines.join("\n"), "\n", END, after].join(""));
  mkdirSync(join(DOCS, "scale"), { recursive: true });
  for (const [name, chart] of Object.entries(chartsOf(growth))) {
    writeFileSync(join(DOCS, "scale", `${name}.svg`), drawChart(chart));
  }
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
