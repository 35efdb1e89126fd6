/**
 * What a connection does not go on without: whether its client may do something, where somebody has to be asked. It asks one
 * thing at a time; what waits goes on in the order in which it came, and looks again when it does.
 */

import type { Decide, Decided } from "../authentication/asking.ts";
import type { Asked, Need } from "../authorization/permissions.ts";

interface Waiting {
  readonly question: Decide;
  /** Of whom the client was when it was asked. */
  readonly asked: Asked;
  readonly goOn: (now: number) => void;
}

export class Deciding {
  readonly #waiting: Waiting[] = [];

  /** Something is asked that is not answered. */
  get waits(): boolean {
    return this.#waiting.length > 0;
  }

  /** Returns the question, if it is this one's turn. */
  ask(
    whose: Pick<Decide, "tenant" | "client">,
    asked: Asked,
    needs: readonly Need[],
    goOn: (now: number) => void,
  ): Decide | undefined {
    const question: Decide = { type: "decide", ...whose, needs };
    return this.#waiting.push({ question, asked, goOn }) === 1 ? question : undefined;
  }

  /** Goes on with what was asked, and returns the next question. */
  answered({ allowed, seconds }: Decided, now: number): Decide | undefined {
    const first = this.#waiting.shift();
    if (!first) return undefined;
    first.asked.at(now);
    first.asked.learn(first.question.needs, allowed, now + seconds * 1000);
    const next = this.#waiting[0]?.question;
    first.goOn(now);
    return next;
  }
}
