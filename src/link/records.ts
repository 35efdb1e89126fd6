/**
 * The records that travel between a connection and its objects, version 1 of the link. `docs/links.md` has them byte by
 * byte. A frame is records one after the other and nothing else.
 *
 * Writers are functions onto a {@link ByteWriter}, so that a record is written straight into the frame that carries it.
 * {@link readRecord} is the only reader.
 */

import type { Reason } from "../mqtt/reason.ts";
import type { ByteReader, ByteWriter } from "./bytes.ts";
import { LinkFormatError } from "./bytes.ts";
import type { MessageBody } from "./message.ts";
import { readBody, readMessage, writeBody, writeMessage } from "./message.ts";
import type { Message } from "../mqtt/message.ts";

/** Versions of these records that one end of a link reads: all from the lowest to the highest. */
export interface LinkVersions {
  readonly min: number;
  readonly max: number;
}

/** What this release reads. */
export const LINK_VERSIONS: LinkVersions = { min: 1, max: 1 };

/** The version that both ends of a link write: the highest that both read. Undefined: there is none. */
export function commonVersion(
  { min, max }: LinkVersions,
  { versionMin, versionMax }: Pick<HelloRecord, "versionMin" | "versionMax">,
): number | undefined {
  const version = Math.min(max, versionMax);
  return version < Math.max(min, versionMin) ? undefined : version;
}

/** The first byte of a record. Numbers are never reused. */
export const Kind = {
  // connection → shard
  Hello: 0x01,
  Publish: 0x02,
  Ack: 0x03,
  Subscribe: 0x04,
  Unsubscribe: 0x05,
  Grant: 0x06,
  Recall: 0x07,
  Drained: 0x08,
  Bye: 0x09,
  Echoed: 0x0a,
  Release: 0x0b,
  Received: 0x0c,
  // shard → connection
  Attached: 0x81,
  Taken: 0x82,
  Published: 0x83,
  Subscribed: 0x84,
  Unsubscribed: 0x85,
  Deliver: 0x86,
  Scanned: 0x87,
  Hungry: 0x88,
  Returned: 0x89,
  Ask: 0x8a,
  Echo: 0x8b,
  Released: 0x8c,
  Recorded: 0x8d,
  // connection → session object
  Connect: 0x21,
  End: 0x22,
  Keep: 0x23,
  Leave: 0x24,
  // session object → connection
  Welcome: 0xa1,
  Ended: 0xa2,
  Kept: 0xa3,
  // any object → connection
  Refused: 0xff,
} as const;

/** Which life of a session this is, and which connection of it: later ones fence off earlier ones. */
export interface Fence {
  /** Raised when a clean start or an expiry ends the session's state. */
  readonly generation: number;
  /** Raised by every accepted CONNECT. */
  readonly epoch: number;
}

/** A connection that is over, whose will is published. */
export interface Departed extends Fence {
  /** Its own name: one that was never welcomed may have been taken in twice, under two epochs. */
  readonly connection?: string;
}

/** A subscription as the connection keeps it and a shard applies it. */
export interface SubscriptionRecord {
  /** Names the subscription between this connection and its shards; unique and rising in a connection. */
  readonly number: number;
  readonly filter: string;
  readonly qos: 0 | 1 | 2;
  readonly noLocal: boolean;
  readonly retainAsPublished: boolean;
  readonly retainHandling: 0 | 1 | 2;
  /** MQTT 5 Subscription Identifier; 0 means none. */
  readonly identifier: number;
}

/** Where a subscription stands in its shard. */
interface SubscriptionPlace {
  /** Log offset from which the subscription counts: entries up to it are not its own. */
  readonly start: number;
  /** Where the sending of its retained messages stands; undefined means that all were sent. */
  readonly scan: Scan | undefined;
}

/** A subscription that a shard confirmed before the link broke. */
export type AttachedSubscription = SubscriptionRecord & SubscriptionPlace;

