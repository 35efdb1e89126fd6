/** A session as a Durable Object: it brings the core frames and alarms, and hands wills and wipes to shards. */

import { DurableObject } from "cloudflare:workers";
import { type Config, readConfig } from "../config.ts";
import { Session, type SessionAttachment, type SessionEffect } from "../core/session/session.ts";
import { SessionStore, type Wipe } from "../core/session/store.ts";
import { shardOfTopic } from "../core/shard/placement.ts";
import type { Env } from "../env.ts";
import { ByteWriter } from "../link/bytes.ts";
import { writeMessage } from "../link/message.ts";
import { type Departed, LINK_VERSIONS } from "../link/records.ts";
import type { Message } from "../mqtt/message.ts";
import { parseSessionName, shardName } from "../names.ts";
import { Sockets } from "./sockets.ts";
import { objectSql } from "./sql.ts";
import { Turns } from "./turns.ts";

export class SessionObject extends DurableObject<Env> {
  readonly #config: Config;
  readonly #name: { readonly tenant: string; readonly session: string };
  readonly #sockets: Sockets;
  readonly #session: Session;
  readonly #turns: Turns<SessionEffect>;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#config = readConfig(env);
    this.#name = parseSessionName(ctx.id.name!);
    this.#sockets = new Sockets(ctx);
    const links = [...this.#sockets.links].flatMap(([id, socket]) => {
      const attachment = socket.deserializeAttachment() as SessionAttachment | null;
      return attachment ? [{ id, attachment }] : [];
    });
    const store = new SessionStore(objectSql(ctx.storage));
    const lastPingAt = (link: number): number | undefined => this.#sockets.lastPingAt(link);
    this.#session = new Session({ linkVersions: LINK_VERSIONS }, store, links, lastPingAt, Date.now());
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
        void this.#publishWill(effect.of, effect.message);
        return;
      case "wipeShard":
        void this.#wipeShard(effect.wipe);
        return;
    }
  }

  async #wipeShard(wipe: Wipe): Promise<void> {
    const { tenant, session } = this.#name;
    try {
      await this.env.TOPIC_SHARDS.getByName(shardName(tenant, wipe.shard)).wipe(session, wipe.generation);
    } catch (error) {
      console.warn(`shard ${wipe.shard} has still to forget ${this.ctx.id.name}`, error);
      this.#turns.take(() => this.#session.wipeFailed(wipe, Date.now()));
      return;
    }
    this.#turns.take(() => this.#session.shardWiped(wipe, Date.now()));
  }

  async #publishWill(of: Departed, message: Message): Promise<void> {
    const shard = shardOfTopic(message.topic, this.#config.placement);
    const will = new ByteWriter();
    writeMessage(will, message);
    try {
      await this.env.TOPIC_SHARDS.getByName(shardName(this.#name.tenant, shard)).publishWill(of, will.take());
    } catch (error) {
      console.warn(`the will of ${this.ctx.id.name} waits for shard ${shard}`, error);
      this.#turns.take(() => this.#session.willFailed(of.epoch, Date.now()));
      return;
    }
    this.#turns.take(() => this.#session.willPublished(of.epoch, Date.now()));
  }
}
