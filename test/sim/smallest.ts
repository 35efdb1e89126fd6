/** The smallest simulation that shows what a broken broker does, for the test that runs it over one. */
import { findingOf } from "./finding.ts";
import { minimise } from "./minimise.ts";
import { simulate } from "./simulate.ts";
import { draw } from "./trace.ts";

export interface Smallest {
  readonly kind: string;
  readonly says: string;
  readonly steps: { readonly before: number; readonly after: number };
  readonly drawing: string;
}

/** @throws if none of the seeds finds anything */
export async function smallest(seeds: number): Promise<Smallest> {
  for (let seed = 1; seed <= seeds; seed++) {
    const whole = await simulate(seed);
    const finding = await findingOf(Promise.resolve(whole));
    if (!finding) continue;
    const { cut, finding: found } = await minimise(seed, finding, 150);
    const { steps } = await simulate(seed, cut);
    const drawing = await draw(seed, cut, found);
    return { kind: found.kind, says: found.says, steps: { before: whole.steps, after: steps }, drawing };
  }
  throw new Error(`none of ${seeds} seeds finds anything`);
}