/** A subscription as a hello names it; without `start` only the shard knows its place, from an earlier connection. */
export type GreetedSubscription = SubscriptionRecord &
  Omit<SubscriptionPlace, "start"> & { readonly start: number | undefined };

/** A place in the retained messages of a shard, which are in the order of their offsets. */
export interface Scan {
  /** Those up to this offset were sent. */
  readonly after: number;
  /** The log's head when the SUBSCRIBE came: what was set later is delivered live. */
  readonly upTo: number;
}

/** How far a delivery has come. The numbers are stored. */
export const Phase = {
  /** It was written to the client's present socket, for the first time. */
  Sent: 0,
  /** The client has received it, as QoS 2 says it, and is to be sent PUBREL, never PUBLISH again [MQTT-4.3.3-6]. */
  Received: 1,
  /** It was sent in an earlier connection of the session, and has to be sent again in this one [MQTT-4.4.0-1]. */
  Unsent: 2,
  /** It was, and has been. */
  Resent: 3,
} as const;
export type Phase = (typeof Phase)[keyof typeof Phase];

/** A QoS > 0 delivery that was written to the client and is not acknowledged. */
export interface InflightRecord {
  readonly packetId: number;
  /** Offset of the message in the shard that sent it. */
  readonly offset: number;
  /**
   * 0 for a message of the log, else the number of the subscription that it is for: a shared one, or one whose retained
   * messages it belongs to. A shared one that is 0 is for a subscription that is gone.
   */
  readonly source: number;
  /** It is, or was, for a shared subscription, whose group may want it back. */
  readonly shared?: true;
  readonly qos: 1 | 2;
  /** RETAIN of its PUBLISH. */
  readonly retain: boolean;
  phase: Phase;
}

/** First record of a link to a shard, and all that a shard needs to go on where another link or incarnation ended. */
export interface HelloRecord extends Fence {
  readonly kind: typeof Kind.Hello;
  readonly versionMin: number;
  readonly versionMax: number;
  readonly shards: number;
  readonly depth: number;
  readonly tenant: string;
  /** Client id. */
  readonly session: string;
  /** Raised by every attempt of this connection to attach to this shard. */
  readonly link: number;
  readonly mqttVersion: 3 | 4 | 5;
  /** The client's Maximum Packet Size. */
  readonly packetBytesMax: number;
  /** The client's Topic Alias Maximum; 0: it takes none. */
  readonly topicAliasMaximum: number;
  /** The session outlives its connections, and so does what the shard knows of it. */
  readonly persistent: boolean;
  /**
   * Highest log offset received from this shard. Undefined on the first link, which starts at the log's head, or where an
   * earlier connection of the session has left off.
   */
  readonly cursor: number | undefined;
  /** How many deliveries of shared subscriptions have arrived that were sent to this connection for the first time. */
  readonly sharedReceived: number;
  readonly grants: number;
  readonly subscriptions: readonly GreetedSubscription[];
  readonly inflight: readonly InflightRecord[];
}

/** First record of a link to a session object. */
export interface ConnectRecord {
  readonly kind: typeof Kind.Connect;
  readonly versionMin: number;
  readonly versionMax: number;
  readonly tenant: string;
  readonly session: string;
  /** Unique to the connection, so that its asking again is not taken for another client's. */
  readonly connection: string;
  readonly link: number;
  readonly cleanStart: boolean;
  /** How long the session outlives this connection; 0: not at all, {@link FOR_EVER}: until it is ended. */
  readonly expirySeconds: number;
  /** Set when the connection was welcomed before: its link broke, its client did not. */
  readonly reattach: Fence | undefined;
  readonly will: Message | undefined;
  readonly willDelaySeconds: number;
}

/** How a connection ends. */
export interface End {
  readonly publishWill: boolean;
  /** We made the client reconnect: its will is only due if it does not come back in time. */
  readonly planned: boolean;
  /** How long the session outlives the connection, as DISCONNECT may have changed it. */
  readonly expirySeconds: number;
  /** When its client was gone, in milliseconds since 1970: expiry and the delay of a will count from then. */
  readonly goneAt: number;
}

