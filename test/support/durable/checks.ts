/** What must hold when everything has healed and time has passed. */

import type { World } from "../../sim/world/world.ts";
import type { Device } from "./device.ts";
import type { Sent } from "./messages.ts";

/** Objects fail only when their storage does. */
export function checkFailures(world: World): void {
  for (const node of [...world.shards, ...world.sessions.values()]) {
    const odd = node.failures.find((error) => (error as Error).name !== "StorageFailure");
    if (odd) throw odd;
  }
}

/** Every object can go to sleep when nothing happens. */
export function checkSleep(world: World): void {
  const [awake] = world.sleepless();
  if (awake) throw new Error(`${awake.node.party} does not sleep: ${awake.why.join(", ")}`);
}

/** Every exchange is over, both ways. */
export function checkDrained(device: Device): void {
  const { id, unanswered, session, attempt } = device;
  if (unanswered > 0) throw new Error(`${id} waits for ${unanswered} answers`);
  if (attempt!.outstanding.size > 0) throw new Error(`${id} has ${attempt!.outstanding.size} deliveries to answer`);
  if (session!.inbox.held > 0) throw new Error(`${id} holds ${session!.inbox.held} messages that were not released`);
}

/** Every acknowledged message came that the session was owed. */
export function checkOwed(device: Device, all: Iterable<Sent>): void {
  const { subscriptions, inbox, name } = device.session!;
  for (const sent of all) {
    if (sent.qos === 0 || sent.ackedAt === undefined || sent.clears || sent.expirySeconds !== undefined) continue;
    if (inbox.arrivals.copies(sent).length > 0 || !subscriptions.owed(sent, sent.sentAt)) continue;
    throw new Error(`${name} never got "${sent.text}" on ${sent.topic}, sent at ${sent.sentAt}`);
  }
}
