/**
 * Many copies of one packet as one buffer, ready for one `write`: the cost of a message in the generator is then the
 * copy of its bytes and of the few that differ.
 */

import type { PacketPattern } from "./mqtt-frames.ts";
import { type TransportKind, wrap, wrapOverheadBytes } from "./transport.ts";

/** A copy of a template, of which the caller fills in what differs, and where each packet begins in it. */
export interface Batch {
  bytes: Buffer;
  packetAt: readonly number[];
}

/** Largest number of packets in one write; beyond it nothing is gained, and first bytes leave later. */
export const BATCH_PACKETS_MAX = 128;

export class BatchTemplates {
  readonly pattern: PacketPattern;
  readonly #kind: TransportKind;
  readonly #packetsPerFrame: number;
  readonly #templates: Batch[] = [];

  constructor(pattern: PacketPattern, kind: TransportKind, packetsPerFrame: number) {
    this.pattern = pattern;
    this.#kind = kind;
    this.#packetsPerFrame = packetsPerFrame;
  }

  /** `count` packets, at most {@link BATCH_PACKETS_MAX}; the last frame may hold fewer than the others. */
  copy(count: number): Batch {
    const template = (this.#templates[count] ??= this.#build(count));
    // A copy, because a socket that cannot write at once keeps the buffer.
    return { bytes: Buffer.from(template.bytes), packetAt: template.packetAt };
  }

  #build(count: number): Batch {
    const packet = this.pattern.bytes;
    const frames: Buffer[] = [];
    const packetAt: number[] = [];
    let length = 0;
    for (let made = 0; made < count;) {
      const inFrame = Math.min(this.#packetsPerFrame, count - made);
      const packets = Buffer.concat(Array.from({ length: inFrame }, () => packet));
      const overhead = wrapOverheadBytes(this.#kind, packets.length);
      for (let index = 0; index < inFrame; index++) packetAt.push(length + overhead + index * packet.length);
      frames.push(wrap(this.#kind, packets));
      length += overhead + packets.length;
      made += inFrame;
    }
    return { bytes: Buffer.concat(frames), packetAt };
  }
}
