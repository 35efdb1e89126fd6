/** What a party does when its time has come: a connection's or a shard's timer, an object's alarm. */

import { type Agenda, Entry } from "./agenda.ts";
import type { Happening, Party } from "./step.ts";

/** What arrives at a moment comes before what is done because of the moment; of these, connections come first. */
export const Rank = { connection: 1e12, shard: 2e12, session: 3e12 } as const;

export class Timer extends Entry {
  readonly #agenda: Agenda;
  readonly #party: Party;
  readonly #what: string;
  readonly #run: () => void;

  constructor(agenda: Agenda, sequence: number, party: Party, what: string, run: () => void) {
    super(sequence);
    this.#agenda = agenda;
    this.#party = party;
    this.#what = what;
    this.#run = run;
  }

  set(at: number | undefined): void {
    const due = at ?? Infinity;
    if (due === this.at) return;
    this.at = due;
    this.#agenda.put(this);
  }

  happen(): void {
    this.#run();
  }

  tell(): Happening {
    const { party } = this.#party;
    return { from: party, to: party, what: this.#what };
  }
}
