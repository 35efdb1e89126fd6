/**
 * What the log says of one connection, and what is counted of it: a line for each refusal, in a form that machines read.
 *
 * A client that may not do something can try that as often as it likes. So {@link DENIED_LINES} lines in a minute say what it
 * was, and one more how many there were besides, when the minute is over or the client has gone.
 */

import type { Action } from "../core/authorization/rule.ts";
import type { Refusals } from "../core/refusals.ts";
import { type Reason, reasonName } from "../mqtt/reason.ts";
import { type Fields, line } from "../line.ts";

export const DENIED_LINES = 10;
const MINUTE_MS = 60_000;

export class Journal {
  readonly #refusals: Refusals;
  readonly #who: () => Fields;
  readonly #write: (line: string) => void;
  #minuteAt = -Infinity;
  #deniedLines = 0;
  #deniedMore = 0;

  /** @param who what is known of the client when something is written. Nothing that it proves itself with may be in it */
  constructor(refusals: Refusals, who: () => Fields, write: (line: string) => void) {
    this.#refusals = refusals;
    this.#who = who;
    this.#write = write;
  }

  /** Its CONNECT was refused, or it was disconnected. */
  ended(event: "refused" | "disconnected", reason: Reason, detail: string): void {
    this.#refusals.count(event, reasonName(reason));
    this.note({ event, reason: reasonName(reason), code: reason, detail });
  }

  /** It asked for something with a topic or a filter that it may not have. */
  denied(action: Action, filter: string, reason: Reason, now: number): void {
    this.#refusals.count("denied", reasonName(reason));
    if (now >= this.#minuteAt + MINUTE_MS) {
      this.sum();
      this.#minuteAt = now;
    }
    this.#deniedLines += 1;
    if (this.#deniedLines > DENIED_LINES) this.#deniedMore += 1;
    else this.note({ event: "denied", reason: reasonName(reason), code: reason, action, filter });
  }

  /** Messages of the client were dropped or refused, because they came too fast. */
  dropped(qos0: number, refused: number): void {
    if (qos0 > 0) this.#refusals.count("dropped", "qos 0", qos0);
    if (refused > 0) this.#refusals.count("refused", "message rate too high", refused);
    this.note({ event: "dropped", qos0, refused });
  }

  /** Says how much there was of which nothing was said. */
  sum(): void {
    if (this.#deniedMore > 0) this.note({ event: "denied", more: this.#deniedMore });
    this.#deniedLines = 0;
    this.#deniedMore = 0;
  }

  note(what: Fields): void {
    this.#write(line({ ...what, ...this.#who() }));
  }
}