/** What is to be kept of a session that outlives its connection, beside what is kept already. */
export interface KeepRecord {
  readonly kind: typeof Kind.Keep;
  readonly request: number;
  /** Subscriptions, in the place of those with the same filter. */
  readonly put: readonly SubscriptionRecord[];
  /** Filters that are no longer subscribed to. */
  readonly remove: readonly string[];
  /** Shards that will hold state of the session. */
  readonly shards: readonly number[];
}

/** The session object took a connection in. */
export interface WelcomeRecord extends Fence {
  readonly kind: typeof Kind.Welcome;
  readonly version: number;
  readonly sessionPresent: boolean;
  /** The session outlives this connection, or outlived an earlier one. */
  readonly persistent: boolean;
  /** What is kept of the session; empty on a link that comes back. */
  readonly shards: readonly number[];
  readonly subscriptions: readonly SubscriptionRecord[];
}

/** A shard took a session in. */
export interface AttachedRecord {
  readonly kind: typeof Kind.Attached;
  readonly version: number;
  /** Offset up to which the log was delivered. */
  readonly cursor: number;
  /** Places of the subscriptions that the hello named without one, by their numbers. */
  readonly places: readonly (SubscriptionPlace & { readonly number: number })[];
  /** What earlier connections left unacknowledged, in the order in which it was sent. */
  readonly inflight: readonly InflightRecord[];
  /** QoS 2 packet ids of the client that are taken and not released. */
  readonly received: readonly number[];
}

/** A Session Expiry Interval that never passes [MQTT §3.1.2.11.2]. */
export const FOR_EVER = 0xffff_ffff;

export type ShardBound =
  | HelloRecord
  | { readonly kind: typeof Kind.Publish; readonly packetId: number; readonly body: MessageBody }
  | { readonly kind: typeof Kind.Ack | typeof Kind.Release | typeof Kind.Received; readonly packetId: number }
  | {
      readonly kind: typeof Kind.Subscribe;
      readonly request: number;
      readonly subscriptions: readonly SubscriptionRecord[];
    }
  | { readonly kind: typeof Kind.Unsubscribe; readonly request: number; readonly filters: readonly string[] }
  | { readonly kind: typeof Kind.Grant; readonly count: number }
  | { readonly kind: typeof Kind.Recall; readonly count: number }
  | { readonly kind: typeof Kind.Drained }
  | { readonly kind: typeof Kind.Bye }
  | { readonly kind: typeof Kind.Echoed };

export type SessionBound = ConnectRecord | KeepRecord | ({ readonly kind: typeof Kind.End | typeof Kind.Leave } & End);

export type ConnectionBound =
  | AttachedRecord
  | { readonly kind: typeof Kind.Taken }
  | { readonly kind: typeof Kind.Published; readonly packetId: number; readonly reason: Reason }
  | {
      readonly kind: typeof Kind.Subscribed;
      readonly request: number;
      readonly start: number;
      /** Offset up to which the log was delivered, or left out, under the terms of before. */
      readonly cursor: number;
      readonly codes: Uint8Array;
    }
  | { readonly kind: typeof Kind.Unsubscribed; readonly request: number; readonly codes: Uint8Array }
  | { readonly kind: typeof Kind.Deliver; readonly deliveries: readonly InflightRecord[]; readonly packets: Uint8Array }
  | { readonly kind: typeof Kind.Scanned; readonly number: number; readonly after: number | undefined }
  | { readonly kind: typeof Kind.Hungry }
  | { readonly kind: typeof Kind.Returned; readonly count: number }
  | { readonly kind: typeof Kind.Released | typeof Kind.Recorded; readonly packetId: number }
  | { readonly kind: typeof Kind.Ask }
  | { readonly kind: typeof Kind.Echo }
  | WelcomeRecord
  | { readonly kind: typeof Kind.Kept; readonly request: number }
  | { readonly kind: typeof Kind.Ended }
  | { readonly kind: typeof Kind.Refused; readonly reason: Reason };

