/** One session object, to be told records and asked what it said: for rules that need no connection. */

import { Session, type SessionAttachment, type SessionEffect } from "../../src/core/session/session.ts";
import { SessionStore, type Wipe } from "../../src/core/session/store.ts";
import { ByteReader, ByteWriter } from "../../src/link/bytes.ts";
import * as records from "../../src/link/records.ts";
import type { Fence } from "../../src/link/records.ts";
import type { Message } from "../../src/mqtt/message.ts";
import { nodeSql } from "./node-sql.ts";

const { Kind } = records;
const NO_BYTES = new Uint8Array(0);

interface Connecting {
  readonly will?: string;
  readonly willDelaySeconds?: number;
  readonly reattach?: Fence;
  readonly link?: number;
  readonly name?: string;
  readonly cleanStart?: boolean;
  readonly expirySeconds?: number;
}

export class SessionRig {
  readonly sql = nodeSql();
  readonly told = new Map<number, records.ConnectionBound[]>();
  readonly closed: number[] = [];
  readonly wills: { of: records.Departed; message: Message }[] = [];
  readonly attachments = new Map<number, SessionAttachment>();
  readonly pings = new Map<number, number>();
  /** Shards that had to forget a generation. */
  readonly shardWipes: Wipe[] = [];
  wipes = 0;
  now = 1_700_000_000_000;
  session = this.#start();

  #start(): Session {
    const links = [...this.attachments].map(([id, attachment]) => ({ id, attachment }));
    const lastPingAt = (link: number): number | undefined => this.pings.get(link);
    const config = { linkVersions: records.LINK_VERSIONS };
    return new Session(config, new SessionStore(this.sql), links, lastPingAt, this.now);
  }

  restart(): void {
    this.attachments.clear();
    this.sleep();
  }

  sleep(): void {
    this.session = this.#start();
    this.do(this.session.start(this.now));
  }

  do(effects: readonly SessionEffect[]): void {
    for (const effect of effects) {
      if (effect.type === "send") {
        const from = new ByteReader(effect.frame);
        while (!from.done)
          this.told.set(effect.link, [
            ...(this.told.get(effect.link) ?? []),
            records.readRecord(from, this.now) as records.ConnectionBound,
          ]);
      } else if (effect.type === "close") {
        this.closed.push(effect.link);
        this.attachments.delete(effect.link);
      } else if (effect.type === "attach") this.attachments.set(effect.link, effect.attachment);
      else if (effect.type === "publishWill") this.wills.push(effect);
      else if (effect.type === "wipeShard") this.shardWipes.push(effect.wipe);
      else {
        this.wipes += 1;
        this.sql.wipe();
      }
    }
  }

  frame(link: number, write: (to: ByteWriter) => void): void {
    const to = new ByteWriter();
    write(to);
    this.do(this.session.frame(link, to.take(), this.now));
  }

  /** A connection is named after the first socket that it came with. */
  connect(link: number, options: Connecting = {}): Fence {
    const message: Message = {
      topic: "will",
      topicUtf8: new TextEncoder().encode("will"),
      qos: 1,
      retain: false,
      expirySeconds: undefined,
      properties: NO_BYTES,
      payload: new TextEncoder().encode(options.will ?? ""),
      at: this.now,
      publisher: "client",
    };
    this.frame(link, (to) =>
      records.writeConnect(to, {
        versionMin: 1,
        versionMax: 1,
        tenant: "main",
        session: "client",
        link: options.link ?? 1,
        connection: options.name ?? `connection ${link}`,
        cleanStart: options.cleanStart ?? true,
        expirySeconds: options.expirySeconds ?? 0,
        willDelaySeconds: options.willDelaySeconds ?? 0,
        reattach: options.reattach,
        will: options.will === undefined ? undefined : message,
      }),
    );
    const last = this.told.get(link)?.at(-1);
    return last?.kind === Kind.Welcome
      ? { generation: last.generation, epoch: last.epoch }
      : { generation: 0, epoch: 0 };
  }

  end(link: number, publishWill: boolean, expirySeconds = 0, planned = false, goneAt = this.now): void {
    this.frame(link, (to) => records.writeEnd(to, { publishWill, planned, expirySeconds, goneAt }));
  }

  /** The client has said goodbye, and END is still to come. */
  leave(link: number, publishWill: boolean, expirySeconds = 0): void {
    this.frame(link, (to) => records.writeLeave(to, { publishWill, planned: false, expirySeconds, goneAt: this.now }));
  }

  keep(link: number, change: Partial<Omit<records.KeepRecord, "kind">>): void {
    this.frame(link, (to) => records.writeKeep(to, { request: 1, put: [], remove: [], shards: [], ...change }));
  }

  /** The last welcome that the link was given. */
  welcome(link: number): records.WelcomeRecord | undefined {
    return this.told.get(link)?.findLast((record) => record.kind === Kind.Welcome);
  }

  lose(link: number): void {
    this.attachments.delete(link);
    this.do(this.session.closed(link, this.now));
  }

  alarm(): void {
    this.do(this.session.alarm(this.now));
  }

  /** Rings the alarm when it is due, for so long. */
  advance(ms: number): void {
    const until = this.now + ms;
    for (let at = this.session.alarmAt; at !== undefined && at <= until && at > this.now; at = this.session.alarmAt) {
      this.now = at;
      this.alarm();
    }
    this.now = until;
  }

  get willPayloads(): string[] {
    return this.wills.map(({ message }) => new TextDecoder().decode(message.payload));
  }

  refused(link: number): number | undefined {
    return this.told.get(link)?.find((record) => record.kind === Kind.Refused)?.reason;
  }

  welcomed(link: number): boolean {
    return this.told.get(link)?.some((record) => record.kind === Kind.Welcome) ?? false;
  }

  get tables(): number {
    return this.sql.rows("SELECT name FROM sqlite_master").length;
  }
}
