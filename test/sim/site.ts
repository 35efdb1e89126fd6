/**
 * A {@link Site} without anything real: a {@link World}, whose time runs only while a trial is driven. The same seeds give
 * the same trial, to the last frame.
 */

import type { Random } from "../support/random.ts";
import type { DiskFault } from "../trial/disk-fault.ts";
import type { Dialling, Clock, Network, ObjectName, Site } from "../trial/site.ts";
import type { Profile } from "../trial/device.ts";
import { StorageFailure } from "../support/node-sql.ts";
import { SimulatedLine } from "./socket.ts";
import { Timers } from "./timers.ts";
import type { SessionNode, ShardNode } from "./world/node.ts";
import { World, type WorldOptions } from "./world/world.ts";

const WORKERS = ["w1", "w2", "w3"] as const;
/** More steps than this are an endless loop. */
const STEPS_MAX = 300_000;

export class SimulatedSite implements Site {
  readonly world: World;
  readonly pollMs = 5_000;
  readonly patienceMs = 240_000;
  readonly log: string[] = [];
  readonly network: Network = { dial: (profile, dialling) => this.#dial(profile, dialling) };
  readonly clock: Clock;
  /** Things that happened: packets and frames that arrived, timers, alarms. */
  steps = 0;
  readonly #random: Random;
  readonly #timers = new Timers();
  readonly #startMs: number;
  /** Lines whose connections may not be over yet. */
  #lines: { readonly line: SimulatedLine; readonly profile: Profile }[] = [];
  #isDown = false;
  #hasWoken = false;

  constructor(options: WorldOptions, random: Random) {
    this.#random = random;
    this.world = new World(options);
    this.#startMs = this.world.now;
    const { world } = this;
    const startMs = this.#startMs;
    this.clock = {
      get now() {
        return world.now - startMs;
      },
      after: (ms, act) => this.#timers.add(world.now + ms, act),
    };
  }

  get shards(): number {
    return this.world.shards.length;
  }

  get failedTurns(): number {
    return this.#nodes().reduce((sum, { failures }) => sum + failures.length, 0);
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

  #step(): void {
    const { world } = this;
    this.steps += 1;
    if (this.steps > STEPS_MAX) throw new Error("the world does not come to rest");
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
    const line = new SimulatedLine(this.world, profile, this.#random.of(WORKERS), dialling);
    this.#lines.push({ line, profile });
    dialling.opened(line);
  }

  /** The client's lines whose connections may not be over. */
  linesOf(client?: string): SimulatedLine[] {
    this.#lines = this.#lines.filter(({ line }) => !line.driver.done);
    return this.#lines.flatMap(({ line, profile }) =>
      client === undefined || profile.clientId === client ? [line] : [],
    );
  }

  node(object: ObjectName): ShardNode | SessionNode {
    return "shard" in object ? this.world.shards[object.shard]! : this.world.session(object.session);
  }

  #nodes(): (ShardNode | SessionNode)[] {
    return [...this.world.shards, ...this.world.sessions.values()];
  }

  // How it is broken.

  async abort(object: ObjectName): Promise<void> {
    this.node(object).crash();
  }

  async cut(object: ObjectName, share: number): Promise<void> {
    for (const link of this.node(object).sockets) if (this.#random.chance(share)) link.drop();
  }

  async evict(object: ObjectName): Promise<void> {
    this.node(object).evict();
  }

  async killWorker(client?: string): Promise<void> {
    for (const { driver } of this.linesOf(client)) driver.kill();
  }

  async kill(downMs: number): Promise<void> {
    this.#isDown = true;
    await this.killWorker();
    for (const node of this.#nodes()) node.crash();
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

  async mendDisk(object?: ObjectName): Promise<void> {
    for (const { sql } of object ? [this.node(object)] : this.#nodes()) sql.failWrites = false;
  }

  async limitFiles(bytes: number | undefined): Promise<void> {
    for (const { sql } of this.#nodes()) sql.failWrites = bytes !== undefined;
  }

  async close(): Promise<void> {
    const odd = this.#nodes().flatMap(({ failures }) => failures.filter((error) => !(error instanceof StorageFailure)));
    if (odd.length > 0) throw odd[0];
    for (const { sql } of this.#nodes()) sql.close();
  }
}
