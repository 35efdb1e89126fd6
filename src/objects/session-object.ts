/** A session as a Durable Object: it brings the core frames and alarms, and hands wills to their shards. */

import { DurableObject } from "cloudflare:workers";
import { type Config, readConfig } from "../config.ts";
import { Session, type SessionAttachment, type SessionEffect } from "../core/session/session.ts";
import { SessionStore } from "../core/session/store.ts";
import { shardOfTopic } from "../core/shard/placement.ts";
import type { Env } from "../env.ts";
import { ByteWriter } from "../link/bytes.ts";
import { writeMessage } from "../link/message.ts";
import type { Fence } from "../link/records.ts";
import type { Message } from "../mqtt/message.ts";
import { parseSessionName, shardName } from "../names.ts";
import { Alarm } from "./alarm.ts";
import { Sockets } from "./sockets.ts";
import { objectSql } from "./sql.ts";

export class SessionObject extends DurableObject<Env> {
  readonly #config: Config;
  readonly #tenant: string;
  readonly #sockets: Sockets;
  readonly #alarm: Alarm;
  readonly #session: Session;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#config = readConfig(env);
    this.#tenant = parseSessionName(ctx.id.name!).tenant;
    this.#sockets = new Sockets(ctx);
    this.#alarm = new Alarm(ctx.storage);
    const links = [...this.#sockets.links].flatMap(([id, socket]) => {
      const attachment = socket.deserializeAttachment() as SessionAttachment | null;
      return attachment ? [{ id, attachment }] : [];
    });
    const store = new SessionStore(objectSql(ctx.storage));
    this.#session = new Session(store, links, (link) => this.#sockets.lastPingAt(link), Date.now());
    void ctx.blockConcurrencyWhile(async () => {
      await this.#alarm.load();
      this.#perform(() => this.#session.start(Date.now()));
    });
  }

  override fetch(request: Request): Response {
    return this.#sockets.accept(request);
  }

  override webSocketMessage(socket: WebSocket, frame: ArrayBuffer | string): void {
    const link = this.#sockets.link(socket);
    if (link === undefined || typeof frame === "string") return;
    this.#perform(() => this.#session.frame(link, new Uint8Array(frame), Date.now()));
  }

  override webSocketClose(socket: WebSocket, code: number): void {
    const link = this.#sockets.closed(socket, code);
    if (link !== null) this.#perform(() => this.#session.closed(link, Date.now()));
  }

  override webSocketError(socket: WebSocket): void {
    this.webSocketClose(socket, 1006);
  }

  override alarm(): void {
    this.#alarm.gone();
    this.#perform(() => this.#session.alarm(Date.now()));
  }

  /** A turn that throws may have left memory ahead of storage: the object starts again from what is stored. */
  #perform(turn: () => readonly SessionEffect[]): void {
    try {
      for (const effect of turn()) this.#do(effect);
    } catch (error) {
      console.error(`session ${this.ctx.id.name} failed and restarts`, error);
      this.ctx.abort("a turn failed");
      throw error;
    }
    this.#alarm.ensure(this.#session.alarmAt);
  }

  #do(effect: SessionEffect): void {
    switch (effect.type) {
      case "send":
        this.#sockets.send(effect.link, effect.frame);
        return;
      case "close":
        this.#sockets.close(effect.link);
        return;
      case "attach":
        this.#sockets.attach(effect.link, effect.attachment);
        return;
      case "wipe":
        // Takes effect at once, the alarm included; the promise says when it is durable, which nobody waits for.
        void this.ctx.storage.deleteAll();
        this.#alarm.gone();
        return;
      case "publishWill":
        void this.#publishWill(effect.fence, effect.message);
        return;
    }
  }

  async #publishWill(fence: Fence, message: Message): Promise<void> {
    const shard = shardOfTopic(message.topic, this.#config.placement);
    const will = new ByteWriter();
    writeMessage(will, message);
    try {
      await this.env.TOPIC_SHARDS.getByName(shardName(this.#tenant, shard)).publishWill(fence, will.take());
    } catch (error) {
      console.warn(`session ${this.ctx.id.name}: its will waits for shard ${shard}`, error);
      this.#perform(() => this.#session.willFailed(fence.epoch, Date.now()));
      return;
    }
    this.#perform(() => this.#session.willPublished(fence.epoch, Date.now()));
  }
}
