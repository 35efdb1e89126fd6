/**
 * How often must a will have been published, and not before when? Once for every connection that ended without a
 * goodbye, unless the session was resumed before the will was due, which is when the delay or the session is over,
 * whichever comes first [MQTT-3.1.2-8, MQTT-3.1.3-9]. In between where nobody can tell when that was.
 */

import { type Attempt, mayFollow } from "./attempt.ts";
import type { Device } from "./device.ts";

interface ExpectedWill {
  readonly least: 0 | 1;
  readonly most: 0 | 1;
  readonly notBeforeMs: number;
}

/** What is due has been published when so much time has passed: a shard that was away is asked again after 10 s. */
const PUBLISHED_MS = 30_000;

function expectedWill(device: Device, attempt: Attempt, expirySecondsMax: number, now: number): ExpectedWill {
  const { connack, end, connectMs } = attempt;
  // Of a CONNECT that was not answered nobody knows whether it was heard.
  if (!connack) return { least: 0, most: 1, notBeforeMs: connectMs };
  if (!end) return never;
  const later = device.attempts.filter((other) => mayFollow(other, attempt));
  if (end.how === "disconnect") {
    const unheard = attempt.killed || attempt.socket.driver.reports.length > 0;
    const raced = later.some((other) => other.connectMs <= attempt.goneMs);
    return unheard || raced ? { least: 0, most: 1, notBeforeMs: attempt.endMs } : never;
  }
  const delayMs = attempt.options.will!.delaySeconds * 1000;
  const expiry = attempt.expiryMs(expirySecondsMax, later[0]?.connectMs ?? Infinity);
  const dueMs = attempt.endMs + Math.min(delayMs, expiry.least);
  const dueAtMostMs = attempt.overMs + Math.min(delayMs, expiry.most);
  // The end of the session ends the wait.
  const ended = later.filter(({ options, connack: answer }) => options.clean || answer?.present === false);
  const notBeforeMs = Math.min(dueMs, ...ended.map((other) => other.connectMs));
  const once: ExpectedWill = { least: 1, most: 1, notBeforeMs };
  if (Math.min(delayMs, expiry.most) === 0) return once;
  const perhaps: ExpectedWill = { least: 0, most: 1, notBeforeMs };
  let doubt = false;
  for (const other of later) {
    if (other.connectMs > dueAtMostMs) return doubt ? perhaps : once;
    const raced = other.connectAt < connack.at || later.some((rival) => overlap(rival, other));
    if (!other.connack || raced) doubt = true;
    else if (other.connack.present) return other.connack.ms < dueMs && !doubt ? never : perhaps;
    else return doubt ? perhaps : once;
  }
  return doubt || dueAtMostMs + PUBLISHED_MS > now ? perhaps : once;
}

/** Nobody knows which of two connections the broker heard of first. */
function overlap(one: Attempt, other: Attempt): boolean {
  if (one === other) return false;
  const answeredAt = (attempt: Attempt): number => attempt.connack?.at ?? attempt.overAt ?? Infinity;
  return one.connectAt < answeredAt(other) && other.connectAt < answeredAt(one);
}

const never: ExpectedWill = { least: 0, most: 0, notBeforeMs: Infinity };

/** @param witness is subscribed to everything, and comes back whenever it was lost */
export function checkWills(devices: readonly Device[], witness: Device, expirySecondsMax: number, now: number): void {
  for (const device of devices) {
    for (const attempt of device.attempts) {
      const { will } = attempt;
      if (!will) continue;
      const { least, most, notBeforeMs } = expectedWill(device, attempt, expirySecondsMax, now);
      for (const { sessions } of devices) {
        for (const { name, inbox } of sessions) {
          const [came] = inbox.arrivals.copies(will);
          if (came && most === 0)
            throw new Error(`${name} got "${will.text}", which ${attempt.name} was to take along`);
          if (came && came.ms < notBeforeMs) {
            throw new Error(`${name} got "${will.text}" ${notBeforeMs - came.ms} ms before it was due`);
          }
        }
      }
      const { session, open } = witness;
      if (least === 0 || will.qos === 0 || !open || !session?.subscriptions.owed(will, attempt.end!.at)) continue;
      if (session.inbox.arrivals.copies(will).length === 0) throw new Error(`${session.name} never got "${will.text}"`);
    }
  }
}