export type LinkRecord = ShardBound | SessionBound | ConnectionBound;

/** Set in the code of a confirmed filter whose retained messages follow, until a SCANNED record. */
export const RETAINED_FOLLOW = 0x40;

const FLAG_QOS = 0b0000_0011;
const FLAG_NO_LOCAL = 0b0000_0100;
const FLAG_RETAIN_AS_PUBLISHED = 0b0000_1000;
const FLAG_RETAIN_HANDLING_SHIFT = 4;
const FLAG_SCANNING = 0b0100_0000;
const FLAG_PLACE_UNKNOWN = 0b1000_0000;

const HELLO_CURSOR = 0b01;
const HELLO_PERSISTENT = 0b10;

const CONNECT_CLEAN_START = 0b001;
const CONNECT_REATTACH = 0b010;
const CONNECT_WILL = 0b100;

const END_WILL = 0b01;
const END_PLANNED = 0b10;

const WELCOME_PRESENT = 0b01;
const WELCOME_PERSISTENT = 0b10;

/** Writes what the connection sends before anything else, in the layout that every version of the link can read. */
export function writeHello(to: ByteWriter, hello: Omit<HelloRecord, "kind">): void {
  to.u8(Kind.Hello).u8(hello.versionMin).u8(hello.versionMax).u16(hello.shards).u8(hello.depth);
  to.string(hello.tenant).string(hello.session);
  to.u48(hello.generation).u48(hello.epoch).u32(hello.link);
  to.u8(hello.mqttVersion).u32(hello.packetBytesMax).u16(hello.topicAliasMaximum);
  to.u8((hello.cursor === undefined ? 0 : HELLO_CURSOR) | (hello.persistent ? HELLO_PERSISTENT : 0))
    .u48(hello.cursor ?? 0)
    .u32(hello.sharedReceived)
    .u16(hello.grants);
  to.u32(hello.subscriptions.length);
  for (const subscription of hello.subscriptions) {
    const { start, scan } = subscription;
    writeSubscription(to, subscription, start === undefined ? FLAG_PLACE_UNKNOWN : scan ? FLAG_SCANNING : 0);
    if (start === undefined) continue;
    to.u48(start);
    if (scan) writeScan(to, scan);
  }
  writeInflights(to, hello.inflight);
}

export function writePublish(to: ByteWriter, packetId: number, body: MessageBody): void {
  to.u8(Kind.Publish).u16(packetId);
  writeBody(to, body);
}

export function writeAck(to: ByteWriter, packetId: number): void {
  to.u8(Kind.Ack).u16(packetId);
}

export function writeRelease(to: ByteWriter, packetId: number): void {
  to.u8(Kind.Release).u16(packetId);
}

export function writeReleased(to: ByteWriter, packetId: number): void {
  to.u8(Kind.Released).u16(packetId);
}

export function writeReceived(to: ByteWriter, packetId: number): void {
  to.u8(Kind.Received).u16(packetId);
}

export function writeRecorded(to: ByteWriter, packetId: number): void {
  to.u8(Kind.Recorded).u16(packetId);
}

export function writeSubscribe(to: ByteWriter, request: number, subscriptions: readonly SubscriptionRecord[]): void {
  to.u8(Kind.Subscribe).u32(request);
  writeSubscriptions(to, subscriptions);
}

export function writeUnsubscribe(to: ByteWriter, request: number, filters: readonly string[]): void {
  to.u8(Kind.Unsubscribe).u32(request);
  writeStrings(to, filters);
}

export function writeGrant(to: ByteWriter, count: number): void {
  to.u8(Kind.Grant).u16(count);
}

