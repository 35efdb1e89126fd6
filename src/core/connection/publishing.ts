/**
 * A client's PUBLISH on its way to the shard that owns the topic, and the answers on their way back. A QoS > 0 message is
 * acknowledged when, and only when, its shard says that it owns it [MQTT-4.3.2-4, MQTT-4.3.3-8].
 *
 *     QoS 1   publish ──▶ shard owns it ──▶ PUBACK
 *     QoS 2   publish ──▶ shard owns it ──▶ PUBREC ──PUBREL──▶ shard forgets the id ──▶ PUBCOMP
 */

import { encodeAck } from "../../mqtt/ack.ts";
import type { MessageBody } from "../../link/message.ts";
import { PacketType } from "../../mqtt/packet.ts";
import { type Publish } from "../../mqtt/publish.ts";
import { MqttError, Reason } from "../../mqtt/reason.ts";
import { encodeUtf8, isUtf8 } from "../../mqtt/utf8.ts";
import { type Need, type Permissions, publishing } from "../authorization/permissions.ts";
import type { Action } from "../authorization/rule.ts";
import { CAPABILITIES } from "../capabilities.ts";
import type { Limits, Settings } from "../limits.ts";
import { type Placement, shardOfTopic } from "../shard/placement.ts";
import { Aliases } from "./aliases.ts";
import type { Output } from "./output.ts";
import { Rate } from "../rate.ts";
import type { ShardLink } from "./shard-link.ts";

export interface PublishingHost {
  readonly limits: Limits;
  readonly settings: Settings;
  readonly placement: Placement;
  readonly output: Output;
  readonly permissions: Permissions;
  /** The client may not do that. */
  denied(action: Action, filter: string): void;
  /** The packet in hand is taken anew when it is known whether the client may do these. */
  await(needs: readonly Need[], now: number): void;
  /** The link to a shard, opened if it was not. */
  link(shard: number, now: number): ShardLink;
  /** False until all shards have said which packet ids of QoS 2 they hold of the session. */
  readonly resumed: boolean;
  /** True when a shard may hold state of the session, as far as its session object needs to know. */
  uses(shard: number): boolean;
  /** Goes on when the session object knows that the shard holds state of the session. */
  use(shard: number, now: number, goOn: (now: number) => void): void;
}

interface Route {
  readonly shard: number;
  readonly topicUtf8: Uint8Array;
}

/** A publisher uses few topics again and again; a device that uses more than this pays for each anew. */
const ROUTES_MAX = 64;

/**
 * 3.1.1 has no way to say no to one PUBLISH, but to close [v3 MQTT-3.3.5-2]. A shard that is full may be so with what waits
 * for this very client: so long it may still take that, or it would never be let in for long enough.
 */
const REFUSED_MS = 10_000;

/** QoS 2 messages that a client before MQTT 5, which has no Receive Maximum to keep to, may leave unreleased. */
const UNRELEASED_MAX = 8_192;

export class Publishing {
  readonly #host: PublishingHost;
  readonly #version: 3 | 4 | 5;
  readonly #aliases = new Aliases(CAPABILITIES.topicAliasMaximum);
  readonly #routes = new Map<string, Route>();
  /** Packet ids that wait for their shard, with the bytes held for each. */
  readonly #unanswered = new Map<number, number>();
  /** Packet ids of QoS 2 that the client has not released, with the shards that took them. */
  readonly #received = new Map<number, Set<number>>();
  /** What waits for {@link PublishingHost.use}, by shard: QoS 2, and what may not overtake it. */
  readonly #asking = new Map<number, { messages: number; bytes: number }>();
  /** QoS 2 packets that wait for {@link PublishingHost.resumed}, and what may not overtake them. */
  #waiting: ((now: number) => void)[] = [];
  #waitingBytes = 0;
  /** Those that it has released and its shard has not. */
  readonly #releasing = new Set<number>();
  #unansweredBytes = 0;
  /** A shard has refused a message of a client that cannot be told so: it is disconnected then. */
  #end: { readonly reason: Reason; readonly at: number } | undefined;
  readonly #rate: Rate | undefined;
  readonly #bytesRate: Rate | undefined;
  /** QoS 0 messages that a shard could not take fast enough, or that came too fast. */
  dropped = 0;
  /** QoS > 0 messages that came too fast, and of which their client was told so. */
  #refused = 0;
  /** As much of both as {@link lost} has told of. */
  #told = { qos0: 0, refused: 0 };

