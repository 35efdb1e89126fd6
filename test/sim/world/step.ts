/** What happens in a {@link World}, as whoever watches it is told: enough to draw a sequence diagram. */

import { ByteReader, LinkFormatError } from "../../../src/link/bytes.ts";
import { Kind, readRecord } from "../../../src/link/records.ts";
import { PacketType } from "../../../src/mqtt/packet.ts";

/** One with a name of its own: "client d1", "connection d1.2" (its second one), "session d1", "shard 3", "worker w1". */
export interface Party {
  readonly party: string;
}

export interface Happening {
  readonly from: string;
  readonly to: string;
  /** What arrives, as the names of its records or packets, or what is done: "HELLO, PUBLISH×3", "alarm", "crash". */
  readonly what: string;
}

export interface Step extends Happening {
  /** In ms since 1970, as the world has it. */
  readonly at: number;
}

/** Faults come from here. */
export const PLATFORM = "platform";

/** The way from one party to another. */
export interface Route {
  readonly from: Party;
  readonly to: Party;
  /** Names what is in bytes that go this way. */
  readonly words: (bytes: Uint8Array) => string;
}

const RECORDS = new Map(Object.entries(Kind).map(([name, kind]) => [kind as number, name.toUpperCase()]));
const PACKETS = new Map(Object.entries(PacketType).map(([name, type]) => [type as number, name]));

/** Names the records in a link's frame. */
export function recordsIn(frame: Uint8Array): string {
  const names: string[] = [];
  const from = new ByteReader(frame);
  try {
    while (!from.done) names.push(RECORDS.get(readRecord(from, 0).kind)!);
  } catch (error) {
    if (!(error instanceof LinkFormatError)) throw error;
    names.push("what is no record");
  }
  return counted(names);
}

/** Names the MQTT packets in bytes that begin with one. */
export function packetsIn(bytes: Uint8Array): string {
  const names: string[] = [];
  for (let at = 0; at < bytes.length;) {
    names.push(PACKETS.get(bytes[at++]! >> 4) ?? "?");
    let length = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = bytes[at++] ?? 0;
      length |= (byte & 0x7f) << shift;
      if (byte < 0x80) break;
    }
    at += length;
  }
  return counted(names);
}

/** "A, B×2": what is the same in a row is counted. */
function counted(names: readonly string[]): string {
  const words: string[] = [];
  for (let at = 0; at < names.length;) {
    const first = at;
    while (names[at] === names[first] && at < names.length) at++;
    words.push(at - first > 1 ? `${names[first]}×${at - first}` : names[first]!);
  }
  return words.join(", ");
}
