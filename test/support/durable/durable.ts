/**
 * A run of a {@link World} in which devices come and go and their sessions outlive their connections, under random faults
 * up to the loss of everything but what is stored, all of it from one seed. What must hold:
 *
 *  - what is acknowledged above QoS 0 reaches every session that was subscribed all the while, however long it was away;
 *  - at QoS 2 exactly once; in order; nothing unsent and nothing unasked;
 *  - what is sent again is sent as it was, in its order, with DUP, when a session is resumed and at no other time;
 *  - Session Present says what is so, and sessions end when they have to;
 *  - wills are published once, in time, or not at all;
 *  - when every session is over nothing is left of it.
 *
 * `plan.ts` and `habits.ts` say what a seed decides, `faults.ts` what happens, `device.ts` what a client has to remember;
 * `arrivals.ts` and `inbox.ts` check what comes when it comes, `checks.ts`, `wills.ts` and `retained.ts` what has come.
 */

import { TOPICS } from "../chaos-plan.ts";
import type { Version } from "../../sim/world/client.ts";
import { Random } from "../random.ts";
import { World } from "../../sim/world/world.ts";
import type { AttemptOptions } from "./attempt.ts";
import type { Link } from "../../sim/world/link.ts";
import { checkDrained, checkFailures, checkOwed, checkSleep } from "./checks.ts";
import { Device, type DeviceHost, type Post } from "./device.ts";
import { type FaultHost, inflict } from "./faults.ts";
import { connecting, publishing, resuming, subscribing } from "./habits.ts";
import { History } from "./history.ts";
import type { Sent } from "./messages.ts";
import { ABSENCES_MS, type Fault, FAULTS, FOR_EVER, type Plan, planOf } from "./plan.ts";
import { checkNoSessionLeft } from "./remains.ts";
import { checkRetained, checkScans } from "./retained.ts";
import { checkWills } from "./wills.ts";

/** A device that waits for more answers than this publishes nothing; Receive Maximum may be below it. */
const UNANSWERED_MAX = 60;
/** More steps than this at one go are an endless loop. */
const STEPS_MAX = 200_000;

export interface DurableOptions {
  readonly faults?: readonly Fault[];
  /** No session outlives its connection. */
  readonly transient?: boolean;
}

export class Durable implements DeviceHost, FaultHost {
  readonly world: World;
  readonly random: Random;
  readonly plan: Plan;
  readonly history: History;
  readonly post: Post;
  readonly devices: Device[] = [];
  readonly dead: Link[] = [];
  readonly #disturbances: number[] = [];
  readonly #witness: Device;
  readonly #faults: readonly Fault[];
  readonly #transient: boolean;
  readonly #versions = new Map<Device, Version>();

  constructor(seed: number, { faults = FAULTS, transient = false }: DurableOptions = {}) {
    this.random = new Random(seed);
    this.plan = planOf(this.random);
    this.#faults = faults;
    this.#transient = transient;
    const chance = new Random(seed + 0x10000);
    const { shards, delayMs, limits, alarmLateMs, unsavedMs, idleMs } = this.plan;
    this.world = new World({
      shards,
      delayMs,
      limits,
      unsavedMs,
      idleMs,
      alarmRetryMs: 2_000,
      random: () => chance.next(),
      pick: (ready) => chance.below(ready),
    });
    this.world.alarmLateMs = alarmLateMs;
    this.world.losesUnsaved = () => chance.chance(0.5);
    this.history = new History(() => this.world.now);
    this.post = postOffice();
    this.history.note(JSON.stringify(this.plan));
    this.#witness = this.#join();
  }

  get expirySecondsMax(): number {
    return this.plan.expirySecondsMax;
  }

  run(): void {
    const { plan, random } = this;
    this.#attend();
    this.advance(3_000);
    this.#attend();
    while (this.devices.length < plan.devices + 1) this.#return(this.#join());
    this.advance(random.of([0, 50, 3_000]));
    for (let round = 1; round <= plan.rounds; round++) {
      for (let i = 0; i < plan.events; i++) this.#event();
      this.#heal();
      this.#check();
    }
    this.#checkRetained();
    this.#end();
    checkFailures(this.world);
    checkSleep(this.world);
    checkNoSessionLeft(this.world);
  }

