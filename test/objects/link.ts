/** A link without a connection behind it: a test says the records itself, and so can leave as no connection would. */

import { ByteReader, ByteWriter } from "../../src/link/bytes.ts";
import type { ConnectionBound, ConnectRecord, HelloRecord } from "../../src/link/records.ts";
import * as records from "../../src/link/records.ts";

type KindOf = ConnectionBound["kind"];

export class Link {
  /** Everything that the object sent. */
  readonly received: ConnectionBound[] = [];
  readonly texts: string[] = [];
  closed: { readonly code: number } | undefined;
  readonly #socket: WebSocket;
  readonly #waiting = new Set<() => void>();

  static async open(stub: DurableObjectStub): Promise<Link> {
    const { webSocket } = await stub.fetch("https://object/link", { headers: { Upgrade: "websocket" } });
    return new Link(webSocket!);
  }

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.accept();
    socket.addEventListener("message", ({ data }) => {
      if (typeof data === "string") {
        this.texts.push(data);
      } else {
        const reader = new ByteReader(new Uint8Array(data as ArrayBuffer));
        while (!reader.done) this.received.push(records.readRecord(reader, Date.now()) as ConnectionBound);
      }
      this.#wake();
    });
    socket.addEventListener("close", ({ code }) => {
      this.closed = { code };
      this.#wake();
    });
  }

  /** Sends one frame. */
  say(write: (to: ByteWriter) => void): void {
    const to = new ByteWriter();
    write(to);
    this.#socket.send(to.take());
  }

  text(text: string): void {
    this.#socket.send(text);
  }

  close(): void {
    this.#socket.close(1000);
  }

  async hear<K extends KindOf>(kind: K): Promise<Extract<ConnectionBound, { kind: K }>> {
    const find = (): ConnectionBound | undefined => this.received.find((record) => record.kind === kind);
    await this.until(() => find() !== undefined);
    return find() as Extract<ConnectionBound, { kind: K }>;
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.closed) throw new Error(`the link closed with ${this.closed.code}`);
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  async ended(): Promise<number> {
    while (!this.closed) await new Promise<void>((resolve) => this.#waiting.add(resolve));
    return this.closed.code;
  }

  #wake(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const resolve of waiting) resolve();
  }
}

/** A hello as the connection of an MQTT 5 client says it on its first link. */
export function hello(session: string, more: Partial<HelloRecord> = {}): Omit<HelloRecord, "kind"> {
  return {
    versionMin: records.LINK_VERSIONS.min,
    versionMax: records.LINK_VERSIONS.max,
    shards: 4,
    depth: 2,
    tenant: "main",
    session,
    generation: 1,
    epoch: 1,
    link: 1,
    mqttVersion: 5,
    packetBytesMax: 0xffff_ffff,
    topicAliasMaximum: 0,
    persistent: false,
    cursor: undefined,
    sharedReceived: 0,
    grants: 10,
    subscriptions: [],
    inflight: [],
    ...more,
  };
}

/** A connect as the connection of a client without a will says it. */
export function connect(session: string, more: Partial<ConnectRecord> = {}): Omit<ConnectRecord, "kind"> {
  return {
    versionMin: records.LINK_VERSIONS.min,
    versionMax: records.LINK_VERSIONS.max,
    tenant: "main",
    session,
    connection: "one",
    link: 1,
    cleanStart: true,
    expirySeconds: 0,
    willDelaySeconds: 0,
    reattach: undefined,
    will: undefined,
    ...more,
  };
}

/** A SUBSCRIBE record's subscription at QoS 1. */
export function subscription(
  number: number,
  filter: string,
  more: Partial<records.SubscriptionRecord> = {},
): records.SubscriptionRecord {
  return {
    number,
    filter,
    qos: 1,
    noLocal: false,
    retainAsPublished: false,
    retainHandling: 2,
    identifier: 0,
    ...more,
  };
}
