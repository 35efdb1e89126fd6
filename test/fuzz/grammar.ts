/**
 * Packets of clients, as a fuzzer wants them: legal ones made of parts, so that a part can be broken and the rest stays
 * whole. Topics, packet ids and client ids come from small sets, so that what packets do to each other is found too.
 */
import type { Random } from "../support/random.ts";

export type Version = 3 | 4 | 5;

/**
 * - `fixed`: bytes whose length the packet's layout gives
 * - `id`: a packet identifier
 * - `string`, `binary`: with their length in front
 * - `properties`: one entry for each, without the length
 * - `rest`: what reaches to the end of the packet
 */
export type Part =
  | { readonly kind: "fixed" | "id" | "string" | "binary" | "rest"; bytes: number[] }
  | { readonly kind: "properties"; items: number[][] };

export interface Draft {
  first: number;
  parts: Part[];
}

const TOPICS = ["a", "a/b", "a/b/c", "b/1", "b/2", "c", "d/e/f/g", "a/long/name", "é/ü", "$SYS/x", "$own", "/", "x//y"];
const FILTERS = [
  ...TOPICS,
  "#",
  "+",
  "a/#",
  "+/b",
  "b/+",
  "a/+/c",
  "+/+",
  "$SYS/#",
  "$share/g/a",
  "$share/h/#",
  "$share/g",
  "/#",
];
const BAD_FILTERS = ["", "a#", "#/a", "+a", "a/+b", "$share//a", "$share/+/a"];
const CLIENT_IDS = ["one", "two", "three", "four", "", "f\u00fcnf"];
/** More than these and ids would hardly meet. */
const PACKET_IDS = 12;

const encoder = new TextEncoder();
const utf8 = (text: string): number[] => [...encoder.encode(text)];

export const u16 = (value: number): number[] => [(value >> 8) & 0xff, value & 0xff];
const u32 = (value: number): number[] => [...u16(value >>> 16), ...u16(value)];
const counted = (bytes: readonly number[]): number[] => [...u16(bytes.length), ...bytes];

export function varint(value: number): number[] {
  const bytes: number[] = [];
  for (; value >= 0x80; value >>>= 7) bytes.push((value & 0x7f) | 0x80);
  bytes.push(value);
  return bytes;
}

const fixed = (...bytes: number[]): Part => ({ kind: "fixed", bytes });
const string = (text: string): Part => ({ kind: "string", bytes: utf8(text) });

/** The body of a packet, without its fixed header. */
export function body(parts: readonly Part[]): number[] {
  const bytes: number[] = [];
  for (const part of parts) {
    if (part.kind === "properties") {
      const items = part.items.flat();
      bytes.push(...varint(items.length), ...items);
    } else if (part.kind === "string" || part.kind === "binary") {
      bytes.push(...u16(part.bytes.length));
      for (const byte of part.bytes) bytes.push(byte);
    } else for (const byte of part.bytes) bytes.push(byte);
  }
  return bytes;
}

export function assemble(draft: Draft): Uint8Array {
  const bytes = body(draft.parts);
  return Uint8Array.from([draft.first, ...varint(bytes.length), ...bytes]);
}

/** Values by property, each legal by itself where it may stand. */
const VALUES: Record<number, (random: Random) => number[]> = {
  0x01: (random) => [random.below(2)],
  0x02: (random) => u32(random.of([0, 1, 60, 0xffff_ffff])),
  0x03: () => counted(utf8("text")),
  0x08: () => counted(utf8("a/reply")),
  0x09: (random) => counted(random.of([[], [0], [1, 2, 3]])),
  0x0b: (random) => varint(random.of([1, 127, 128, 268_435_455])),
  0x11: (random) => u32(random.of([0, 1, 100, 0xffff_ffff])),
  0x12: () => counted(utf8("id")),
  0x13: () => u16(10),
  0x15: () => counted(utf8("method")),
  0x16: () => counted([1]),
  0x17: (random) => [random.below(2)],
  0x18: (random) => u32(random.of([0, 5])),
  0x19: (random) => [random.below(2)],
  0x1a: () => counted(utf8("r")),
  0x1c: () => counted(utf8("s")),
  0x1f: () => counted(utf8("why")),
  0x21: (random) => u16(random.of([1, 2, 5, 65_535])),
  0x22: (random) => u16(random.of([0, 10])),
  0x23: (random) => u16(random.of([1, 2, 32])),
  0x24: (random) => [random.below(2)],
  0x25: (random) => [random.below(2)],
  0x26: (random) => [...counted(utf8(random.of(["k", "", "é"]))), ...counted(utf8("v"))],
  0x27: (random) => u32(random.of([1, 20, 40, 100, 1000, 0xffff_ffff])),
  0x28: (random) => [random.below(2)],
  0x29: (random) => [random.below(2)],
  0x2a: (random) => [random.below(2)],
};
export const PROPERTY_IDS = Object.keys(VALUES).map(Number);

export function property(random: Random, id: number): number[] {
  return [id, ...VALUES[id]!(random)];
}

