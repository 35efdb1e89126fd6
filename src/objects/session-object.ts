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
import { Sockets } from "./sockets.ts";
import { objectSql } from "./sql.ts";
import { Turns } from "./turns.ts";

export class SessionObject extends DurableObject<Env> {
  readonly #config: Config;
  readonly #tenant: string;
  readonly #sockets: Sockets;
  readonly #session: Session;
  readonly #turns: Turns<SessionEffect>;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#config = readConfig(env);
    this.#tenant = parseSessionName(ctx.id.name!).tenant;
    this.#sockets = new Sockets(ctx);
    const links = [...this.#sockets.links].flatMap(([id, socket]) => {
      const attachment = socket.deserializeAttachment() as SessionAttachment | null;
      return attachment ? [{ id, attachment }] : [];
    });
    const store = new SessionStore(objectSql(ctx.storage));
    this.#session = new Session(store, links, (link) => this.#sockets.lastPingAt(link), Date.now());
    this.#turns = new Turns(ctx, this.#sockets, this.#session, (effect) => this.#do(effect));
  }

  override fetch(request: Request): Response {
    return this.#sockets.accept(request);
  }

  override webSocketMessage(socket: WebSocket, frame: ArrayBuffer | string): void {
    this.#turns.message(socket, frame);
  }

  override webSocketClose(socket: WebSocket, code: number): void {
    this.#turns.closed(socket, code);
  }

  override webSocketError(socket: WebSocket): void {
    this.#turns.closed(socket, 1006);
  }

  override alarm(): void {
    this.#turns.alarm();
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
        this.#turns.wipe();
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
      console.warn(`the will of ${this.ctx.id.name} waits for shard ${shard}`, error);
      this.#turns.take(() => this.#session.willFailed(fence.epoch, Date.now()));
      return;
    }
    this.#turns.take(() => this.#session.willPublished(fence.epoch, Date.now()));
  }
}
