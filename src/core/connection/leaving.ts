/**
 * The end of a connection whose client is gone: its shards take what it has published, and then its session object hears
 * how it ended, so that a will is published after all of that (`docs/links.md`).
 */

import type { End } from "../../link/records.ts";
import { GIVE_UP_MS } from "./link-life.ts";
import type { SessionLink } from "./session-link.ts";
import type { ShardLinks } from "./shard-links.ts";

/** How long the shards may take; what they have not taken then is given up. */
export const FLUSH_MS = 2_000;

/** How long the session object may take to answer; then the link to it counts as dead. */
const END_MS = 10_000;

export class Leaving {
  readonly end: End;
  readonly #session: SessionLink;
  readonly #shards: ShardLinks | undefined;
  /** The shards had their time; the session object knows the end, or is being told. */
  #ending = false;
  /** It has not answered, and is told over another link. */
  #again = false;
  #until: number;

  constructor(session: SessionLink, shards: ShardLinks | undefined, end: End, now: number) {
    this.#session = session;
    this.#shards = shards;
    this.end = end;
    this.#until = now + FLUSH_MS;
    shards?.leave();
  }

  /** When {@link proceed} has to be called at the latest. */
  get deadline(): number {
    return this.#until;
  }

  /** True when nobody has anything to hear any more. */
  get over(): boolean {
    return this.#ending && this.#session.ended;
  }

  /** Ends the session once every shard has taken what the client published. */
  proceed(now: number): void {
    const late = now >= this.#until;
    if (this.#ending) {
      if (late) this.#unanswered(now);
      return;
    }
    if (!late && this.#shards && !this.#shards.settled) return;
    this.#ending = true;
    this.#until = now + END_MS;
    if (!this.#session.ended) this.#session.end(this.end);
  }

  /** A dead link may go unnoticed until the next ping, and the close of the client's socket says that the end is stored. */
  #unanswered(now: number): void {
    if (this.#again) this.#session.settle();
    else this.#session.replace(now);
    this.#again = true;
    this.#until = now + GIVE_UP_MS;
  }
}
