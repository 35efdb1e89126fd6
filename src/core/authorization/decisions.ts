/** What somebody who was asked has said about what one client may, and for how long that holds. */

import type { Need } from "./permissions.ts";

/** A client uses few topics again and again. Those it uses beyond that many are asked anew, the oldest first. */
const DECISIONS_MAX = 256;
/** Of a longer topic no decision is kept, so that all of them together are some hundred kilobytes at most. */
const FILTER_CHARACTERS_MAX = 256;

export class Decisions {
  readonly #kept = new Map<string, { readonly allowed: boolean; readonly until: number }>();
  /** Those of the last question: enough for what it was asked for, however many they are. */
  #fresh = new Map<string, boolean>();

  find(need: Need, now: number): boolean | undefined {
    const key = keyOf(need);
    const kept = this.#kept.get(key);
    return kept && kept.until > now ? kept.allowed : this.#fresh.get(key);
  }

  learn(needs: readonly Need[], allowed: readonly boolean[], until: number, now: number): void {
    this.#fresh = new Map();
    for (const [at, need] of needs.entries()) {
      const key = keyOf(need);
      this.#fresh.set(key, allowed[at] === true);
      this.#kept.delete(key);
      if (until <= now || need.filter.length > FILTER_CHARACTERS_MAX) continue;
      if (this.#kept.size >= DECISIONS_MAX) this.#kept.delete(this.#kept.keys().next().value!);
      this.#kept.set(key, { allowed: allowed[at] === true, until });
    }
  }

  forget(): void {
    if (this.#fresh.size > 0) this.#fresh = new Map();
  }
}

/** No action has a space. */
function keyOf({ action, filter }: Need): string {
  return `${action} ${filter}`;
}
