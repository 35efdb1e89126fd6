/**
 * Whom does this shard wait for? Sessions are known by memory and by their connections, so a shard that lost some of
 * them gives them a grace to come back in, during which it is *recovering*: it logs every QoS > 0 message, wanted or
 * not, and trims nothing.
 *
 * Two numbers are stored: until when the grace lasts, because a shard may sleep or restart in it; and whether there is
 * anybody to wait for, because a shard that starts without sockets cannot see whether it ever had any.
 */

import { Presence, type ShardStore } from "./store.ts";

/** How long a session without a link may take to come back; above what a connection tries for (`GIVE_UP_MS`). */
export const GRACE_MS = 40_000;
/** The stored end is moved in steps of this, so that a thousand lost links cost few rows. */
const STEP_MS = 20_000;

export class Grace {
  readonly #store: ShardStore;
  #until: number;
  #storedUntil: number;
  #presence: Presence;

  /** @param alone the object starts without sockets */
  constructor(store: ShardStore, alone: boolean, now: number) {
    this.#store = store;
    this.#storedUntil = store.graceUntil();
    this.#until = this.#storedUntil;
    this.#presence = store.presence();
    if (alone && this.#presence === Presence.Attached) {
      this.#set(Presence.Awaited);
      this.begin(now);
    }
  }

  /** True while somebody is here, or awaited, that nothing is stored of. */
  get awaits(): boolean {
    return this.#presence !== Presence.None;
  }

  /** When {@link conclude} has something to do, in milliseconds since 1970; undefined when it was done. */
  get until(): number | undefined {
    return this.#until > 0 ? this.#until : undefined;
  }

  /** Notes that the grace is over, if it is. */
  conclude(now: number): void {
    if (!this.recovering(now)) this.#until = 0;
  }

  recovering(now: number): boolean {
    return now < this.#until;
  }

  /** A session may come back that this object does not know, or will not if it sleeps or restarts. */
  begin(now: number): void {
    if (this.#storedUntil < now + GRACE_MS) {
      this.#storedUntil = now + GRACE_MS + STEP_MS;
      this.#store.putGraceUntil(this.#storedUntil);
    }
    this.#until = Math.max(this.#until, now + GRACE_MS);
  }

  /** A session is attached that the log is kept for: stored before anything is confirmed that depends on it. */
  attached(): void {
    this.#set(Presence.Attached);
  }

  /** No session is known here: once the grace is over, nobody is waited for any more. */
  nobody(now: number): void {
    if (!this.recovering(now)) this.#set(Presence.None);
  }

  #set(presence: Presence): void {
    if (this.#presence === presence) return;
    this.#presence = presence;
    this.#store.putPresence(presence);
  }
}
