/**
 * Where a session stands in a shard, as it is stored for a session that outlives its connections: how far the log was
 * delivered, what was sent and is not acknowledged, and which retained messages are still to come. One row, always
 * written whole, so that its parts cannot contradict each other.
 *
 * When is it written? Exactly once must survive anything, so with every PUBLISH of QoS 2 and before every PUBREL. At QoS 1
 * a place that is behind only means that messages come twice after both the shard and the connection were lost, so it is
 * written when the connection goes or is quiet, else at most every {@link SAVE_MS}, and not at all while the log has
 * nothing that the stored place would bring again. A PUBCOMP is saved as lazily: a PUBREL too many is answered with a PUBCOMP.
 */

import { ByteReader, ByteWriter } from "../../link/bytes.ts";
import {
  type InflightRecord,
  readInflight,
  readScan,
  type Scan,
  writeInflight,
  writeScan,
} from "../../link/records.ts";
import type { Attendance } from "./attendance.ts";
import type { Log } from "./log.ts";
import type { ShardStore } from "./store.ts";

/** How often the place of a busy session is written for QoS 1. */
export const SAVE_MS = 30_000;
/** A session that is quiet for this long has its place written, so that the object may sleep. */
const QUIET_MS = 3_000;

export interface Place {
  /** Log offset up to which everything was delivered. */
  readonly cursor: number;
  readonly inflight: readonly InflightRecord[];
  /** Where the retained messages of a subscription are to go on, by filter. */
  readonly scans: ReadonlyMap<string, Scan>;
}

/** cursor u48 · count u16 · deliveries · scans (filter · after u48 · up to u48) to the end. */
function writePlace(to: ByteWriter, place: Place): void {
  to.u48(place.cursor).u16(place.inflight.length);
  for (const delivery of place.inflight) writeInflight(to, delivery);
  for (const [filter, scan] of place.scans) writeScan(to.string(filter), scan);
}

export function readPlace(bytes: Uint8Array): Place {
  const from = new ByteReader(bytes);
  const cursor = from.u48();
  const inflight: InflightRecord[] = [];
  for (let left = from.u16(); left > 0; left--) inflight.push(readInflight(from));
  const scans = new Map<string, Scan>();
  while (!from.done) scans.set(from.string(), readScan(from));
  return { cursor, inflight, scans };
}

/** Stores places when they have to be stored. */
export class Places {
  readonly #store: ShardStore;
  readonly #log: Log;
  readonly #now = new Set<Attendance>();
  readonly #later = new Set<Attendance>();

  constructor(store: ShardStore, log: Log) {
    this.#store = store;
    this.#log = log;
  }

  /** The shard holds something of the session from now on that outlives its connection. */
  keep(attendance: Attendance): void {
    if (!attendance.persistent || attendance.kept) return;
    attendance.kept = true;
    this.#now.add(attendance);
  }

  /** The place of a session changed; it is stored some time. */
  changed(attendance: Attendance, now: number): void {
    attendance.changedAt = now;
    if (attendance.kept) this.#later.add(attendance);
  }

  /** The place of a session changed in a way that must be stored before anything is sent. */
  exact(attendance: Attendance): void {
    if (attendance.kept) this.#now.add(attendance);
  }

  /** The session is not served any more: if its place changed, it is stored with this turn. */
  left(attendance: Attendance): void {
    if (this.#later.delete(attendance) && this.#matters(attendance)) this.#now.add(attendance);
  }

  /** Nothing is to be stored of this attendance: another one, or nobody, has taken its place. */
  gone(attendance: Attendance): void {
    this.#now.delete(attendance);
    this.#later.delete(attendance);
  }

  /** Stores what must be stored with this turn. */
  save(now: number): void {
    for (const attendance of this.#now) this.#write(attendance, now);
    this.#now.clear();
  }

  /** Stores what is worth it by now. Returns when to come again; undefined when nothing is left. */
  checkpoint(now: number): number | undefined {
    let next: number | undefined;
    for (const attendance of this.#later) {
      if (!this.#matters(attendance)) {
        this.#later.delete(attendance);
        continue;
      }
      const at = Math.min((attendance.stored?.at ?? 0) + SAVE_MS, attendance.changedAt + QUIET_MS);
      if (at <= now) this.#write(attendance, now);
      else next = Math.min(next ?? Infinity, at);
    }
    return next;
  }

  /** True when the stored place would bring something again, or forget something that the client holds. */
  #matters({ stored, inflight, scanning }: Attendance): boolean {
    if (!stored) return true;
    const open = stored.inflight + inflight.size > 0 || stored.scans > 0 || scanning !== undefined;
    return open || this.#log.holdsAfter(stored.cursor);
  }

  #write(attendance: Attendance, now: number): void {
    const { session, generation, epoch, subscriptions, inflight } = attendance;
    const scans = new Map<string, Scan>();
    for (const { filter, scan } of subscriptions.values()) if (scan) scans.set(filter, scan);
    const cursor = attendance.behind ?? this.#log.head;
    const place = new ByteWriter();
    writePlace(place, { cursor, inflight: [...inflight.values()], scans });
    this.#store.putSession({ session, generation, epoch, place: place.take() });
    attendance.stored = { at: now, cursor, inflight: inflight.size, scans: scans.size };
    this.#later.delete(attendance);
  }
}
