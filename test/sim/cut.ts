/** What is left out of a simulation, so that what it shows can be read: clients, habits of theirs, strikes, and time. */

import type { Cast, Part } from "../trial/cast.ts";
import type { SimulationPlan } from "./plan.ts";

const HABITS = ["publishes", "leaves", "diesEveryMs", "renewsEveryMs", "fickle"] as const;

export class Cut {
  readonly plan: Partial<SimulationPlan>;
  readonly strikes: ReadonlySet<number>;
  /** Clients, and habits as "d1 leaves". */
  readonly #gone: ReadonlySet<string>;

  constructor(gone: Iterable<string> = [], strikes: Iterable<number> = [], plan: Partial<SimulationPlan> = {}) {
    this.#gone = new Set(gone);
    this.strikes = new Set(strikes);
    this.plan = plan;
  }

  without(...gone: readonly string[]): Cut {
    return new Cut([...this.#gone, ...gone], this.strikes, this.plan);
  }

  withoutStrikes(strikes: Iterable<number>): Cut {
    return new Cut(this.#gone, [...this.strikes, ...strikes], this.plan);
  }

  with(plan: Partial<SimulationPlan>): Cut {
    return new Cut(this.#gone, this.strikes, { ...this.plan, ...plan });
  }

  /** What it could leave out besides. */
  candidates({ parts, rude = [] }: Cast): string[] {
    const all = parts.flatMap((part) => {
      const { clientId, filters, will } = part.profile;
      const habits = HABITS.filter((habit) => part[habit] !== undefined);
      const more = [...(will ? ["will"] : []), ...(filters.length > 0 ? ["filters"] : [])];
      return [clientId, ...[...habits, ...more].map((habit) => `${clientId} ${habit}`)];
    });
    for (const { clientId } of rude) all.push(clientId);
    return all.filter((one) => !this.#gone.has(one) && !this.#gone.has(one.split(" ")[0]!));
  }

  cast({ parts, topics, rude = [] }: Cast): Cast {
    const staying = parts.filter(({ profile }) => !this.#gone.has(profile.clientId));
    return {
      parts: staying.map((part) => this.#strip(part)),
      topics,
      rude: rude.filter(({ clientId }) => !this.#gone.has(clientId)),
    };
  }

  #strip(part: Part): Part {
    const { profile, ...habits } = part;
    const has = (habit: string): boolean => !this.#gone.has(`${profile.clientId} ${habit}`);
    const { will, ...rest } = profile;
    return {
      profile: {
        ...rest,
        filters: has("filters") ? profile.filters : [],
        ...(will && has("will") && { will }),
      },
      ...Object.fromEntries(Object.entries(habits).filter(([habit]) => has(habit))),
    };
  }
}

/** Nothing is left out. */
export const WHOLE = new Cut();
