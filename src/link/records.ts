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

/** Versions of these records that this release reads. It writes the lower of what both ends know. */
export const LINK_VERSIONS = { min: 1, max: 1 } as const;

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
  // connection → session object
  Connect: 0x21,
  End: 0x22,
  // session object → connection
  Welcome: 0xa1,
  Ended: 0xa2,
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

/** A subscription that a shard confirmed before the link broke. */
export interface AttachedSubscription extends SubscriptionRecord {
  /** Log offset from which the subscription counts: entries up to it are not its own. */
  readonly start: number;
  /** Where the sending of its retained messages stands; undefined means that all were sent. */
  readonly scan: Scan | undefined;
}

/** A place in the retained messages of a shard, which are in the order of their offsets. */
export interface Scan {
  /** Those up to this offset were sent. */
  readonly after: number;
  /** The log's head when the SUBSCRIBE came: what was set later is delivered live. */
  readonly upTo: number;
}

/** A QoS > 0 delivery that was written to the client and is not acknowledged. */
export interface InflightRecord {
  readonly packetId: number;
  /** Offset of the message in the shard that sent it. */
  readonly offset: number;
  /** 0 for a message of the log, else the number of the subscription whose retained messages it belongs to. */
  readonly source: number;
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
  /** Highest log offset received from this shard; undefined on the first link, which starts at the log's head. */
  readonly cursor: number | undefined;
  readonly grants: number;
  readonly subscriptions: readonly AttachedSubscription[];
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
  /** Set when the connection was welcomed before: its link broke, its client did not. */
  readonly reattach: Fence | undefined;
  readonly will: Message | undefined;
}

export type ShardBound =
  | HelloRecord
  | { readonly kind: typeof Kind.Publish; readonly packetId: number; readonly body: MessageBody }
  | { readonly kind: typeof Kind.Ack | typeof Kind.Release; readonly packetId: number }
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

export type SessionBound = ConnectRecord | { readonly kind: typeof Kind.End; readonly publishWill: boolean };

export type ConnectionBound =
  | { readonly kind: typeof Kind.Attached; readonly version: number; readonly head: number }
  | { readonly kind: typeof Kind.Taken }
  | { readonly kind: typeof Kind.Published; readonly packetId: number; readonly reason: Reason }
  | {
      readonly kind: typeof Kind.Subscribed;
      readonly request: number;
      readonly start: number;
      readonly codes: Uint8Array;
    }
  | { readonly kind: typeof Kind.Unsubscribed; readonly request: number; readonly codes: Uint8Array }
  | { readonly kind: typeof Kind.Deliver; readonly deliveries: readonly InflightRecord[]; readonly packets: Uint8Array }
  | { readonly kind: typeof Kind.Scanned; readonly number: number; readonly after: number | undefined }
  | { readonly kind: typeof Kind.Hungry }
  | { readonly kind: typeof Kind.Returned; readonly count: number }
  | { readonly kind: typeof Kind.Released; readonly packetId: number }
  | { readonly kind: typeof Kind.Ask }
  | { readonly kind: typeof Kind.Echo }
  | ({ readonly kind: typeof Kind.Welcome; readonly version: number; readonly sessionPresent: boolean } & Fence)
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

