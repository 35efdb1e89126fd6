import { describe, expect, test } from "vitest";
import { ByteReader, ByteWriter, LinkFormatError } from "../../src/link/bytes.ts";
import type { MessageBody } from "../../src/link/message.ts";
import { readMessage, writeMessage } from "../../src/link/message.ts";
import * as records from "../../src/link/records.ts";
import { Reason } from "../../src/mqtt/reason.ts";

const { Kind } = records;
const NOW = 1_700_000_000_000;
const MOST = 2 ** 48 - 1;

const body: MessageBody = {
  topic: "straße/1",
  topicUtf8: new TextEncoder().encode("straße/1"),
  qos: 1,
  retain: true,
  expirySeconds: 0xffff_ffff,
  properties: Uint8Array.of(1, 0),
  payload: Uint8Array.of(0, 1, 2, 255),
};
const plain: MessageBody = {
  ...body,
  qos: 0,
  retain: false,
  expirySeconds: undefined,
  properties: new Uint8Array(0),
  payload: new Uint8Array(0),
};
const message = { ...body, at: NOW, publisher: "client" };
const subscription = {
  number: 7,
  filter: "a/+/#",
  qos: 1 as const,
  noLocal: true,
  retainAsPublished: false,
  retainHandling: 2 as const,
  identifier: 268_435_455,
};
const other = {
  ...subscription,
  number: 8,
  filter: "é",
  qos: 2 as const,
  noLocal: false,
  retainAsPublished: true,
  retainHandling: 0 as const,
  identifier: 0,
};
const hello = {
  versionMin: 1,
  versionMax: 3,
  shards: 1024,
  depth: 2,
  tenant: "main",
  session: "client",
  generation: MOST,
  epoch: NOW,
  link: 3,
  mqttVersion: 5 as const,
  packetBytesMax: 0xffff_ffff,
  topicAliasMaximum: 65_535,
  persistent: false,
  cursor: 2 ** 40,
  sharedReceived: 2 ** 32 - 1,
  grants: 256,
  subscriptions: [
    { ...subscription, start: 12, scan: undefined },
    { ...other, start: 2 ** 33, scan: { after: 5, upTo: 2 ** 34 } },
  ],
  inflight: [
    { packetId: 65_535, offset: 2 ** 41, source: 0, qos: 1 as const, retain: false, phase: records.Phase.Sent },
    { packetId: 1, offset: 1, source: 8, qos: 2 as const, retain: true, phase: records.Phase.Received },
    { packetId: 3, offset: 5, source: 0, qos: 2 as const, retain: false, phase: records.Phase.Unsent },
    {
      packetId: 5,
      offset: 6,
      source: 9,
      qos: 1 as const,
      retain: false,
      phase: records.Phase.Resent,
      shared: true as const,
    },
  ],
};
const resuming = {
  persistent: true,
  cursor: undefined,
  subscriptions: [{ ...other, start: undefined, scan: undefined }],
  inflight: [],
};
const attached = { version: 1, cursor: MOST, places: [], inflight: [], received: [] };
const left = {
  places: [
    { number: 7, start: 0, scan: undefined },
    { number: 8, start: MOST, scan: { after: 5, upTo: 2 ** 34 } },
  ],
  inflight: hello.inflight,
  received: [1, 65_535],
};
const keep = { request: 4, put: [subscription, other], remove: ["x", "é/#"], shards: [0, 1023] };
const welcome = {
  version: 1,
  generation: 3,
  epoch: NOW,
  sessionPresent: false,
  persistent: false,
  shards: [],
  subscriptions: [],
};
const present = { sessionPresent: true, persistent: true, shards: [0, 3], subscriptions: [subscription, other] };
const connect = {
  versionMin: 1,
  versionMax: 1,
  tenant: "main",
  session: "client",
  connection: "5f0c",
  link: 2,
  cleanStart: true,
  expirySeconds: records.FOR_EVER,
  willDelaySeconds: 10,
};

