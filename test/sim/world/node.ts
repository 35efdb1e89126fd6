/**
 * A Durable Object as the cores know it: storage and alarm that outlive it, sockets whose attachments outlive its
 * memory, and turns that happen or do not. It does what `src/objects/*-object.ts` and `sockets.ts` do.
 */

import { Session, type SessionAttachment, type SessionEffect } from "../../../src/core/session/session.ts";
import { SessionStore } from "../../../src/core/session/store.ts";
import { shardOfTopic } from "../../../src/core/shard/placement.ts";
import { Shard, type ShardEffect } from "../../../src/core/shard/shard.ts";
import { ShardStore } from "../../../src/core/shard/store.ts";
import { ByteReader, ByteWriter } from "../../../src/link/bytes.ts";
import { readMessage, writeMessage } from "../../../src/link/message.ts";
import type { Departed, LinkVersions } from "../../../src/link/records.ts";
import type { Message } from "../../../src/mqtt/message.ts";
import { type NodeSql, nodeSql } from "../../support/node-sql.ts";
import { type Call, Calls } from "./calls.ts";
import { Gate } from "./gate.ts";
import type { Link } from "./link.ts";
import { type Party, PLATFORM } from "./step.ts";
import { Rank, type Timer } from "./timer.ts";
import type { World } from "./world.ts";

export type AnyNode = ShardNode | SessionNode;

interface Core<Effect> {
  readonly alarmAt: number | undefined;
  frame(link: number, frame: Uint8Array, now: number): readonly Effect[];
  closed(link: number | undefined, now: number): readonly Effect[];
  alarm(now: number): readonly Effect[];
}

export interface CrashOptions {
  /** Writes that were not durable are lost; false: they had become so, though what waited for them never left. */
  readonly loseUnsaved?: boolean;
  /** What was on its way over the links is lost; false: it still arrives, and then the close. */
  readonly loseSent?: boolean;
}

abstract class ObjectNode<Effect, C extends Core<Effect>> implements Party {
  readonly sql: NodeSql = nodeSql();
  readonly sockets = new Set<Link>();
  /** False: no request gets through to the object. */
  reachable = true;
  /** How often its alarm went off. */
  rings = 0;
  /** The object's memory; undefined while it sleeps. */
  core: C | undefined;
  /** What its release reads of links. It takes effect when the object starts. */
  linkVersions: LinkVersions;
  /** Why turns failed. */
  readonly failures: unknown[] = [];
  readonly world: World;
  readonly #alarm: Timer;
  readonly #timer: Timer;
  readonly #idle: Timer;
  readonly #gate: Gate;
  #unsavedMs: number;
  #alarmAt: number | undefined;
  #savedAlarmAt: number | undefined;
  readonly #byId = new Map<number, Link>();
  #lastLink = 0;

  constructor(world: World, rank: number) {
    this.world = world;
    this.linkVersions = world.deploys.objectVersions;
    this.#unsavedMs = world.unsavedMs;
    this.sql.held = this.#unsavedMs > 0;
    this.#gate = new Gate(world, rank + 0.25, this, () => this.#saved());
    this.#timer = world.timer(rank, this, "timer", () => this.tick());
    this.#idle = world.timer(rank + 0.75, this, "idle", () => this.#doze());
    this.#alarm = world.timer(rank + 0.5, this, "alarm", () => this.#ring());
  }

  abstract readonly party: string;
  abstract readonly deadline: number | undefined;
  abstract tick(): void;

  /** When the stored alarm is due. */
  get alarmAt(): number | undefined {
    return this.#alarmAt;
  }

  set alarmAt(at: number | undefined) {
    this.#setAlarm(at);
    this.#savedAlarmAt = at;
  }