  constructor(host: PublishingHost, version: 3 | 4 | 5, now: number) {
    this.#host = host;
    this.#version = version;
    const { publishRateMax, publishBytesRateMax, publishBurstSeconds } = host.limits;
    if (publishRateMax > 0) this.#rate = new Rate(publishRateMax, publishBurstSeconds, now);
    if (publishBytesRateMax > 0) this.#bytesRate = new Rate(publishBytesRateMax, publishBurstSeconds, now);
  }

  /** More was dropped or refused than {@link lost} has told of. */
  get hasLost(): boolean {
    return this.dropped > this.#told.qos0 || this.#refused > this.#told.refused;
  }

  /** How much was dropped and refused since it was last asked for. */
  lost(): { readonly qos0: number; readonly refused: number } {
    const lost = { qos0: this.dropped - this.#told.qos0, refused: this.#refused - this.#told.refused };
    this.#told = { qos0: this.dropped, refused: this.#refused };
    return lost;
  }

  publish(packet: Publish, now: number): void {
    if (packet.qos > CAPABILITIES.maximumQos) {
      throw new MqttError(Reason.QosNotSupported, `QoS ${packet.qos} above Maximum QoS ${CAPABILITIES.maximumQos}`);
    }
    const topic = this.#aliases.resolve(packet.topic, packet.alias);
    // `$SYS/…` are the server's own topics [MQTT §4.7.2].
    const may = !topic.startsWith("$SYS/") && this.#host.permissions.mayPublish(topic, packet.retain);
    if (may === undefined) {
      // Nothing has been done but to set an alias, which is set to the same again.
      this.#host.await(publishing(topic, packet.retain), now);
      return;
    }
    const bytes = packet.payload.length + packet.properties.length;
    // Others wait only behind QoS 2, so that the last of them is the one that is retained [MQTT-3.3.1-5].
    if (this.#waiting.length === 0 && (packet.qos < 2 || !this.#waits)) this.#publish(topic, packet, may, now);
    else if (packet.qos === 0 && this.#isFull(bytes)) this.dropped += 1;
    else this.#wait(bytes, (later) => this.#publish(topic, packet, may, later));
  }

  #publish(topic: string, packet: Publish, may: boolean, now: number): void {
    if (packet.qos > 0 && this.#repeats(packet)) return;
    if (this.#isExcessive(topic, packet, now)) {
      this.#exceed(packet);
      return;
    }
    if (packet.text && this.#host.settings.payloadFormatCheck && !isUtf8(packet.payload)) {
      if (packet.qos === 0)
        throw new MqttError(Reason.PayloadFormatInvalid, "a payload is said to be UTF-8 and is not");
      this.#answer(packet.qos, packet.packetId, Reason.PayloadFormatInvalid);
      return;
    }
    if (!may) {
      this.#deny(topic, packet);
      return;
    }
    const route = this.#route(topic);
    const link = this.#host.link(route.shard, now);
    const body: MessageBody = {
      topic,
      topicUtf8: route.topicUtf8,
      qos: packet.qos,
      retain: packet.retain,
      expirySeconds: packet.expirySeconds,
      properties: packet.properties,
      payload: packet.payload,
    };
    const bytes = route.topicUtf8.length + packet.properties.length + packet.payload.length;
    const ahead = this.#asking.size > 0 ? this.#asking.get(route.shard) : undefined;
    if (packet.qos > 0) {
      this.#own(packet.packetId, bytes);
    } else if (
      link.backlogBytes + (ahead?.bytes ?? 0) + bytes > this.#host.limits.linkBacklogBytesMax ||
      (ahead?.messages ?? 0) >= UNRELEASED_MAX
    ) {
      this.dropped += 1;
      return;
    }
    if (ahead || (packet.qos === 2 && !this.#host.uses(route.shard))) {
      this.#ask(route.shard, bytes, now, (later) => this.#host.link(route.shard, later).publish(packet.packetId, body));
    } else {
      link.publish(packet.packetId, body);
    }
  }

  /** More than the client may send by now; what is not counts from now on. */
  #isExcessive(topic: string, { properties, payload }: Publish, now: number): boolean {
    const rate = this.#rate;
    const bytesRate = this.#bytesRate;
    if (rate === undefined && bytesRate === undefined) return false;
    if (rate?.allows(now) === false || bytesRate?.allows(now) === false) return true;
    rate?.take(1);
    // A character of a topic counts as a byte.
    bytesRate?.take(topic.length + properties.length + payload.length);
    return false;
  }

  /** A client before MQTT 5 cannot be told that one message is not taken, and must not think that it is. */
  #exceed({ qos, packetId }: Publish): void {
    if (this.#host.settings.excessivePublish === "disconnect" || (qos > 0 && this.#version < 5)) {
      throw new MqttError(Reason.MessageRateTooHigh, "it publishes more than it may in a second");
    }
    if (qos === 0) {
      this.dropped += 1;
      return;
    }
    this.#refused += 1;
    this.#answer(qos, packetId, Reason.QuotaExceeded);
  }

  /** MQTT 5 has a code for it. Others are told nothing, so that they go on, or are disconnected. */
  #deny(topic: string, { qos, packetId }: Publish): void {
    this.#host.denied("publish", topic);
    if (this.#version < 5 && this.#host.settings.deniedPublish === "disconnect") {
      throw new MqttError(Reason.NotAuthorized, "it may not publish that");
    }
    if (qos === 2 && this.#version < 5) this.#received.set(packetId, new Set());
    this.#answer(qos, packetId, this.#version < 5 ? Reason.Success : Reason.NotAuthorized);
  }

  /** Goes on when the session object knows that the shard holds state of the session, behind what already waits for it. */
  #ask(shard: number, bytes: number, now: number, goOn: (now: number) => void): void {
    const asking = this.#asking.get(shard) ?? { messages: 0, bytes: 0 };
    this.#asking.set(shard, asking);
    asking.messages += 1;
    asking.bytes += bytes;
    this.#host.use(shard, now, (later) => {
      asking.messages -= 1;
      asking.bytes -= bytes;
      if (asking.messages === 0) this.#asking.delete(shard);
      goOn(later);
    });
  }

  /** A shard holds packet ids that the client has not released since an earlier connection. */
  holds(link: ShardLink, packetIds: readonly number[]): void {
    for (const packetId of packetIds) this.#take(packetId, link.shard);
  }

  /** Lets on what waited until the session was resumed. */
  resume(now: number): void {
    const waiting = this.#waiting;
    if (waiting.length === 0 || !this.#host.resumed) return;
    this.#waiting = [];
    this.#waitingBytes = 0;
    for (const go of waiting) go(now);
  }

  /** The client will not send a QoS 2 message again [MQTT-4.3.3-11]. */
  release(packetId: number, now: number): void {
    if (this.#waits) this.#wait(0, (later) => this.#release(packetId, later));
    else this.#release(packetId, now);
  }

  #release(packetId: number, now: number): void {
    const shards = this.#received.get(packetId);
    if (shards && shards.size > 0) {
      if (this.#releasing.has(packetId)) return;
      this.#releasing.add(packetId);
      // A link that broke while nothing needed it is closed.
      for (const shard of shards) this.#host.link(shard, now).release(packetId);
      return;
    }
    const known = this.#received.delete(packetId);
    const reason = known ? Reason.Success : Reason.PacketIdentifierNotFound;
    this.#host.output.push(encodeAck(PacketType.PUBCOMP, packetId, this.#version, reason));
  }

  /** The shard has forgotten the id, so that the next message with it is a new one [MQTT-4.3.3-12]. */
  released(link: ShardLink, packetId: number): void {
    if (!link.released(packetId)) return;
    const shards = this.#received.get(packetId);
    shards?.delete(link.shard);
    if (shards && shards.size > 0) return;
    this.#releasing.delete(packetId);
    this.#received.delete(packetId);
    this.#host.output.push(encodeAck(PacketType.PUBCOMP, packetId, this.#version, Reason.Success));
  }

  /** The shard owns the message, or says why it will not. */
  published(link: ShardLink, packetId: number, reason: Reason, now: number): void {
    const qos = link.published(packetId);
    if (qos === undefined) return;
    this.#unansweredBytes -= this.#unanswered.get(packetId) ?? 0;
    this.#unanswered.delete(packetId);
    if (reason >= 0x80 && this.#version < 5) {
      this.#end ??= { reason, at: now + REFUSED_MS };
      return;
    }
    if (qos === 2 && reason < 0x80) this.#take(packetId, link.shard);
    this.#answer(qos, packetId, reason);
  }

  get deadline(): number | undefined {
    return this.#end?.at;
  }

  /** @throws MqttError when it is time to disconnect the client */
  tick(now: number): void {
    if (this.#end && now >= this.#end.at) throw new MqttError(this.#end.reason, "a message was refused");
  }

  #take(packetId: number, shard: number): void {
    const shards = this.#received.get(packetId);
    if (shards) shards.add(shard);
    else this.#received.set(packetId, new Set([shard]));
  }

  /** True when a packet of QoS 2 has to wait, as those do that came before it. */
  get #waits(): boolean {
    return !this.#host.resumed || this.#waiting.length > 0;
  }

  #isFull(bytes: number): boolean {
    return this.#waiting.length >= UNRELEASED_MAX || this.#waitingBytes + bytes > this.#host.limits.unansweredBytesMax;
  }

  #wait(bytes: number, go: (now: number) => void): void {
    if (this.#isFull(bytes)) {
      throw new MqttError(Reason.QuotaExceeded, "too much before the session is resumed");
    }
    this.#waiting.push(go);
    this.#waitingBytes += bytes;
  }

  /**
   * A client may send a QoS 2 message again until it has released it, and is answered again [MQTT-4.3.3-10]; a 3.1.1
   * client also one that is still under way, of which there is nothing to say yet.
   */
  #repeats(packet: Publish): boolean {
    const { packetId } = packet;
    if (packet.qos === 2 && this.#received.has(packetId) && !this.#releasing.has(packetId)) {
      this.#answer(2, packetId, Reason.Success);
      return true;
    }
    if (!this.#unanswered.has(packetId) && !this.#received.has(packetId)) return false;
    if (packet.dup && this.#unanswered.has(packetId)) return true;
    throw new MqttError(Reason.ProtocolError, `packet id ${packetId} is in use`);
  }

  #own(packetId: number, bytes: number): void {
    if (this.#version < 5 && this.#received.size >= UNRELEASED_MAX) {
      throw new MqttError(Reason.QuotaExceeded, `more than ${UNRELEASED_MAX} not released`);
    }
    if (this.#version === 5 && this.#unanswered.size + this.#received.size >= this.#host.limits.receiveMaximum) {
      throw new MqttError(
        Reason.ReceiveMaximumExceeded,
        `more than ${this.#host.limits.receiveMaximum} unacknowledged`,
      );
    }
    if (this.#unansweredBytes + bytes > this.#host.limits.unansweredBytesMax) {
      throw new MqttError(Reason.QuotaExceeded, "too many bytes unacknowledged");
    }
    this.#unanswered.set(packetId, bytes);
    this.#unansweredBytes += bytes;
  }

  #answer(qos: number, packetId: number, reason: Reason): void {
    if (qos === 0) return;
    const type = qos === 1 ? PacketType.PUBACK : PacketType.PUBREC;
    this.#host.output.push(encodeAck(type, packetId, this.#version, reason));
  }

  #route(topic: string): Route {
    let route = this.#routes.get(topic);
    if (!route) {
      if (this.#routes.size >= ROUTES_MAX) this.#routes.clear();
      route = { shard: shardOfTopic(topic, this.#host.placement), topicUtf8: encodeUtf8(topic) };
      this.#routes.set(topic, route);
    }
    return route;
  }
}
