/** A topic shard as a Durable Object: it brings the core frames, alarms and wills, and does what the core says. */

import { DurableObject } from "cloudflare:workers";
import { readConfig } from "../config.ts";
import { Shard, type ShardEffect } from "../core/shard/shard.ts";
import { ShardStore } from "../core/shard/store.ts";
import type { Env } from "../env.ts";
import { ByteReader } from "../link/bytes.ts";
import { readMessage } from "../link/message.ts";
import type { Fence } from "../link/records.ts";
import { parseShardName } from "../names.ts";
import { Alarm } from "./alarm.ts";
import { Sockets } from "./sockets.ts";
import { objectSql } from "./sql.ts";

export class ShardObject extends DurableObject<Env> {
  readonly #sockets: Sockets;
  readonly #alarm: Alarm;
  readonly #shard: Shard;
  #timer: { readonly at: number; readonly id: ReturnType<typeof setTimeout> } | undefined;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#sockets = new Sockets(ctx);
    this.#alarm = new Alarm(ctx.storage);
    const links = [...this.#sockets.links].map(([link, socket]) => ({
      link,
      hello: (socket.deserializeAttachment() as Uint8Array | null) ?? undefined,
    }));
    const { limits } = readConfig(env);
    const store = new ShardStore(objectSql(ctx.storage));
    this.#shard = new Shard({ ...parseShardName(ctx.id.name!), limits }, store, links, Date.now());
    void ctx.blockConcurrencyWhile(async () => {
      await this.#alarm.load();
      this.#perform(() => this.#shard.start(Date.now()));
    });
  }

  override fetch(request: Request): Response {
    return this.#sockets.accept(request);
  }

  override webSocketMessage(socket: WebSocket, frame: ArrayBuffer | string): void {
    const link = this.#sockets.link(socket);
    if (link === undefined || typeof frame === "string") return;
    this.#perform(() => this.#shard.frame(link, new Uint8Array(frame), Date.now()));
  }

  override webSocketClose(socket: WebSocket, code: number): void {
    const link = this.#sockets.closed(socket, code);
    if (link !== null) this.#perform(() => this.#shard.closed(link, Date.now()));
  }

  override webSocketError(socket: WebSocket): void {
    this.webSocketClose(socket, 1006);
  }

  override alarm(): void {
    this.#alarm.gone();
    this.#perform(() => this.#shard.alarm(Date.now()));
  }

  /**
   * Publishes a will. Resolves when the shard owns it.
   *
   * @param will as `writeMessage` wrote it
   */
  publishWill(fence: Fence, will: Uint8Array): void {
    const message = readMessage(new ByteReader(will));
    this.#perform(() => this.#shard.publishWill(fence, message, Date.now()));
  }

  /** A turn that throws may have left memory ahead of storage: the object starts again from what is stored. */
  #perform(turn: () => readonly ShardEffect[]): void {
    try {
      for (const effect of turn()) this.#do(effect);
    } catch (error) {
      console.error(`shard ${this.ctx.id.name} failed and restarts`, error);
      this.ctx.abort("a turn failed");
      throw error;
    }
    this.#alarm.ensure(this.#shard.alarmAt);
    this.#arm();
  }

  #do(effect: ShardEffect): void {
    switch (effect.type) {
      case "send":
        this.#sockets.send(effect.link, effect.frame);
        return;
      case "close":
        this.#sockets.close(effect.link);
        return;
      case "remember":
        this.#sockets.attach(effect.link, effect.hello ?? null);
        return;
    }
  }

  #arm(): void {
    const at = this.#shard.deadline;
    if (at === undefined || (this.#timer && this.#timer.at <= at)) return;
    if (this.#timer) clearTimeout(this.#timer.id);
    const wait = Math.max(0, at - Date.now());
    const id = setTimeout(() => {
      this.#timer = undefined;
      this.#perform(() => this.#shard.tick(Date.now()));
    }, wait);
    this.#timer = { at, id };
  }
}
