/**
 * One client's connection: bytes and link records in, effects and the next deadline out.
 *
 *     connecting ──CONNECT──▶ authenticating ──▶ joining ──welcome──▶ open ──▶ leaving ──▶ done
 *
 * - connecting: nothing but CONNECT is taken [MQTT-3.1.0-1], and not for ever.
 * - authenticating: it is asked who the client is; if CONNECT named a method, AUTH goes to and fro [MQTT §4.12]. Not for
 *   ever either. No object has heard of the client yet.
 * - joining: the session object decides; what the client sends meanwhile waits [MQTT-3.1.4-6].
 * - open: packets go to the shards, deliveries come from them.
 * - leaving: the client is gone. The shard links are flushed first and the session link is ended last, so that a will
 *   is published after everything that its client published (`docs/links.md`).
 *
 * Nothing here reads a clock or touches a socket. An input returns the effects to perform, in order.
 */

import { encodeAck, readAck } from "../../mqtt/ack.ts";
import type { Auth, Connect } from "../../mqtt/codec.ts";
import {
  connectVersionHint,
  decodeAuth,
  decodeConnect,
  decodeDisconnect,
  decodeSubscribe,
  decodeUnsubscribe,
  encodeAuth,
  encodeConnack,
  encodeDisconnect,
  encodeSuback,
  encodeUnsuback,
} from "../../mqtt/codec.ts";
import { checkFixedHeader, FrameReader, readPingreq } from "../../mqtt/frame.ts";
import { PacketType, PINGRESP } from "../../mqtt/packet.ts";
import { readPublish } from "../../mqtt/publish.ts";
import { MqttError, Reason } from "../../mqtt/reason.ts";
import { TopicCache } from "../../mqtt/topic-cache.ts";
import { ByteReader, LinkFormatError } from "../../link/bytes.ts";
import type { ConnectionBound, KeepRecord, WelcomeRecord } from "../../link/records.ts";
import * as records from "../../link/records.ts";
import { type Access, sessionOf } from "../authentication/access.ts";
import type { Answer, Question, Recognition } from "../authentication/asking.ts";
import type { Arrival } from "../authentication/identity.ts";
import { type Need, type Permissions, publishing, subscribing } from "../authorization/permissions.ts";
import type { Action } from "../authorization/rule.ts";
import type { Door } from "../bans/door.ts";
import type { Limits, Settings } from "../limits.ts";
import type { Placement } from "../shard/placement.ts";
import { Admission } from "./admission.ts";
import { Budget } from "./budget.ts";
import { acceptance, admit, sessionExpiry } from "./connack.ts";
import { CloseCode, closeCode, type Effect, type LinkName } from "./effects.ts";
import { effectiveKeepAlive, Keepalive } from "./keepalive.ts";
import { Leaving } from "./leaving.ts";
import { LinkLife } from "./link-life.ts";
import { Output } from "./output.ts";
import { Publishing } from "./publishing.ts";
import { Rights } from "./rights.ts";
import { introduction, SessionLink } from "./session-link.ts";
import type { ShardLink } from "./shard-link.ts";
import { ShardLinks } from "./shard-links.ts";
import { Subscribing } from "./subscribing.ts";

/** A CONNECT cannot begin otherwise, so whoever does need not be heard to the end [MQTT-3.1.0-1]. */
const CONNECT_FIRST_BYTE = PacketType.CONNECT << 4;

/** How often it is told at most what was dropped. */
const TELL_MS = 60_000;

export interface ConnectionConfig {
  readonly limits: Limits;
  readonly settings: Settings;
  readonly placement: Placement;
  /** Of the tenant below. */
  readonly access: Access;
  readonly arrival: Arrival;
  /** Undefined: nobody is turned away who can prove who it is. */
  readonly door?: Door | undefined;
  /** Of a client that came to no other, and whose identity does not say another one. */
  readonly tenant: string;
  readonly linkVersions: records.LinkVersions;
  /** Unique in the tenant. It becomes the client id of a client that brings none. */
  readonly connectionId: string;
  /** Uniform in [0, 1). */
  readonly random: () => number;
  /** Bytes that were sent to the client and have not left. */
  readonly bufferedBytes: () => number;
}

