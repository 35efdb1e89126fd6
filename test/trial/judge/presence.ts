/** Is there a session of the client at the broker, as far as its client can know? */

import type { Connection } from "./connection.ts";
import type { Moment, Verdict } from "./verdict.ts";
import { SETTLING_MS } from "./wills.ts";

/** Slack for what client and broker see at different times: how long a session has been alone. */
const DOUBT_MS = 1000;

export class Presence {
  readonly #client: string;
  readonly #verdict: Verdict;
  #exists: "yes" | "no" | "maybe" = "no";
  #endedMs = 0;
  /** The last connection, unless others came since that were not answered. */
  #last: Connection | undefined;
  #expirySeconds = 0;

  constructor(client: string, verdict: Verdict) {
    this.#client = client;
    this.#verdict = verdict;
  }

  connect({ cleanStart }: Connection): void {
    if (cleanStart && this.#exists === "yes") this.#exists = "maybe";
  }

  connected({ cleanStart, expirySeconds, connect, connack }: Connection): void {
    const { present } = connack!;
    const aloneMs = this.#verdict.now.ms - this.#endedMs;
    const expired = this.#exists === "yes" && aloneMs > this.#expirySeconds * 1000 - DOUBT_MS;
    const exists = expired ? (this.#isPast(connect.ms) ? "no" : "maybe") : this.#exists;
    if (present && (cleanStart || exists === "no")) {
      const why = cleanStart ? "after a clean start" : "where there was no session";
      this.#verdict.find("session present", this.#client, `1 ${why}`);
    }
    if (!present && !cleanStart && exists === "yes") {
      const what = `0 after ${Math.round(aloneMs)} ms alone, and the session is lost`;
      this.#verdict.find("session present", this.#client, what);
    }
    this.#exists = "yes";
    this.#expirySeconds = expirySeconds;
  }

  /**
   * @param seen as the client saw it
   * @returns whether the session is over with it
   */
  ended(connection: Connection, seen: boolean, now: Moment): boolean {
    const { connected, disconnect, expirySeconds, expiryAtEnd } = connection;
    this.#last = connected ? connection : undefined;
    if (connected) {
      this.#endedMs = disconnect?.ms ?? now.ms;
      this.#expirySeconds = expiryAtEnd;
    } else if (expirySeconds > 0 && this.#exists === "no") {
      this.#exists = "maybe";
    }
    if (expiryAtEnd > 0) return false;
    // Until the broker has noticed, it may still know it.
    this.#exists = (seen && disconnect !== undefined) || this.#exists === "no" ? "no" : "maybe";
    return true;
  }

  /** The session has expired for certain: it is known when the broker was through with its last connection. */
  #isPast(atMs: number): boolean {
    const { over, killed, endMs } = this.#last ?? {};
    // One that took longer may have given up before its session object heard of its end.
    if (!over || killed || over.ms - endMs! > SETTLING_MS) return false;
    return atMs > over.ms + this.#expirySeconds * 1000 + DOUBT_MS;
  }

  /** What a connection knew is lost. */
  forget(now: Moment): void {
    if (this.#exists === "no" && now.ms - this.#endedMs < SETTLING_MS) this.#exists = "maybe";
  }
}