  // What faults and devices ask for.

  advance(ms: number): void {
    const { world } = this;
    const until = world.now + ms;
    for (let steps = 0; world.step(until); steps++) {
      if (steps > STEPS_MAX) throw new Error("the world does not come to rest");
      this.#observe();
    }
    world.now = until;
  }

  disturb(): void {
    this.#disturbances.push(this.world.now);
  }

  disturbed(fromMs: number, toMs: number): boolean {
    return this.#disturbances.some((ms) => ms >= fromMs && ms <= toMs);
  }

  // What devices do.

  #event(): void {
    const { random } = this;
    if (random.chance(this.plan.faultChance) && this.#faults.length > 0) inflict(random.of(this.#faults), this);
    this.#attend();
    const { now } = this.world;
    for (const device of this.devices) if (device.away && device.returnMs <= now) this.#return(device);
    this.#act(random.of(this.devices));
    if (random.chance(0.5)) this.advance(random.below(8));
    else if (random.chance(0.05)) this.advance(random.below(15_000));
    else if (random.chance(0.02)) this.advance(random.below(200_000));
    else if (random.chance(0.2)) this.#awaitReturn();
  }

  #act(device: Device): void {
    const { random } = this;
    if (device.away) {
      if (random.chance(0.1)) this.#return(device);
      return;
    }
    if (!device.open) {
      if (random.chance(0.05)) this.#leave(device);
      return;
    }
    const { version } = device.attempt!.options;
    const act = random.below(100);
    if (act < 62) this.#publish(device, version);
    else if (act < 72 && device !== this.#witness)
      device.subscribe(subscribing(random, version, device.session!.subscriptions.filters));
    else if (act < 76 && device !== this.#witness) this.#unsubscribe(device);
    else if (act < 84) device.acknowledge(random.below(4));
    else if (act < 95) this.#leave(device);
    else if (act < 98 && device !== this.#witness) this.#return(device);
    else device.deaf = true;
  }

  #publish(device: Device, version: Version): void {
    const { world, random } = this;
    const unansweredMax = Math.min(UNANSWERED_MAX, world.limits.receiveMaximum);
    for (let left = random.of([1, 1, 2, 5]); left > 0 && device.unanswered < unansweredMax; left--) {
      device.publish(publishing(random, version), this.plan.payloadBytes);
    }
  }

  #unsubscribe(device: Device): void {
    const filters = device.session!.subscriptions.filters.filter(() => this.random.chance(0.5));
    if (filters.length > 0) device.unsubscribe(filters);
  }

  #leave(device: Device): void {
    const { random, world } = this;
    const { version, expirySeconds = 0 } = device.attempt!.options;
    device.returnMs = device === this.#witness ? 0 : world.now + random.of(ABSENCES_MS);
    if (!device.open || device === this.#witness || random.chance(0.5)) return device.cut();
    const five = version === 5;
    const changed = five && expirySeconds > 0 && random.chance(0.3) ? random.of([0, 5, 60, FOR_EVER]) : undefined;
    device.disconnect(five && random.chance(0.4) ? 4 : 0, changed);
  }

  #return(device: Device): void {
    const { random } = this;
    if (random.chance(0.15)) this.#versions.set(device, random.of([3, 4, 5]));
    device.returnMs = 0;
    const attempt = device.connect(connecting(random, this.#versions.get(device)!, this.#transient));
    if (random.chance(0.7)) return;
    // Not always does it live to be answered.
    this.advance(random.below(5));
    if (random.chance(0.2) && !attempt.end && !attempt.connack) this.#leave(device);
  }

  /** The next that wants to come back does. */
  #awaitReturn(): void {
    const { world } = this;
    const returns = this.devices.filter((device) => device.away).map(({ returnMs }) => returnMs);
    if (returns.length > 0) this.advance(Math.max(0, Math.min(...returns) - world.now));
  }