type Phase = "connecting" | "authenticating" | "joining" | "open" | "leaving" | "done";

export class Connection {
  readonly limits: Limits;
  readonly settings: Settings;
  readonly placement: Placement;
  readonly output = new Output();
  readonly effects: Effect[] = [];
  readonly #config: ConnectionConfig;
  readonly #reader: FrameReader;
  readonly #connectBy: number;
  readonly #budget: Budget;
  #phase: Phase = "connecting";
  #closing: { code: number; reason: string } | undefined;

  // Set by CONNECT.
  #connect: Connect | undefined;
  readonly #admission: Admission;
  readonly #rights: Rights;
  /** The client's socket closed while what it had sent was waiting. */
  #isGone = false;
  /** What an exchange ended with; CONNACK says it. */
  #authenticated: Auth | undefined;
  /** How long the session outlives this connection; DISCONNECT may change it. */
  #expirySeconds = 0;
  readonly #session: SessionLink;

  /** As the client knows it: before CONNACK that is what it asked for. */
  #keepalive: Keepalive | undefined;

  // Set by the session object's welcome.
  #publishing: Publishing | undefined;
  #subscribing: Subscribing | undefined;
  #shards: ShardLinks | undefined;
  #topics: TopicCache | undefined;
  /** When it may be told again what was dropped. */
  #tellAt = -Infinity;

  // Set on leaving.
  /** We make the client connect again. */
  #planned = false;
  #leaving: Leaving | undefined;

  constructor(config: ConnectionConfig, now: number) {
    this.#config = config;
    this.limits = config.limits;
    this.settings = config.settings;
    this.placement = config.placement;
    this.#reader = new FrameReader(config.limits.packetBytesMax);
    this.#budget = new Budget(config.limits.connectionCpuSecondsMax);
    this.#connectBy = now + config.limits.connectSecondsMax * 1000;
    this.#admission = new Admission(config);
    this.#rights = new Rights(this, this.#admission);
    this.#session = new SessionLink(this.life("session"), this.effects);
  }

  /** The client's id once CONNECT is read. */
  get clientId(): string {
    return this.#admission.clientId;
  }

  /** Who the client is, once it is known; undefined: nobody in particular. */
  get user(): string | undefined {
    return this.#admission.identity?.user;
  }

  /** Whose name space it is in; until the client is known, as far as what it came to says. */
  get tenant(): string {
    return this.#admission.tenant;
  }