export function writeRecall(to: ByteWriter, count: number): void {
  to.u8(Kind.Recall).u16(count);
}

export function writeDrained(to: ByteWriter): void {
  to.u8(Kind.Drained);
}

export function writeBye(to: ByteWriter): void {
  to.u8(Kind.Bye);
}

export function writeEchoed(to: ByteWriter): void {
  to.u8(Kind.Echoed);
}

export function writeAttached(to: ByteWriter, attached: Omit<AttachedRecord, "kind">): void {
  to.u8(Kind.Attached).u8(attached.version).u48(attached.cursor).u32(attached.places.length);
  for (const { number, start, scan } of attached.places) {
    to.u32(number)
      .u48(start)
      .u8(scan ? 1 : 0);
    if (scan) writeScan(to, scan);
  }
  writeInflights(to, attached.inflight);
  writeNumbers(to, attached.received);
}

export function writeTaken(to: ByteWriter): void {
  to.u8(Kind.Taken);
}

export function writePublished(to: ByteWriter, packetId: number, reason: Reason): void {
  to.u8(Kind.Published).u16(packetId).u8(reason);
}

export function writeSubscribed(
  to: ByteWriter,
  request: number,
  start: number,
  cursor: number,
  codes: readonly number[],
): void {
  to.u8(Kind.Subscribed).u32(request).u48(start).u48(cursor).bytes32(Uint8Array.from(codes));
}

export function writeUnsubscribed(to: ByteWriter, request: number, codes: readonly number[]): void {
  to.u8(Kind.Unsubscribed).u32(request).bytes32(Uint8Array.from(codes));
}

/** Bytes of a DELIVER record before its packets. */
export function deliverHeaderBytes(deliveries: number): number {
  return 1 + 2 + deliveries * INFLIGHT_BYTES + 4;
}

/** Writes the start of a DELIVER record; `packetBytes` of finished MQTT packets follow. */
export function writeDeliverHeader(to: ByteWriter, deliveries: readonly InflightRecord[], packetBytes: number): void {
  to.u8(Kind.Deliver).u16(deliveries.length);
  for (const delivery of deliveries) writeInflight(to, delivery);
  to.u32(packetBytes);
}

/** @param after place of the scan after this frame's deliveries; undefined when it is done */
export function writeScanned(to: ByteWriter, number: number, after: number | undefined): void {
  to.u8(Kind.Scanned)
    .u32(number)
    .u8(after === undefined ? 0 : 1)
    .u48(after ?? 0);
}

export function writeHungry(to: ByteWriter): void {
  to.u8(Kind.Hungry);
}

export function writeReturned(to: ByteWriter, count: number): void {
  to.u8(Kind.Returned).u16(count);
}

export function writeEcho(to: ByteWriter): void {
  to.u8(Kind.Echo);
}

export function writeConnect(to: ByteWriter, connect: Omit<ConnectRecord, "kind">): void {
  to.u8(Kind.Connect).u8(connect.versionMin).u8(connect.versionMax);
  to.string(connect.tenant).string(connect.session).string(connect.connection).u32(connect.link);
  const { cleanStart, reattach, will } = connect;
  to.u8((cleanStart ? CONNECT_CLEAN_START : 0) | (reattach ? CONNECT_REATTACH : 0) | (will ? CONNECT_WILL : 0));
  to.u48(reattach?.generation ?? 0).u48(reattach?.epoch ?? 0);
  to.u32(connect.expirySeconds).u32(connect.willDelaySeconds);
  if (will) writeMessage(to, will);
}

export function writeEnd(to: ByteWriter, end: End): void {
  writeEnding(to.u8(Kind.End), end);
}

/** The client has said goodbye; END follows when everything that it published is taken. */
export function writeLeave(to: ByteWriter, end: End): void {
  writeEnding(to.u8(Kind.Leave), end);
}