/** Some of the properties, each at most once but for user properties. */
function properties(random: Random, ids: readonly number[], chance: number): Part {
  const items = ids.filter(() => random.chance(chance)).map((id) => property(random, id));
  if (random.chance(0.1)) items.push(property(random, 0x26), property(random, 0x26));
  return { kind: "properties", items };
}

const five = (version: Version, part: () => Part): Part[] => (version === 5 ? [part()] : []);
const packetId = (random: Random): Part => ({ kind: "id", bytes: u16(1 + random.below(PACKET_IDS)) });

export function connect(random: Random, version: Version, clientIds: readonly string[] = CLIENT_IDS): Draft {
  const clean = random.chance(0.6);
  let clientId = random.of(clientIds);
  if (clientId === "" && (version === 3 || (version === 4 && !clean))) clientId = "one";
  const will = random.chance(0.3);
  const user = random.chance(0.2);
  const password = user && random.chance(0.5);
  const flags =
    (clean ? 2 : 0) |
    (will ? 4 | (random.below(3) << 3) | (random.below(2) << 5) : 0) |
    (user ? 0x80 : 0) |
    (password ? 0x40 : 0);
  const parts: Part[] = [
    string(version === 3 ? "MQIsdp" : "MQTT"),
    fixed(version, flags),
    fixed(...u16(random.of([0, 0, 1, 30, 65_535]))),
    ...five(version, () => properties(random, [0x11, 0x21, 0x27, 0x22, 0x17, 0x19], 0.25)),
    string(clientId),
  ];
  if (will) {
    parts.push(...five(version, () => properties(random, [0x18, 0x01, 0x02, 0x03, 0x08, 0x09], 0.2)));
    parts.push(string(random.of(["a/will", "b/1", "d/e"])), { kind: "binary", bytes: utf8("gone") });
  }
  if (user) parts.push(string("user"));
  if (password) parts.push({ kind: "binary", bytes: [1, 2, 3] });
  return { first: 0x10, parts };
}

function publish(random: Random, version: Version): Draft {
  const qos = random.below(3);
  const aliased = version === 5 && random.chance(0.1);
  const ids = [0x01, 0x02, 0x03, 0x08, 0x09];
  const parts: Part[] = [string(aliased && random.chance(0.7) ? "" : random.of(TOPICS))];
  if (qos > 0) parts.push(packetId(random));
  if (version === 5) {
    const some = properties(random, ids, 0.08) as { items: number[][] };
    if (aliased) some.items.push(property(random, 0x23));
    parts.push({ kind: "properties", items: some.items });
  }
  const length = random.chance(0.02) ? random.below(3000) : random.of([0, 1, 5, 20]);
  parts.push({ kind: "rest", bytes: Array.from({ length }, () => random.below(256)) });
  return { first: 0x30 | (qos > 0 && random.chance(0.2) ? 8 : 0) | (qos << 1) | random.of([0, 0, 1]), parts };
}

function acknowledgement(random: Random, version: Version): Draft {
  const type = random.of([4, 5, 6, 6, 7]);
  const parts: Part[] = [packetId(random)];
  if (version === 5 && random.chance(0.3)) {
    parts.push(fixed(type >= 6 ? random.of([0, 0x92]) : random.of([0, 0x10, 0x80, 0x97])));
    if (random.chance(0.5)) parts.push(properties(random, [0x1f], 0.5));
  }
  return { first: (type << 4) | (type === 6 ? 2 : 0), parts };
}

function subscribe(random: Random, version: Version): Draft {
  const parts: Part[] = [packetId(random), ...five(version, () => properties(random, [0x0b], 0.3))];
  for (let left = 1 + random.below(random.chance(0.03) ? 60 : 3); left > 0; left--) {
    const filter = random.chance(0.06) ? random.of(BAD_FILTERS) : random.of(FILTERS);
    const local = filter.startsWith("$share/") ? 0 : random.below(2) << 2;
    const options = version === 5 ? local | (random.below(2) << 3) | (random.below(3) << 4) : 0;
    parts.push(string(filter), fixed(random.below(3) | options));
  }
  return { first: 0x82, parts };
}

function unsubscribe(random: Random, version: Version): Draft {
  const parts: Part[] = [packetId(random), ...five(version, () => properties(random, [], 0))];
  for (let left = 1 + random.below(3); left > 0; left--) parts.push(string(random.of(FILTERS)));
  return { first: 0xa2, parts };
}

function disconnect(random: Random, version: Version): Draft {
  const parts: Part[] = [];
  if (version === 5 && random.chance(0.5)) {
    parts.push(fixed(random.of([0, 4, 0x80, 0x82])));
    if (random.chance(0.5)) parts.push(properties(random, [0x11, 0x1f], 0.3));
  }
  return { first: 0xe0, parts };
}

/** A legal packet of a client that is connected; most of them leave it so. */
export function packet(random: Random, version: Version): Draft {
  const die = random.below(100);
  if (die < 42) return publish(random, version);
  if (die < 66) return acknowledgement(random, version);
  if (die < 80) return subscribe(random, version);
  if (die < 88) return unsubscribe(random, version);
  if (die < 98) return { first: 0xc0, parts: [] };
  return random.chance(0.5) ? disconnect(random, version) : packet(random, version);
}
