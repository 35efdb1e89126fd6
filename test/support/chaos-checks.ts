/** What must hold of everything that clients sent and got. */

import type { Came, Member, Sent } from "./chaos-member.ts";

/** What was sent, by the words that its payload begins with. */
export type Sendings = ReadonlyMap<string, Sent>;

/** Nothing unsent or foreign came, at the right QoS, with the right identifiers, in order, and not twice. */
export function checkCame(member: Member, sendings: Sendings): void {
  const last = new Map<string, number>();
  const copies = new Map<Sent, { first: Set<string>; count: number }>();
  for (const came of member.came) {
    const payload = came.packet.payload!.toString();
    if (payload === "") continue;
    const sent = sendings.get(payload.trim());
    if (!sent || sent.topic !== came.packet.topic) {
      throw new Error(`${member.name} got "${payload.trim()}" on ${came.packet.topic}, which nobody sent`);
    }
    checkTerms(member, came, sent);
    if (sent.retain && came.packet.retain) continue;
    let copy = copies.get(sent);
    if (!copy) copies.set(sent, (copy = { first: new Set(), count: 0 }));
    copy.count += 1;
    if (copy.count > 1 && sent.once) throw new Error(`${member.name} got "${payload.trim()}" ${copy.count} times`);
    const flow = `${sent.by.name} ${sent.topic} ${sent.qos} ${came.packet.qos}`;
    // What came again is not out of order.
    if (copy.first.has(flow)) continue;
    copy.first.add(flow);
    if (sent.number < (last.get(flow) ?? 0)) {
      // Who subscribes late may get the end of what is published, and then all of it again.
      if (!sent.once && member.holds.must(sent, sent.sentAt).length === 0) continue;
      throw new Error(`${member.name} got ${last.get(flow)} before ${sent.number}: ${flow}`);
    }
    last.set(flow, sent.number);
  }
}

function checkTerms(member: Member, { packet, at }: Came, sent: Sent): void {
  const what = `"${sent.payload.trim()}" on ${sent.topic}`;
  const may = member.holds.may(sent, at);
  const retained = sent.retain && packet.retain ? member.holds.mayRetained(sent, at) : [];
  const terms = [...may, ...retained];
  if (terms.length === 0) throw new Error(`${member.name} got ${what} without a subscription`);
  if (packet.retain && !sent.retain) throw new Error(`${member.name} got ${what} with RETAIN`);
  if (packet.retain && retained.length === 0 && !may.some(({ retainAsPublished }) => retainAsPublished)) {
    throw new Error(`${member.name} got ${what} with RETAIN and without asking`);
  }
  const most = Math.min(sent.qos, Math.max(...terms.map(({ qos }) => qos)));
  if (packet.qos! > most) throw new Error(`${member.name} got ${what} with QoS ${packet.qos}, above ${most}`);
  const identifier = packet.properties?.["subscriptionIdentifier"] as number | number[] | undefined;
  const identifiers = identifier === undefined ? [] : [identifier].flat();
  const strange = identifiers.find((id) => terms.every((one) => one.identifier !== id));
  if (strange !== undefined) throw new Error(`${member.name} got ${what} with the identifier ${strange}`);
  if (sent.retain) return;
  for (const one of member.holds.must(sent, at)) {
    const least = Math.min(sent.qos, one.qos);
    if (packet.qos! < least) throw new Error(`${member.name} got ${what} with QoS ${packet.qos}, below ${least}`);
    if (one.identifier > 0 && !identifiers.includes(one.identifier)) {
      throw new Error(`${member.name} got ${what} without the identifier ${one.identifier}`);
    }
  }
}

/** Every acknowledged message came that the client was owed. */
export function checkOwed(member: Member, members: readonly Member[]): void {
  const got = payloadsOf(member);
  for (const { sent } of members) {
    for (const one of sent) {
      if (one.qos === 0 || one.ackedAt === undefined || one.payload === "" || got.has(one.payload.trim())) continue;
      if (member.holds.owed(one)) {
        throw new Error(`${member.name} never got "${one.payload.trim()}" on ${one.topic}, sent at ${one.sentAt}`);
      }
    }
  }
}

/** A client that ended without a goodbye has its will published, once. */
export function checkWills(member: Member, members: readonly Member[], watchers: readonly Member[]): void {
  const will = `${member.name} will`;
  const { sentAt, count } = willOf(member, members);
  for (const watcher of watchers) {
    const times = watcher.came.filter(({ packet }) => packet.payload!.toString() === will).length;
    if (times > (count ?? 1)) throw new Error(`${watcher.name} got "${will}" ${times} times, not ${count ?? "0 or 1"}`);
    const owed = watcher.holds.owed({ topic: member.willTopic, clientId: member.clientId, sentAt });
    if (count === 1 && times === 0 && owed && watcher.open) throw new Error(`${watcher.name} never got "${will}"`);
  }
}

/** When a will became due, and how often it had to be published; undefined: nobody can tell whether it had to. */
function willOf(member: Member, members: readonly Member[]): { sentAt: number; count: 0 | 1 | undefined } {
  const { end, client } = member;
  const rivals = members.filter((other) => other.clientId === member.clientId && other !== member);
  // Whoever of several was the last to be heard took over from the others.
  const sentAt = rivals.length > 0 || !end ? member.connectAt : end.at;
  if (client.closed === undefined) return { sentAt, count: 0 };
  if (member.connackAt === undefined) return { sentAt, count: undefined };
  if (end?.how !== "disconnect") return { sentAt, count: 1 };
  return { sentAt, count: member.killed || rivals.length > 0 ? undefined : 0 };
}

/** Of the connections of one client id one is left, the latest, and nobody else's was closed. */
export function checkSurvivors(members: readonly Member[]): void {
  for (const [clientId, rivals] of Map.groupBy(members, (member) => member.clientId)) {
    const alive = rivals.filter(({ client }) => client.closed === undefined);
    if (alive.length > 1) throw new Error(`${clientId} has ${alive.length} connections`);
    if (alive.length === 0 && rivals.every((member) => member.end === undefined && !member.toldNoUnsuback)) {
      throw new Error(
        `${clientId} has no connection: ${JSON.stringify(rivals.map(({ client }) => client.driver.reports))}`,
      );
    }
    for (const member of rivals) {
      const { client, end, connackAt = Infinity } = member;
      const later = rivals.filter((other) => other !== member && other.connectAt >= member.connectAt);
      const overtaken = later.find((other) => other.connectAt > connackAt && other.connackAt !== undefined);
      if (client.closed === undefined && overtaken) throw new Error(`${member.name} outlives ${overtaken.name}`);
      // Among racing connections the broker decides which one is the latest.
      const alone = rivals.length === 1;
      // A shard that has forgotten one of them says that it comes too late.
      const taken = client.driver.reports.some(({ reason }) => reason === 0x8e || reason === 0x83);
      if (client.closed !== undefined && end === undefined && (alone || !taken) && !member.toldNoUnsuback) {
        throw new Error(`${member.name} was closed: ${JSON.stringify(client.driver.reports)}`);
      }
    }
  }
}

function payloadsOf(member: Member): Set<string> {
  return new Set(member.came.map(({ packet }) => packet.payload!.toString().trim()));
}
