/** One trial of the simulated broker, all of it from one seed. */

import { Random } from "../support/random.ts";
import type { Cast } from "../trial/cast.ts";
import { note } from "../trial/faults.ts";
import { type Outcome, trial } from "../trial/trial.ts";
import { accessOf } from "./access.ts";
import { passersBy } from "./cast.ts";
import { type Cut, WHOLE } from "./cut.ts";
import { faultsOf } from "./faults.ts";
import { sharing } from "./groups.ts";
import { rudeOnes } from "./rude.ts";
import { planOf } from "./plan.ts";
import { SimulatedSite } from "./site.ts";

export interface Simulation {
  readonly seed: number;
  readonly outcome: Outcome;
  /** Things that happened in the broker. */
  readonly steps: number;
}

/** A schedule in which less happens goes on for longer, unless it is cut. */
const STEPS_MIN = 3_000;

/** @param attend is given the site before anything happens */
export async function simulate(
  seed: number,
  cut: Cut = WHOLE,
  attend?: (site: SimulatedSite) => void,
): Promise<Simulation> {
  const plan = { ...planOf(seed), ...cut.plan };
  const chance = Random.stream(seed, "world");
  const late = (): void => {
    if (site.history) note(site.history, "late", "answer");
  };
  const site: SimulatedSite = new SimulatedSite(
    {
      ...plan,
      ...accessOf(plan.access, Random.stream(seed, "answers"), late),
      random: () => chance.next(),
      pick: (ready) => chance.below(ready),
    },
    Random.stream(seed, "site"),
  );
  site.world.alarmLateMs = plan.alarmLateMs;
  attend?.(site);
  const choice = Random.stream(seed, "faults");
  const all = faultsOf(site);
  const some = Array.from({ length: plan.faultKinds }, () => choice.of(all));
  const { seconds, faultEveryMs, pace } = plan;
  const cast = (random: Random): Cast => {
    const guests = sharing(passersBy(random, pace), plan.groups, pace, Random.stream(seed, "groups"));
    return cut.cast({ ...guests, rude: rudeOnes(plan.rude, guests, pace) });
  };
  const enough = (): boolean => cut !== WHOLE || site.world.steps >= STEPS_MIN;
  const faults = some.length < all.length ? some : all;
  const outcome = await site.drive(
    trial({ seed, seconds, cast, faults, faultEveryMs, enough, without: cut.strikes }, site),
  );
  return { seed, outcome, steps: site.world.steps };
}
