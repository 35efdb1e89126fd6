/** A connection's side of its session object: asks to be its client id's connection, and says when that is over. */

import { ByteWriter } from "../../link/bytes.ts";
import type { ConnectRecord, Fence } from "../../link/records.ts";
import * as records from "../../link/records.ts";
import type { Connect, Will } from "../../mqtt/codec.ts";
import type { Message } from "../../mqtt/message.ts";
import { encodeUtf8 } from "../../mqtt/utf8.ts";
import type { Effect } from "./effects.ts";
import type { LinkLife } from "./link-life.ts";

/** What the session object is told of the connection. */
export type Introduction = Pick<ConnectRecord, "tenant" | "session" | "connection" | "cleanStart" | "will">;

export class SessionLink {
  readonly life: LinkLife;
  readonly #effects: Effect[];
  #introduction: Introduction | undefined;
  #attempt = 0;
  #fence: Fence | undefined;
  #end: { readonly publishWill: boolean } | undefined;
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
      versionMin: records.LINK_VERSIONS.min,
      versionMax: records.LINK_VERSIONS.max,
      link: this.#attempt,
      reattach: this.#fence,
    });
    if (this.#end) records.writeEnd(to, this.#end.publishWill);
    this.#effects.push({ type: "sendLink", link: "session", frame: to.take() });
  }

  /** The object took the connection in. Returns true the first time. */
  welcome({ generation, epoch }: Fence, now: number): boolean {
    this.life.attached(now);
    const first = this.#fence === undefined;
    this.#fence = { generation, epoch };
    return first;
  }

  /** The connection is over; END goes again with every new link until it is answered. */
  end(publishWill: boolean): void {
    this.#end = { publishWill };
    if (!this.life.usable) return;
    const to = new ByteWriter(8);
    records.writeEnd(to, publishWill);
    this.#effects.push({ type: "sendLink", link: "session", frame: to.take() });
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
}

/** How a client that asked to connect is introduced. */
export function introduction(
  connect: Connect,
  names: Pick<Introduction, "tenant" | "session" | "connection">,
  now: number,
): Introduction {
  const { cleanStart, will } = connect;
  return { ...names, cleanStart, will: will && willMessage(will, names.session, now) };
}

function willMessage(will: Will, publisher: string, at: number): Message {
  const { topic, payload, qos, retain, expirySeconds, properties } = will;
  return { topic, topicUtf8: encodeUtf8(topic), payload, qos, retain, expirySeconds, properties, at, publisher };
}
