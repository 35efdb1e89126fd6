/**
 * The receiving end of a session, as the specification demands it of a client: the packet ids of QoS 2 messages that it
 * has and that were not released, across connections. And what the broker owes to it: packet ids that are free, no more
 * than Receive Maximum, and what is sent again as it was sent, in the order in which it was [MQTT-4.4.0-1].
 */

import { type Arrivals, type Came, said, wasSentOnce } from "./arrivals.ts";
import type { Connection } from "./connection.ts";
import type { Verdict } from "./verdict.ts";
import type { Weather } from "./weather.ts";

export class Inbox {
  readonly #client: string;
  readonly #arrivals: Arrivals;
  readonly #weather: Weather;
  readonly #verdict: Verdict;
  /** QoS 2 messages that were not released, by packet id. */
  readonly #held = new Map<number, Came>();
  /** QoS 1 messages that were not acknowledged, by packet id. */
  readonly #unacknowledged = new Map<number, Came>();

  constructor(client: string, arrivals: Arrivals, weather: Weather, verdict: Verdict) {
    this.#client = client;
    this.#arrivals = arrivals;
    this.#weather = weather;
    this.#verdict = verdict;
  }

  /** @param earlier connections of the client before that one */
  publish(came: Came, earlier: readonly Connection[]): void {
    const { packet, connection } = came;
    const { packetId, qos, payload } = packet;
    if (qos === 0) {
      if (packet.dup) this.#find("dup", `${said(packet)} has it at QoS 0`, payload);
      this.#arrivals.take(came);
      return;
    }
    const inflight = connection.outstanding.get(packetId);
    if (inflight) this.#find("packet id", `${packetId} is in flight with "${inflight.came.packet.payload}"`, payload);
    const before = this.#before(came);
    this.#checkAgain(came, before, earlier);
    connection.seen.add(packetId);
    if (qos === 2) {
      const held = this.#held.get(packetId);
      if (held && !isSame(held, came)) {
        this.#find("packet id", `${packetId} was not released and is ${said(held.packet)}`, payload);
      }
      const kept = held && isSame(held, came) ? held : came;
      connection.outstanding.set(packetId, { came: kept, state: "published" });
      if (kept === came) this.#arrivals.take(came);
      this.#held.set(packetId, kept);
    } else {
      connection.outstanding.set(packetId, { came, state: "published" });
      this.#unacknowledged.set(packetId, (packet.dup ? before : undefined) ?? this.#original(came) ?? came);
      this.#arrivals.take(came);
    }
    if (connection.outstanding.size > connection.receiveMaximum) {
      this.#find("receive maximum", `more than ${connection.receiveMaximum} unanswered`, payload);
    }
  }

  /** PUBREL came. */
  released(connection: Connection, packetId: number): void {
    const outstanding = connection.outstanding.get(packetId);
    // The broker knows of PUBREC from this connection, or from one before.
    const due = outstanding
      ? outstanding.state === "received"
      : connection.connack?.present && !connection.seen.has(packetId);
    // What a shard has sent and a link has lost on its way counts as sent, and may be replaced by PUBREL.
    if (!due && (outstanding || !this.#weather.disturbed(connection.connect.ms, this.#verdict.now.ms))) {
      this.#find("answer", `PUBREL ${packetId} answers nothing`);
    }
    connection.seen.add(packetId);
    this.#held.delete(packetId);
  }

  /** PUBACK, PUBREC or PUBCOMP goes out. */
  answered(connection: Connection, packetId: number, by: "puback" | "pubrec" | "pubcomp", refuses: boolean): void {
    const outstanding = connection.outstanding.get(packetId);
    if (by === "pubrec" && !refuses) {
      if (outstanding) outstanding.state = "received";
      return;
    }
    connection.outstanding.delete(packetId);
    const came = outstanding?.came;
    if (!came) return;
    if (by === "pubrec") {
      came.refused = true;
      came.answeredMs = this.#verdict.now.ms;
      this.#held.delete(packetId);
      return;
    }
    came.answeredMs = this.#verdict.now.ms;
    if (by === "puback") this.#unacknowledged.delete(packetId);
  }

  /** What came under this packet id in an earlier connection and is not over. */
  #before(came: Came): Came | undefined {
    const { packetId, qos } = came.packet;
    const before = qos === 2 ? this.#held.get(packetId) : this.#unacknowledged.get(packetId);
    return before && isSame(before, came) ? before : undefined;
  }

