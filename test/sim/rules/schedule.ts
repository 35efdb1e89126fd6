/**
 * A rule of the design that an attack on paper has led to, and the attack, played in the {@link World}: with the rule
 * nothing happens, without it the harm is done.
 *
 * A schedule imports no test runner: without the rule it plays in a thread of its own (`runMutated`).
 */
import type { Mutation } from "../mutation/mutation.ts";

/** What a schedule throws, and nothing else does, when its harm is done. */
export class Broken extends Error {
  override readonly name = "Broken";
}

/** Characters of what was found instead. */
const DETAIL_MAX = 300;

/** Fails with the schedule's harm unless `kept`; `detail` says what there was instead. */
export type Hold = (kept: boolean, detail: unknown) => void;

export interface Schedule {
  /** What the broker keeps to. */
  readonly rule: string;
  /** What a client, or whoever pays for the broker, sees without the rule. */
  readonly harm: string;
  readonly play: (hold: Hold) => void;
  /** Ways to take the rule away, each of which does the harm. */
  readonly without: readonly (Mutation | readonly Mutation[])[];
}

/** By their names: what happens in each. */
export type Schedules = Readonly<Record<string, Schedule>>;

/** @throws {@link Broken} if the harm is done; anything else if the attack could not be made */
export function play({ harm, play: run }: Schedule): void {
  run((kept, detail) => {
    if (kept) return;
    const found = typeof detail === "string" ? detail : JSON.stringify(detail);
    throw new Broken(`${harm} (${found.slice(0, DETAIL_MAX)})`);
  });
}

/** The mutations that have to be made together, with one name for all of them. */
export function faultsOf({ without }: Schedule): { name: string; mutations: readonly Mutation[] }[] {
  return without.map((fault) => {
    const mutations = Array.isArray(fault) ? (fault as readonly Mutation[]) : [fault as Mutation];
    return { name: mutations.map(({ name }) => name).join(", and "), mutations };
  });
}
