/** What is wrong with a simulation, if anything is. */

import { concerned, explanation, summary } from "../trial/report.ts";
import type { Outcome } from "../trial/trial.ts";
import type { Simulation } from "./simulate.ts";

export interface Finding {
  /** What kind it is: the rule of the judge that was broken, "stuck", "left behind", or "thrown". */
  readonly kind: string;
  readonly says: string;
  /** Clients that it concerns. */
  readonly clients: readonly string[];
  /** Where in the history it shows; Infinity: after its end. */
  readonly at: number;
  /** In full, for a reader. */
  readonly story: string;
}

/** Runs a simulation and returns what it finds. */
export async function findingOf(simulation: Promise<Simulation>): Promise<Finding | undefined> {
  try {
    return findingIn((await simulation).outcome);
  } catch (error) {
    const { message, stack = message } = error as Error;
    return { kind: "thrown", says: message, clients: [], at: Infinity, story: stack };
  }
}

export function findingIn(outcome: Outcome): Finding | undefined {
  const { violations, stuck, left, events } = outcome;
  const story = `${summary(outcome)}\n${explanation(outcome)}`;
  const [violation] = violations;
  if (violation) {
    const { rule, says, client, payload, index } = violation;
    const publisher = events.find(
      (event) =>
        (event.type === "publish" && event.payload === payload) ||
        (event.type === "connect" && event.will?.payload === payload),
    );
    const clients = new Set([
      ...concerned(events, client),
      ...(publisher && "client" in publisher ? [String(publisher.client)] : []),
    ]);
    return { kind: rule, says, clients: [...clients], at: index, story };
  }
  const [missing] = stuck;
  if (missing !== undefined) {
    return { kind: "stuck", says: missing, clients: [missing.split(" ", 1)[0]!], at: events.length, story };
  }
  const [remainder] = left;
  if (remainder !== undefined) return { kind: "left behind", says: left.join("; "), clients: [], at: Infinity, story };
  return undefined;
}
