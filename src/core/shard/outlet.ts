/**
 * The shard's end of a link, and how a turn's output reaches many of them cheaply.
 *
 * A turn often sends the same packets to hundreds of links. A link's packets of this turn are a path in a tree whose
 * edges are encoded packets; links that were given the same packets in the same order stand on the same node, and its
 * frame is built once. A QoS > 0 delivery has a packet id of its own and leads to a node of its own.
 */

import { Arena } from "./arena.ts";
import type { Rate } from "../rate.ts";
import { ByteWriter } from "../../link/bytes.ts";
import type { InflightRecord } from "../../link/records.ts";
import { deliverHeaderBytes, Kind, writeDeliverHeader } from "../../link/records.ts";

/** Once this much is under way to a connection without its word, it is asked for one. */
export const ASK_BYTES = 64 * 1024;

interface Path {
  readonly parent: Path | undefined;
  readonly packet: Uint8Array;
  /** Bytes of all packets up to here. */
  readonly bytes: number;
  /** The path that the link before took from here, and the others. */
  last: Path | undefined;
  others: Map<Uint8Array, Path> | undefined;
  frame: Uint8Array | undefined;
  askingFrame: Uint8Array | undefined;
}

const NOTHING = new Uint8Array(0);

function path(parent: Path | undefined, packet: Uint8Array): Path {
  const bytes = (parent?.bytes ?? 0) + packet.length;
  return { parent, packet, bytes, last: undefined, others: undefined, frame: undefined, askingFrame: undefined };
}

/** One link as the turn's output sees it. */
export class Outlet {
  /** The shell's name for the socket. */
  readonly link: number;
  /** Records of this turn that go before the deliveries. */
  readonly records = new ByteWriter(64);
  path: Path | undefined;
  deliveries: InflightRecord[] = [];
  touched = false;
  #unansweredBytes = 0;
  /** Bytes that were under way when the connection was asked, while it has not answered. */
  #askedBytes: number | undefined;

  /** Of QoS 0 deliveries; undefined: as fast as it takes them. */
  readonly qos0Rate: Rate | undefined;

  constructor(link: number, qos0Rate?: Rate) {
    this.link = link;
    this.qos0Rate = qos0Rate;
  }

  /** Bytes under way that the connection has not spoken for, with this turn's. */
  get backlogBytes(): number {
    return this.#unansweredBytes + (this.path?.bytes ?? 0);
  }

  /** Notes that a frame leaves. Returns true when the connection has to be asked with it. */
  sent(bytes: number): boolean {
    this.#unansweredBytes += bytes;
    if (this.#askedBytes !== undefined || this.#unansweredBytes < ASK_BYTES) return false;
    this.#askedBytes = this.#unansweredBytes;
    return true;
  }

  /** The client has taken what was under way when its connection was asked. */
  drained(): void {
    this.#unansweredBytes -= this.#askedBytes ?? 0;
    this.#askedBytes = undefined;
  }
}

/** The output of one turn. */
export class Outbox {
  /** Where the packets of the turn are written that are sent here. */
  readonly arena = new Arena();
  #root = path(undefined, NOTHING);
  #touched: Outlet[] = [];

  /** The links that something is sent to in this turn, in the order in which they were first sent to. */
  get outlets(): readonly Outlet[] {
    return this.#touched;
  }

  /** The writer for a record that goes to a link before its deliveries. */
  records(outlet: Outlet): ByteWriter {
    this.#touch(outlet);
    return outlet.records;
  }

  /** Sends a packet of QoS 0, which others may be sent too: pass the same array for the same packet. */
  share(outlet: Outlet, packet: Uint8Array): void {
    this.#touch(outlet);
    outlet.qos0Rate?.take(packet.length);
    const from = outlet.path ?? this.#root;
    if (from.last?.packet === packet) {
      outlet.path = from.last;
      return;
    }
    let next = from.others?.get(packet);
    if (!next) {
      next = path(from, packet);
      (from.others ??= new Map()).set(packet, next);
    }
    from.last = next;
    outlet.path = next;
  }

  /** Sends a packet of QoS > 0, which belongs to this link alone. */
  deliver(outlet: Outlet, packet: Uint8Array, delivery: InflightRecord): void {
    this.#touch(outlet);
    outlet.path = path(outlet.path ?? this.#root, packet);
    outlet.deliveries.push(delivery);
  }

  /** Hands out one frame for each link that something was sent to. */
  flush(emit: (link: number, frame: Uint8Array) => void): void {
    for (const outlet of this.#touched) {
      emit(outlet.link, frameOf(outlet));
      outlet.records.clear();
      outlet.path = undefined;
      outlet.deliveries = [];
      outlet.touched = false;
    }
    this.#touched = [];
    this.#root = path(undefined, NOTHING);
    this.arena.reset();
  }

  #touch(outlet: Outlet): void {
    if (outlet.touched) return;
    outlet.touched = true;
    this.#touched.push(outlet);
  }
}

function frameOf(outlet: Outlet): Uint8Array {
  const { path: end, records, deliveries } = outlet;
  const asking = outlet.sent(records.length + (end?.bytes ?? 0));
  if (!end || records.length > 0 || deliveries.length > 0) return build(end, records, deliveries, asking);
  if (asking) return (end.askingFrame ??= build(end, records, deliveries, true));
  return (end.frame ??= build(end, records, deliveries, false));
}

function build(
  end: Path | undefined,
  records: ByteWriter,
  deliveries: readonly InflightRecord[],
  asking: boolean,
): Uint8Array {
  const to = new ByteWriter(records.length + (end ? deliverHeaderBytes(deliveries.length) + end.bytes : 0) + 1);
  to.raw(records.written());
  if (end) {
    writeDeliverHeader(to, deliveries, end.bytes);
    const packets = to.space(end.bytes);
    let position = end.bytes;
    for (let at: Path | undefined = end; at; at = at.parent) {
      position -= at.packet.length;
      packets.set(at.packet, position);
    }
  }
  if (asking) to.u8(Kind.Ask);
  return to.written();
}
