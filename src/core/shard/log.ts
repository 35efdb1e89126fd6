/**
 * The message log of a shard: every QoS > 0 message that some session wants, once, in order, however many want it.
 *
 * An append is owned when it is committed, and a commit writes everything that was appended before it, in order. What
 * the object sends after a commit leaves it only when the commit is durable (the platform's output gate), so "commit,
 * then acknowledge" is all that an acknowledgement needs.
 *
 * Offsets are a plain counter. They are issued from a stored reservation, and a new incarnation starts above it, so an
 * offset never names two messages although the counter itself is not stored.
 */

import { ByteWriter } from "../../link/bytes.ts";
import type { Message } from "../../mqtt/message.ts";
import { type Entry, type ShardStore, type StoredBatch, writeEntry } from "./store.ts";

/** Offsets reserved with one row written. */
export const RESERVATION = 2 ** 20;
/** A row holds at most 2 MB. */
const BATCH_BYTES_MAX = 1_900_000;
/**
 * Bytes that one turn reads from the store for whoever catches up, {@link BATCH_BYTES} more for each batch: some tens of
 * milliseconds. What is left is for the next turn.
 */
const TURN_BYTES_MAX = 8 * 1024 * 1024;
const BATCH_BYTES = 1024;
/** Batches read from the store and kept decoded, for sessions that read at about the same place. */
const DECODED_BATCHES = 4;

interface DecodedBatch {
  readonly first: number;
  readonly last: number;
  readonly entries: readonly Entry[];
}

export class Log {
  readonly #store: ShardStore;
  #head: number;
  #reserved: number;
  readonly #pending: Entry[] = [];
  /** What is stored, oldest first. */
  #batches: StoredBatch[];
  #bytes = 0;
  #decoded: DecodedBatch[] = [];
  #turnBytes = 0;
  #cutUpTo = 0;