function writeEnding(to: ByteWriter, { publishWill, planned, expirySeconds, goneAt }: End): void {
  to.u8((publishWill ? END_WILL : 0) | (planned ? END_PLANNED : 0))
    .u32(expirySeconds)
    .u48(goneAt);
}

export function writeKeep(to: ByteWriter, keep: Omit<KeepRecord, "kind">): void {
  to.u8(Kind.Keep).u32(keep.request);
  writeSubscriptions(to, keep.put);
  writeStrings(to, keep.remove);
  writeNumbers(to, keep.shards);
}

export function writeKept(to: ByteWriter, request: number): void {
  to.u8(Kind.Kept).u32(request);
}

export function writeWelcome(to: ByteWriter, welcome: Omit<WelcomeRecord, "kind">): void {
  to.u8(Kind.Welcome).u8(welcome.version).u48(welcome.generation).u48(welcome.epoch);
  to.u8((welcome.sessionPresent ? WELCOME_PRESENT : 0) | (welcome.persistent ? WELCOME_PERSISTENT : 0));
  writeNumbers(to, welcome.shards);
  writeSubscriptions(to, welcome.subscriptions);
}

export function writeEnded(to: ByteWriter): void {
  to.u8(Kind.Ended);
}

export function writeRefused(to: ByteWriter, reason: Reason): void {
  to.u8(Kind.Refused).u8(reason);
}

/**
 * Reads the next record.
 *
 * @throws LinkFormatError when the bytes are not a record of a version that we read.
 */
export function readRecord(from: ByteReader, now: number): LinkRecord {
  const kind = from.u8();
  switch (kind) {
    case Kind.Publish:
      return { kind, packetId: from.u16(), body: readBody(from, now, "") };
    case Kind.Deliver: {
      const deliveries = readMany(from.u16(), () => readInflight(from));
      return { kind, deliveries, packets: from.bytes32() };
    }
    case Kind.Ack:
    case Kind.Release:
    case Kind.Released:
    case Kind.Received:
    case Kind.Recorded:
      return { kind, packetId: from.u16() };
    case Kind.Taken:
    case Kind.Drained:
    case Kind.Ask:
    case Kind.Hungry:
    case Kind.Bye:
    case Kind.Echo:
    case Kind.Echoed:
    case Kind.Ended:
      return { kind };
    case Kind.Published:
      return { kind, packetId: from.u16(), reason: from.u8() as Reason };
    case Kind.Grant:
    case Kind.Recall:
    case Kind.Returned:
      return { kind, count: from.u16() };
    case Kind.Subscribe:
      return { kind, request: from.u32(), subscriptions: readSubscriptions(from) };
    case Kind.Unsubscribe:
      return { kind, request: from.u32(), filters: readStrings(from) };
    case Kind.Subscribed:
      return { kind, request: from.u32(), start: from.u48(), cursor: from.u48(), codes: from.bytes32() };
    case Kind.Unsubscribed:
      return { kind, request: from.u32(), codes: from.bytes32() };
    case Kind.Scanned:
      return { kind, number: from.u32(), after: readOptional(from.u8() === 1, from.u48()) };
    case Kind.Attached:
      return readAttached(from);
    case Kind.Hello:
      return readHello(from);
    case Kind.Connect:
      return readConnect(from);
    case Kind.End:
    case Kind.Leave:
      return { kind, ...readEnding(from) };
    case Kind.Keep:
      return {
        kind,
        request: from.u32(),
        put: readSubscriptions(from),
        remove: readStrings(from),
        shards: readNumbers(from),
      };
    case Kind.Kept:
      return { kind, request: from.u32() };
    case Kind.Welcome:
      return readWelcome(from);
    case Kind.Refused:
      return { kind, reason: from.u8() as Reason };
    default:
      throw new LinkFormatError(`unknown record kind ${kind}`);
  }
}

