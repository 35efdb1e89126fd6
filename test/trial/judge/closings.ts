/**
 * Does the broker leave its clients alone? They keep to the protocol, and nothing is away for as long as it takes until the
 * broker gives up. What is left is a takeover, and a socket that just breaks.
 */

import type { Connection } from "./connection.ts";
import type { Verdict } from "./verdict.ts";

/** A DISCONNECT, or a close code of WebSocket other than the one of a socket that nobody closed. */
const WORD = /^(?:DISCONNECT|(?!1006)\d{4}$)/;
const BUSY = "1013";
const TAKEN_OVER = "DISCONNECT 0x8e";

export class Closings {
  readonly #client: string;
  readonly #verdict: Verdict;

  constructor(client: string, verdict: Verdict) {
    this.#client = client;
    this.#verdict = verdict;
  }

  /** CONNACK said no. */
  refused(connection: Connection, reason: number): void {
    if (connection.rude) return;
    this.#verdict.find("closed", this.#client, `${connection.name} was refused with 0x${reason.toString(16)}`);
  }

  /** @param all of the client, in their order */
  closed(connection: Connection, all: readonly Connection[], detail = ""): void {
    if (connection.rude || connection.disconnect || !WORD.test(detail)) return;
    // One that was not answered may reach the broker later than this one.
    const raced = all.some((other) => other.number < connection.number && !other.connected);
    // Of an UNSUBSCRIBE that a shard has not confirmed in time a client before 5.0 can only be told so.
    if (connection.version < 5 && detail === BUSY) return;
    if (raced && (detail.startsWith(TAKEN_OVER) || connection.version < 5)) return;
    this.#verdict.find("closed", this.#client, `${connection.name} was thrown out: ${detail}`);
  }
}