  constructor(store: ShardStore) {
    this.#store = store;
    this.#reserved = store.reserved();
    this.#head = this.#reserved;
    this.#batches = store.batches();
    for (const batch of this.#batches) this.#bytes += batch.bytes;
  }

  /** The offset issued last. */
  get head(): number {
    return this.#head;
  }

  get empty(): boolean {
    return this.#batches.length === 0 && this.#pending.length === 0;
  }

  /** Bytes that are stored. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Bytes that are stored after `offset`, the whole of a batch that it is in. */
  bytesAfter(offset: number): number {
    let bytes = 0;
    for (let at = this.#batches.length - 1; at >= 0 && this.#batches[at]!.last > offset; at--) {
      bytes += this.#batches[at]!.bytes;
    }
    return bytes;
  }

  /** When the oldest batch was written, in milliseconds since 1970; undefined when there is none, or it was not noted. */
  get oldestAt(): number | undefined {
    return this.#batches[0]?.at || undefined;
  }

  /** True when something was logged after `offset`. */
  holdsAfter(offset: number): boolean {
    const last = this.#pending.at(-1)?.offset ?? this.#batches.at(-1)?.last ?? 0;
    return last > offset;
  }

  /** Issues an offset for something that happened, logged or not. */
  issue(): number {
    if (this.#head >= this.#reserved) {
      this.#reserved = this.#head + RESERVATION;
      this.#store.putReserved(this.#reserved);
    }
    this.#head += 1;
    return this.#head;
  }

  /** Adds a message under an offset that was just issued. */
  append(offset: number, message: Message): void {
    this.#pending.push({ offset, message });
  }

  /** The message at an offset; undefined when it is not in the log any more. */
  at(offset: number): Message | undefined {
    const entry = this.read(offset - 1)[0];
    return entry?.offset === offset ? entry.message : undefined;
  }

  /** Writes what was appended, several messages to a row. */
  commit(now: number): void {
    if (this.#pending.length === 0) return;
    const to = new ByteWriter(1024);
    let batch: Entry[] = [];
    const close = (): void => {
      const encoded = to.take();
      this.#store.appendBatch(batch, now, encoded);
      this.#batches.push({ last: batch.at(-1)!.offset, bytes: encoded.length, at: now });
      this.#bytes += encoded.length;
      batch = [];
    };
    for (const entry of this.#pending) {
      const { message } = entry;
      const estimate = message.payload.length + message.properties.length + message.topicUtf8.length + 1024;
      if (batch.length > 0 && to.length + estimate > BATCH_BYTES_MAX) close();
      writeEntry(to, entry);
      batch.push(entry);
    }
    close();
    this.#pending.length = 0;
  }

  /** The entries after `offset`, a batch of them; empty at the end. Everything must be committed. */
  read(offset: number): readonly Entry[] {
    const known = this.#decoded.find((batch) => batch.first <= offset + 1 && offset < batch.last);
    const batch = known ?? this.#decode(offset);
    if (!batch) return [];
    const start = batch.entries.findIndex((entry) => entry.offset > offset);
    return start === 0 ? batch.entries : batch.entries.slice(start);
  }

  /** This turn has read as much as one may: whoever is not at the end goes on in the next. */
  get tired(): boolean {
    return this.#turnBytes >= TURN_BYTES_MAX;
  }

  /** Another turn begins. */
  rest(): void {
    this.#turnBytes = 0;
  }

  /** Deletes every batch that ends at or before `offset`: nobody needs it any more. */
  trim(offset: number): void {
    const kept = this.#batches.findIndex((batch) => batch.last > offset);
    const gone = kept < 0 ? this.#batches.length : kept;
    if (gone > 0) this.#drop(gone);
  }

  /** As {@link trim}, needed or not. */
  cut(offset: number): void {
    this.#cutUpTo = Math.max(this.#cutUpTo, offset);
    this.trim(offset);
  }

  /** Up to where the log was cut since the object started; 0: it was not. */
  get cutUpTo(): number {
    return this.#cutUpTo;
  }

  /** Bytes of the batch that ends at `last`; 0 when there is none. */
  batchBytes(last: number): number {
    return this.#batches[this.#find(last)]?.bytes ?? 0;
  }

  /** Deletes the batch that ends at `last`, wherever it is. */
  drop(last: number): void {
    const at = this.#find(last);
    if (at < 0) return;
    this.#bytes -= this.#batches[at]!.bytes;
    this.#batches.splice(at, 1);
    this.#store.deleteBatch(last);
    this.#decoded = this.#decoded.filter((batch) => batch.last !== last);
  }

  /** Where the log has to be cut to have no more than so many bytes; undefined when it has not. */
  cutForBytes(bytesMax: number): number | undefined {
    let bytes = this.#bytes;
    let cut: number | undefined;
    for (const batch of this.#batches) {
      if (bytes <= bytesMax) break;
      bytes -= batch.bytes;
      cut = batch.last;
    }
    return cut;
  }

  /** Where the log has to be cut to have nothing that was written before `at`; undefined when it has not. */
  cutForAge(at: number): number | undefined {
    let cut: number | undefined;
    for (const batch of this.#batches) {
      if (batch.at === 0 || batch.at >= at) break;
      cut = batch.last;
    }
    return cut;
  }

  /** Where the batch is that ends at `last`; -1 when there is none. */
  #find(last: number): number {
    let from = 0;
    let to = this.#batches.length;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (this.#batches[middle]!.last < last) from = middle + 1;
      else to = middle;
    }
    return this.#batches[from]?.last === last ? from : -1;
  }

  #drop(count: number): void {
    const gone = this.#batches.splice(0, count);
    const last = gone.at(-1)!.last;
    for (const batch of gone) this.#bytes -= batch.bytes;
    this.#store.deleteBatches(last);
    this.#decoded = this.#decoded.filter((batch) => batch.last > last);
  }

  #decode(offset: number): DecodedBatch | undefined {
    const batch = this.#store.batchAfter(offset);
    if (!batch) return undefined;
    this.#turnBytes += BATCH_BYTES + this.batchBytes(batch.last);
    if (this.#decoded.length >= DECODED_BATCHES) this.#decoded.shift();
    this.#decoded.push(batch);
    return batch;
  }
}
