/**
 * Which QoS 2 messages of a client are taken and not released? Their packet ids are stored in the transaction that logs
 * the message, so a repeat is answered and never delivered twice, whatever restarts in between [MQTT-4.3.3-10]; and an id
 * is free again only when its release is stored.
 *
 * A session's ids are one row, written whole once a turn however many changed. The row is a fence too: a link of an
 * earlier connection is refused by it even after a restart.
 */

import type { Fence } from "../../link/records.ts";
import type { ShardStore } from "./store.ts";

interface Ids extends Fence {
  readonly ids: Set<number>;
}

/** A session as far as its received ids are concerned. */
type Session = Fence & { readonly session: string };

export class Received {
  readonly #store: ShardStore;
  /** What has been read or changed; undefined for a session that has no row. */
  readonly #sessions = new Map<string, Ids | undefined>();
  readonly #unsaved = new Set<string>();
  /** Some session has a row. */
  #any: boolean;

  constructor(store: ShardStore) {
    this.#store = store;
    this.#any = store.receivedSessions().length > 0;
  }

  get any(): boolean {
    return this.#any;
  }

  /** True when {@link save} has something to store. */
  get unsaved(): boolean {
    return this.#unsaved.size > 0;
  }

  /** True when a later connection than this one has sent QoS 2. */
  fences({ session, generation, epoch }: Session): boolean {
    const known = this.#get(session);
    return known !== undefined && (known.generation > generation || known.epoch > epoch);
  }

  /** A session is attached: what an earlier life of it left is gone. */
  attached({ session, generation }: Session): void {
    const known = this.#get(session);
    if (known && known.generation < generation) this.forget(session);
  }

  /** True while the session has ids that a connection may come back for. */
  holds(session: string): boolean {
    return (this.#get(session)?.ids.size ?? 0) > 0;
  }

  /** Packet ids that the session has not released. */
  ids(session: string): number[] {
    return [...(this.#get(session)?.ids ?? [])];
  }

  /** Takes a message. Returns false when it was taken before. */
  take({ session, generation, epoch }: Session, packetId: number): boolean {
    const ids = this.#get(session)?.ids ?? new Set<number>();
    if (ids.has(packetId)) return false;
    ids.add(packetId);
    this.#sessions.set(session, { generation, epoch, ids });
    this.#unsaved.add(session);
    this.#any = true;
    return true;
  }

  /** The client released an id: the next PUBLISH with it is a new message [MQTT-4.3.3-12]. */
  release(session: string, packetId: number): void {
    if (this.#get(session)?.ids.delete(packetId)) this.#unsaved.add(session);
  }

  /** Stores what changed in this turn. */
  save(): void {
    for (const session of this.#unsaved) {
      const known = this.#sessions.get(session)!;
      if (known.ids.size > 0) this.#store.putReceived(session, known, known.ids);
      else this.forget(session);
    }
    this.#unsaved.clear();
  }

  /** The session has ended. */
  forget(session: string): void {
    if (!this.#get(session)) return;
    this.#sessions.set(session, undefined);
    this.#unsaved.delete(session);
    this.#store.deleteReceived(session);
  }

  /** A generation is over, and those before it. */
  wipe(session: string, generation: number): void {
    const known = this.#get(session);
    if (known && known.generation <= generation) this.forget(session);
  }

  /** Forgets the sessions that nobody waits for any more. */
  sweep(waited: (session: string) => boolean): void {
    if (!this.#any) return;
    const rows = this.#store.receivedSessions();
    for (const session of rows) if (!waited(session)) this.forget(session);
    this.#any = rows.some(waited);
    for (const [session, known] of this.#sessions) if (!known) this.#sessions.delete(session);
  }

  #get(session: string): Ids | undefined {
    if (!this.#any) return undefined;
    if (!this.#sessions.has(session)) this.#sessions.set(session, this.#store.received(session));
    return this.#sessions.get(session);
  }
}