  /** What is sent again has the place among all that was sent that it had when it was sent as new, acknowledged or not. */
  #original({ packet, message }: Came): Came | undefined {
    if (!message || !packet.dup) return undefined;
    const copies = this.#arrivals.copies(message).filter((copy) => copy.packet.packetId === packet.packetId);
    return copies.findLast((copy) => !copy.packet.dup);
  }

  /** At QoS 1 what is sent as new may have been sent as new before. */
  #cameTwice({ packet, message }: Came): boolean {
    if (!message || packet.qos === 2) return false;
    return this.#arrivals.copies(message).filter((copy) => !copy.packet.dup).length > 1;
  }

  #checkAgain(came: Came, before: Came | undefined, earlier: readonly Connection[]): void {
    const { packet, message, connection } = came;
    const place = placeOf(packet.topic);
    if (!packet.dup) {
      // The broker need not know what it sent at QoS 1 before something went wrong.
      if (before && (packet.qos === 2 || this.#remembers(before, came))) {
        this.#find("dup", `not set, and ${said(packet)} was sent as ${packet.packetId} before`, packet.payload); // [MQTT-3.3.1-1]
      }
      if (!packet.retain) connection.resent.set(place, "new");
      return;
    }
    this.#checkDue(came, earlier);
    const last = connection.resent.get(place);
    if (last === "new") this.#find("order", `${said(packet)} was sent again behind new messages`, packet.payload);
    const original = before ?? this.#original(came);
    // Nobody knows the place of what was lost the first time, or which copy it is of what came twice, or is empty.
    if (!original || !message || original.packet.dup || packet.retain || last === "new" || this.#cameTwice(came))
      return;
    if (!wasSentOnce(message, this.#weather)) return;
    // A share group may have had it back meanwhile, and what it handed out as new was lost.
    if (packet.qos === 1 && original.way.groups.length > 0) return;
    if (last?.connection === original.connection && original.order < last.order) {
      this.#find("order", `${said(packet)} was sent again out of order`, packet.payload);
    }
    connection.resent.set(place, original);
  }

  /** DUP is for what an earlier connection may have brought [MQTT-3.3.1-1]. */
  #checkDue({ packet, message, connection, at }: Came, earlier: readonly Connection[]): void {
    if (!connection.connack?.present) {
      this.#find("dup", `set on ${said(packet)} in a new session`, packet.payload);
      return;
    }
    // What a link has lost on its way counts as sent.
    if (!message || message.isWill || this.#weather.disturbed(connection.connect.ms, at.ms)) return;
    const alone = Math.max(...earlier.map((one) => (one.killed ? Infinity : (one.over?.index ?? Infinity))));
    if (message.sent.index > Math.max(connection.connack.index, alone)) {
      this.#find("dup", `set on ${said(packet)}, which is newer than the connection`, packet.payload);
    }
  }

  /** It is the same copy, and the connection that it came in was over in peace before the next one came. */
  #remembers(before: Came, again: Came): boolean {
    const { connection, at, packet } = before;
    const overMs = connection.over?.ms ?? Infinity;
    if (connection.killed || overMs >= again.connection.connect.ms) return false;
    if (packet.retain !== again.packet.retain) return false;
    // A share group may have had it back meanwhile, and hands it out as new. Of an empty payload nobody knows.
    if (before.way.groups.length > 0 || !again.message) return false;
    if (again.message && !wasSentOnce(again.message, this.#weather)) return false;
    return !this.#weather.disturbed(at.ms - 1_000, overMs);
  }

  #find(rule: "dup" | "order" | "packet id" | "receive maximum" | "answer", what: string, payload?: string): void {
    this.#verdict.find(rule, this.#client, what, payload);
  }
}

function isSame(one: Came, other: Came): boolean {
  return one.packet.topic === other.packet.topic && one.packet.payload === other.packet.payload;
}

/** Topics with the same first two levels are on one shard, whatever SHARDS is. */
function placeOf(topic: string): string {
  return topic.split("/", 2).join("/");
}
