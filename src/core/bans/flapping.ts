/**
 * Who connects again and again? A session whose client connects more often than {@link FlappingConfig.connects} within so
 * many seconds is kept out for a while: each connect costs its session object and its shards more than a message does, and
 * two devices with one client id take each other over for ever.
 *
 * Counted are connects of clients that are known, by their session: nobody can have another user's client kept out, and
 * what is spent on passwords is not protected by this. Every isolate counts for itself, and a bounded number of sessions;
 * of more those are forgotten whose time began first.
 */

export interface FlappingConfig {
  /** 0: nobody is kept out. */
  readonly connects: number;
  readonly seconds: number;
  readonly banSeconds: number;
}

/** Some 150 bytes each. */
const SESSIONS_MAX = 10_000;

interface Count {
  connects: number;
  /** In milliseconds since 1970. */
  readonly since: number;
  /** Undefined: it is not kept out. */
  until: number | undefined;
}

export class Flapping {
  readonly #config: FlappingConfig;
  /** In the order in which they began. */
  readonly #counts = new Map<string, Count>();

  constructor(config: FlappingConfig) {
    this.#config = config;
  }

  get size(): number {
    return this.#counts.size;
  }

  /** A session's client connects. Returns until when it is kept out, in milliseconds since 1970; undefined: it is not. */
  connects(session: string, now: number): number | undefined {
    const { connects, seconds, banSeconds } = this.#config;
    if (connects === 0) return undefined;
    let count = this.#counts.get(session);
    const over = count && now >= (count.until ?? count.since + seconds * 1000);
    if (!count || over) {
      this.#counts.delete(session);
      if (this.#counts.size >= SESSIONS_MAX) this.#counts.delete(this.#counts.keys().next().value!);
      count = { connects: 0, since: now, until: undefined };
      this.#counts.set(session, count);
    }
    count.connects += 1;
    if (count.connects > connects) count.until ??= now + banSeconds * 1000;
    return count.until;
  }
}
