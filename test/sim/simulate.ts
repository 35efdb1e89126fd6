/** One trial of the simulated broker, all of it from one seed. */

import { Random } from "../support/random.ts";
import { type Outcome, trial } from "../trial/trial.ts";
import { passersBy } from "./cast.ts";
import { faultsOf } from "./faults.ts";
import { planOf } from "./plan.ts";
import { SimulatedSite } from "./site.ts";

export interface Simulation {
  readonly seed: number;
  readonly outcome: Outcome;
  /** Things that happened in the broker. */
  readonly steps: number;
}

/** A schedule in which less happens goes on for longer. */
const STEPS_MIN = 3_000;

export async function simulate(seed: number): Promise<Simulation> {
  const plan = planOf(seed);
  const chance = new Random(seed + 0x10000);
  const { shards, delayMs, alarmLateMs, unsavedMs, alarmRetryMs, limits } = plan;
  const site = new SimulatedSite(
    {
      shards,
      delayMs,
      unsavedMs,
      alarmRetryMs,
      limits,
      random: () => chance.next(),
      pick: (ready) => chance.below(ready),
    },
    new Random(seed + 0x20000),
  );
  site.world.alarmLateMs = alarmLateMs;
  const all = faultsOf(site);
  const faults = Array.from({ length: Math.min(plan.faultKinds, all.length) }, () => chance.of(all));
  const { seconds, faultEveryMs, pace } = plan;
  const cast = (random: Random): ReturnType<typeof passersBy> => passersBy(random, pace);
  const enough = (): boolean => site.world.steps >= STEPS_MIN;
  const outcome = await site.drive(
    trial({ seed, seconds, cast, faults: plan.faultKinds < all.length ? faults : all, faultEveryMs, enough }, site),
  );
  return { seed, outcome, steps: site.world.steps };
}
