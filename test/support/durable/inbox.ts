/**
 * The receiving end of a session, as the specification demands it of a client: the packet ids of QoS 2 messages that it
 * has and that were not released, across connections. And what the broker owes to it: packet ids that are free, no more
 * than Receive Maximum, and what is sent again as it was sent, in the order in which it was [MQTT-4.4.0-1].
 */

import { shardOfTopic } from "../../../src/core/shard/placement.ts";
import type { Received } from "../../sim/world/client.ts";
import type { World } from "../../sim/world/world.ts";
import type { Arrivals, Came, Weather } from "./arrivals.ts";
import type { Attempt } from "./attempt.ts";

export class Inbox {
  readonly arrivals: Arrivals;
  readonly #world: World;
  readonly #weather: Weather;
  /** QoS 2 messages that were not released, by packet id. */
  readonly #held = new Map<number, Came>();
  /** QoS 1 messages that were not acknowledged, by packet id. */
  readonly #unacknowledged = new Map<number, Came>();

  constructor(world: World, arrivals: Arrivals, weather: Weather) {
    this.#world = world;
    this.arrivals = arrivals;
    this.#weather = weather;
  }

  /** QoS 2 messages that were not released. */
  get held(): number {
    return this.#held.size;
  }

  publish(attempt: Attempt, came: Came): void {
    const { packet } = came;
    if (packet.qos === 0) {
      if (packet.dup) throw new Error(`${attempt.name} was sent ${said(came)} at QoS 0 with DUP`);
      this.arrivals.take(came);
      return;
    }
    const packetId = packet.messageId!;
    if (attempt.outstanding.has(packetId)) {
      const other = attempt.outstanding.get(packetId)!.came;
      throw new Error(`${attempt.name} was sent ${said(came)} with packet id ${packetId} of ${said(other)}`);
    }
    const earlier = this.#earlier(packetId, packet);
    this.#checkAgain(attempt, came, earlier);
    attempt.seen.add(packetId);
    if (packet.qos === 2) {
      const held = this.#held.get(packetId);
      if (held && !isSame(held, packet)) {
        throw new Error(`${attempt.name} was sent ${said(came)} as ${packetId}, which still is ${said(held)}`);
      }
      attempt.outstanding.set(packetId, { came: held ?? came, state: "published" });
      if (!held) this.arrivals.take(came);
      this.#held.set(packetId, held ?? came);
    } else {
      attempt.outstanding.set(packetId, { came, state: "published" });
      this.#unacknowledged.set(packetId, (packet.dup ? earlier : undefined) ?? this.#original(came) ?? came);
      this.arrivals.take(came);
    }
    if (attempt.outstanding.size > attempt.windowSize) {
      throw new Error(`${attempt.name} has ${attempt.outstanding.size} to acknowledge, of ${attempt.windowSize}`);
    }
  }

  /** PUBREL came. Returns false when the device does not know the id. */
  release(attempt: Attempt, packetId: number): boolean {
    const outstanding = attempt.outstanding.get(packetId);
    // The broker knows of PUBREC from this connection, or from one before.
    const due = outstanding ? outstanding.state === "received" : attempt.resumed && !attempt.seen.has(packetId);
    // What a shard has sent and a link has lost on its way counts as sent, and may be replaced by PUBREL.
    if (!due && (outstanding || !this.#weather.disturbed(attempt.connectMs, this.#world.now))) {
      throw new Error(`${attempt.name} was sent PUBREL ${packetId} without need`);
    }
    attempt.seen.add(packetId);
    return this.#held.delete(packetId);
  }

  /** PUBREC goes out; with `rejects` it says no. */
  received(attempt: Attempt, packetId: number, rejects: boolean): void {
    const outstanding = attempt.outstanding.get(packetId)!;
    outstanding.state = "received";
    if (!rejects) return;
    outstanding.came.rejected = true;
    attempt.outstanding.delete(packetId);
    this.#held.delete(packetId);
  }

  /** PUBACK or PUBCOMP goes out. */
  completed(attempt: Attempt, packetId: number, now: number): void {
    const came = attempt.outstanding.get(packetId)?.came;
    if (came) came.answeredMs = now;
    attempt.outstanding.delete(packetId);
    if (came?.packet.qos === 1) this.#unacknowledged.delete(packetId);
  }

  /** What came under this packet id in an earlier connection and is not over. */
  #earlier(packetId: number, packet: Received): Came | undefined {
    const earlier = packet.qos === 2 ? this.#held.get(packetId) : this.#unacknowledged.get(packetId);
    return earlier && isSame(earlier, packet) ? earlier : undefined;
  }

  /** What is sent again has the place among all that was sent that it had when it was sent as new, acknowledged or not. */
  #original({ packet, sent }: Came): Came | undefined {
    if (!sent || !packet.dup) return undefined;
    const copies = this.arrivals.copies(sent).filter((copy) => copy.packet.messageId === packet.messageId);
    return copies.findLast((copy) => !copy.packet.dup);
  }

  #checkAgain(attempt: Attempt, came: Came, earlier: Came | undefined): void {
    const { packet, sent } = came;
    const shard = shardOfTopic(packet.topic!, this.#world.placement);
    if (!packet.dup) {
      // The broker need not know what it sent at QoS 1 before something went wrong.
      if (earlier && (packet.qos === 2 || this.#remembers(earlier, came))) {
        throw new Error(`${attempt.name} was sent ${said(came)} again without DUP`); // [MQTT-3.3.1-1]
      }
      if (!packet.retain) attempt.resent.set(shard, "new");
      return;
    }
    // As above: what a link has lost on its way counts as sent.
    if (!this.#weather.disturbed(attempt.connectMs, came.ms)) this.#checkDue(attempt, came);
    const last = attempt.resent.get(shard);
    if (last === "new") throw new Error(`${attempt.name} was sent ${said(came)} again behind new messages`);
    const original = earlier ?? this.#original(came);
    // Nobody knows the place of what was lost the first time, or which copy it is of what came twice.
    if (!original || original.packet.dup || packet.retain || !(sent?.once ?? true)) return;
    if (last?.attempt === original.attempt && original.order < last.order) {
      throw new Error(`${attempt.name} was sent ${said(came)} again out of order`);
    }
    attempt.resent.set(shard, original);
  }

  /** DUP is for what an earlier connection may have brought [MQTT-3.3.1-1]. */
  #checkDue(attempt: Attempt, came: Came): void {
    const { sent } = came;
    if (!attempt.resumed) throw new Error(`${attempt.name} was sent ${said(came)} with DUP in a new session`);
    if (sent && !sent.willOf && sent.sentAt > Math.max(attempt.connack!.at, attempt.aloneAt)) {
      throw new Error(`${attempt.name} was sent ${said(came)} with DUP, which is newer than the connection`);
    }
  }

  /** It is the same copy, and the connection that it came in was over in peace before the next one came. */
  #remembers(earlier: Came, again: Came): boolean {
    const { attempt, ms } = earlier;
    if (attempt.killed || attempt.overMs >= again.attempt.connectMs) return false;
    if (earlier.packet.retain !== again.packet.retain || again.sent?.once === false) return false;
    return !this.#weather.disturbed(ms - 1_000, attempt.overMs);
  }
}

function isSame(came: Came, packet: Received): boolean {
  return came.packet.topic === packet.topic && came.packet.payload!.equals(packet.payload!);
}

function said({ packet, sent }: Came): string {
  return `"${sent?.text ?? packet.payload!.toString().trim()}" on ${packet.topic}`;
}
