/**
 * The whole broker in one process, made of the production cores and the production stores over `node:sqlite`: clients,
 * one connection for each, session objects and shards, with links between them whose frames keep their order. Time is a
 * number here, and nothing happens but by {@link World.advance} and {@link World.settle}.
 *
 * Everything that is ready at one moment happens in the order in which it was caused, unless `pick` chooses otherwise.
 */

import { OPEN_RECEPTION, type Reception } from "../../../src/access/reception.ts";
import type { Question } from "../../../src/core/authentication/asking.ts";
import type { Arrival } from "../../../src/core/authentication/identity.ts";
import type { Door } from "../../../src/core/bans/door.ts";
import { DEFAULT_LIMITS, DEFAULT_SETTINGS, type Limits, type Settings } from "../../../src/core/limits.ts";
import type { LinkName } from "../../../src/core/connection/effects.ts";
import type { LinkVersions } from "../../../src/link/records.ts";
import { type Placement, shardOfTopic } from "../../../src/core/shard/placement.ts";
import { Agenda } from "./agenda.ts";
import type { Call, Fate } from "./calls.ts";
import { Channel, type What } from "./channel.ts";
import { Client, type Version } from "./client.ts";
import { Deploys } from "./deploys.ts";
import { Driver } from "./driver.ts";
import { Link } from "./link.ts";
import { type AnyNode, SessionNode, ShardNode } from "./node.ts";
import { PLATFORM, type Party, type Route, type Step } from "./step.ts";
import { Timer } from "./timer.ts";

export interface WorldOptions {
  readonly shards?: number;
  readonly depth?: number;
  readonly limits?: Partial<Limits>;
  readonly settings?: Partial<Settings>;
  readonly reception?: Reception;
  readonly door?: Door;
  /** How long everything takes that is sent. */
  readonly delayMs?: number;
  /** How long an object's writes take to become durable; what it says meanwhile waits. 0: they are so in their turn. */
  readonly unsavedMs?: number;
  /** An object that can sleep does so when nothing has come to it for so long. Undefined: only when it is evicted. */
  readonly idleMs?: number | undefined;
  /** After so much time the alarm of an object goes off again whose turn failed. Undefined: it does not. */
  readonly alarmRetryMs?: number | undefined;
  /** How long the answer to a question takes; undefined, as without this: none, it comes within the turn. */
  readonly answerMs?: ((question: Question) => number | undefined) | undefined;
  /** Uniform in [0, 1), for the connections' jitter. */
  readonly random?: () => number;
  /** Which of `ready` things happens next, from 0. */
  readonly pick?: (ready: number) => number;
}

/** More steps than this at one go are an endless loop. */
const STEPS_MAX = 200_000;
/** {@link World.settle} goes on over a pause that is no longer: a full buffer is polled each 20 ms. */
const PAUSE_MS = 25;

export class World {
  now = 1_700_000_000_000;
  readonly tenant = "main";
  readonly placement: Placement;
  readonly limits: Limits;
  readonly settings: Settings;
  readonly reception: Reception;
  readonly door: Door | undefined;
  /** How the next clients come. */
  arrival: Arrival = { address: undefined, token: undefined, certificate: undefined, tenant: undefined };
  readonly random: () => number;
  readonly clients: Client[] = [];
  readonly deploys = new Deploys(this);
  readonly shards: ShardNode[];
  readonly sessions = new Map<string, SessionNode>();
  /** How many things have happened. */
  steps = 0;
  /** Is told of everything just before it happens. */
  onStep: ((step: Step) => void) | undefined;
  /** Decides what becomes of calls between objects. */
  onCall: ((call: Call) => Fate | undefined) | undefined;
  /** Decides whether an object that a failed turn restarts loses what its earlier turns have not saved. */
  losesUnsaved: () => boolean = () => true;
  readonly unsavedMs: number;
  readonly alarmRetryMs: number | undefined;
  readonly idleMs: number | undefined;
  readonly answerMs: WorldOptions["answerMs"];
  readonly #pick: ((ready: number) => number) | undefined;
  readonly #delayMs: number;
  readonly #agenda = new Agenda();
  #sequence = 0;
  #alarmLateMs = 0;

  constructor(options: WorldOptions = {}) {
    this.placement = { shards: options.shards ?? 4, depth: options.depth ?? 2 };
    this.limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.settings = { ...DEFAULT_SETTINGS, ...options.settings };
    this.reception = options.reception ?? OPEN_RECEPTION;
    this.door = options.door;
    this.random = options.random ?? (() => 0.5);
    this.unsavedMs = options.unsavedMs ?? 0;
    this.alarmRetryMs = options.alarmRetryMs;
    this.idleMs = options.idleMs;
    this.answerMs = options.answerMs;
    this.#pick = options.pick;
    this.#delayMs = options.delayMs ?? 1;
    this.shards = Array.from({ length: this.placement.shards }, (_, shard) => new ShardNode(this, shard));
  }

