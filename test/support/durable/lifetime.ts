/**
 * How long does the broker keep the session of a device? From the connections that it had, as far as they can tell. Until
 * `mustMs` the session is there for certain, after `mayMs` it is not; between them nobody can know, because a Worker died
 * that would have said when its client went, or because a CONNECT was not answered.
 */

import { type Attempt, mayFollow } from "./attempt.ts";

export interface Lifetime {
  readonly mustMs: number;
  readonly mayMs: number;
  /** The broker may have begun a session that the device does not know of: only a clean start makes them agree. */
  readonly unsure: boolean;
}

/** A CONNECT that its session object has not heard of by then it never will. */
const CONNECT_MS = 45_000;

const NO_SESSION: Lifetime = { mustMs: -Infinity, mayMs: -Infinity, unsure: false };

/**
 * @param last the connection that the device heard of last whether it has a session
 * @param byMs when the next one comes
 */
export function lifetimeOf(
  attempts: readonly Attempt[],
  last: Attempt | undefined,
  expirySecondsMax: number,
  byMs: number,
): Lifetime {
  let { mustMs, mayMs, unsure } = NO_SESSION;
  const others = attempts.filter((one) => !last || mayFollow(one, last));
  if (last) {
    const expiry = last.expiryMs(expirySecondsMax, byMs);
    // Another connection may have taken over from it at any time.
    const endMs = others.length > 0 ? last.connack!.ms : last.endMs;
    if (expiry.least > 0) mustMs = endMs + expiry.least;
    if (expiry.most > 0) mayMs = last.overMs + expiry.most;
  }
  for (const other of others) {
    const expiry = other.expiryMs(expirySecondsMax, byMs);
    // A session that was no more has been replaced by a new one, which the device takes for the one that it knows.
    if (other.options.clean || mustMs < Math.min(other.goneMs, other.connectMs + CONNECT_MS)) unsure = true;
    mustMs = expiry.least === 0 ? -Infinity : Math.min(mustMs, other.connectMs + expiry.least);
    if (expiry.most > 0) mayMs = Math.max(mayMs, other.overMs + expiry.most);
  }
  return { mustMs, mayMs, unsure };
}
