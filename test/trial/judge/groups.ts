/**
 * What holds of share groups. A group is everybody who ever asked for one shared subscription, over all their sessions.
 *
 * An acknowledged message above QoS 0 comes to somebody, if a session that goes on was in the group all the time, and once:
 * at QoS 2 in any case, at QoS 1 if who had it acknowledged it in peace. What a member refuses is over. Order is kept to each member as long as
 * nobody goes and nothing fails.
 */

import { NEVER } from "../history.ts";
import { matches } from "../matches.ts";
import { type Came, said, TOLD_MS, wasSentOnce } from "./arrivals.ts";
import { mayHave, stays } from "./membership.ts";
import { flow, isDue, type Message } from "./message.ts";
import type { Session } from "./session.ts";
import type { Verdict } from "./verdict.ts";
import type { Weather } from "./weather.ts";

/** A shard waits so long at most for a connection whose link it lost, and counts it as a member. */
const GRACE_MS = 60_000;
/** What became of a message is stored when so much time has passed. */
const SAVED_MS = 2_000;
/** A connection that is given up late may still read what came before. */
const LATE_MS = 6_000;

export class Groups {
  readonly #weather: Weather;
  readonly #verdict: Verdict;
  readonly #sessions: Session[] = [];

  constructor(weather: Weather, verdict: Verdict) {
    this.#weather = weather;
    this.#verdict = verdict;
  }

  /** A session begins. */
  add(session: Session): void {
    this.#sessions.push(session);
  }

  /** Everything is over. */
  end(messages: readonly Message[]): void {
    for (const group of this.#all()) {
      for (const message of messages) {
        if (!matches(group.filter, message.topic)) continue;
        if (isDue(message) && group.owes(message, message.sent.index)) {
          const { payload, topic, qos } = message;
          const what = `"${payload}" on ${topic} (QoS ${qos}) never came to anybody`;
          this.#verdict.find("lost", group.filter, what, payload);
        }
        this.#checkOnce(group, message);
        this.#checkBegun(group, message);
      }
      for (const member of group.members) this.#checkOrder(group, member);
    }
  }