function readHello(from: ByteReader): HelloRecord {
  const hello = {
    kind: Kind.Hello,
    versionMin: from.u8(),
    versionMax: from.u8(),
    shards: from.u16(),
    depth: from.u8(),
    tenant: from.string(),
    session: from.string(),
    generation: from.u48(),
    epoch: from.u48(),
    link: from.u32(),
    mqttVersion: from.u8() as 3 | 4 | 5,
    packetBytesMax: from.u32(),
    topicAliasMaximum: from.u16(),
  };
  const flags = from.u8();
  return {
    ...hello,
    persistent: (flags & HELLO_PERSISTENT) !== 0,
    cursor: readOptional((flags & HELLO_CURSOR) !== 0, from.u48()),
    sharedReceived: from.u32(),
    grants: from.u16(),
    subscriptions: readMany(from.u32(), () => {
      const { flags: extra, ...subscription } = readSubscription(from);
      if (extra & FLAG_PLACE_UNKNOWN) return { ...subscription, start: undefined, scan: undefined };
      const start = from.u48();
      return { ...subscription, start, scan: extra & FLAG_SCANNING ? readScan(from) : undefined };
    }),
    inflight: readInflights(from),
  };
}

function readAttached(from: ByteReader): AttachedRecord {
  return {
    kind: Kind.Attached,
    version: from.u8(),
    cursor: from.u48(),
    places: readMany(from.u32(), () => {
      const number = from.u32();
      const start = from.u48();
      return { number, start, scan: from.u8() === 1 ? readScan(from) : undefined };
    }),
    inflight: readInflights(from),
    received: readNumbers(from),
  };
}

function readConnect(from: ByteReader): ConnectRecord {
  const connect = {
    kind: Kind.Connect,
    versionMin: from.u8(),
    versionMax: from.u8(),
    tenant: from.string(),
    session: from.string(),
    connection: from.string(),
    link: from.u32(),
  };
  const flags = from.u8();
  const fence = { generation: from.u48(), epoch: from.u48() };
  return {
    ...connect,
    cleanStart: (flags & CONNECT_CLEAN_START) !== 0,
    reattach: readOptional((flags & CONNECT_REATTACH) !== 0, fence),
    expirySeconds: from.u32(),
    willDelaySeconds: from.u32(),
    will: flags & CONNECT_WILL ? readMessage(from) : undefined,
  };
}

function readEnding(from: ByteReader): End {
  const flags = from.u8();
  return {
    publishWill: (flags & END_WILL) !== 0,
    planned: (flags & END_PLANNED) !== 0,
    expirySeconds: from.u32(),
    goneAt: from.u48(),
  };
}

function readWelcome(from: ByteReader): WelcomeRecord {
  const welcome = { kind: Kind.Welcome, version: from.u8(), generation: from.u48(), epoch: from.u48() };
  const flags = from.u8();
  return {
    ...welcome,
    sessionPresent: (flags & WELCOME_PRESENT) !== 0,
    persistent: (flags & WELCOME_PERSISTENT) !== 0,
    shards: readNumbers(from),
    subscriptions: readSubscriptions(from),
  };
}

const INFLIGHT_BYTES = 2 + 6 + 4 + 1;
const INFLIGHT_QOS_2 = 0b0001;
const INFLIGHT_RETAIN = 0b0010;
const INFLIGHT_PHASE = 0b1100;
const INFLIGHT_PHASE_SHIFT = 2;
const INFLIGHT_SHARED = 0b1_0000;

export function writeInflight(to: ByteWriter, delivery: InflightRecord): void {
  const flags =
    (delivery.qos === 2 ? INFLIGHT_QOS_2 : 0) |
    (delivery.retain ? INFLIGHT_RETAIN : 0) |
    (delivery.shared ? INFLIGHT_SHARED : 0);
  to.u16(delivery.packetId)
    .u48(delivery.offset)
    .u32(delivery.source)
    .u8(flags | (delivery.phase << INFLIGHT_PHASE_SHIFT));
}

