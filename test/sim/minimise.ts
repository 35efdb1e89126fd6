/**
 * Makes a simulation that finds something smaller, for as long as it finds something of the same kind: fewer strikes,
 * clients and habits, less time, a simpler world. What is left out changes what happens at all, so it is tried, not known.
 */

import { Random } from "../support/random.ts";
import { passersBy } from "./cast.ts";
import { type Cut, WHOLE } from "./cut.ts";
import { type Finding, findingOf } from "./finding.ts";
import { planOf, type SimulationPlan } from "./plan.ts";
import { simulate } from "./simulate.ts";

export interface Minimum {
  readonly cut: Cut;
  readonly finding: Finding;
  /** Simulations that it took. */
  readonly tries: number;
}

/** @param triesMax simulations at the most */
export async function minimise(seed: number, found: Finding, triesMax = 300): Promise<Minimum> {
  const search = new Search(seed, found, triesMax);
  await search.run();
  const { cut, finding, tries } = search;
  return { cut, finding, tries };
}

class Search {
  readonly #seed: number;
  readonly #triesMax: number;
  cut = WHOLE;
  finding: Finding;
  tries = 0;

  constructor(seed: number, found: Finding, triesMax: number) {
    this.#seed = seed;
    this.finding = found;
    this.#triesMax = triesMax;
  }

  async run(): Promise<void> {
    await this.#shorten();
    await this.#dropStrikes();
    for (let before = -1; before !== this.#size && this.tries < this.#triesMax;) {
      before = this.#size;
      await this.#dropClients();
      await this.#dropStrikes();
      await this.#simplify();
    }
  }

  get #size(): number {
    return this.#candidates.length;
  }

  get #candidates(): string[] {
    const cast = passersBy(Random.stream(this.#seed, "cast"), planOf(this.#seed).pace);
    return this.cut.candidates(cast);
  }

  /** Goes on with the cut if it shows the same. */
  async #try(cut: Cut): Promise<boolean> {
    if (this.tries >= this.#triesMax) return false;
    this.tries += 1;
    const finding = await findingOf(simulate(this.#seed, cut));
    if (finding?.kind !== this.finding.kind) return false;
    this.cut = cut;
    this.finding = finding;
    return true;
  }

  async #shorten(): Promise<void> {
    let { seconds } = planOf(this.#seed);
    while (seconds > 0.05 && (await this.#try(this.cut.with({ seconds: seconds / 2 })))) seconds /= 2;
  }

  /** First half of them, then a quarter, … */
  async #dropStrikes(): Promise<void> {
    const { outcome } = await simulate(this.#seed, this.cut).catch(() => ({ outcome: { strikes: 64 } }));
    let left = Array.from({ length: outcome.strikes }, (_, n) => n).filter((n) => !this.cut.strikes.has(n));
    for (let size = left.length; size >= 1; size = Math.floor(size / 2)) {
      for (let at = 0; at < left.length;) {
        const chunk = left.slice(at, at + size);
        if (await this.#try(this.cut.withoutStrikes(chunk))) left = left.filter((n) => !chunk.includes(n));
        else at += size;
      }
    }
  }

  async #dropClients(): Promise<void> {
    for (const candidate of this.#candidates) await this.#try(this.cut.without(candidate));
  }

  async #simplify(): Promise<void> {
    const plan: SimulationPlan = { ...planOf(this.#seed), ...this.cut.plan };
    const simpler: Partial<SimulationPlan>[] = [{ shards: 1 }, { delayMs: 1 }, { unsavedMs: 0 }, { alarmLateMs: 0 }];
    for (const change of [...simpler, { limits: {} }]) {
      const [[key, value]] = Object.entries(change) as [[keyof SimulationPlan, unknown]];
      if (JSON.stringify(plan[key]) !== JSON.stringify(value)) await this.#try(this.cut.with(change));
    }
  }
}
