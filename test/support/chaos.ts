/**
 * A run of a {@link World} under random faults, all of them from one seed, and what must hold in spite of them:
 *
 *  - a QoS 1 message that was acknowledged reaches every client that was subscribed all the while;
 *  - what comes was sent, was asked for, and comes in order, once unless its publisher's link broke;
 *  - no packet id is used twice, and no more is unacknowledged than the client allowed;
 *  - one connection of a client id is left, and nobody else's socket is closed but by a fault;
 *  - a client that vanishes has its will published once, after everything else that it published;
 *  - retained messages are the last ones, and whoever subscribes gets them;
 *  - when all have gone nothing is left of them.
 *
 * `chaos-plan.ts` says what a seed decides, `chaos-faults.ts` what happens, `chaos-checks.ts` what is checked.
 */

import { checkCame, checkOwed, checkSurvivors, checkWills } from "./chaos-checks.ts";
import { cut, type FaultHost, inflict } from "./chaos-faults.ts";
import type { Wanted } from "./chaos-holds.ts";
import { Member, type Sent } from "./chaos-member.ts";
import { CROWD_TOPIC, type Fault, FAULTS, FILTERS, type Plan, planOf, TOPICS } from "./chaos-plan.ts";
import { checkRetained, checkScans } from "./chaos-retained.ts";
import { checkNothingLeft } from "./chaos-remains.ts";
import { Random } from "./random.ts";
import { World } from "../sim/world/world.ts";

/** A client that waits for more PUBACKs than this sends nothing; Receive Maximum is above it. */
const UNANSWERED_MAX = 100;

export class Chaos implements FaultHost {
  readonly world: World;
  readonly random: Random;
  readonly plan: Plan;
  readonly lines: string[] = [];
  /** Rises with every pause between what the clients do. */
  moment = 0;
  readonly #faults: readonly Fault[];
  readonly all: Member[] = [];
  #members: Member[] = [];
  readonly #sendings = new Map<string, Sent>();
  #messages = 0;

  constructor(seed: number, faults: readonly Fault[] = FAULTS) {
    this.random = new Random(seed);
    this.#faults = faults;
    this.plan = planOf(this.random);
    const chance = new Random(seed + 0x10000);
    this.world = new World({
      shards: this.plan.shards,
      delayMs: this.plan.delayMs,
      limits: this.plan.limits,
      random: () => chance.next(),
      pick: (ready) => chance.below(ready),
    });
    this.world.alarmLateMs = this.plan.alarmLateMs;
    this.log(JSON.stringify(this.plan));
  }

  get members(): readonly Member[] {
    return this.#members;
  }

