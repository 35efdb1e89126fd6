/**
 * One client's connection: bytes and link records in, effects and the next deadline out.
 *
 *     connecting ──CONNECT──▶ joining ──welcome──▶ open ──▶ leaving ──▶ done
 *
 * - connecting: nothing but CONNECT is taken [MQTT-3.1.0-1], and not for ever.
 * - joining: the session object decides; what the client sends meanwhile waits [MQTT-3.1.4-6].
 * - open: packets go to the shards, deliveries come from them.
 * - leaving: the client is gone. The shard links are flushed first and the session link is ended last, so that a will
 *   is published after everything that its client published (`docs/links.md`).
 *
 * Nothing here reads a clock or touches a socket. An input returns the effects to perform, in order.
 */

import { encodeAck, readAck } from "../../mqtt/ack.ts";
import type { Connect } from "../../mqtt/codec.ts";
import {
  connectVersionHint,
  decodeConnect,
  decodeDisconnect,
  decodeSubscribe,
  decodeUnsubscribe,
  encodeConnack,
  encodeDisconnect,
  encodeSuback,
  encodeUnsuback,
} from "../../mqtt/codec.ts";
import { checkFixedHeader, FrameReader } from "../../mqtt/frame.ts";
import { PacketType, PINGRESP } from "../../mqtt/packet.ts";
import { readPublish } from "../../mqtt/publish.ts";
import { MqttError, Reason } from "../../mqtt/reason.ts";
import { TopicCache } from "../../mqtt/topic-cache.ts";
import { encodeUtf8 } from "../../mqtt/utf8.ts";
import { ByteReader, ByteWriter, LinkFormatError } from "../../link/bytes.ts";
import type { ConnectionBound, Fence } from "../../link/records.ts";
import * as records from "../../link/records.ts";
import type { Message } from "../../mqtt/message.ts";
import type { Limits, Settings } from "../limits.ts";
import type { Placement } from "../shard/placement.ts";
import { acceptance, admit } from "./connack.ts";
import { CloseCode, type Effect, type LinkName } from "./effects.ts";
import { effectiveKeepAlive, Keepalive } from "./keepalive.ts";
import { GIVE_UP_MS, LinkLife } from "./link-life.ts";
import { Output } from "./output.ts";
import { Publishing } from "./publishing.ts";
import { ShardLink } from "./shard-link.ts";
import { Subscribing } from "./subscribing.ts";
import { Window, type WindowChange } from "./window.ts";

/** After its client is gone a connection flushes its links for at most this long before it ends its session. */
export const FLUSH_MS = 2_000;
/** A client that reads slower than we write has taken "enough" when no more than this is waiting for it. */
export const CLIENT_BUFFER_LOW_BYTES = 64 * 1024;
/** A CONNECT cannot begin otherwise, so whoever does need not be heard to the end [MQTT-3.1.0-1]. */
const CONNECT_FIRST_BYTE = PacketType.CONNECT << 4;
/** How often a full client buffer is looked at again; the platform has no event for it. */
const BUFFER_POLL_MS = 20;

export interface ConnectionConfig {
  readonly limits: Limits;
  readonly settings: Settings;
  readonly placement: Placement;
  readonly tenant: string;
  /** Unique in the tenant. It becomes the client id of a client that brings none. */
  readonly connectionId: string;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Bytes that were sent to the client and have not left. */
  readonly bufferedBytes: () => number;
}

type Phase = "connecting" | "joining" | "open" | "leaving" | "done";

export class Connection {
  readonly limits: Limits;
  readonly placement: Placement;
  readonly output = new Output();
  readonly #config: ConnectionConfig;
  readonly #reader: FrameReader;
  readonly #connectBy: number;
  #effects: Effect[] = [];
  #phase: Phase = "connecting";
  #closing: { code: number; reason: string } | undefined;

  // Set by CONNECT.
  #connect: Connect | undefined;
  #clientId = "";
  #will: Message | undefined;
  readonly #session: LinkLife;
  #sessionLinks = 0;

  // Set by the session object's welcome.
  #fence: Fence | undefined;
  #window: Window | undefined;
  #keepalive: Keepalive | undefined;
  #publishing: Publishing | undefined;
  #subscribing: Subscribing | undefined;
  readonly #links = new Map<number, ShardLink>();
  readonly #topics = new TopicCache();
  #drainAt: number | undefined;

  // Set on leaving.
  #publishWill = false;
  #leaveBy: number | undefined;
  #ending = false;
  #sessionEnded = false;