  #setAlarm(at: number | undefined): void {
    this.#alarmAt = at;
    this.#alarm.set(at === undefined ? undefined : at + this.world.alarmLateMs);
  }

  /** Sets its alarm as it ought to be now. */
  arm(): void {
    this.#setAlarm(this.#alarmAt);
  }

  /** How long its writes take to become durable. */
  get unsavedMs(): number {
    return this.#unsavedMs;
  }

  set unsavedMs(ms: number) {
    this.#gate.flush();
    this.sql.save();
    this.#unsavedMs = ms;
    this.sql.held = ms > 0;
  }

  /** There are writes that a crash may lose. */
  get unsaved(): boolean {
    return this.#gate.unsaved;
  }

  /** What it has written is durable now, and what waited for that leaves. */
  flush(): void {
    this.#gate.flush();
  }

  /** Lets something out when all that it has written is durable; `lost` is called if it crashes before. */
  out(leave: () => void, lost?: () => void): void {
    this.#gate.pass(leave, lost);
  }

  /** Why it could not go to sleep if nothing happened any more; nothing: it could. */
  get holdsAwake(): readonly string[] {
    if (!this.core) return [];
    const why: string[] = [];
    if (this.deadline !== undefined) why.push(`a timer, due in ${this.deadline - this.world.now} ms`);
    if (this.unsaved) why.push("unsaved writes");
    return why;
  }

  /** True when it is asleep, or could be. */
  get sleeps(): boolean {
    return this.holdsAwake.length === 0;
  }

  #saved(): void {
    this.sql.save();
    this.#savedAlarmAt = this.#alarmAt;
  }

  /** Something was written since `writes`, or the alarm set. */
  #wrote(writes = -1): void {
    if (this.sql.writes === writes) return;
    if (this.#unsavedMs > 0) this.#gate.wrote(this.#unsavedMs);
    else this.#savedAlarmAt = this.#alarmAt;
  }

  protected abstract start(links: readonly Link[]): { core: C; effects: readonly Effect[] };
  protected abstract do(effect: Effect): void;

  /** Runs the constructor if the object sleeps. Returns undefined when that fails. */
  wake(): C | undefined {
    if (this.core) return this.core;
    this.#lastLink = 0;
    this.#byId.clear();
    for (const link of this.sockets) this.#number(link);
    this.perform(() => {
      const { core, effects } = this.start([...this.sockets]);
      this.core = core;
      return effects;
    });
    return this.core;
  }

  /** It goes to sleep, or looks again later. */
  #doze(): void {
    if (this.sleeps) this.evict();
    else this.#stir();
  }

  /** Something has come to it. */
  #stir(): void {
    const { idleMs, now } = this.world;
    this.#idle.set(idleMs === undefined ? undefined : now + idleMs);
  }

  /** A turn: all of it is stored and sent, or the object starts again from what is stored. */
  perform(turn: () => readonly Effect[]): boolean {
    let effects: readonly Effect[];
    const { writes } = this.sql;
    this.#stir();
    try {
      effects = this.sql.transaction(turn);
    } catch (error) {
      this.failures.push(error);
      this.crash({ loseUnsaved: this.unsaved && this.world.losesUnsaved() });
      return false;
    }
    this.#wrote(writes);
    for (const effect of effects) this.do(effect);
    const at = this.core?.alarmAt;
    // No alarm goes off in the instant in which it is set.
    if (at !== undefined && (this.alarmAt === undefined || at < this.alarmAt)) {
      this.#setAlarm(Math.max(at, this.world.now + 1));
      this.#wrote();
    }
    this.#timer.set(this.deadline);
    return true;
  }

  accept(link: Link): boolean {
    if (!this.wake()) return false;
    this.#number(link);
    this.sockets.add(link);
    return true;
  }

  #number(link: Link): void {
    link.id = ++this.#lastLink;
    this.#byId.set(link.id, link);
  }

  /** The socket is no more. Returns false when it was not before. */
  #forget(link: Link): boolean {
    if (!this.sockets.delete(link)) return false;
    if (this.#byId.get(link.id!) === link) this.#byId.delete(link.id!);
    return true;
  }

  message(link: Link, frame: Uint8Array): void {
    if (!this.sockets.has(link)) return;
    const core = this.wake();
    // The constructor may have closed it.
    if (core && this.sockets.has(link)) this.perform(() => core.frame(link.id!, frame, this.world.now));
  }

  /** The platform no longer lists a closed socket when its close wakes the object. */
  gone(link: Link): void {
    if (!this.#forget(link)) return;
    const id = this.core ? link.id : undefined;
    const core = this.wake();
    if (core) this.perform(() => core.closed(id, this.world.now));
  }

  /** Its alarm goes off, whether it is due or not. */
  ring(): void {
    this.world.tell({ party: PLATFORM }, this, "alarm");
    this.#ring();
  }

  #ring(): void {
    this.#setAlarm(undefined);
    this.rings += 1;
    const core = this.wake();
    const done = core !== undefined && this.perform(() => core.alarm(this.world.now));
    this.#wrote();
    const { alarmRetryMs, now } = this.world;
    if (done || alarmRetryMs === undefined) return;
    this.alarmAt = Math.min(this.#alarmAt ?? Infinity, now + alarmRetryMs);
  }

  /** Memory is gone and every socket breaks; what is stored stays. */
  crash({ loseUnsaved = true, loseSent = true }: CrashOptions = {}): void {
    this.world.tell({ party: PLATFORM }, this, this.unsaved && loseUnsaved ? "crash, unsaved writes lost" : "crash");
    this.core = undefined;
    this.#idle.set(undefined);
    if (this.unsaved) {
      if (loseUnsaved) this.#lose();
      else this.#saved();
    }
    this.#gate.lose();
    this.#timer.set(undefined);
    const links = [...this.sockets];
    this.sockets.clear();
    this.#byId.clear();
    for (const link of links) link.drop({ loseSent });
  }

  #lose(): void {
    this.sql.lose();
    const saved = this.#savedAlarmAt;
    this.#setAlarm(saved === undefined ? undefined : Math.max(saved, this.world.now + 1));
  }

  /** A release with other link versions reaches it: what is unsaved is saved, and it starts again when it is needed. */
  deploy(versions: LinkVersions): void {
    this.flush();
    this.linkVersions = versions;
    this.crash({ loseSent: false });
  }

  /** Memory is gone; sockets and what was attached to them stay. The platform waits with it until all is saved. */
  evict(): void {
    this.flush();
    this.world.tell({ party: PLATFORM }, this, "evict");
    this.core = undefined;
    this.#idle.set(undefined);
    this.#timer.set(undefined);
  }

  /** Everything that is stored is deleted, the alarm as well. */
  protected deleteAll(): void {
    this.sql.wipe();
    this.#setAlarm(undefined);
    this.#wrote();
  }

  protected link(id: number): Link | undefined {
    return this.#byId.get(id);
  }

  protected send(id: number, frame: Uint8Array): void {
    const link = this.link(id);
    if (link) this.out(() => link.sendDown(frame));
  }

  protected close(id: number): void {
    const link = this.link(id);
    if (!link) return;
    this.#forget(link);
    this.out(
      () => link.closeAtObject(),
      () => link.drop(),
    );
  }
}