/** Every record, by a writer and what it reads as. */
const all: [name: string, write: (to: ByteWriter) => void, read: object][] = [
  ["Hello", (to) => records.writeHello(to, hello), { kind: Kind.Hello, ...hello }],
  [
    "Hello of a first link",
    (to) => records.writeHello(to, { ...hello, cursor: undefined, subscriptions: [], inflight: [] }),
    { kind: Kind.Hello, ...hello, cursor: undefined, subscriptions: [], inflight: [] },
  ],
  [
    "Publish",
    (to) => records.writePublish(to, 65_535, body),
    { kind: Kind.Publish, packetId: 65_535, body: { ...body, at: NOW, publisher: "" } },
  ],
  [
    "Publish of QoS 0",
    (to) => records.writePublish(to, 0, plain),
    { kind: Kind.Publish, packetId: 0, body: { ...plain, at: NOW, publisher: "" } },
  ],
  [
    "Publish of QoS 2",
    (to) => records.writePublish(to, 1, { ...body, qos: 2 }),
    { kind: Kind.Publish, packetId: 1, body: { ...body, qos: 2, at: NOW, publisher: "" } },
  ],
  ["Ack", (to) => records.writeAck(to, 5), { kind: Kind.Ack, packetId: 5 }],
  ["Release", (to) => records.writeRelease(to, 65_535), { kind: Kind.Release, packetId: 65_535 }],
  ["Released", (to) => records.writeReleased(to, 65_535), { kind: Kind.Released, packetId: 65_535 }],
  [
    "Subscribe",
    (to) => records.writeSubscribe(to, 9, [subscription, other]),
    {
      kind: Kind.Subscribe,
      request: 9,
      subscriptions: [subscription, other],
    },
  ],
  [
    "Unsubscribe",
    (to) => records.writeUnsubscribe(to, 9, ["a", "b/#"]),
    { kind: Kind.Unsubscribe, request: 9, filters: ["a", "b/#"] },
  ],
  ["Grant", (to) => records.writeGrant(to, 3), { kind: Kind.Grant, count: 3 }],
  ["Recall", (to) => records.writeRecall(to, 3), { kind: Kind.Recall, count: 3 }],
  ["Drained", (to) => records.writeDrained(to), { kind: Kind.Drained }],
  ["Echoed", (to) => records.writeEchoed(to), { kind: Kind.Echoed }],
  ["Echo", (to) => records.writeEcho(to), { kind: Kind.Echo }],
  ["Bye", (to) => records.writeBye(to), { kind: Kind.Bye }],
  ["Received", (to) => records.writeReceived(to, 7), { kind: Kind.Received, packetId: 7 }],
  ["Recorded", (to) => records.writeRecorded(to, 65_535), { kind: Kind.Recorded, packetId: 65_535 }],
  [
    "Hello of a connection that goes on with a session",
    (to) => records.writeHello(to, { ...hello, ...resuming }),
    { kind: Kind.Hello, ...hello, ...resuming },
  ],
  ["Attached", (to) => records.writeAttached(to, attached), { kind: Kind.Attached, ...attached }],
  [
    "Attached of a session that goes on",
    (to) => records.writeAttached(to, { ...attached, ...left }),
    { kind: Kind.Attached, ...attached, ...left },
  ],
  ["Keep", (to) => records.writeKeep(to, keep), { kind: Kind.Keep, ...keep }],
  ["Kept", (to) => records.writeKept(to, 2 ** 32 - 1), { kind: Kind.Kept, request: 2 ** 32 - 1 }],
  ["Taken", (to) => records.writeTaken(to), { kind: Kind.Taken }],
  [
    "Published",
    (to) => records.writePublished(to, 5, Reason.QuotaExceeded),
    { kind: Kind.Published, packetId: 5, reason: 0x97 },
  ],
  [
    "Subscribed",
    (to) => records.writeSubscribed(to, 9, 2 ** 40, MOST, [0, 1 | records.RETAINED_FOLLOW, 0x80]),
    { kind: Kind.Subscribed, request: 9, start: 2 ** 40, cursor: MOST, codes: Uint8Array.of(0, 0x41, 0x80) },
  ],
  [
    "Unsubscribed",
    (to) => records.writeUnsubscribed(to, 9, [0, 0x11]),
    { kind: Kind.Unsubscribed, request: 9, codes: Uint8Array.of(0, 0x11) },
  ],
  [
    "Deliver",
    (to) => {
      records.writeDeliverHeader(to, hello.inflight, 3);
      to.raw(Uint8Array.of(1, 2, 3));
    },
    { kind: Kind.Deliver, deliveries: hello.inflight, packets: Uint8Array.of(1, 2, 3) },
  ],
  ["Scanned", (to) => records.writeScanned(to, 7, undefined), { kind: Kind.Scanned, number: 7, after: undefined }],
  ["Scanned in part", (to) => records.writeScanned(to, 7, 2 ** 40), { kind: Kind.Scanned, number: 7, after: 2 ** 40 }],
  ["Hungry", (to) => records.writeHungry(to), { kind: Kind.Hungry }],
  ["Returned", (to) => records.writeReturned(to, 4), { kind: Kind.Returned, count: 4 }],
  ["Ask", (to) => to.u8(Kind.Ask), { kind: Kind.Ask }],
  [
    "Connect",
    (to) => records.writeConnect(to, { ...connect, reattach: undefined, will: message }),
    { kind: Kind.Connect, ...connect, reattach: undefined, will: message },
  ],
  [
    "Connect again",
    (to) =>
      records.writeConnect(to, {
        ...connect,
        cleanStart: false,
        reattach: { generation: 1, epoch: MOST },
        will: undefined,
      }),
    { kind: Kind.Connect, ...connect, cleanStart: false, reattach: { generation: 1, epoch: MOST }, will: undefined },
  ],
  [
    "End",
    (to) => records.writeEnd(to, { publishWill: true, planned: false, expirySeconds: records.FOR_EVER, goneAt: MOST }),
    { kind: Kind.End, publishWill: true, planned: false, expirySeconds: records.FOR_EVER, goneAt: MOST },
  ],
  [
    "End that was planned",
    (to) => records.writeEnd(to, { publishWill: false, planned: true, expirySeconds: 0, goneAt: 1 }),
    { kind: Kind.End, publishWill: false, planned: true, expirySeconds: 0, goneAt: 1 },
  ],
  [
    "Leave",
    (to) => records.writeLeave(to, { publishWill: true, planned: false, expirySeconds: 7, goneAt: 2 }),
    { kind: Kind.Leave, publishWill: true, planned: false, expirySeconds: 7, goneAt: 2 },
  ],
  ["Welcome", (to) => records.writeWelcome(to, welcome), { kind: Kind.Welcome, ...welcome }],
  [
    "Welcome to a session that goes on",
    (to) => records.writeWelcome(to, { ...welcome, ...present }),
    { kind: Kind.Welcome, ...welcome, ...present },
  ],
  ["Ended", (to) => records.writeEnded(to), { kind: Kind.Ended }],
  ["Refused", (to) => records.writeRefused(to, Reason.SessionTakenOver), { kind: Kind.Refused, reason: 0x8e }],
];