/** Writes what the connection sends before anything else, in the layout that every version of the link can read. */
export function writeHello(to: ByteWriter, hello: Omit<HelloRecord, "kind">): void {
  to.u8(Kind.Hello).u8(hello.versionMin).u8(hello.versionMax).u16(hello.shards).u8(hello.depth);
  to.string(hello.tenant).string(hello.session);
  to.u48(hello.generation).u48(hello.epoch).u32(hello.link);
  to.u8(hello.mqttVersion).u32(hello.packetBytesMax);
  to.u8(hello.cursor === undefined ? 0 : 1)
    .u48(hello.cursor ?? 0)
    .u16(hello.grants);
  to.u32(hello.subscriptions.length);
  for (const subscription of hello.subscriptions) {
    const scanning = subscription.scan !== undefined;
    writeSubscription(to, subscription, scanning ? FLAG_SCANNING : 0);
    to.u48(subscription.start);
    if (subscription.scan) to.u48(subscription.scan.after).u48(subscription.scan.upTo);
  }
  to.u16(hello.inflight.length);
  for (const delivery of hello.inflight) writeInflight(to, delivery);
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

export function writeSubscribe(to: ByteWriter, request: number, subscriptions: readonly SubscriptionRecord[]): void {
  to.u8(Kind.Subscribe).u32(request).u32(subscriptions.length);
  for (const subscription of subscriptions) writeSubscription(to, subscription, 0);
}

export function writeUnsubscribe(to: ByteWriter, request: number, filters: readonly string[]): void {
  to.u8(Kind.Unsubscribe).u32(request).u32(filters.length);
  for (const filter of filters) to.string(filter);
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

export function writeAttached(to: ByteWriter, version: number, head: number): void {
  to.u8(Kind.Attached).u8(version).u48(head);
}

export function writeTaken(to: ByteWriter): void {
  to.u8(Kind.Taken);
}

export function writePublished(to: ByteWriter, packetId: number, reason: Reason): void {
  to.u8(Kind.Published).u16(packetId).u8(reason);
}

export function writeSubscribed(to: ByteWriter, request: number, start: number, codes: readonly number[]): void {
  to.u8(Kind.Subscribed).u32(request).u48(start).bytes32(Uint8Array.from(codes));
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
  to.u8((connect.cleanStart ? 1 : 0) | (connect.reattach ? 2 : 0) | (connect.will ? 4 : 0));
  to.u48(connect.reattach?.generation ?? 0).u48(connect.reattach?.epoch ?? 0);
  if (connect.will) writeMessage(to, connect.will);
}

export function writeEnd(to: ByteWriter, publishWill: boolean): void {
  to.u8(Kind.End).u8(publishWill ? 1 : 0);
}

export function writeWelcome(to: ByteWriter, version: number, fence: Fence, sessionPresent: boolean): void {
  to.u8(Kind.Welcome)
    .u8(version)
    .u48(fence.generation)
    .u48(fence.epoch)
    .u8(sessionPresent ? 1 : 0);
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
      return { kind, request: from.u32(), subscriptions: readMany(from.u32(), () => readSubscription(from)) };
    case Kind.Unsubscribe:
      return { kind, request: from.u32(), filters: readMany(from.u32(), () => from.string()) };
    case Kind.Subscribed:
      return { kind, request: from.u32(), start: from.u48(), codes: from.bytes32() };
    case Kind.Unsubscribed:
      return { kind, request: from.u32(), codes: from.bytes32() };
    case Kind.Scanned:
      return { kind, number: from.u32(), after: readOptional(from.u8() === 1, from.u48()) };
    case Kind.Attached:
      return { kind, version: from.u8(), head: from.u48() };
    case Kind.Hello:
      return readHello(from);
    case Kind.Connect:
      return readConnect(from);
    case Kind.End:
      return { kind, publishWill: from.u8() === 1 };
    case Kind.Welcome:
      return { kind, version: from.u8(), generation: from.u48(), epoch: from.u48(), sessionPresent: from.u8() === 1 };
    case Kind.Refused:
      return { kind, reason: from.u8() as Reason };
    default:
      throw new LinkFormatError(`unknown record kind ${kind}`);
  }
}

function readHello(from: ByteReader): HelloRecord {
  return {
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
    cursor: readOptional(from.u8() === 1, from.u48()),
    grants: from.u16(),
    subscriptions: readMany(from.u32(), () => {
      const { scanning, ...subscription } = readSubscription(from);
      const start = from.u48();
      return { ...subscription, start, scan: scanning ? { after: from.u48(), upTo: from.u48() } : undefined };
    }),
    inflight: readMany(from.u16(), () => readInflight(from)),
  };
}

function readConnect(from: ByteReader): ConnectRecord {
  const versionMin = from.u8();
  const versionMax = from.u8();
  const tenant = from.string();
  const session = from.string();
  const connection = from.string();
  const link = from.u32();
  const flags = from.u8();
  const fence = { generation: from.u48(), epoch: from.u48() };
  return {
    kind: Kind.Connect,
    versionMin,
    versionMax,
    tenant,
    session,
    connection,
    link,
    cleanStart: (flags & 1) !== 0,
    reattach: readOptional((flags & 2) !== 0, fence),
    will: flags & 4 ? readMessage(from) : undefined,
  };
}

const INFLIGHT_BYTES = 2 + 6 + 4;

function writeInflight(to: ByteWriter, delivery: InflightRecord): void {
  to.u16(delivery.packetId).u48(delivery.offset).u32(delivery.source);
}

function readInflight(from: ByteReader): InflightRecord {
  return { packetId: from.u16(), offset: from.u48(), source: from.u32() };
}

function writeSubscription(to: ByteWriter, subscription: SubscriptionRecord, extraFlags: number): void {
  const options =
    subscription.qos |
    (subscription.noLocal ? FLAG_NO_LOCAL : 0) |
    (subscription.retainAsPublished ? FLAG_RETAIN_AS_PUBLISHED : 0) |
    (subscription.retainHandling << FLAG_RETAIN_HANDLING_SHIFT);
  to.u32(subscription.number)
    .string(subscription.filter)
    .u8(options | extraFlags)
    .u32(subscription.identifier);
}

function readSubscription(from: ByteReader): SubscriptionRecord & { readonly scanning: boolean } {
  const number = from.u32();
  const filter = from.string();
  const options = from.u8();
  return {
    number,
    filter,
    qos: (options & FLAG_QOS) as 0 | 1 | 2,
    noLocal: (options & FLAG_NO_LOCAL) !== 0,
    retainAsPublished: (options & FLAG_RETAIN_AS_PUBLISHED) !== 0,
    retainHandling: ((options >> FLAG_RETAIN_HANDLING_SHIFT) & 0b11) as 0 | 1 | 2,
    identifier: from.u32(),
    scanning: (options & FLAG_SCANNING) !== 0,
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