  constructor(config: ConnectionConfig, now: number) {
    this.#config = config;
    this.limits = config.limits;
    this.placement = config.placement;
    this.#reader = new FrameReader(config.limits.packetBytesMax);
    this.#connectBy = now + config.limits.connectSecondsMax * 1000;
    this.#session = this.#life("session");
  }

  /** The session's client id once CONNECT is read; the session object is found by it. */
  get clientId(): string {
    return this.#clientId;
  }

  /** True while some shard takes less than this client sends: a transport that can should read no further. */
  get congested(): boolean {
    if (this.#phase === "leaving" || this.#phase === "done") return false;
    for (const link of this.#links.values()) {
      if (link.backlogBytes > this.limits.linkBacklogBytesMax / 4) return true;
    }
    return this.#phase === "joining" && this.#reader.bufferedBytes > this.limits.packetBytesMax;
  }

  /** When {@link tick} has to be called at the latest. */
  get deadline(): number | undefined {
    let deadline: number | undefined;
    const consider = (at: number | undefined): void => {
      if (at !== undefined && (deadline === undefined || at < deadline)) deadline = at;
    };
    if (this.#phase === "done") return undefined;
    if (this.#phase === "connecting") consider(this.#connectBy);
    if (this.#phase === "open") {
      consider(this.#keepalive!.deadline);
      consider(this.#subscribing!.deadline);
    }
    if (this.#phase === "leaving") consider(this.#leaveBy);
    consider(this.#drainAt);
    consider(this.#session.deadline);
    for (const link of this.#links.values()) {
      consider(link.life.deadline);
      if (link.life.usable) consider(link.batch.deadline);
    }
    return deadline;
  }

  // Inputs from the client.

  bytes(chunk: Uint8Array, now: number): readonly Effect[] {
    if (this.#phase === "connecting" || this.#phase === "joining" || this.#phase === "open") {
      this.#reader.push(chunk);
      if (this.#phase === "joining" && this.#reader.bufferedBytes > 2 * this.limits.packetBytesMax) {
        this.#fail(Reason.QuotaExceeded, "too much sent before CONNACK", now);
      }
      this.#consume(now);
    }
    return this.#settle(now);
  }

  /** A WebSocket text frame [MQTT-6.0.0-1]. */
  textFrame(now: number): readonly Effect[] {
    this.#fail(Reason.ProtocolError, "text frame", now, CloseCode.UnsupportedData);
    return this.#settle(now);
  }

  /** The client's socket is closed, by whomever. */
  clientClosed(now: number): readonly Effect[] {
    this.#leave(true, now);
    return this.#settle(now);
  }

  // Inputs from the links.

  linkOpened(name: LinkName, now: number): readonly Effect[] {
    if (name === "session") {
      if (this.#session.opened()) this.#join();
    } else {
      const link = this.#links.get(name);
      if (link?.life.opened()) this.#greet(link);
    }
    return this.#settle(now);
  }

  linkFrame(name: LinkName, frame: Uint8Array, now: number): readonly Effect[] {
    try {
      const reader = new ByteReader(frame);
      while (!reader.done && this.#phase !== "done") {
        const record = records.readRecord(reader, now) as ConnectionBound;
        if (name === "session") this.#fromSession(record, now);
        else this.#fromShard(this.#links.get(name)!, record, now);
      }
    } catch (error) {
      if (error instanceof LinkFormatError) {
        this.#effects.push({ type: "closeLink", link: name });
        this.#linkBroken(name, now);
      } else {
        this.#caught(error, now);
      }
    }
    this.#consume(now);
    return this.#settle(now);
  }

  linkClosed(name: LinkName, now: number): readonly Effect[] {
    this.#linkBroken(name, now);
    return this.#settle(now);
  }

  linkPong(name: LinkName): void {
    if (name === "session") this.#session.pong();
    else this.#links.get(name)?.life.pong();
  }

  // Input from the clock.

  tick(now: number): readonly Effect[] {
    if (this.#phase === "connecting" && now >= this.#connectBy) this.#drop("no CONNECT in time", now);
    if (this.#phase === "open") {
      if (this.#keepalive!.expired(now)) this.#fail(Reason.KeepAliveTimeout, "keep alive timeout", now);
      else this.#guard(now, () => this.#subscribing!.tick(now));
    }
    if (this.#session.tick(now)) this.#linkBroken("session", now);
    for (const link of this.#links.values()) if (link.life.tick(now)) this.#linkBroken(link.shard, now);
    return this.#settle(now);
  }

  // What the parts ask for.

  /** The link to a shard, opened if it was not. */
  link(shard: number, now: number): ShardLink {
    let link = this.#links.get(shard);
    if (!link) {
      link = new ShardLink(shard, this.#life(shard));
      this.#links.set(shard, link);
    }
    link.life.open(now);
    return link;
  }

  suback(packetId: number, codes: readonly number[]): void {
    this.#reply(encodeSuback(packetId, codes as Reason[], this.#connect!.version));
  }

  unsuback(packetId: number, codes: readonly number[]): void {
    this.#reply(encodeUnsuback(packetId, codes as Reason[], this.#connect!.version));
  }

  // Packets of the client.

  #consume(now: number): void {
    this.#guard(now, () => {
      while ((this.#phase === "connecting" || this.#phase === "open") && this.#reader.next()) {
        if (this.#phase === "connecting") this.#onConnect(now);
        else this.#onPacket(now);
      }
      const first = this.#reader.incompleteFirstByte;
      if (this.#phase === "connecting" && first !== undefined && first !== CONNECT_FIRST_BYTE) {
        this.#drop("the first packet is not CONNECT", now);
      }
    });
  }

  #onPacket(now: number): void {
    const reader = this.#reader;
    const version = this.#connect!.version;
    checkFixedHeader(reader.type, reader.flags, version);
    this.#keepalive!.packet(now);
    switch (reader.type) {
      case PacketType.PUBLISH:
        this.#publishing!.publish(readPublish(reader, version, this.limits, this.#topics), now);
        return;
      case PacketType.PUBACK:
        this.#acknowledged(readAck(reader, version).packetId);
        return;
      case PacketType.PUBREC:
        // No QoS 2 delivery is ever under way, so the id is unknown [MQTT §4.3.3].
        this.#unknown(PacketType.PUBREL);
        return;
      case PacketType.PUBREL:
        this.#unknown(PacketType.PUBCOMP);
        return;
      case PacketType.PUBCOMP:
        readAck(reader, version);
        return;
      case PacketType.SUBSCRIBE:
        this.#subscribing!.subscribe(decodeSubscribe(reader, version), now);
        return;
      case PacketType.UNSUBSCRIBE:
        this.#subscribing!.unsubscribe(decodeUnsubscribe(reader, version), now);
        return;
      case PacketType.PINGREQ:
        if (reader.end !== reader.body) throw new MqttError(Reason.MalformedPacket, "PINGREQ with a body");
        this.output.push(PINGRESP);
        return;
      case PacketType.DISCONNECT:
        this.#onDisconnect(now);
        return;
      case PacketType.CONNECT:
        throw new MqttError(Reason.ProtocolError, "second CONNECT"); // [MQTT-3.1.0-2]
      default:
        throw new MqttError(Reason.ProtocolError, `packet type ${reader.type} is not for a server`);
    }
  }

  /** Answers a PUBREC or PUBREL of an exchange that we do not know. */
  #unknown(answer: typeof PacketType.PUBREL | typeof PacketType.PUBCOMP): void {
    const version = this.#connect!.version;
    const { packetId, reason } = readAck(this.#reader, version);
    if (reason < 0x80) this.output.push(encodeAck(answer, packetId, version, Reason.PacketIdentifierNotFound));
  }

  #onConnect(now: number): void {
    const reader = this.#reader;
    if (reader.type !== PacketType.CONNECT) {
      this.#drop("the first packet is not CONNECT", now);
      return;
    }
    let connect: Connect;
    try {
      checkFixedHeader(reader.type, reader.flags, 4);
      connect = decodeConnect(reader, this.limits);
    } catch (error) {
      if (!(error instanceof MqttError)) throw error;
      this.#refuse(error, connectVersionHint(reader), now);
      return;
    }
    this.#connect = connect;
    try {
      admit(connect);
    } catch (error) {
      if (!(error instanceof MqttError)) throw error;
      this.#refuse(error, connect.version, now);
      return;
    }
    this.#clientId = connect.clientId === "" ? this.#config.connectionId : connect.clientId;
    if (connect.will) {
      const { topic, payload, qos, retain, expirySeconds, properties } = connect.will;
      const topicUtf8 = encodeUtf8(topic);
      this.#will = {
        topic,
        topicUtf8,
        payload,
        qos,
        retain,
        expirySeconds,
        properties,
        at: now,
        publisher: this.#clientId,
      };
    }
    this.#phase = "joining";
    this.#session.open(now);
  }

  #onDisconnect(now: number): void {
    const { reason, sessionExpirySeconds } = decodeDisconnect(this.#reader, this.#connect!.version);
    if ((sessionExpirySeconds ?? 0) > 0 && (this.#connect!.sessionExpirySeconds ?? 0) === 0) {
      throw new MqttError(Reason.ProtocolError, "session expiry raised from 0"); // [MQTT §3.14.2.2.2]
    }
    this.#closing = { code: CloseCode.Normal, reason: "" };
    this.#leave(reason !== Reason.NormalDisconnection, now); // [MQTT-3.14.4-3]
  }

  #acknowledged(packetId: number): void {
    const link = this.#links.get(packetId % this.placement.shards);
    // An id that is not in flight means nothing to us, and nothing is lost by ignoring it.
    if (link?.acknowledged(packetId)) this.#changeWindow(this.#window!.acknowledged(link.shard));
  }

  // Records of the session object.

  #join(): void {
    const to = new ByteWriter();
    this.#sessionLinks += 1;
    records.writeConnect(to, {
      versionMin: records.LINK_VERSIONS.min,
      versionMax: records.LINK_VERSIONS.max,
      tenant: this.#config.tenant,
      session: this.#clientId,
      connection: this.#config.connectionId,
      link: this.#sessionLinks,
      cleanStart: this.#connect!.cleanStart,
      reattach: this.#fence,
      will: this.#will,
    });
    if (this.#ending) records.writeEnd(to, this.#publishWill);
    this.#effects.push({ type: "sendLink", link: "session", frame: to.take() });
  }

  #fromSession(record: ConnectionBound, now: number): void {
    switch (record.kind) {
      case records.Kind.Welcome:
        this.#session.attached(now);
        if (this.#phase === "joining") this.#open(record, record.sessionPresent, now);
        return;
      case records.Kind.Refused:
        this.#sessionEnded = true;
        this.#session.close();
        this.#fail(record.reason, "the session object refused", now);
        return;
      case records.Kind.Ended:
        this.#sessionEnded = true;
        return;
      default:
        throw new LinkFormatError(`record ${record.kind} is not a session object's`);
    }
  }

  #open(fence: Fence, sessionPresent: boolean, now: number): void {
    const connect = this.#connect!;
    const { limits, settings, connectionId } = this.#config;
    this.#fence = { generation: fence.generation, epoch: fence.epoch };
    this.#phase = "open";
    this.#window = new Window(Math.min(connect.receiveMaximum ?? 65_535, limits.inflightMax), this.placement.shards);
    this.#keepalive = new Keepalive(
      effectiveKeepAlive(connect.keepAliveSeconds, connect.version === 5 ? settings.keepAliveSecondsMax : 0),
      now,
    );
    this.#publishing = new Publishing(this, connect.version);
    this.#subscribing = new Subscribing(this);
    const accepted = acceptance(connect, sessionPresent, connectionId, limits, settings);
    const packet = encodeConnack(accepted, connect.version, this.#clientPacketBytesMax);
    if (packet) this.output.push(packet);
    else this.#drop("CONNACK is above the client's Maximum Packet Size", now); // [MQTT-3.1.2-24]
  }

  // Records of the shards.

  #greet(link: ShardLink): void {
    link.greet({
      shards: this.placement.shards,
      depth: this.placement.depth,
      tenant: this.#config.tenant,
      session: this.#clientId,
      generation: this.#fence!.generation,
      epoch: this.#fence!.epoch,
      mqttVersion: this.#connect!.version,
      packetBytesMax: this.#connect!.maximumPacketSize ?? 0xffff_ffff,
      grants: this.#window!.open(link.shard),
    });
    if (this.#phase === "leaving") records.writeBye(link.batch.records);
  }

  #fromShard(link: ShardLink, record: ConnectionBound, now: number): void {
    switch (record.kind) {
      case records.Kind.Taken:
        link.batch.taken(now);
        return;
      case records.Kind.Echo:
        records.writeEchoed(link.batch.records);
        return;
      case records.Kind.Attached:
        link.life.attached(now);
        link.attached(record.head);
        return;
      case records.Kind.Refused:
        link.life.close();
        this.#linkDown(link);
        this.#fail(record.reason, `shard ${link.shard} refused`, now);
        return;
      default:
        break;
    }
    if (this.#phase !== "open") return;
    switch (record.kind) {
      case records.Kind.Deliver:
        for (const delivery of record.deliveries) link.delivered(delivery);
        this.#window!.delivered(link.shard, record.deliveries.length);
        this.output.push(record.packets);
        return;
      case records.Kind.Published:
        this.#publishing!.published(link, record.packetId, record.reason);
        return;
      case records.Kind.Subscribed:
        this.#subscribing!.subscribed(link, record.request, record.start, record.codes, now);
        return;
      case records.Kind.Unsubscribed:
        this.#subscribing!.unsubscribed(link, record.request, record.codes, now);
        return;
      case records.Kind.Scanned:
        link.scanned(record.number, record.after);
        return;
      case records.Kind.Hungry:
        this.#changeWindow(this.#window!.hungry(link.shard));
        return;
      case records.Kind.Returned:
        this.#changeWindow(this.#window!.returned(link.shard, record.count));
        return;
      case records.Kind.Ask:
        link.asked = true;
        this.#drainAt = now;
        return;
      default:
        throw new LinkFormatError(`record ${record.kind} is not a shard's`);
    }
  }

  #changeWindow(changes: readonly WindowChange[]): void {
    for (const change of changes) {
      const to = this.#links.get(change.shard)!.batch.records;
      if (change.grant > 0) records.writeGrant(to, change.grant);
      if (change.recall > 0) records.writeRecall(to, change.recall);
    }
  }

  /** Tells the shards that asked that the client has taken what they sent, or looks again later. */
  #drain(now: number): void {
    if (this.#config.bufferedBytes() > CLIENT_BUFFER_LOW_BYTES) {
      this.#drainAt = now + BUFFER_POLL_MS;
      return;
    }
    this.#drainAt = undefined;
    for (const link of this.#links.values()) {
      if (!link.asked) continue;
      link.asked = false;
      if (link.life.usable) records.writeDrained(link.batch.records);
    }
  }

  // Ends and failures.

  #linkBroken(name: LinkName, now: number): void {
    if (this.#phase === "done") return;
    if (name === "session") {
      if (this.#sessionEnded || this.#session.phase === "closed") return;
      if (this.#phase === "leaving" && !this.#fence) {
        // Never welcomed: whatever the object began it ends by itself.
        this.#sessionEnded = true;
        this.#session.close();
        return;
      }
      if (!this.#session.broken(now)) {
        this.#sessionEnded = true;
        this.#fail(
          this.#phase === "joining" ? Reason.ServerUnavailable : Reason.ServerBusy,
          "the session object is away",
          now,
        );
      }
      return;
    }
    const link = this.#links.get(name);
    if (!link || link.life.phase === "closed") return;
    this.#linkDown(link);
    if (!link.needed) link.life.close();
    else if (!link.life.broken(now)) this.#fail(Reason.ServerBusy, `shard ${name} is away`, now);
  }

  #linkDown(link: ShardLink): void {
    link.batch.reset();
    link.asked = false;
    if (this.#window) this.#changeWindow(this.#window.close(link.shard));
  }

  #guard(now: number, body: () => void): void {
    try {
      body();
    } catch (error) {
      this.#caught(error, now);
    }
  }

  /** The client broke the protocol, or we broke ourselves. */
  #caught(error: unknown, now: number): void {
    if (error instanceof MqttError) {
      this.#fail(error.reason, error.message, now);
      return;
    }
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#fail(Reason.UnspecifiedError, detail, now, CloseCode.InternalError);
  }

  /** Ends the connection with a reason that an MQTT 5 client is told [MQTT-4.13.1-1]. Its will is published. */
  #fail(reason: Reason, detail: string, now: number, code = closeCode(reason)): void {
    if (this.#phase === "leaving" || this.#phase === "done") return;
    if (this.#phase === "connecting" || this.#phase === "joining") {
      const version = this.#connect?.version;
      this.#refuse(new MqttError(reason, detail), this.#phase === "joining" ? version : undefined, now, code);
      return;
    }
    this.#effects.push({ type: "report", reason, detail });
    if (this.#connect!.version === 5) {
      const packet = encodeDisconnect(reason);
      if (packet.length <= this.#clientPacketBytesMax) this.output.push(packet);
    }
    this.#closing = { code, reason: "" };
    this.#leave(true, now);
  }

  /** Answers a CONNECT that is not accepted, in a form that the client can read, or silently [MQTT-3.1.4-1]. */
  #refuse(error: MqttError, version: 3 | 4 | 5 | undefined, now: number, code = closeCode(error.reason)): void {
    this.#effects.push({ type: "report", reason: error.reason, detail: error.message });
    if (version !== undefined) {
      const packet = encodeConnack(
        { sessionPresent: false, reason: error.reason },
        version,
        this.#clientPacketBytesMax,
      );
      if (packet) this.output.push(packet);
    }
    this.#closing = { code, reason: "" };
    this.#leave(true, now);
  }

  /** Closes without a word, which is all that a peer gets that does not speak MQTT. */
  #drop(detail: string, now: number): void {
    this.#effects.push({ type: "report", reason: Reason.ProtocolError, detail });
    this.#closing = { code: CloseCode.ProtocolError, reason: "" };
    this.#leave(true, now);
  }

  #leave(publishWill: boolean, now: number): void {
    if (this.#phase === "leaving" || this.#phase === "done") return;
    // A session object that was never asked has nothing to end.
    if (this.#phase === "connecting" || (this.#phase === "joining" && !this.#session.usable)) this.#sessionEnded = true;
    this.#publishWill = publishWill && this.#phase === "open"; // [MQTT-3.1.2-7]
    this.#phase = "leaving";
    this.#leaveBy = now + FLUSH_MS;
    this.#drainAt = undefined;
    for (const link of this.#links.values()) if (link.life.usable) records.writeBye(link.batch.records);
  }

  /** Lets out what the input produced: link frames, then the client's bytes, then the end. */
  #settle(now: number): readonly Effect[] {
    if (this.#drainAt !== undefined && now >= this.#drainAt) this.#drain(now);
    if (this.#phase === "leaving") this.#proceed(now);
    for (const link of this.#links.values()) {
      if (!link.life.usable) continue;
      const frame = link.batch.due(now);
      if (frame) this.#effects.push({ type: "sendLink", link: link.shard, frame });
    }
    const bytes = this.output.take();
    if (bytes) this.#effects.push({ type: "send", bytes });
    if (this.#closing) {
      this.#effects.push({ type: "close", ...this.#closing });
      this.#closing = undefined;
    }
    if (this.#phase === "leaving" && this.#sessionEnded && this.#ending) this.#finish();
    return this.#effects.splice(0);
  }

  /** Ends the session once every shard has taken what the client published. */
  #proceed(now: number): void {
    if (this.#ending) {
      if (now >= this.#leaveBy!) this.#sessionEnded = true;
      return;
    }
    const flushed = [...this.#links.values()].every((link) => link.settled);
    if (!flushed && now < this.#leaveBy!) return;
    this.#ending = true;
    this.#leaveBy = now + GIVE_UP_MS;
    if (this.#sessionEnded || this.#session.phase === "closed") {
      this.#sessionEnded = true;
      return;
    }
    if (!this.#session.usable) return;
    const to = new ByteWriter(8);
    records.writeEnd(to, this.#publishWill);
    this.#effects.push({ type: "sendLink", link: "session", frame: to.take() });
  }

  #finish(): void {
    this.#phase = "done";
    for (const link of this.#links.values()) link.life.close();
    this.#session.close();
    this.#effects.push({ type: "done" });
  }

  /** Sends a packet that must reach the client, or ends the connection if it may not be sent [MQTT-3.1.2-24]. */
  #reply(packet: Uint8Array): void {
    if (packet.length > this.#clientPacketBytesMax) {
      throw new MqttError(Reason.PacketTooLarge, "the answer is above the client's Maximum Packet Size");
    }
    this.output.push(packet);
  }

  get #clientPacketBytesMax(): number {
    return this.#connect?.maximumPacketSize ?? Infinity;
  }

  #life(name: LinkName): LinkLife {
    return new LinkLife(name, this.#config.random, this.#effects);
  }
}

function closeCode(reason: Reason): number {
  switch (reason) {
    case Reason.MalformedPacket:
    case Reason.ProtocolError:
      return CloseCode.ProtocolError;
    case Reason.PacketTooLarge:
      return CloseCode.TooBig;
    case Reason.ServerShuttingDown:
      return CloseCode.ServiceRestart;
    case Reason.ServerBusy:
    case Reason.ServerUnavailable:
      return CloseCode.TryAgainLater;
    default:
      return CloseCode.PolicyViolation;
  }
}
