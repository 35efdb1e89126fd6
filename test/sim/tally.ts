/** What many simulations came to. */

import type { Finding } from "./finding.ts";
import type { Told } from "./thread.ts";

/** A schedule with fewer events says little. */
const MANY = 1_000;

export class Tally {
  readonly findings: (Pick<Finding, "kind" | "says"> & { readonly seed: number })[] = [];
  #schedules = 0;
  #steps = 0;
  #fewest = Infinity;
  /** Schedules of {@link MANY} events and more. */
  #long = 0;
  readonly #events = new Map<string, number>();
  readonly #faults = new Map<string, number>();

  add({ seed, steps, events, faults, finding }: Told): void {
    this.#schedules += 1;
    this.#steps += steps;
    this.#fewest = Math.min(this.#fewest, steps);
    if (steps >= MANY) this.#long += 1;
    for (const [name, count] of events) this.#events.set(name, (this.#events.get(name) ?? 0) + count);
    for (const [name, count] of faults) this.#faults.set(name, (this.#faults.get(name) ?? 0) + count);
    if (finding) this.findings.push({ seed, ...finding });
  }

  report(seconds: number, threads: number): string {
    const schedules = this.#schedules;
    const each = `${Math.round(this.#steps / schedules)} on average, ${this.#fewest} at least, ${MANY} or more in ${this.#long}`;
    return [
      `${schedules} schedules in ${seconds.toFixed(0)} s, ${(schedules / seconds).toFixed(1)} a second in ${threads} threads`,
      `${this.#steps} events in the broker, ${Math.round(this.#steps / seconds)} a second; in a schedule ${each}`,
      `clients: ${listed(this.#events)}`,
      `faults: ${listed(this.#faults)}`,
      `${this.findings.length} schedules found something`,
    ].join("\n");
  }
}

function listed(counts: ReadonlyMap<string, number>): string {
  const sorted = [...counts].toSorted(([, one], [, other]) => other - one);
  return sorted.map(([name, count]) => `${count} ${name}`).join(", ") || "none";
}