function written(write: (to: ByteWriter) => void): Uint8Array {
  const to = new ByteWriter(1);
  write(to);
  return to.take();
}

describe("records", () => {
  test("links: every kind is tested here", () => {
    const kinds = new Set(all.map(([, , read]) => (read as { kind: number }).kind));
    expect(kinds).toEqual(new Set(Object.values(Kind)));
  });

  test.each(all)("links: %s is read as it was written", (_name, write, read) => {
    const from = new ByteReader(written(write));
    expect(records.readRecord(from, NOW)).toEqual(read);
    expect(from.done).toBe(true);
  });

  test.each(all)("links: %s that ends early is a LinkFormatError, wherever it ends", (_name, write) => {
    const bytes = written(write);
    for (let end = 0; end < bytes.length; end++) {
      expect(() => records.readRecord(new ByteReader(bytes.subarray(0, end)), NOW), `${end} bytes`).toThrow(
        LinkFormatError,
      );
    }
  });

  test("links: a kind that nobody knows is a LinkFormatError", () => {
    const known = new Set<number>(Object.values(Kind));
    for (let kind = 0; kind < 256; kind++) {
      if (known.has(kind)) continue;
      expect(() => records.readRecord(new ByteReader(Uint8Array.of(kind, 0, 0, 0, 0)), NOW)).toThrow(LinkFormatError);
    }
  });

  test("links: a frame is its records one after the other", () => {
    const to = new ByteWriter();
    for (const [, write] of all) write(to);
    const from = new ByteReader(to.take());
    const kinds: number[] = [];
    while (!from.done) kinds.push(records.readRecord(from, NOW).kind);
    expect(kinds).toEqual(all.map(([, , read]) => (read as { kind: number }).kind));
  });

  test("links: the length of a Deliver record is known before it is written", () => {
    const to = new ByteWriter();
    records.writeDeliverHeader(to, hello.inflight, 0);
    expect(to.length).toBe(records.deliverHeaderBytes(hello.inflight.length));
  });

  test.each([
    [{ min: 1, max: 1 }, { versionMin: 1, versionMax: 1 }, 1],
    [{ min: 1, max: 2 }, { versionMin: 1, versionMax: 1 }, 1],
    [{ min: 1, max: 2 }, { versionMin: 2, versionMax: 3 }, 2],
    [{ min: 1, max: 4 }, { versionMin: 2, versionMax: 3 }, 3],
    [{ min: 1, max: 1 }, { versionMin: 2, versionMax: 3 }, undefined],
    [{ min: 2, max: 3 }, { versionMin: 1, versionMax: 1 }, undefined],
  ])("links: of %o and %o the version is %o", (ours, offer, version) => {
    expect(records.commonVersion(ours, offer)).toBe(version);
  });

  test("links: a stored message is read as it was written", () => {
    const bytes = written((to) => writeMessage(to, message));
    expect(readMessage(new ByteReader(bytes))).toEqual(message);
  });
});