  // Parties.

  /** A client whose socket is open and that has said nothing. */
  client(id: string, version: Version = 5, worker = "worker"): Client {
    const driver = new Driver(this, worker);
    const client = new Client(this, driver, id, version);
    driver.client = client;
    this.clients.push(client);
    return client;
  }

  /** A client that is connected. */
  connected(
    id: string,
    options: Parameters<Client["connect"]>[0] = {},
    version: Version = 5,
    worker = "worker",
  ): Client {
    const client = this.client(id, version, worker);
    client.connect(options);
    this.settle();
    return client;
  }

  session(clientId: string): SessionNode {
    let node = this.sessions.get(clientId);
    if (!node) this.sessions.set(clientId, (node = new SessionNode(this, clientId, this.sessions.size)));
    return node;
  }

  shardOf(topic: string): ShardNode {
    return this.shards[shardOfTopic(topic, this.placement)]!;
  }

  /** The client's present link, which must be there. */
  link(client: Client, name: LinkName): Link {
    return client.driver.links.get(name)!;
  }

  /** Alarms go off this much later than asked for. */
  get alarmLateMs(): number {
    return this.#alarmLateMs;
  }

  set alarmLateMs(lateMs: number) {
    this.#alarmLateMs = lateMs;
    for (const node of [...this.shards, ...this.sessions.values()]) node.arm();
  }

  /** A new release: for new connections at once, for objects one by one. What runs goes on with the old one meanwhile. */
  deploy(versions: LinkVersions, everyMs = 1_000): void {
    this.deploys.workers(versions);
    this.deploys.objects(versions, everyMs);
  }

  /** Objects that would not go to sleep if nothing happened any more, and why. */
  sleepless(): { readonly node: AnyNode; readonly why: readonly string[] }[] {
    const nodes = [...this.shards, ...this.sessions.values()];
    return nodes.map((node) => ({ node, why: node.holdsAwake })).filter(({ why }) => why.length > 0);
  }

  /** The Worker dies, and with it its connections; if it `closes`, the objects see their links closed. */
  killWorker(worker: string, { closes = true }: { readonly closes?: boolean } = {}): void {
    this.tell({ party: PLATFORM }, { party: `worker ${worker}` }, "kill");
    for (const { driver } of this.clients) if (driver.worker === worker && !driver.done) driver.kill({ closes });
  }

  // Time.

  /** Lets everything happen that is due up to `ms` from now. */
  advance(ms: number): void {
    const until = this.now + ms;
    this.#run(() => until);
    this.now = until;
  }

  /** Lets things happen until nothing does for {@link PAUSE_MS}. */
  settle(): void {
    this.#run(() => this.now + PAUSE_MS);
  }

  /** Lets one thing happen, of those due up to `until`. Returns false when there is none. */
  step(until = this.now): boolean {
    const agenda = this.#agenda;
    let next = agenda.next;
    if (next === undefined || next.at > until) return false;
    // A clock has whole milliseconds.
    this.now = Math.max(this.now, Math.ceil(next.at));
    if (this.#pick) {
      const ready = agenda.ready(this.now);
      next = ready[this.#pick(ready.length)]!;
    }
    this.steps += 1;
    if (this.onStep) this.onStep({ at: this.now, ...next.tell() });
    next.happen();
    return true;
  }

  #run(until: () => number): void {
    for (let steps = 0; this.step(until()); steps++)
      if (steps > STEPS_MAX) throw new Error("the world does not come to rest");
  }

  // What the parties use.

  channel(route?: Route): Channel {
    return new Channel(this.#agenda, this.#delayMs, route);
  }

  /** @param delayMs how long it takes, if not as long as everything else in the channel */
  push(channel: Channel, run: () => void, bytes = 0, what?: What, delayMs?: number): void {
    channel.push(this.now, ++this.#sequence, run, bytes, what, delayMs);
  }

  /** Of those that are due at one moment the timer with the lowest rank goes first. */
  timer(rank: number, party: Party, what: string, run: () => void): Timer {
    return new Timer(this.#agenda, rank, party, what, run);
  }

  /** Something happens that is not on the agenda. */
  tell(from: Party, to: Party, what: string): void {
    this.onStep?.({ at: this.now, from: from.party, to: to.party, what });
  }

  openLink(driver: Driver, name: LinkName): Link {
    const node = name === "session" ? this.session(driver.connection.session) : this.shards[name]!;
    const link = new Link(this, driver, name, node);
    link.open();
    return link;
  }
}