export function readInflight(from: ByteReader): InflightRecord {
  const packetId = from.u16();
  const offset = from.u48();
  const source = from.u32();
  const flags = from.u8();
  return {
    packetId,
    offset,
    source,
    qos: flags & INFLIGHT_QOS_2 ? 2 : 1,
    retain: (flags & INFLIGHT_RETAIN) !== 0,
    phase: ((flags & INFLIGHT_PHASE) >> INFLIGHT_PHASE_SHIFT) as Phase,
    ...(flags & INFLIGHT_SHARED && { shared: true as const }),
  };
}

function writeInflights(to: ByteWriter, inflight: readonly InflightRecord[]): void {
  to.u16(inflight.length);
  for (const delivery of inflight) writeInflight(to, delivery);
}

function readInflights(from: ByteReader): InflightRecord[] {
  return readMany(from.u16(), () => readInflight(from));
}

export function writeScan(to: ByteWriter, scan: Scan): void {
  to.u48(scan.after).u48(scan.upTo);
}

export function readScan(from: ByteReader): Scan {
  return { after: from.u48(), upTo: from.u48() };
}

function writeSubscriptions(to: ByteWriter, subscriptions: readonly SubscriptionRecord[]): void {
  to.u32(subscriptions.length);
  for (const subscription of subscriptions) writeSubscription(to, subscription, 0);
}

function readSubscriptions(from: ByteReader): SubscriptionRecord[] {
  return readMany(from.u32(), () => {
    const { flags: _, ...subscription } = readSubscription(from);
    return subscription;
  });
}

function writeStrings(to: ByteWriter, strings: readonly string[]): void {
  to.u32(strings.length);
  for (const string of strings) to.string(string);
}

function readStrings(from: ByteReader): string[] {
  return readMany(from.u32(), () => from.string());
}

/** Shards or packet ids. */
function writeNumbers(to: ByteWriter, numbers: readonly number[]): void {
  to.u16(numbers.length);
  for (const number of numbers) to.u16(number);
}

function readNumbers(from: ByteReader): number[] {
  return readMany(from.u16(), () => from.u16());
}

function writeSubscription(to: ByteWriter, subscription: SubscriptionRecord, extraFlags: number): void {
  to.u32(subscription.number)
    .string(subscription.filter)
    .u8(subscriptionFlags(subscription) | extraFlags)
    .u32(subscription.identifier);
}

function readSubscription(from: ByteReader): SubscriptionRecord & { readonly flags: number } {
  const number = from.u32();
  const filter = from.string();
  const flags = from.u8();
  return { number, filter, ...readSubscriptionFlags(flags), identifier: from.u32(), flags };
}

type SubscriptionOptions = Pick<SubscriptionRecord, "qos" | "noLocal" | "retainAsPublished" | "retainHandling">;

/** The options of a subscription as one byte, on links and in rows. */
export function subscriptionFlags(options: SubscriptionOptions): number {
  return (
    options.qos |
    (options.noLocal ? FLAG_NO_LOCAL : 0) |
    (options.retainAsPublished ? FLAG_RETAIN_AS_PUBLISHED : 0) |
    (options.retainHandling << FLAG_RETAIN_HANDLING_SHIFT)
  );
}

export function readSubscriptionFlags(flags: number): SubscriptionOptions {
  return {
    qos: (flags & FLAG_QOS) as 0 | 1 | 2,
    noLocal: (flags & FLAG_NO_LOCAL) !== 0,
    retainAsPublished: (flags & FLAG_RETAIN_AS_PUBLISHED) !== 0,
    retainHandling: ((flags >> FLAG_RETAIN_HANDLING_SHIFT) & 0b11) as 0 | 1 | 2,
  };
}

function readMany<T>(count: number, read: () => T): T[] {
  const many: T[] = [];
  for (let i = 0; i < count; i++) many.push(read());
  return many;
}

function readOptional<T>(present: boolean, value: T): T | undefined {
  return present ? value : undefined;
}
