/** Looks for a seed whose trial goes wrong. Runs over mutated code, so it imports nothing that is not part of a trial. */

import { simulate } from "../simulate.ts";
import type { Sign } from "./mutant.ts";

export interface Catch {
  readonly seed: number;
  /** How it shows. */
  readonly signs: readonly Sign[];
  /** What of it came first. */
  readonly says: string;
}

/** The broker as it is shows nothing within the first seeds (`sim.test.ts`), so whatever shows is the fault's doing. */
export async function hunt(from: number, to: number): Promise<Catch | undefined> {
  for (let seed = from; seed <= to; seed++) {
    const caught = await look(seed);
    if (caught) return caught;
  }
  return undefined;
}

async function look(seed: number): Promise<Catch | undefined> {
  try {
    const { violations, stuck, left } = (await simulate(seed)).outcome;
    const all: [Sign, string][] = [
      ...violations.map(({ rule, says }): [Sign, string] => [rule, says]),
      ...stuck.map((says): [Sign, string] => ["stuck", says]),
      ...left.map((says): [Sign, string] => ["left behind", says]),
    ];
    if (all.length === 0) return undefined;
    return { seed, signs: [...new Set(all.map(([sign]) => sign))], says: all[0]![1] };
  } catch (error) {
    return { seed, signs: ["thrown"], says: (error as Error).message };
  }
}
