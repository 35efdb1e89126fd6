/**
 * A {@link Site} without anything real: a {@link World}, whose time runs only while a trial is driven. The same seeds give
 * the same trial, to the last frame.
 */

import type { Random } from "../support/random.ts";
import type { DiskFault } from "../trial/disk-fault.ts";
import type { Dialling, Clock, Network, ObjectName, Site } from "../trial/site.ts";
import type { Profile } from "../trial/device.ts";
import { StorageFailure } from "../support/node-sql.ts";
import type { History } from "../trial/history.ts";
import { note } from "../trial/faults.ts";
import { leftovers } from "./leftovers.ts";
import { SimulatedLine } from "./socket.ts";
import { Timers } from "./timers.ts";
import type { Link } from "./world/link.ts";
import type { SessionNode, ShardNode } from "./world/node.ts";
import { World, type WorldOptions } from "./world/world.ts";

const WORKERS = ["w1", "w2", "w3"] as const;
const DAY_MS = 24 * 3600 * 1000;
/** A connection that its client has left is over by then. */
const LEAVING_MS = 60_000;
/** A timer that goes off within that keeps its object awake. */
const TIMER_AHEAD_MS = 100;
/** The longest that it is waited for something to happen. */
const PASS_MS = 1_000;
/** More steps than this are an endless loop. */
const STEPS_MAX = 1_000_000;

interface Living {
  readonly client: string;
  /** Its number, once the client has said CONNECT. */
  connection: number | undefined;
  line: SimulatedLine;
}

export class SimulatedSite implements Site {
  readonly world: World;
  readonly pollMs = 5_000;
  readonly patienceMs = 240_000;
  readonly log: string[] = [];
  readonly network: Network = { dial: (profile, dialling) => this.#dial(profile, dialling) };
  readonly clock: Clock;
  /** Nothing arrives over these any more, and their ends learn of it when everything is mended, or before. */
  readonly dead: Link[] = [];
  readonly #random: Random;
  readonly #limited: boolean;
  readonly #timers = new Timers();
  readonly #startMs: number;
  /** How long everything takes that is sent, in peace. */
  readonly #delayMs: number;
  /** Lines whose connections may not be over yet. */
  #lines: Living[] = [];
  /** Connections of each client. */
  readonly #connections = new Map<string, number>();
  /** Of the trial that takes place here. */
  history: History | undefined;
  /** Whoever waits until something has happened. */
  readonly #passing = new Set<{ readonly until: number; readonly goOn: () => void }>();
  #dropped = 0;
  #isDown = false;
  #hasWoken = false;

  /** @param options `limited`: limits are so low that they are met */
  constructor(options: WorldOptions & { readonly delayMs: number; readonly limited: boolean }, random: Random) {
    this.#random = random;
    this.#limited = options.limited;
    this.world = new World(options);
    this.#delayMs = options.delayMs;
    this.#startMs = this.world.now;
    const { world } = this;
    const startMs = this.#startMs;
    this.clock = {
      get now() {
        return world.now - startMs;
      },
      // A clock has whole milliseconds.
      after: (ms, act) => this.#timers.add(Math.ceil(world.now + ms), act),
    };
  }

  get shards(): number {
    return this.world.shards.length;
  }

  get failedTurns(): number {
    return this.nodes.reduce((sum, { failures }) => sum + failures.length, 0);
  }

  /** Lets time pass until the trial is over. */
  async drive<T>(trial: Promise<T>): Promise<T> {
    let isOver = false;
    const over = trial.finally(() => (isOver = true));
    over.catch(() => {});
    for (;;) {
      // Whoever sleeps goes on in a microtask.
      await new Promise(setImmediate);
      if (isOver) return over;
      this.#hasWoken = false;
      while (!this.#hasWoken) this.#step();
    }
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.clock.after(ms, () => {
        this.#hasWoken = true;
        resolve();
      });
    });
  }

  /** Waits until so many things have happened, but not for ever. */
  pass(steps: number): Promise<void> {
    const until = this.world.steps + steps;
    return new Promise((resolve) => {
      const goOn = (): void => {
        timer.cancel();
        this.#passing.delete(waiting);
        this.#hasWoken = true;
        resolve();
      };
      const waiting = { until, goOn };
      const timer = this.clock.after(PASS_MS, goOn);
      this.#passing.add(waiting);
    });
  }

  attend(history: History): void {
    this.history = history;
    if (this.#limited) history.record({ type: "dropped", object: "limits", why: "are low", messages: 0 });
  }

  #step(): void {
    this.#happen();
    this.#noteLosses();
    this.#noteDropped();
    for (const { until, goOn } of this.#passing) if (this.world.steps >= until) goOn();
    for (const living of this.#lines) if (living.line.driver.done) return this.#bury();
  }

  /** What shards report as lost to a limit. */
  #noteLosses(): void {
    for (const { party, reports } of this.world.shards) {
      if (reports.length === 0) continue;
      for (const { why, messages } of reports.splice(0)) {
        this.history?.record({ type: "dropped", object: party, why, messages });
      }
    }
  }

  /** QoS 0 may be dropped for who takes less than comes; only who looks inside can tell. */
  #noteDropped(): void {
    let dropped = 0;
    for (const { core } of this.world.shards) dropped += core?.counters.qos0Dropped ?? 0;
    if (dropped > this.#dropped && this.history) note(this.history, "dropped", "shards");
    this.#dropped = dropped;
  }

  #happen(): void {
    const { world } = this;
    if (world.steps > STEPS_MAX) throw new Error("the world does not come to rest");
    const next = this.#timers.next;
    if (world.step(next)) return;
    if (next === Infinity) throw new Error("nothing can happen any more");
    world.now = Math.max(world.now, next);
    this.#timers.fire();
  }

