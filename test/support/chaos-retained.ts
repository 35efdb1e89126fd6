/** What the retained message of a topic can be, after publishers that nobody has put in order. */

import type { Member, Sent } from "./chaos-member.ts";

/** From here on nothing more of the message can happen, in moments. */
function settledAt(sent: Sent): number {
  if (sent.qos === 1) return sent.ackedAt ?? sent.by.doneAt ?? Infinity;
  // A message of QoS 0 has come to its shard, or never will, when a later one of QoS 1 is acknowledged.
  const later = sent.by.sent.find(
    (other) => other.qos === 1 && other.topic === sent.topic && other.number > sent.number,
  );
  return later?.ackedAt ?? sent.by.doneAt ?? Infinity;
}

/**
 * The messages of a topic that may be the retained one at a moment, and whether there may be none.
 *
 * @param at only what was acknowledged before is sure to have happened
 */
export function candidates(members: readonly Member[], topic: string, at: number): { sent: Sent[]; none: boolean } {
  const all = members.flatMap(({ sent }) =>
    sent.filter((one) => one.retain && one.topic === topic && one.sentAt <= at),
  );
  const sure = all.filter(({ qos, ackedAt = Infinity }) => qos === 1 && ackedAt < at);
  const left = all.filter((one) => !sure.some((other) => other !== one && other.sentAt > settledAt(one)));
  // Two of one publisher come in its order.
  const last = left.filter((one) => !sure.some((other) => other.by === one.by && other.number > one.number));
  const none = !last.some((one) => sure.includes(one)) || last.some(({ payload }) => payload === "");
  return { sent: last.filter(({ payload }) => payload !== ""), none };
}

/** At the end a fresh subscriber was sent these retained messages, by topic. */
export function checkRetained(members: readonly Member[], topics: readonly string[], got: Map<string, string>): void {
  for (const topic of topics) {
    const { sent, none } = candidates(members, topic, Infinity);
    const payload = got.get(topic);
    if (payload === undefined ? none : sent.some((one) => one.payload === payload)) continue;
    const wanted = sent.map((one) => one.payload.trim()).join(", ");
    throw new Error(`the retained message of ${topic} is ${payload?.trim() ?? "none"}, not ${wanted}`);
  }
}

/** Every retained message came that a SUBSCRIBE found and that nobody replaced or cleared afterwards. */
export function checkScans(member: Member, members: readonly Member[], topics: readonly string[]): void {
  for (const topic of topics) {
    for (const { askedAt, noLocal, filter } of member.holds.scans(topic)) {
      const { sent, none } = candidates(members, topic, askedAt);
      const only = sent[0];
      if (none || sent.length !== 1 || !only || (noLocal && only.clientId === member.clientId)) continue;
      const replaced = members.some((other) =>
        other.sent.some((one) => one.retain && one.topic === topic && one !== only && settledAt(one) >= askedAt),
      );
      if (replaced) continue;
      const came = member.came.some(
        ({ packet, at }) => packet.retain && at >= askedAt && packet.payload!.toString() === only.payload,
      );
      if (!came) throw new Error(`${member.name} (${filter}) never got the retained "${only.payload.trim()}"`);
    }
  }
}
