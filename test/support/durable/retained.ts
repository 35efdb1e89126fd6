/** What the retained message of a topic can be, after publishers that nobody has put in order. */

import type { Device } from "./device.ts";
import { type Sent, settledAt } from "./messages.ts";

/**
 * The messages of a topic that may be the retained one at a moment, and whether there may be none.
 *
 * @param at only what was acknowledged before is sure to have happened
 */
function candidates(all: readonly Sent[], topic: string, at: number): { sent: Sent[]; none: boolean } {
  const set = all.filter((one) => one.retain && one.topic === topic && one.sentAt <= at);
  const sure = set.filter(({ qos, ackedAt = Infinity }) => qos > 0 && ackedAt < at);
  const left = set.filter((one) => !sure.some((other) => other !== one && other.sentAt > settledAt(one, all)));
  const last = left.filter((one) => !sure.some((other) => isBehind(one, other)));
  const none = !last.some((one) => sure.includes(one)) || last.some(({ clears }) => clears);
  return { sent: last.filter(({ clears }) => !clears), none };
}

/** Two of one publisher and QoS come in its order, but one of QoS 1 may come once more, behind later ones. */
function isBehind(one: Sent, other: Sent): boolean {
  if (one.willOf || !one.once) return false;
  return other.clientId === one.clientId && other.qos === one.qos && other.number > one.number;
}

/** At the end a fresh subscriber was sent these retained messages, by topic. */
export function checkRetained(all: readonly Sent[], topics: readonly string[], got: Map<string, string>): void {
  for (const topic of topics) {
    const { sent, none } = candidates(all, topic, Infinity);
    const text = got.get(topic);
    if (text === undefined ? none : sent.some((one) => one.text === text)) continue;
    const wanted = sent.map((one) => `"${one.text}"`).join(", ");
    throw new Error(`the retained message of ${topic} is "${text ?? "none"}", not ${wanted}`);
  }
}

/** Every retained message came that a SUBSCRIBE found and that nobody replaced or cleared afterwards. */
export function checkScans(device: Device, all: readonly Sent[], topics: readonly string[]): void {
  const { subscriptions, inbox, name } = device.session!;
  for (const topic of topics) {
    for (const ask of subscriptions.scans(topic, true)) {
      // QoS 0 may be lost with the connection.
      if (ask.attempt !== device.attempt && ask.terms!.qos === 0) continue;
      const { sent, none } = candidates(all, topic, ask.askedAt);
      const only = sent[0];
      if (none || sent.length !== 1 || !only || only.qos === 0) continue;
      if (only.clientId === device.id && subscriptions.leavesOutSince(ask)) continue;
      const replaced = all.some(
        (one) => one.retain && one.topic === topic && one !== only && settledAt(one, all) >= ask.askedAt,
      );
      if (replaced) continue;
      const came = inbox.arrivals.copies(only).some(({ packet, at }) => packet.retain && at >= ask.askedAt);
      if (!came) throw new Error(`${name} (${ask.filter}) never got the retained "${only.text}"`);
    }
  }
}