  /** What the session is called once the client is known; the session object is found by it. */
  get session(): string {
    return sessionOf(this.user, this.clientId, this.#admission.access);
  }

  /** Nobody knows yet who the client is. */
  get isStranger(): boolean {
    return this.#phase === "connecting" || this.#phase === "authenticating";
  }

  /** Bytes of the client that are no whole packet, or that wait. */
  get heldBytes(): number {
    return this.#reader.heldBytes;
  }

  /** True while some shard takes less than this client sends: a transport that can should read no further. */
  get congested(): boolean {
    if (this.#phase === "leaving" || this.#phase === "done") return false;
    if (this.#isWaiting) return this.#reader.heldBytes > this.limits.packetBytesMax;
    return this.#shards !== undefined && this.#shards.backlogBytes > this.limits.linkBacklogBytesMax / 4;
  }

  /** When {@link tick} has to be called at the latest. */
  get deadline(): number | undefined {
    switch (this.#phase) {
      case "connecting":
        return this.#connectBy;
      case "authenticating":
        return earliest({ deadline: this.#connectBy }, this.#keepalive);
      case "joining":
        return this.#session.life.deadline;
      case "open":
        return earliest(
          this.#session.life,
          this.#shards,
          this.#patience,
          this.#publishing,
          this.#subscribing,
          this.#admission,
        );
      case "leaving":
        return earliest(this.#session.life, this.#shards, this.#leaving);
      case "done":
        return undefined;
    }
  }

  // Inputs from the client.

  bytes(chunk: Uint8Array, now: number): readonly Effect[] {
    if (this.#phase !== "leaving" && this.#phase !== "done") {
      this.#budget.piece(chunk.length);
      this.#reader.push(chunk);
      if (this.#isWaiting && this.#reader.heldBytes > 2 * this.limits.packetBytesMax) {
        if (!this.#rights.lapse(now)) this.#fail(Reason.QuotaExceeded, "too much sent while it has to wait", now);
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
    // What it has sent before is done first: who publishes and leaves would otherwise have published nothing.
    if (this.#phase === "open" && this.#rights.waits) this.#isGone = true;
    else this.#leave(true, now);
    return this.#settle(now);
  }

  /** There are too many clients that nobody knows yet, and this one is the oldest of them. */
  turnAway(now: number): readonly Effect[] {
    if (this.isStranger) this.#fail(Reason.ServerBusy, "too many clients that are not known yet", now);
    return this.#settle(now);
  }

  /** A question of the connection is answered, by whoever knows. */
  answered(answer: Answer, now: number): readonly Effect[] {
    if (this.#phase === "leaving" || this.#phase === "done") return this.#settle(now);
    this.#guard(now, () => {
      if (answer.type === "decided") this.#rights.decided(answer, now);
      else if (answer.type === "current") this.#rights.current(answer, now);
      else this.#onAnswer(answer, now);
    });
    this.#consume(now);
    return this.#settle(now);
  }

  // Inputs from the links.

  linkOpened(name: LinkName, now: number): readonly Effect[] {
    if (name === "session") this.#session.opened();
    else this.#shards!.opened(name);
    return this.#settle(now);
  }

  linkFrame(name: LinkName, frame: Uint8Array, now: number): readonly Effect[] {
    this.#budget.piece(frame.length);
    if (name !== "session" && this.#phase === "open" && this.#rights.holds(now)) this.#rights.hold(name, frame);
    else this.take(name, frame, now);
    this.#consume(now);
    return this.#settle(now);
  }

  take(name: LinkName, frame: Uint8Array, now: number): void {
    try {
      const reader = new ByteReader(frame);
      while (!reader.done && this.#phase !== "done") {
        const record = records.readRecord(reader, now) as ConnectionBound;
        if (name === "session") this.#fromSession(record, now);
        else this.#fromShard(this.#shards!.get(name)!, record, now);
      }
    } catch (error) {
      if (error instanceof LinkFormatError) {
        this.effects.push({ type: "closeLink", link: name });
        this.#linkBroken(name, now);
      } else {
        this.#caught(error, now);
      }
    }
  }

  linkClosed(name: LinkName, now: number): readonly Effect[] {
    this.#linkBroken(name, now);
    return this.#settle(now);
  }

  linkPong(name: LinkName, now: number): void {
    const life = name === "session" ? this.#session.life : this.#shards?.get(name)?.life;
    life?.heard(now);
  }

  // Input from the clock.

  tick(now: number): readonly Effect[] {
    if (this.#phase === "connecting" && now >= this.#connectBy) this.#drop("no CONNECT in time", now);
    if (this.#phase === "authenticating") {
      if (this.#keepalive?.expired(now)) this.#drop("keep alive timeout", now);
      else if (now >= this.#connectBy) this.#fail(Reason.NotAuthorized, "not authenticated in time", now);
    }
    if (this.#phase === "open" && now >= (this.#rights.deadline ?? Infinity)) {
      this.#rights.lapse(now);
      this.#consume(now);
    }
    if (this.#phase === "open") {
      const { deadline: expiresAt = Infinity } = this.#admission;
      // A client that is not listened to is not silent.
      if (!this.#rights.waits && this.#keepalive!.expired(now))
        this.#fail(Reason.KeepAliveTimeout, "keep alive timeout", now);
      else if (now >= expiresAt) this.#fail(Reason.MaximumConnectTime, "what it proved who it is by has expired", now);
      else {
        this.#guard(now, () => {
          this.#publishing!.tick(now);
          this.#subscribing!.tick(now);
        });
      }
    }
    if (this.#session.life.tick(now)) this.#linkBroken("session", now);
    this.#shards?.tick(now, (shard) => this.#linkBroken(shard, now));
    return this.#settle(now);
  }

  // What the parts ask for.

  /** The client may not do that. */
  denied(action: Action, filter: string, reason: Reason = Reason.NotAuthorized): void {
    this.effects.push({ type: "denied", action, filter, reason });
  }

  /** Asks whoever knows; the answer comes with {@link answered}. */
  ask(question: Question): void {
    this.#budget.exchange();
    this.effects.push({ type: "ask", question });
  }

  /** The packet in hand is taken anew when it is known whether the client may do these. */
  await(needs: readonly Need[], now: number): void {
    this.#reader.unread();
    this.#rights.when(needs, now, () => {});
  }

  get subscribed(): readonly Need[] {
    return this.#subscribing!.needs;
  }

  /** What is under way from a shard may be what the client may not have any more: the shard begins again without it. */
  withdraw(now: number): void {
    for (const shard of this.#subscribing!.withdraw(now)) {
      if (!this.#shards!.get(shard)!.life.usable) continue;
      this.effects.push({ type: "closeLink", link: shard });
      this.#linkBroken(shard, now);
    }
  }

  get permissions(): Permissions {
    return this.#admission.permissions;
  }

  get bufferedBytes(): () => number {
    return this.#config.bufferedBytes;
  }

  life(name: LinkName): LinkLife {
    return new LinkLife(name, this.#config.random, this.effects);
  }

  /** The link to a shard, opened if it was not. */
  link(shard: number, now: number): ShardLink {
    return this.#shards!.to(shard, now);
  }

  get resumed(): boolean {
    return this.#shards!.resumed;
  }

  uses(shard: number): boolean {
    return this.#session.uses(shard);
  }

  use(shard: number, now: number, goOn: (now: number) => void): void {
    this.keep({ put: [], remove: [], shards: [shard] }, now, goOn);
  }

  keep(change: Pick<KeepRecord, "put" | "remove" | "shards">, now: number, goOn: (now: number) => void): void {
    this.#session.keep(change, now, (later) => {
      // The client may have gone meanwhile; what was kept is mended by the next connection's hello.
      if (this.#phase !== "open") return;
      if (this.#session.persistent) for (const shard of change.shards) this.link(shard, later).holds = true;
      goOn(later);
    });
  }

  suback(packetId: number, codes: readonly number[]): void {
    this.#reply(encodeSuback(packetId, codes as Reason[], this.#connect!.version));
  }

  unsuback(packetId: number, codes: readonly number[]): void {
    if (this.#connect!.version < 5 && codes.some((code) => code >= 0x80)) {
      // UNSUBACK has no codes before MQTT 5, and what it would say is not true [3.1.1 MQTT-4.8.0-2].
      throw new MqttError(Reason.ServerBusy, "a shard did not confirm UNSUBSCRIBE");
    }
    this.#reply(encodeUnsuback(packetId, codes as Reason[], this.#connect!.version));
  }

  // Packets of the client.

  #consume(now: number): void {
    if (this.#phase === "open") this.#rights.at(now);
    this.#guard(now, () => {
      while (this.#takesPackets && this.#reader.next()) {
        if (this.#phase === "connecting") this.#onConnect(now);
        else if (this.#phase === "open") this.#onPacket(now);
        else this.#onPacketBeforeConnack(now);
      }
      const first = this.#reader.incompleteFirstByte;
      if (this.#phase === "connecting" && first !== undefined && first !== CONNECT_FIRST_BYTE) {
        this.#drop("the first packet is not CONNECT", now);
      }
    });
    if (this.#phase !== "open") return;
    this.#rights.done();
    if (this.#isGone && !this.#rights.waits) this.#leave(true, now);
  }

  get #takesPackets(): boolean {
    if (this.#rights.waits) return false;
    if (this.#phase === "open" || this.#phase === "connecting") return true;
    // They wait for CONNACK, but not of a client that may send none.
    if (this.#phase === "joining") return this.#admission.isExchange;
    return this.#phase === "authenticating" && !this.#admission.asked;
  }

  /** What the client sends is kept for later. */
  get #isWaiting(): boolean {
    return this.#phase === "joining" || this.#phase === "authenticating" || this.#rights.waits;
  }

  #onPacket(now: number): void {
    const reader = this.#reader;
    const version = this.#connect!.version;
    checkFixedHeader(reader.type, reader.flags, version);
    this.#keepalive!.packet(now);
    if (isJudged(reader.type) && this.#rights.holds(now)) {
      reader.unread();
      return;
    }
    this.#budget.packet();
    switch (reader.type) {
      case PacketType.PUBLISH:
        this.#publishing!.publish(readPublish(reader, version, this.limits, this.#topics!), now);
        return;
      case PacketType.PUBACK:
        this.#shards!.acknowledged(readAck(reader, version).packetId, 1);
        return;
      case PacketType.PUBREC:
        this.#onPubrec();
        return;
      case PacketType.PUBREL:
        this.#publishing!.release(readAck(reader, version).packetId, now);
        return;
      case PacketType.PUBCOMP:
        this.#shards!.acknowledged(readAck(reader, version).packetId, 2);
        return;
      case PacketType.SUBSCRIBE:
        this.#subscribing!.subscribe(decodeSubscribe(reader, version), now);
        return;
      case PacketType.UNSUBSCRIBE:
        this.#subscribing!.unsubscribe(decodeUnsubscribe(reader, version), now);
        return;
      case PacketType.PINGREQ:
        readPingreq(reader);
        this.output.push(PINGRESP);
        return;
      case PacketType.DISCONNECT:
        this.#onDisconnect(now);
        return;
      case PacketType.AUTH:
        this.#onAuth();
        return;
      case PacketType.CONNECT:
        throw new MqttError(Reason.ProtocolError, "second CONNECT"); // [MQTT-3.1.0-2]
      default:
        throw new MqttError(Reason.ProtocolError, `packet type ${reader.type} is not for a server`);
    }
  }

  /** A client that authenticates itself sends only AUTH and DISCONNECT until it has CONNACK [MQTT-3.1.2-30]. */
  #onPacketBeforeConnack(now: number): void {
    const reader = this.#reader;
    checkFixedHeader(reader.type, reader.flags, 5);
    this.#keepalive!.packet(now);
    this.#budget.packet();
    if (reader.type === PacketType.DISCONNECT) {
      decodeDisconnect(reader, 5);
      this.#leave(false, now);
    } else if (reader.type === PacketType.AUTH && this.#phase === "authenticating") {
      this.ask(this.#admission.auth(decodeAuth(reader)));
    } else {
      throw new MqttError(Reason.ProtocolError, `packet type ${reader.type} before CONNACK`);
    }
  }

  /** Re-authentication; everything else goes on meanwhile [MQTT §4.12.1]. */
  #onAuth(): void {
    this.ask(this.#admission.auth(decodeAuth(this.#reader)));
  }

  /** A client has a QoS 2 delivery, or will not have it [MQTT-4.3.3-4]. */
  #onPubrec(): void {
    const version = this.#connect!.version;
    const { packetId, reason } = readAck(this.#reader, version);
    if (reason >= 0x80) {
      this.#shards!.rejected(packetId);
      return;
    }
    const received = this.#shards!.received(packetId);
    if (received === "recorded") this.#pubrel(packetId);
    else if (received === "unknown") this.#pubrel(packetId, Reason.PacketIdentifierNotFound);
  }

  #pubrel(packetId: number, reason: Reason = Reason.Success): void {
    this.output.push(encodeAck(PacketType.PUBREL, packetId, this.#connect!.version, reason));
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
    this.#phase = "authenticating";
    try {
      const question = this.#admission.connect(connect, this.#config.connectionId, now);
      admit(connect, this.settings);
      if (this.#admission.isExchange) this.#keepalive = new Keepalive(connect.keepAliveSeconds, now);
      this.ask(question);
    } catch (error) {
      if (!(error instanceof MqttError)) throw error;
      this.#refuse(error, connect.version, now);
    }
  }

  /** It is known who the client is, or the broker's part of an exchange goes to it. */
  #onAnswer(answer: Recognition, now: number): void {
    const auth = this.#admission.answered(answer, now);
    if (this.#phase === "open") {
      this.#reply(encodeAuth(auth!));
      if (answer.type === "accepted") this.#rights.renewed(now);
    } else if (auth?.reason === Reason.ContinueAuthentication) {
      this.#reply(encodeAuth(auth));
    } else {
      this.#authenticated = auth;
      this.#rights.known(now);
      this.#admitted(now);
    }
  }

  /** It is known who the client is; a will that it may not have ends the connection before it has begun [MQTT §3.1.4]. */
  #admitted(now: number): void {
    const { will } = this.#connect!;
    this.#rights.at(now);
    const may = !will || this.permissions.mayWill(will.topic, will.retain);
    if (may === undefined) {
      this.#rights.when(publishing(will!.topic, will!.retain, true), now, (later) => this.#admitted(later));
      return;
    }
    if (!may) throw new MqttError(Reason.NotAuthorized, "the will may not be published");
    this.#join(now);
  }

  #join(now: number): void {
    const connect = this.#connect!;
    this.#phase = "joining";
    const { connectionId, linkVersions } = this.#config;
    this.#expirySeconds = sessionExpiry(connect, connect.sessionExpirySeconds, this.limits.sessionExpirySecondsMax);
    const names = {
      ...offer(linkVersions),
      tenant: this.tenant,
      session: this.session,
      connection: connectionId,
    };
    this.#session.open(introduction(connect, names, this.#expirySeconds, now), now);
  }

  /** When the client has been silent for too long, or has not been listened to for long enough. */
  get #patience(): { readonly deadline: number | undefined } | undefined {
    return this.#rights.waits ? this.#rights : this.#keepalive;
  }

  #onDisconnect(now: number): void {
    const { reason, sessionExpirySeconds } = decodeDisconnect(this.#reader, this.#connect!.version);
    if ((sessionExpirySeconds ?? 0) > 0 && (this.#connect!.sessionExpirySeconds ?? 0) === 0) {
      throw new MqttError(Reason.ProtocolError, "session expiry raised from 0"); // [MQTT §3.14.2.2.2]
    }
    if (sessionExpirySeconds !== undefined) {
      this.#expirySeconds = Math.min(sessionExpirySeconds, this.limits.sessionExpirySecondsMax);
    }
    this.#leave(reason !== Reason.NormalDisconnection, now); // [MQTT-3.14.4-3]
    // Whoever takes the session over before its end is settled finds it as the client left it.
    this.#session.leave(this.#leaving!.end);
  }

  // Records of the session object.

  #fromSession(record: ConnectionBound, now: number): void {
    switch (record.kind) {
      case records.Kind.Welcome:
        if (this.#session.welcome(record, now) && this.#phase === "joining") this.#welcome(record, now);
        return;
      case records.Kind.Refused:
        this.#session.settle();
        if (record.reason === Reason.SessionTakenOver) this.#shards?.overtaken();
        this.#fail(record.reason, "the session object refused", now);
        return;
      case records.Kind.Kept:
        this.#session.kept(record.request, now);
        return;
      case records.Kind.Ended:
        this.#session.settle();
        return;
      default:
        throw new LinkFormatError(`record ${record.kind} is not a session object's`);
    }
  }

  #welcome(welcome: WelcomeRecord, now: number): void {
    const needs = welcome.subscriptions.map(({ filter }) => subscribing(filter));
    this.#rights.when(needs, now, (later) => this.#open(welcome, later));
  }

  #open(welcome: WelcomeRecord, now: number): void {
    const connect = this.#connect!;
    const { limits, settings, linkVersions } = this.#config;
    this.#phase = "open";
    const identity = {
      ...offer(linkVersions),
      shards: this.placement.shards,
      depth: this.placement.depth,
      tenant: this.tenant,
      session: this.session,
      generation: welcome.generation,
      epoch: welcome.epoch,
      mqttVersion: connect.version,
      packetBytesMax: connect.maximumPacketSize ?? 0xffff_ffff,
      topicAliasMaximum: connect.topicAliasMaximum ?? 0,
      persistent: welcome.persistent,
    };
    this.#shards = new ShardLinks(this, identity, Math.min(connect.receiveMaximum ?? 65_535, limits.inflightMax));
    // A client before MQTT 5 cannot be told another keep alive than its own.
    const keepAliveSecondsMax = connect.version === 5 ? settings.keepAliveSecondsMax : 0;
    this.#keepalive = new Keepalive(effectiveKeepAlive(connect.keepAliveSeconds, keepAliveSecondsMax), now);
    this.#topics = new TopicCache();
    this.#publishing = new Publishing(this, connect.version, now);
    this.#subscribing = new Subscribing(this);
    const { sessionPresent } = welcome;
    const accepted = acceptance(connect, sessionPresent, this.clientId, limits, settings, this.#authenticated);
    const packet = encodeConnack(accepted, connect.version, this.#clientPacketBytesMax);
    if (packet) {
      this.output.push(packet);
      const allowed = welcome.subscriptions.filter(({ filter }) => this.permissions.maySubscribe(filter));
      this.#subscribing.resume(allowed);
      this.#shards.resume(welcome.shards, allowed, now);
      this.#forsake(welcome.subscriptions, allowed, now);
    } else this.#drop("CONNACK is above the client's Maximum Packet Size", now); // [MQTT-3.1.2-24]
  }

  /** The client may not have any more what it once subscribed to. Its shards are not told of that in the first place. */
  #forsake(
    kept: readonly records.SubscriptionRecord[],
    allowed: readonly records.SubscriptionRecord[],
    now: number,
  ): void {
    const remove = kept.filter((subscription) => !allowed.includes(subscription)).map(({ filter }) => filter);
    if (remove.length > 0) this.keep({ put: [], remove, shards: [] }, now, () => {});
    for (const filter of remove) this.denied("subscribe", filter);
  }

  // Records of the shards.

  #fromShard(link: ShardLink, record: ConnectionBound, now: number): void {
    if (this.#shards!.record(link, record, now)) return;
    if (record.kind === records.Kind.Refused) {
      this.#shards!.refused(link);
      this.#fail(record.reason, `shard ${link.shard} refused`, now);
    }
    if (this.#phase !== "open") return;
    switch (record.kind) {
      case records.Kind.Deliver:
        this.#shards!.delivered(link, record.deliveries);
        this.output.push(record.packets);
        return;
      case records.Kind.Attached:
        for (const packetId of this.#shards!.attached(link, record)) this.#pubrel(packetId);
        this.#publishing!.holds(link, record.received);
        this.#publishing!.resume(now);
        return;
      case records.Kind.Recorded:
        if (link.recorded(record.packetId)) this.#pubrel(record.packetId);
        return;
      case records.Kind.Published:
        this.#publishing!.published(link, record.packetId, record.reason, now);
        return;
      case records.Kind.Released:
        this.#publishing!.released(link, record.packetId);
        return;
      case records.Kind.Subscribed:
        link.passed(record.cursor);
        this.#subscribing!.subscribed(link, record.request, record.start, record.codes, now);
        return;
      case records.Kind.Unsubscribed:
        this.#subscribing!.unsubscribed(link, record.request, record.codes, now);
        return;
      default:
        return;
    }
  }

  // Ends and failures.

  #linkBroken(name: LinkName, now: number): void {
    if (this.#phase === "done") return;
    if (name !== "session") {
      this.#rights.drop(name);
      if (!this.#shards!.broken(name, now)) this.#fail(Reason.ServerBusy, `shard ${name} is away`, now);
    } else if (!this.#session.broken(now)) {
      const reason = this.#phase === "joining" ? Reason.ServerUnavailable : Reason.ServerBusy;
      this.#fail(reason, "the session object is away", now);
    }
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
    if (this.#phase !== "open") {
      const version = this.#phase === "connecting" ? undefined : this.#connect!.version;
      this.#refuse(new MqttError(reason, detail), version, now, code);
      return;
    }
    this.effects.push({ type: "report", event: "disconnected", reason, detail });
    if (this.#connect!.version === 5) {
      const packet = encodeDisconnect(reason, this.#properties(reason));
      if (packet.length <= this.#clientPacketBytesMax) this.output.push(packet);
    }
    this.#closing = { code, reason: "" };
    this.#leave(true, now);
  }

  /** Answers a CONNECT that is not accepted, in a form that the client can read, or silently [MQTT-3.1.4-1]. */
  #refuse(error: MqttError, version: 3 | 4 | 5 | undefined, now: number, code = closeCode(error.reason)): void {
    this.effects.push({ type: "report", event: "refused", reason: error.reason, detail: error.message });
    if (version !== undefined) {
      const packet = encodeConnack(
        { sessionPresent: false, reason: error.reason, properties: this.#properties(error.reason) },
        version,
        this.#clientPacketBytesMax,
      );
      if (packet) this.output.push(packet);
    }
    this.#closing = { code, reason: "" };
    this.#leave(true, now);
  }

  /** What goes with the end of a connection: where to go instead [MQTT §3.2.2.3.16]. */
  #properties(reason: Reason): { serverReference?: string } {
    return reason === Reason.ServerMoved ? { serverReference: this.settings.serverReference } : {};
  }

  /** Closes without a word, which is all that a peer gets that does not speak MQTT. */
  #drop(detail: string, now: number): void {
    this.effects.push({ type: "report", event: "refused", reason: Reason.ProtocolError, detail });
    this.#closing = { code: CloseCode.ProtocolError, reason: "" };
    this.#leave(true, now);
  }

  #leave(publishWill: boolean, now: number): void {
    if (this.#phase === "leaving" || this.#phase === "done") return;
    // A session object that was never asked has nothing to end.
    if (this.#phase === "joining" && !this.#session.life.usable) this.#session.settle();
    const end = {
      publishWill: publishWill && this.#phase === "open" && this.#mayStillWill, // [MQTT-3.1.2-7]
      planned: this.#planned,
      expirySeconds: this.#expirySeconds,
      goneAt: now,
    };
    this.#phase = "leaving";
    this.#leaving = new Leaving(this.#session, this.#shards, end, now);
  }

  /** Rules may have changed since CONNECT. What somebody had to be asked about was decided then. */
  get #mayStillWill(): boolean {
    const { will } = this.#connect!;
    if (!will || this.permissions.mayWill(will.topic, will.retain) !== false) return true;
    this.denied("will", will.topic);
    return false;
  }

  /** The Worker may not work for this client much longer: it is asked to connect again, before it is cut off. */
  #retire(now: number): void {
    this.#planned = true;
    this.#fail(Reason.ServerShuttingDown, "the connection has used its CPU time", now);
  }

  /** Lets out what the input produced: link frames, then the client's bytes, then the end. */
  #settle(now: number): readonly Effect[] {
    if (this.#phase === "open" && this.#budget.spent) this.#retire(now);
    if (this.#publishing?.hasLost) this.#tellLost(this.#publishing, now);
    if (this.#phase === "leaving") {
      this.#rights.release(now);
      this.#leaving!.proceed(now);
    }
    this.#shards?.flush(now);
    const bytes = this.output.take();
    if (bytes) this.effects.push({ type: "send", bytes });
    if (this.#closing) {
      this.effects.push({ type: "close", ...this.#closing });
      this.#closing = undefined;
    }
    if (this.#phase === "leaving" && this.#leaving!.over) this.#finish();
    return this.effects.splice(0);
  }

  /** Says what was dropped, now and then and at the end. */
  #tellLost(publishing: Publishing, now: number): void {
    if (now < this.#tellAt && this.#phase === "open") return;
    this.#tellAt = now + TELL_MS;
    this.effects.push({ type: "dropped", ...publishing.lost() });
  }

  #finish(): void {
    this.#phase = "done";
    this.#shards?.close();
    this.#session.settle();
    // Whoever waits for the socket's end learns by it that the connection's end is stored.
    this.effects.push({ type: "close", code: CloseCode.Normal, reason: "" });
    this.effects.push({ type: "done" });
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
}

/** A packet that depends on what the client may; and acknowledgements, which are a part of what was passed. */
function isJudged(type: number): boolean {
  return type !== PacketType.PINGREQ && type !== PacketType.DISCONNECT && type !== PacketType.AUTH;
}

/** How a link's first record says which versions the connection reads. */
function offer({ min, max }: records.LinkVersions): Pick<records.HelloRecord, "versionMin" | "versionMax"> {
  return { versionMin: min, versionMax: max };
}

/** The earliest of the deadlines that there are. */
function earliest(...parts: readonly ({ readonly deadline: number | undefined } | undefined)[]): number | undefined {
  let deadline = Infinity;
  for (const part of parts) deadline = Math.min(deadline, part?.deadline ?? Infinity);
  return deadline === Infinity ? undefined : deadline;
}
