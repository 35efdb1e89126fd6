/**
 * A connection's side of its session object: asks to be its client id's connection, has kept what outlives it, and says
 * when it is over.
 */

import { ByteWriter } from "../../link/bytes.ts";
import type { ConnectRecord, End, Fence, KeepRecord, WelcomeRecord } from "../../link/records.ts";
import * as records from "../../link/records.ts";
import type { Connect, Will } from "../../mqtt/codec.ts";
import type { Message } from "../../mqtt/message.ts";
import { encodeUtf8 } from "../../mqtt/utf8.ts";
import type { Effect } from "./effects.ts";
import type { LinkLife } from "./link-life.ts";

/** What the session object is told of the connection. */
export type Introduction = Omit<ConnectRecord, "kind" | "link" | "reattach">;

/** What is to be kept of the session, and what waits for it. */
interface Keeping extends Omit<KeepRecord, "kind"> {
  readonly goOn: (now: number) => void;
}

export class SessionLink {
  readonly life: LinkLife;
  readonly #effects: Effect[];
  #introduction: Introduction | undefined;
  #attempt = 0;
  #fence: Fence | undefined;
  /** The session outlives this connection. */
  #persistent = false;
  /** Shards that are known to the session object as holding state of the session. */
  readonly #shards = new Set<number>();
  /** What the object has not confirmed, oldest first. */
  readonly #keeping = new Map<number, Keeping>();
  #requests = 0;
  #leaving: End | undefined;
  #end: End | undefined;
  #ended = false;

  constructor(life: LinkLife, effects: Effect[]) {
    this.life = life;
    this.#effects = effects;
  }

  /** Which connection of the session this is; undefined until it is welcome. */
  get fence(): Fence | undefined {
    return this.#fence;
  }

  /** True when the object has nothing more to hear, because it said so or because it was never asked. */
  get ended(): boolean {
    return this.#ended || this.life.phase === "closed";
  }

  open(introduction: Introduction, now: number): void {
    this.#introduction = introduction;
    this.life.open(now);
  }

  /** The link is there: says who it is, and again what an earlier link may have lost. */
  opened(): void {
    if (!this.life.opened()) return;
    this.#attempt += 1;
    const to = new ByteWriter();
    records.writeConnect(to, {
      ...this.#introduction!,
      link: this.#attempt,
      reattach: this.#fence,
    });
    // Until it is welcome again nothing is kept or ended, but what follows is read behind it.
    if (this.#fence) for (const keeping of this.#keeping.values()) records.writeKeep(to, keeping);
    if (this.#end) records.writeEnd(to, this.#end);
    else if (this.#leaving) records.writeLeave(to, this.#leaving);
    this.#effects.push({ type: "sendLink", link: "session", frame: to.take() });
  }

  /** The object took the connection in. Returns true the first time. */
  welcome({ generation, epoch, persistent, shards }: WelcomeRecord, now: number): boolean {
    this.life.attached(now);
    if (this.#fence) return false;
    this.#fence = { generation, epoch };
    this.#persistent = persistent;
    for (const shard of shards) this.#shards.add(shard);
    return true;
  }

  get persistent(): boolean {
    return this.#persistent;
  }

  /** True when nothing has to be kept before a shard may hold state of the session. */
  uses(shard: number): boolean {
    return !this.#persistent || (this.#keeping.size === 0 && this.#shards.has(shard));
  }

  /** Has kept what outlives the connection, if anything does, and then goes on. */
  keep(
    { put, remove, shards }: Pick<KeepRecord, "put" | "remove" | "shards">,
    now: number,
    goOn: Keeping["goOn"],
  ): void {
    const more = shards.filter((shard) => !this.#shards.has(shard));
    const nothing = put.length + remove.length + more.length === 0;
    // What waits for the object goes on in the order in which it came.
    if (!this.#persistent || (nothing && this.#keeping.size === 0)) {
      goOn(now);
      return;
    }
    const keeping = { request: ++this.#requests, put, remove, shards: more, goOn };
    this.#keeping.set(keeping.request, keeping);
    if (!this.life.usable) return;
    this.#send((to) => records.writeKeep(to, keeping));
    this.life.asked(now);
  }

  /** The object has kept it. */
  kept(request: number, now: number): void {
    this.life.heard(now);
    const keeping = this.#keeping.get(request);
    if (!keeping) return;
    this.#keeping.delete(request);
    for (const shard of keeping.shards) this.#shards.add(shard);
    keeping.goOn(now);
  }

  /** The client has said goodbye; END follows. */
  leave(end: End): void {
    this.#leaving = end;
    if (this.life.usable) this.#send((to) => records.writeLeave(to, end));
  }

  /** The connection is over; END goes again with every new link until it is answered. */
  end(end: End): void {
    this.#end = end;
    if (this.life.usable) this.#send((to) => records.writeEnd(to, end));
  }

  /** The link counts as dead, though it has not closed: another one takes its place. */
  replace(now: number): void {
    if (!this.life.usable) return;
    this.#effects.push({ type: "closeLink", link: "session" });
    this.broken(now);
  }

  /** The object answered END, or refused the connection, or is given up. */
  settle(): void {
    this.#ended = true;
    this.life.close();
  }

  /** The link broke. Returns false when it is time to give up. */
  broken(now: number): boolean {
    if (this.ended) return true;
    // Never welcomed and not wanted any more: whatever the object began it ends by itself.
    const abandoned = this.#end !== undefined && this.#fence === undefined;
    const again = !abandoned && this.life.broken(now);
    if (!again) this.settle();
    return again || abandoned;
  }

  #send(write: (to: ByteWriter) => void): void {
    const to = new ByteWriter(64);
    write(to);
    this.#effects.push({ type: "sendLink", link: "session", frame: to.take() });
  }
}

/** How a client that asked to connect is introduced. */
export function introduction(
  connect: Connect,
  names: Pick<Introduction, "versionMin" | "versionMax" | "tenant" | "session" | "connection">,
  expirySeconds: number,
  now: number,
): Introduction {
  const { cleanStart, will } = connect;
  return {
    ...names,
    cleanStart,
    expirySeconds,
    will: will && willMessage(will, names.session, now),
    willDelaySeconds: will?.delaySeconds ?? 0,
  };
}

function willMessage(will: Will, publisher: string, at: number): Message {
  const { topic, payload, qos, retain, expirySeconds, properties } = will;
  return { topic, topicUtf8: encodeUtf8(topic), payload, qos, retain, expirySeconds, properties, at, publisher };
}