export class ShardNode extends ObjectNode<ShardEffect, Shard> {
  readonly shard: number;
  /** What sessions lost to limits. */
  readonly reports: Extract<ShardEffect, { type: "report" }>[] = [];

  constructor(world: World, shard: number) {
    super(world, Rank.shard + shard);
    this.shard = shard;
  }

  get party(): string {
    return `shard ${this.shard}`;
  }

  get deadline(): number | undefined {
    return this.core?.deadline;
  }

  tick(): void {
    const core = this.core!;
    this.perform(() => core.tick(this.world.now));
  }

  /** Returns false when the call failed. */
  publishWill(of: Departed, will: Uint8Array): boolean {
    const core = this.reachable ? this.wake() : undefined;
    if (!core) return false;
    return this.perform(() => core.publishWill(of, readMessage(new ByteReader(will)), this.world.now));
  }

  /** Returns false when the call failed. */
  wipe(session: string, generation: number): boolean {
    const core = this.reachable ? this.wake() : undefined;
    if (!core) return false;
    return this.perform(() => core.wipe(session, generation, this.world.now));
  }

  protected start(links: readonly Link[]): { core: Shard; effects: readonly ShardEffect[] } {
    const { tenant, limits, settings, now } = this.world;
    const config = {
      shard: this.shard,
      tenant,
      limits,
      shareStrategy: settings.shareStrategy,
      linkVersions: this.linkVersions,
    };
    const remembered = links.map(({ id, attachment }) => ({ link: id!, hello: attachment as Uint8Array | undefined }));
    const pongAt = (id: number): number | undefined => this.link(id)?.pongAt;
    const core = new Shard(config, new ShardStore(this.sql), remembered, pongAt, now);
    return { core, effects: core.start(now) };
  }

