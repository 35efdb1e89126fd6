/** Some of the seeds of `npm run sim`, one after the other. */
import { parentPort, workerData } from "node:worker_threads";
import type { HistoryEvent } from "../trial/history.ts";
import { type Finding, findingIn } from "./finding.ts";
import { simulate } from "./simulate.ts";

export interface Batch {
  readonly first: number;
  readonly step: number;
  /** Not this one any more. */
  readonly end: number;
  /** Goes on after a finding. */
  readonly all: boolean;
}

/** What became of one seed. */
export interface Told {
  readonly seed: number;
  readonly steps: number;
  /** How much of what clients did and heard there was, by type; faults by name. */
  readonly events: ReadonlyMap<string, number>;
  readonly faults: ReadonlyMap<string, number>;
  readonly finding: Pick<Finding, "kind" | "says"> | undefined;
}

const { first, step, end, all } = workerData as Batch;
for (let seed = first; seed < end; seed += step) {
  const told = await play(seed);
  parentPort!.postMessage(told);
  if (told.finding && !all) break;
}

async function play(seed: number): Promise<Told> {
  try {
    const { outcome, steps } = await simulate(seed);
    const found = findingIn(outcome);
    const finding = found && { kind: found.kind, says: found.says };
    return { seed, steps, ...count(outcome.events), finding };
  } catch (error) {
    const finding = { kind: "thrown", says: (error as Error).message };
    return { seed, steps: 0, events: new Map(), faults: new Map(), finding };
  }
}

function count(all: readonly HistoryEvent[]): Pick<Told, "events" | "faults"> {
  const events = new Map<string, number>();
  const faults = new Map<string, number>();
  for (const event of all) {
    const [counts, name] = event.type === "fault" ? [faults, event.fault] : [events, event.type];
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return { events, faults };
}