  #join(): Device {
    const { random } = this;
    const device = new Device(this, `d${this.devices.length}`, () => random.chance(0.02));
    this.devices.push(device);
    this.#versions.set(device, random.of([3, 4, 4, 5, 5, 5, 5]));
    return device;
  }

  /** The witness is there and subscribed to everything. */
  #attend(): void {
    const witness = this.#witness;
    if (witness.away) {
      witness.connect({ ...this.resuming(5), expirySeconds: this.#transient ? undefined : FOR_EVER, will: undefined });
      if (this.#transient) this.advance(20);
    }
    if (!witness.open || witness.session!.subscriptions.filters.includes("#")) return;
    const terms = { qos: 2, noLocal: false, retainAsPublished: false, retainHandling: 0, identifier: 0 } as const;
    witness.subscribe([{ filter: "#", ...terms }]);
  }

  resuming(version: Version): AttemptOptions {
    return this.#transient ? connecting(this.random, version, true) : resuming(this.random, version);
  }

  #observe(): void {
    for (const device of this.devices) device.endings.observe(device.attempt);
  }

  // The end.

  #heal(): void {
    const { history, random } = this;
    history.note("!heal");
    this.disturb();
    this.world.onCall = undefined;
    for (const link of this.dead.splice(0)) link.die({ worker: 0, object: 0 });
    for (const device of this.devices) {
      device.deaf = false;
      device.acknowledge(Infinity);
      for (const attempt of device.attempts) {
        attempt.socket.down.held = false;
        // Sockets that devices have let go of are closed in the end.
        if (attempt.end?.how === "overtaken") attempt.socket.cut();
      }
    }
    this.advance(3_000);
    this.#ring();
    for (const device of this.devices) {
      const { mustMs, mayMs } = device.lifetime;
      const { now } = this.world;
      if (!device.away || now > mayMs || (now > mustMs && random.chance(0.5))) continue;
      const version = this.#versions.get(device)!;
      device.connect({ ...this.resuming(version), will: undefined });
    }
    this.#attend();
    this.advance(30_000);
    this.#ring();
    this.advance(180_000);
  }

  /** An object that went down with the Worker of its connection learns of it when its 12 h alarm goes off. */
  #ring(): void {
    for (const device of this.devices) {
      device.endings.rung();
      this.world.session(device.id).ring();
    }
  }

  #check(): void {
    const { devices, world } = this;
    checkFailures(world);
    const all = [...this.post.sent.values()];
    for (const device of devices) for (const { inbox } of device.sessions) inbox.arrivals.checkOnce();
    for (const device of devices) {
      if (!device.open) continue;
      checkDrained(device);
      checkOwed(device, all);
      checkScans(device, all, TOPICS);
    }
    checkWills(devices, this.#witness, this.expirySecondsMax, world.now);
  }

  #checkRetained(): void {
    const fresh = this.world.connected("fresh", { properties: { receiveMaximum: this.random.of([1, 3, 100]) } });
    fresh.subscribe("#", 2);
    this.advance(10_000);
    const got = new Map<string, string>();
    for (const { topic, payload, retain } of fresh.all("publish")) {
      if (!retain || got.has(topic!)) throw new Error(`the fresh subscriber got ${topic} live or twice`);
      got.set(topic!, payload!.toString().trim());
    }
    checkRetained([...this.post.sent.values()], TOPICS, got);
    fresh.send({ cmd: "disconnect", reasonCode: 0 });
  }

  /** Every session is ended, in one of the ways in which sessions end. */
  #end(): void {
    const { devices, random } = this;
    this.history.note("!end");
    for (const device of devices) {
      const { version, expirySeconds = 0 } = device.open ? device.attempt!.options : {};
      if (device.open && version === 5 && random.chance(0.3)) {
        device.disconnect(random.of([0, 4]), expirySeconds > 0 ? random.of([0, 5]) : undefined);
      } else if (device.lifetime.mayMs > this.world.now + 100_000 || device.lifetime.unsure) {
        device.connect({ ...connecting(random, 5, true), will: undefined });
      } else if (device.open) device.cut();
    }
    this.advance(5_000);
    for (const device of devices) if (device.open) device.disconnect(0, undefined);
    this.advance(100_000);
    this.#ring();
    this.advance(100_000);
  }
}

function postOffice(): Post {
  const all = new Map<string, Sent>();
  return {
    sent: all,
    add: (sent) => {
      const number = all.size + 1;
      const text = sent.willOf ? `${sent.willOf.name} will` : `${sent.clientId} ${number}`;
      const added = { ...sent, text, number };
      all.set(text, added);
      return added;
    },
  };
}