  protected do(effect: ShardEffect): void {
    if (effect.type === "report") this.reports.push(effect);
    if (effect.type === "report" || effect.type === "dropped") return;
    const link = this.link(effect.link);
    if (effect.type === "send") this.send(effect.link, effect.frame);
    else if (effect.type === "close") this.close(effect.link);
    else if (link) link.attachment = effect.hello;
  }
}

export class SessionNode extends ObjectNode<SessionEffect, Session> {
  readonly #clientId: string;
  /** By shard. */
  readonly #calls = new Map<ShardNode, Calls>();
  /** Calls of this incarnation that are not answered. */
  #pending = 0;

  /** @param number rising with every session of the world */
  constructor(world: World, clientId: string, number: number) {
    super(world, Rank.session + number);
    this.#clientId = clientId;
  }

  get party(): string {
    return `session ${this.#clientId}`;
  }

  get deadline(): undefined {
    return undefined;
  }

  tick(): void {}

  override get holdsAwake(): readonly string[] {
    const why = super.holdsAwake;
    return this.core && this.#pending > 0 ? [...why, `${this.#pending} calls that are not answered`] : why;
  }

  protected start(links: readonly Link[]): { core: Session; effects: readonly SessionEffect[] } {
    const known = links.flatMap(({ id, attachment }) =>
      attachment ? [{ id: id!, attachment: attachment as SessionAttachment }] : [],
    );
    const pongAt = (id: number): number | undefined => this.link(id)?.pongAt;
    this.#pending = 0;
    const core = new Session(
      { linkVersions: this.linkVersions },
      new SessionStore(this.sql),
      known,
      pongAt,
      this.world.now,
    );
    return { core, effects: core.start(this.world.now) };
  }

  protected do(effect: SessionEffect): void {
    switch (effect.type) {
      case "send":
        this.send(effect.link, effect.frame);
        return;
      case "close":
        this.close(effect.link);
        return;
      case "attach": {
        const link = this.link(effect.link);
        if (link) link.attachment = effect.attachment;
        return;
      }
      case "wipe":
        this.deleteAll();
        return;
      case "publishWill":
        this.#publishWill(effect.of, effect.message);
        return;
      case "wipeShard": {
        const { shard, generation } = effect.wipe;
        this.#call(
          "wipe",
          shard,
          (to) => to.wipe(this.#clientId, generation),
          (core, done) =>
            done ? core.shardWiped(effect.wipe, this.world.now) : core.wipeFailed(effect.wipe, this.world.now),
        );
        return;
      }
    }
  }

  #publishWill(of: Departed, message: Message): void {
    const { world } = this;
    const will = new ByteWriter();
    writeMessage(will, message);
    const bytes = will.take();
    this.#call(
      "publishWill",
      shardOfTopic(message.topic, world.placement),
      (to) => to.publishWill(of, bytes),
      (core, done) => (done ? core.willPublished(of.epoch, world.now) : core.willFailed(of.epoch, world.now)),
    );
  }

  /** A call to a shard, and what is done with its answer. The answer of a call that a lost incarnation made reaches nobody. */
  #call(
    what: Call["what"],
    shard: number,
    run: (to: ShardNode) => boolean,
    answered: (core: Session, done: boolean) => readonly SessionEffect[],
  ): void {
    const { world, core } = this;
    const to = world.shards[shard]!;
    let calls = this.#calls.get(to);
    if (!calls) this.#calls.set(to, (calls = new Calls(world, this, to)));
    const hear = (done: boolean): void => {
      if (!core || this.core !== core) return;
      this.#pending -= 1;
      this.perform(() => answered(core, done));
    };
    this.#pending += 1;
    this.out(() => calls.make(what, () => run(to), hear));
  }
}
