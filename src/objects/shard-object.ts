/** A topic shard as a Durable Object: it brings the core frames, alarms and wills, and does what the core says. */

import { DurableObject } from "cloudflare:workers";
import { readConfig } from "../config.ts";
import { Shard, type ShardEffect } from "../core/shard/shard.ts";
import { ShardStore } from "../core/shard/store.ts";
import type { Env } from "../env.ts";
import { ByteReader } from "../link/bytes.ts";
import { readMessage } from "../link/message.ts";
import { type Departed, LINK_VERSIONS } from "../link/records.ts";
import { line } from "../line.ts";
import { parseShardName } from "../names.ts";
import { Sockets } from "./sockets.ts";
import { objectSql } from "./sql.ts";
import { Turns } from "./turns.ts";

export class ShardObject extends DurableObject<Env> {
  readonly #sockets: Sockets;
  readonly #shard: Shard;
  readonly #turns: Turns<ShardEffect>;
  #timer: { readonly at: number; readonly id: ReturnType<typeof setTimeout> } | undefined;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#sockets = new Sockets(ctx);
    const links = [...this.#sockets.links].map(([link, socket]) => ({
      link,
      hello: (socket.deserializeAttachment() as Uint8Array | null) ?? undefined,
    }));
    const { limits, settings } = readConfig(env);
    const store = new ShardStore(objectSql(ctx.storage));
    const lastPingAt = (link: number): number | undefined => this.#sockets.lastPingAt(link);
    this.#shard = new Shard(
      {
        ...parseShardName(ctx.id.name!),
        limits,
        shareStrategy: settings.shareStrategy,
        linkVersions: LINK_VERSIONS,
      },
      store,
      links,
      lastPingAt,
      Date.now(),
    );
    this.#turns = new Turns(ctx, this.#sockets, this.#shard, (effect) => this.#do(effect));
  }

  override fetch(request: Request): Response {
    return this.#sockets.accept(request);
  }

  override webSocketMessage(socket: WebSocket, frame: ArrayBuffer | string): void {
    this.#turns.message(socket, frame);
    this.#arm();
  }

  override webSocketClose(socket: WebSocket, code: number): void {
    this.#turns.closed(socket, code);
    this.#arm();
  }

  override webSocketError(socket: WebSocket): void {
    this.webSocketClose(socket, 1006);
  }

  override alarm(): void {
    this.#turns.alarm();
    this.#arm();
  }

  /**
   * Publishes a will. Resolves when the shard owns it.
   *
   * @param will as `writeMessage` wrote it
   */
  publishWill(of: Departed, will: Uint8Array): void {
    const message = readMessage(new ByteReader(will));
    this.#turns.take(() => this.#shard.publishWill(of, message, Date.now()));
    this.#arm();
  }

  /** Forgets a generation of a session and those before it. Resolves when that is stored. */
  wipe(session: string, generation: number): void {
    this.#turns.take(() => this.#shard.wipe(session, generation, Date.now()));
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
      case "dropped":
        console.warn(
          line({ event: "dropped", shard: this.ctx.id.name, qos0: effect.qos0, notRetained: effect.notRetained }),
        );
        return;
      case "report": {
        const { why, messages, sessions } = effect;
        console.warn(line({ event: "dropped", shard: this.ctx.id.name, why, messages, sessions }));
        return;
      }
    }
  }

  /** One timer, for as long as something is unsaved: an object that has one does not sleep. */
  #arm(): void {
    const at = this.#shard.deadline;
    if (at === undefined || (this.#timer && this.#timer.at <= at)) return;
    if (this.#timer) clearTimeout(this.#timer.id);
    const id = setTimeout(
      () => {
        this.#timer = undefined;
        this.#turns.take(() => this.#shard.tick(Date.now()));
        this.#arm();
      },
      Math.max(0, at - Date.now()),
    );
    this.#timer = { at, id };
  }
}
