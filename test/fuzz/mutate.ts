/** How packets are broken: in ways that a peer must refuse for certain, and in any way at all. */
import type { Random } from "../support/random.ts";
import { assemble, body, type Draft, type Part, property, PROPERTY_IDS, u16, varint, type Version } from "./grammar.ts";

type Mutator = (draft: Draft, random: Random, version: Version) => Uint8Array | undefined;

const frame = (first: number, bytes: readonly number[]): Uint8Array =>
  Uint8Array.from([first, ...varint(bytes.length), ...bytes]);

function pick<T extends Part>(draft: Draft, random: Random, is: (part: Part) => part is T): T | undefined {
  const some = draft.parts.filter(is);
  return some.length > 0 ? random.of(some) : undefined;
}

const isString = (part: Part): part is Part & { kind: "string" } => part.kind === "string" && part.bytes.length > 0;
const isId = (part: Part): part is Part & { kind: "id" } => part.kind === "id";
const hasProperties = (part: Part): part is Part & { kind: "properties" } => part.kind === "properties";

/** Each makes of a legal packet one that ends its connection, or says that it cannot of this one. */
export const OFFENCES: Record<string, Mutator> = {
  "reserved flags": (draft, random) =>
    draft.first >> 4 === 3 ? undefined : frame(draft.first ^ (1 + random.below(15)), body(draft.parts)),
  "QoS 3": (draft) => (draft.first >> 4 === 3 ? frame(draft.first | 6, body(draft.parts)) : undefined),
  "packet type 0": (draft) => frame(draft.first & 0x0f, body(draft.parts)),
  "a server's packet": (draft, random) => frame(random.of([0x20, 0x90, 0xb0, 0xd0]), body(draft.parts)),
  "a second CONNECT": (_draft, _random, version) =>
    assemble({
      first: 0x10,
      parts: [
        { kind: "string", bytes: [0x4d, 0x51, 0x54, 0x54] },
        { kind: "fixed", bytes: [version === 3 ? 4 : version, 2, 0, 0] },
        ...(version === 5 ? [{ kind: "properties" as const, items: [] }] : []),
        { kind: "string", bytes: [0x78] },
      ],
    }),
  "a length that is not minimal": (draft) => {
    const bytes = body(draft.parts);
    const length = varint(bytes.length);
    if (length.length > 3) return undefined;
    length[length.length - 1]! |= 0x80;
    return Uint8Array.from([draft.first, ...length, 0, ...bytes]);
  },
  "a length of five bytes": (draft) =>
    Uint8Array.from([draft.first, 0x80, 0x80, 0x80, 0x80, 0x01, ...body(draft.parts)]),
  "a packet above the limit": (draft) => Uint8Array.from([draft.first, 0xff, 0xff, 0xff, 0x7f, ...body(draft.parts)]),
  "packet identifier 0": (draft, random) => {
    const id = pick(draft, random, isId);
    if (!id) return undefined;
    id.bytes = [0, 0];
    return assemble(draft);
  },
  "a string that is not UTF-8": (draft, random) => {
    const string = pick(draft, random, isString);
    if (!string) return undefined;
    const broken = random.of([[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf4, 0x90, 0x80, 0x80], [0], [0xe2, 0x82]]);
    string.bytes = random.chance(0.5) ? [...broken, ...string.bytes.filter((byte) => byte < 0x80)] : [0x61, ...broken];
    return assemble(draft);
  },
  "a packet that ends inside a field": (draft, random) => {
    const type = draft.first >> 4;
    if (type >= 12) return undefined;
    // A PUBLISH may end behind its properties, the others (lists of filters, reasons) in more than one place.
    const reach = type === 3 ? body(draft.parts.slice(0, -1)).length : 2;
    return frame(draft.first, body(draft.parts).slice(0, random.below(reach)));
  },
  "bytes behind the last field": (draft, random, version) => {
    const type = draft.first >> 4;
    const open = [3, 8, 10].includes(type) || (version === 5 && (type === 14 || (type >= 4 && type <= 7)));
    return open ? undefined : frame(draft.first, [...body(draft.parts), random.below(256)]);
  },
  "a property that does not exist": (draft, random) => {
    const section = pick(draft, random, hasProperties);
    if (!section) return undefined;
    section.items.splice(random.below(section.items.length + 1), 0, [random.of([0x00, 0x04, 0x2b, 0x7f, 0xff]), 0]);
    return assemble(draft);
  },
  "a property of another packet": (draft, random) => {
    const section = pick(draft, random, hasProperties);
    if (!section) return undefined;
    section.items.push(property(random, random.of([0x12, 0x13, 0x1a, 0x24, 0x25, 0x28, 0x29, 0x2a])));
    return assemble(draft);
  },
  "a property twice": (draft, random) => {
    const section = pick(draft, random, hasProperties);
    const once = section?.items.filter(([id]) => id !== 0x26) ?? [];
    if (once.length === 0) return undefined;
    section!.items.push(random.of(once));
    return assemble(draft);
  },
  "no filters": (draft) =>
    draft.first >> 4 === 8 || draft.first >> 4 === 10
      ? assemble({ first: draft.first, parts: draft.parts.filter((part) => isId(part) || hasProperties(part)) })
      : undefined,
  "reserved options": (draft, random, version) => {
    if (draft.first >> 4 !== 8) return undefined;
    const options = draft.parts.at(-1)!;
    if (options.kind !== "fixed") return undefined;
    options.bytes = [options.bytes[0]! | random.of(version === 5 ? [3, 0x40, 0x80, 0x30] : [3, 0x04, 0x10, 0x80])];
    return assemble(draft);
  },
  "a wildcard in a topic": (draft, random) => {
    if (draft.first >> 4 !== 3) return undefined;
    const topic = draft.parts[0]!;
    if (topic.kind !== "string") return undefined;
    topic.bytes.push(random.of([0x23, 0x2b]));
    return assemble(draft);
  },
};