  #dial(profile: Profile, dialling: Dialling): void {
    if (this.#isDown) {
      dialling.failed();
      return;
    }
    const { clientId } = profile;
    const living: Living = { client: clientId, connection: undefined, line: undefined! };
    const connects = (): void => {
      living.connection = (this.#connections.get(clientId) ?? 0) + 1;
      this.#connections.set(clientId, living.connection);
    };
    living.line = new SimulatedLine(this.world, profile, this.#random.of(WORKERS), dialling, connects);
    this.#lines.push(living);
    dialling.opened(living.line);
  }

  /** Connections that are over are told of, unless their Worker died. */
  #bury(): void {
    this.#lines = this.#lines.filter(({ client, connection, line }) => {
      if (!line.driver.done) return true;
      if (connection !== undefined) this.history?.record({ type: "over", client, connection });
      return false;
    });
  }

  /** The client's lines, or all, whose connections may not be over. */
  linesOf(client?: string): SimulatedLine[] {
    return this.#lines.flatMap((living) => (client === undefined || living.client === client ? [living.line] : []));
  }

  node(object: ObjectName): ShardNode | SessionNode {
    return "shard" in object ? this.world.shards[object.shard]! : this.world.session(object.session);
  }

  get nodes(): (ShardNode | SessionNode)[] {
    return [...this.world.shards, ...this.world.sessions.values()];
  }

  // How it is broken.

  /** What it has not saved is lost or not, and so is what it has sent. */
  async abort(object: ObjectName): Promise<void> {
    this.#crash(this.node(object));
  }

  #crash(node: ShardNode | SessionNode): void {
    const random = this.#random;
    node.crash({ loseUnsaved: random.chance(0.5), loseSent: random.chance(0.5) });
  }

  async cut(object: ObjectName, share: number): Promise<void> {
    for (const link of this.node(object).sockets) if (this.#random.chance(share)) link.drop();
  }

  async evict(object: ObjectName): Promise<void> {
    const node = this.node(object);
    // A platform that puts objects to sleep which have a timer waits at least for one that is about to go off.
    if ((node.deadline ?? Infinity) > this.world.now + TIMER_AHEAD_MS) node.evict();
  }

  async killWorker(client?: string): Promise<void> {
    const dying = this.linesOf(client);
    this.#lines = this.#lines.filter(({ line }) => !dying.includes(line));
    for (const { driver } of dying) {
      const closes = this.#random.chance(0.7);
      if (!closes) this.dead.push(...driver.links.values());
      driver.kill({ closes });
    }
  }

  async kill(downMs: number): Promise<void> {
    this.#isDown = true;
    await this.killWorker();
    for (const node of this.nodes) this.#crash(node);
    await this.sleep(downMs);
    this.#isDown = false;
  }

  async breakDisk(object: ObjectName, fault: DiskFault): Promise<void> {
    const { sql } = this.node(object);
    if (fault === "forget") throw new Error("a simulated disk does not lie");
    // A turn is a transaction: a crash in its middle leaves nothing of it, whether this write was made or not.
    sql.failWrites =
      fault === "refuse" ||
      (() => {
        sql.failWrites = false;
        return true;
      });
  }

  async mendDisk(object: ObjectName): Promise<void> {
    this.node(object).sql.failWrites = false;
  }

  async mend(): Promise<void> {
    await this.limitFiles(undefined);
    this.world.onCall = undefined;
    for (const node of this.nodes) node.unsavedMs = this.world.unsavedMs;
    for (const { driver } of this.linesOf()) {
      for (const { up, down } of driver.links.values()) up.delayMs = down.delayMs = this.#delayMs;
    }
    for (const link of this.dead.splice(0)) link.die({ worker: 0, object: 0 });
  }

  async limitFiles(bytes: number | undefined): Promise<void> {
    for (const { sql } of this.nodes) sql.failWrites = bytes !== undefined;
  }

  /** Of all that took over from each other one is left. */
  async strays(): Promise<readonly string[]> {
    if (this.#strays().length > 0) await this.sleep(LEAVING_MS);
    return this.#strays();
  }

  #strays(): string[] {
    const lines = Object.entries(Object.groupBy(this.#lines, ({ client }) => client));
    return lines.flatMap(([client, all = []]) => (all.length > 1 ? [`${client} has ${all.length} connections`] : []));
  }

  /** Days go by: whatever has a deadline meets it. */
  async remains(): Promise<readonly string[]> {
    await this.sleep(120_000);
    // An object that went down with the Worker of its connection learns of it when its 12 h alarm goes off.
    for (const session of this.world.sessions.values()) session.ring();
    await this.sleep(200_000);
    // The longest alarm is the one for messages that are too old; it may be set although they went long before.
    await this.sleep(this.world.limits.queueSecondsMax * 1000 + 3 * DAY_MS);
    return leftovers(this.world);
  }

  async close(): Promise<void> {
    const odd = this.nodes.flatMap(({ failures }) => failures.filter((error) => !(error instanceof StorageFailure)));
    if (odd.length > 0) throw odd[0];
    for (const { sql } of this.nodes) sql.close();
  }
}
