/** What a history breaks, in the order in which it shows. */

export type Rule =
  | "lost"
  | "repeated"
  | "order"
  | "unsent"
  | "uninvited"
  | "terms"
  | "expiry"
  | "retained"
  | "will lost"
  | "will unwanted"
  | "session present"
  | "closed"
  | "packet id"
  | "receive maximum"
  | "dup"
  | "answer"
  /** What a rude client is to be told. */
  | "offence";

export interface Violation {
  readonly rule: Rule;
  /** The client that saw it, or should have; a share group; a topic if it is about what is retained there. */
  readonly client: string;
  readonly payload?: string;
  readonly says: string;
  /** Where in the history it was seen; what never came is missed at its end. */
  readonly index: number;
}

/** A place in a history, and its time. */
export interface Moment {
  readonly index: number;
  readonly ms: number;
}

export class Verdict {
  readonly violations: Violation[] = [];
  /** Where the reading is. */
  now: Moment = { index: 0, ms: 0 };

  find(rule: Rule, client: string, what: string, payload?: string, { index }: Moment = this.now): void {
    const violation = { rule, client, says: `${client}: ${what}`, index };
    this.violations.push(payload === undefined ? violation : { ...violation, payload });
  }
}