  run(): void {
    const { plan } = this;
    while (this.#members.length < plan.members) this.join();
    for (let i = 0; i < plan.crowd; i++) this.#subscribe(this.join(), [CROWD_TOPIC]);
    this.advance(3_000);
    for (let i = 0; i < plan.events; i++) this.#event();
    this.#heal();
    this.#check();
    this.#checkRetained();
    this.#end();
    checkNothingLeft(this.world);
  }

  // What faults ask for.

  log(line: string): void {
    this.lines.push(`${this.moment} ${line}`);
  }

  advance(ms: number): void {
    this.world.advance(ms);
    for (const member of this.all) member.observe(this.moment);
    this.moment += 1;
  }

  join(rival?: Member): Member {
    const { random } = this;
    const name = `c${this.all.length + 1}`;
    const member = new Member(
      this.world,
      name,
      {
        clientId: rival?.clientId ?? name,
        version: rival?.client.version ?? random.of([4, 5]),
        worker: random.of(["w1", "w2"]),
        receiveMaximum: random.of([1, 2, 3, 10, 1000]),
        willTopic: random.of(TOPICS),
      },
      ++this.moment,
    );
    member.client.acknowledges = random.chance(0.75);
    this.all.push(member);
    this.#members.push(member);
    const will = { topic: member.willTopic, payload: `${name} will`, number: Infinity, sentAt: member.connectAt };
    const { clientId } = member;
    this.#sendings.set(will.payload, {
      ...will,
      by: member,
      clientId,
      qos: 1,
      retain: false,
      link: undefined,
      once: true,
    });
    if (random.chance(0.8)) this.#subscribe(member, this.#filters());
    return member;
  }

  // What clients do.

  #event(): void {
    const { random } = this;
    if (random.chance(0.08) && this.#faults.length > 0) inflict(random.of(this.#faults), this);
    this.#replace();
    const member = random.of(this.#members);
    if (random.chance(0.7)) this.#publish(member);
    if (random.chance(0.06)) this.#subscribe(random.of(this.#members), this.#filters());
    if (random.chance(0.03)) this.#unsubscribe(random.of(this.#members));
    if (random.chance(0.2)) random.of(this.#members).acknowledge(random.below(5));
    if (random.chance(0.5)) this.advance(random.below(8));
    else if (random.chance(0.04)) this.advance(random.below(15_000));
  }

  #filters(): string[] {
    return Array.from({ length: this.random.of([1, 1, 2, 3]) }, () => this.random.of(FILTERS));
  }

  #publish(member: Member): void {
    if (!member.open || member.unanswered > UNANSWERED_MAX) return;
    const { random, plan } = this;
    const topic = plan.crowd > 0 && random.chance(0.6) ? CROWD_TOPIC : random.of(TOPICS);
    const qos = random.chance(0.7) ? 1 : 0;
    const retain = random.chance(0.2);
    const number = ++this.#messages;
    const text = `${member.name} ${number}`;
    const payload = retain && random.chance(0.2) ? "" : text.padEnd(plan.payloadBytes);
    this.#sendings.set(text, member.publish(number, topic, qos, retain, payload, this.moment));
  }

  #subscribe(member: Member, filters: readonly string[]): void {
    if (member.end || member.client.closed !== undefined) return;
    const { random } = this;
    const five = member.client.version === 5;
    const identifier = five && random.chance(0.5) ? 1 + random.below(5) : 0;
    const wanted = filters.map((filter): Wanted => ({
      filter,
      qos: random.chance(0.75) ? 1 : 0,
      noLocal: five && random.chance(0.2),
      retainAsPublished: five && random.chance(0.2),
      retainHandling: five ? random.of([0, 0, 1, 2]) : 0,
      identifier,
    }));
    this.log(`${member.name} subscribes ${wanted.map((one) => `${one.filter} ${one.qos}`).join(", ")}`);
    member.subscribe(wanted, this.moment);
  }

  #unsubscribe(member: Member): void {
    if (!member.open) return;
    const filters = member.holds.filters.filter(() => this.random.chance(0.5));
    if (filters.length === 0) return;
    this.log(`${member.name} unsubscribes ${filters.join(", ")}`);
    member.unsubscribe(filters, this.moment);
  }

  /** Others come for the clients that have gone. */
  #replace(): void {
    this.#members = this.#members.filter(({ client, end }) => client.closed === undefined && end === undefined);
    while (this.#members.length < this.plan.members + this.plan.crowd) this.join();
  }

  // The end.

  #heal(): void {
    this.log("heal");
    for (const { client } of this.all) client.down.held = false;
    for (const member of this.#members) {
      member.client.acknowledges = true;
      member.acknowledge(Infinity);
    }
    this.advance(90_000);
    this.#settleSessions();
  }

  /** An object that went down with the Worker of its connection learns of it when its 12 h alarm goes off. */
  #settleSessions(): void {
    for (const session of this.world.sessions.values()) session.ring();
    this.advance(60_000);
  }

  #check(): void {
    for (const node of [...this.world.shards, ...this.world.sessions.values()]) {
      const odd = node.failures.find((error) => (error as Error).name !== "StorageFailure");
      if (odd) throw odd;
    }
    checkSurvivors(this.all);
    for (const member of this.all) {
      checkCame(member, this.#sendings);
      checkWills(member, this.all, this.all);
      if (!member.open) continue;
      if (member.unanswered > 0) throw new Error(`${member.name} waits for ${member.unanswered} PUBACKs`);
      checkOwed(member, this.all);
      checkScans(member, this.all, TOPICS);
    }
  }

  #checkRetained(): void {
    const fresh = this.world.connected("fresh", { properties: { receiveMaximum: this.random.of([1, 3, 100]) } });
    fresh.subscribe("#", 1);
    this.world.advance(10_000);
    const got = new Map<string, string>();
    for (const { topic, payload, retain } of fresh.all("publish")) {
      if (!retain || got.has(topic!)) throw new Error(`the fresh subscriber got ${topic} live or twice`);
      got.set(topic!, payload!.toString());
    }
    checkRetained(this.all, [...TOPICS, CROWD_TOPIC], got);
    fresh.send({ cmd: "disconnect", reasonCode: 0 });
  }

  #end(): void {
    for (const member of this.#members) {
      if (!member.open) continue;
      if (this.random.chance(0.5)) member.disconnect(false, this.moment);
      else cut(member, "cut", this);
    }
    this.advance(90_000);
    this.#settleSessions();
  }
}