const ALL_OFFENCES = Object.keys(OFFENCES);

/** A packet that ends its connection, and why; `undefined` where the draft does not lend itself to it. */
export function offend(
  draft: Draft,
  random: Random,
  version: Version,
): { what: string; bytes: Uint8Array } | undefined {
  const what = random.of(ALL_OFFENCES);
  const bytes = OFFENCES[what]!(draft, random, version);
  return bytes && { what, bytes };
}

/** Anything at all. */
export function mutate(draft: Draft, other: Draft, random: Random): Uint8Array {
  // In the parts first, where the packet around them stays whole.
  for (let left = random.below(3); left > 0; left--) mutatePart(draft, other, random);
  let bytes = [...assemble(draft)];
  for (let left = random.below(3); left > 0; left--) bytes = mutateBytes(bytes, random);
  return Uint8Array.from(bytes);
}

function mutatePart(draft: Draft, other: Draft, random: Random): void {
  const { parts } = draft;
  if (parts.length === 0) return;
  const at = random.below(parts.length);
  const part = parts[at]!;
  switch (random.below(6)) {
    case 0:
      parts.splice(at, 1);
      return;
    case 1:
      parts.splice(at, 0, part);
      return;
    case 2: {
      const to = random.below(parts.length);
      [parts[at], parts[to]] = [parts[to]!, part];
      return;
    }
    case 3:
      if (other.parts.length > 0) parts[at] = random.of(other.parts);
      return;
    case 4:
      if (part.kind === "properties") return mutateProperties(part, random);
      parts[at] = { kind: part.kind, bytes: part.bytes.map((byte) => (random.chance(0.2) ? random.below(256) : byte)) };
      return;
    case 5:
      draft.first = random.chance(0.5) ? draft.first ^ (1 << random.below(8)) : other.first;
  }
}

function mutateProperties(part: Part & { kind: "properties" }, random: Random): void {
  const at = random.below(part.items.length + 1);
  const item = part.items[at];
  switch (random.below(4)) {
    case 0:
      part.items = part.items.toSpliced(at, 1);
      return;
    case 1:
      part.items = part.items.toSpliced(at, 0, property(random, random.of(PROPERTY_IDS)));
      return;
    case 2:
      if (item) part.items = part.items.toSpliced(at, 0, item);
      return;
    case 3:
      if (item)
        part.items = part.items.with(
          at,
          item.map((byte) => (random.chance(0.3) ? random.below(256) : byte)),
        );
  }
}

const TELLING = [0x00, 0x01, 0x7f, 0x80, 0xff];

function mutateBytes(bytes: number[], random: Random): number[] {
  const at = random.below(bytes.length + 1);
  switch (random.below(8)) {
    case 0:
      return at < bytes.length ? bytes.with(at, bytes[at]! ^ (1 << random.below(8))) : bytes;
    case 1:
      return at < bytes.length ? bytes.with(at, random.of(TELLING)) : bytes;
    case 2:
      return bytes.slice(0, at);
    case 3:
      return bytes.toSpliced(at, random.below(4));
    case 4:
      return bytes.toSpliced(at, 0, ...Array.from({ length: 1 + random.below(4) }, () => random.below(256)));
    case 5:
      return [...bytes, ...bytes.slice(at)];
    case 6:
      // A length inside that says something else.
      return at + 1 < bytes.length ? bytes.toSpliced(at, 2, ...u16(random.of([0, 1, 255, 256, 0xffff]))) : bytes;
    default:
      return bytes.length > 1 ? bytes.with(1, (bytes[1]! + random.of([-1, 1, 127])) & 0xff) : bytes;
  }
}