  /** Groups that the message should have come to, and to nobody of which it came. @param since the first time of it */
  missing(message: Message, since: number): string[] {
    return this.#all().flatMap((group) => {
      return matches(group.filter, message.topic) && group.owes(message, since) ? [group.filter] : [];
    });
  }

  #all(): Group[] {
    const filters = new Set(this.#sessions.flatMap(({ subscriptions }) => subscriptions.groups));
    return [...filters].map((filter) => {
      const members = this.#sessions.filter(({ subscriptions }) => subscriptions.asks(filter).length > 0);
      return new Group(filter, members);
    });
  }

  #checkOnce(group: Group, message: Message): void {
    const copies = group.copies(message).filter(({ way }) => isOnly(way, group));
    for (const [at, later] of copies.entries()) {
      const before = copies.slice(0, at);
      const earlier = before.find((one) => !this.#mayComeAgain(message, one, later));
      // A member and its shard may know what the group has forgotten: that it has it.
      const had = later.packet.dup && before.some((one) => isAgain(one, later));
      if (!earlier || (had && this.#weather.disturbed(copies[0]!.at.ms, later.at.ms))) continue;
      if (message.qos === 1 && !wasSentOnce(message, this.#weather)) return;
      const what = `${said(later.packet)} came to ${earlier.connection.name} and then to ${later.connection.name}`;
      this.#verdict.find("repeated", group.filter, what, message.payload, later.at);
      return;
    }
  }

  /** Nothing comes that was over before anybody asked. */
  #checkBegun(group: Group, message: Message): void {
    if (message.done >= group.begun) return;
    const came = group.copies(message).find(({ way }) => isOnly(way, group));
    if (!came) return;
    const what = `${said(came.packet)} is older than ${group.filter}`;
    this.#verdict.find("uninvited", came.connection.client, what, message.payload, came.at);
  }

  /** May the message have been handed out again after it came like that? */
  #mayComeAgain({ sent }: Message, earlier: Came, later: Came): boolean {
    const { connection, packet, answeredMs = Infinity, at } = earlier;
    // It was handed out before, and came late: its connection had been given up, or the group has forgotten it.
    const late =
      (later.connection.over?.ms ?? Infinity) <= later.at.ms || this.#weather.disturbed(sent.ms, later.at.ms);
    if (later.packet.qos < 2 && late) return true;
    if (packet.qos === 2 && !earlier.refused) return false;
    const overMs = connection.over?.ms ?? Infinity;
    if (this.#weather.disturbed(at.ms - TOLD_MS, Math.min(overMs + SAVED_MS, later.at.ms))) return true;
    const goneMs = Math.min(connection.endMs, overMs);
    if (packet.qos === 0 || connection === later.connection || goneMs > later.at.ms) return false;
    if (connection.killed || answeredMs === Infinity) return true;
    const told = connection.disconnect !== undefined || answeredMs < connection.endMs - TOLD_MS;
    return !told || (connection.client === later.connection.client && overMs >= later.connection.connect.ms);
  }

  /** First copies, by publisher, topic and QoS. */
  #checkOrder(group: Group, { client, arrivals }: Session): void {
    const latest = new Map<string, Message>();
    const seen = new Set<Message>();
    const all = [...arrivals.messages].flatMap((message) => arrivals.copies(message));
    for (const { packet, message, way, at } of all.toSorted((one, other) => one.order - other.order)) {
      if (!message || !isOnly(way, group) || message.isWill || seen.has(message)) continue;
      seen.add(message);
      if (packet.dup || message.expirySeconds !== undefined) continue;
      const key = `${flow(message)} ${packet.qos}`;
      const before = latest.get(key);
      if (!before || before.sent.index < message.sent.index) {
        latest.set(key, message);
        continue;
      }
      if (group.mayComeBack(message, at) || !wasSentOnce(message, this.#weather)) continue;
      if (this.#weather.disturbed(message.sent.ms, at.ms)) continue;
      if (message.acknowledged === NEVER && message.connection.end !== undefined) continue;
      const what = `${said(packet)} came after "${before.payload}" in ${group.filter}`;
      this.#verdict.find("order", client, what, packet.payload, at);
    }
  }
}

class Group {
  readonly filter: string;
  /** Sessions, of those that are over too. */
  readonly members: readonly Session[];

  constructor(filter: string, members: readonly Session[]) {
    this.filter = filter;
    this.members = members;
  }

  /** When the first member asked. */
  get begun(): number {
    return Math.min(...this.members.map(({ subscriptions }) => subscriptions.asks(this.filter)[0]!.askedAt));
  }

  /** What may have come to it, in the order in which it came. */
  copies(message: Message): Came[] {
    const copies = this.members.flatMap(({ arrivals }) => {
      return arrivals.copies(message).filter(({ way }) => way.groups.includes(this.filter));
    });
    return copies.toSorted((one, other) => one.at.index - other.at.index);
  }

  /** Somebody was there to have it from `since` on, nobody may have had it in vain, and it came to nobody. */
  owes(message: Message, since: number): boolean {
    return this.#stands(since) && !this.#mayEnd(message, since) && this.copies(message).length === 0;
  }

  #stands(since: number): boolean {
    return this.members.some(({ subscriptions, isConnected }) => {
      return isConnected && stays(subscriptions.asks(this.filter), since);
    });
  }

  /** At QoS 0 it may be lost on its way, and at QoS 2 it ends with the session of the member that has it [MQTT-4.8.2-5]. */
  #mayEnd(message: Message, since: number): boolean {
    return this.members.some(({ subscriptions, isOver, replaced }) => {
      if (replaced && replaced.index < since && replaced.ms < message.sent.ms - TOLD_MS) return false;
      return mayHave(subscriptions.asks(this.filter), message).some(({ qos }) => {
        return qos === 0 || (qos === 2 && message.qos === 2 && isOver);
      });
    });
  }

  /** May a message have been with another member before it came, or with the same one in an earlier connection? */
  mayComeBack({ sent }: Message, came: Came["at"]): boolean {
    return this.members.some(({ subscriptions, connections }) => {
      const asks = subscriptions.asks(this.filter);
      const parts = asks.some(({ askedAt, closedAt }, i) => i > 0 && askedAt < came.index && closedAt > sent.index);
      const goes = connections.some(({ endMs, over }) => {
        const goneMs = Math.min(endMs, over?.ms ?? Infinity);
        return goneMs <= came.ms + LATE_MS && (over?.ms ?? goneMs + GRACE_MS) >= sent.ms;
      });
      return parts || goes;
    });
  }
}

function isAgain(one: Came, other: Came): boolean {
  return one.connection.client === other.connection.client && one.packet.packetId === other.packet.packetId;
}

function isOnly({ own, groups }: Came["way"], { filter }: Group): boolean {
  return !own && groups.length === 1 && groups[0] === filter;
}
