/**
 * A run of a {@link World} under random faults, all of them from one seed, and what must hold in spite of them:
 *
 *  - a QoS 1 message that was acknowledged reaches every subscriber whose SUBACK came before it was sent;
 *  - a subscriber gets the messages of one publisher on one topic in order, apart from what is sent again;
 *  - no packet id is used for two messages that a client has not acknowledged;
 *  - nobody's socket is closed but by a fault that closes it;
 *  - a client that vanishes has its will published once, after everything else that it published.
 */

import type { Client } from "./client.ts";
import { Random } from "./random.ts";
import { World } from "./world.ts";

export type Fault =
  | "crashShard"
  | "crashSession"
  | "evictShard"
  | "evictSession"
  | "dropLink"
  | "failWrites"
  | "delayLink"
  | "alarm"
  | "cut"
  | "kill";

export const FAULTS: readonly Fault[] = [
  "crashShard",
  "crashSession",
  "evictShard",
  "evictSession",
  "dropLink",
  "failWrites",
  "delayLink",
  "alarm",
  "cut",
  "kill",
];

const TOPICS = ["a/1", "a/2/x", "b", "b/1", "c/3/y/z", "/", "d"];
const FILTERS = ["#", "a/#", "+/1", "b", "b/+", "+/+/x", "/", "c/3/#", "d"];

interface Sent {
  readonly topic: string;
  readonly payload: string;
  readonly packetId: number;
  /** Subscribers that had their SUBACK. */
  readonly to: readonly Client[];
}

interface Publisher {
  client: Client;
  readonly sent: Sent[];
  readonly willTopic: string;
}

export class Chaos {
  readonly world: World;
  readonly log: string[] = [];
  readonly #random: Random;
  readonly #faults: readonly Fault[];
  readonly #subscribers = new Map<Client, string>();
  readonly #publishers: Publisher[] = [];
  readonly #left: Publisher[] = [];
  #messages = 0;
  #clients = 0;

  constructor(seed: number, faults: readonly Fault[] = FAULTS) {
    this.#random = new Random(seed);
    this.#faults = faults;
    const chance = new Random(seed + 1);
    this.world = new World({
      shards: this.#random.of([1, 2, 4]),
      random: () => chance.next(),
      pick: (ready) => chance.below(ready),
      delayMs: this.#random.of([0, 1, 5]),
    });
  }

  run(events: number): void {
    for (let i = 0; i < 4; i++) this.#subscriber();
    for (let i = 0; i < 3; i++) this.#publisher();
    this.world.advance(3_000);
    for (let i = 0; i < events; i++) this.#event();
    this.#heal();
    this.world.advance(90_000);
    // An object that went down with the Worker of its connection learns of it when its 12 h alarm goes off.
    for (const session of this.world.sessions.values()) session.ring();
    this.world.advance(60_000);
    this.#check();
  }

  #event(): void {
    const random = this.#random;
    if (random.chance(0.08) && this.#faults.length > 0) this.#fault(random.of(this.#faults));
    else if (random.chance(0.6)) this.#publish(random.of(this.#publishers));
    if (random.chance(0.2)) this.#acknowledge(random.of([...this.#subscribers.keys()]));
    if (random.chance(0.5)) this.world.advance(random.below(8));
    else if (random.chance(0.05)) this.world.advance(random.below(15_000));
  }

  #subscriber(): void {
    const random = this.#random;
    const client = this.world.client(`subscriber-${++this.#clients}`, random.of([4, 5]), random.of(["w1", "w2"]));
    client.acknowledges = random.chance(0.7);
    const receiveMaximum = random.of([1, 2, 10, 1000]);
    client.connect(client.version === 5 ? { properties: { receiveMaximum } } : {});
    const filter = random.of(FILTERS);
    client.subscribe(filter, 1);
    this.#subscribers.set(client, filter);
    this.log.push(
      `${client.id} subscribes ${filter}, acknowledges ${client.acknowledges}, receive maximum ${receiveMaximum}`,
    );
  }

  #publisher(): void {
    const random = this.#random;
    const name = `publisher-${++this.#clients}`;
    const client = this.world.client(name, random.of([4, 5]), random.of(["w1", "w2"]));
    const willTopic = random.of(TOPICS);
    client.connect({ will: { topic: willTopic, payload: Buffer.from(`${name} will`), qos: 1, retain: false } });
    this.#publishers.push({ client, sent: [], willTopic });
  }

  #publish(publisher: Publisher): void {
    const { client, sent } = publisher;
    if (!client.last("connack") || client.closed !== undefined || sent.length - client.acknowledged.length > 100)
      return;
    const topic = this.#random.of(TOPICS);
    const payload = `${client.id} ${++this.#messages}`;
    const to = [...this.#subscribers.keys()].filter(
      (subscriber) => subscriber.last("suback") && subscriber.closed === undefined,
    );
    const packetId = client.publish(topic, payload, { qos: 1, retain: this.#random.chance(0.1) });
    sent.push({ topic, payload, packetId, to });
  }

  #acknowledge(client: Client): void {
    if (client.acknowledges) return;
    const count = this.#random.below(5);
    for (const packetId of [...client.unacknowledged].slice(0, count)) client.puback(packetId);
  }

  #fault(fault: Fault): void {
    const { world } = this;
    const random = this.#random;
    const shard = random.of(world.shards);
    const session = random.of([...world.sessions.values()]);
    const { driver } = random.of([...this.#subscribers.keys(), ...this.#publishers.map(({ client }) => client)]);
    const link = driver.links.size > 0 ? random.of([...driver.links.values()]) : undefined;
    this.log.push(`${world.now} ${fault} shard ${shard.shard}, link ${link?.name} of ${driver.client.id}`);
    switch (fault) {
      case "crashShard":
        return shard.crash();
      case "crashSession":
        return session.crash();
      case "evictShard":
        return shard.evict();
      case "evictSession":
        return session.evict();
      case "dropLink":
        return link?.drop();
      case "failWrites":
        shard.sql.failWrites = true;
        world.advance(random.below(20));
        shard.sql.failWrites = false;
        return;
      case "delayLink":
        if (link) random.of([link.up, link.down]).delayMs = random.below(200);
        return;
      case "alarm":
        return random.of<{ ring(): void }>([shard, session]).ring();
      case "cut": {
        const publisher = random.of(this.#publishers);
        publisher.client.cut();
        return this.#replace();
      }
      case "kill":
        if (!random.chance(0.3)) return;
        world.killWorker(random.of(["w1", "w2"]));
        return this.#replace();
    }
  }

  /** Others come for the clients that a fault has taken. */
  #replace(): void {
    for (const subscriber of this.#subscribers.keys()) {
      if (subscriber.closed === undefined) continue;
      this.#subscribers.delete(subscriber);
      this.#subscriber();
    }
    for (const publisher of this.#publishers.filter(({ client }) => client.closed !== undefined)) {
      this.#publishers.splice(this.#publishers.indexOf(publisher), 1);
      this.#left.push(publisher);
      this.#publisher();
    }
  }

  #heal(): void {
    for (const client of this.#subscribers.keys()) {
      client.acknowledges = true;
      for (const packetId of client.unacknowledged) client.puback(packetId);
    }
  }

  #check(): void {
    for (const shard of this.world.shards) {
      const odd = shard.failures.find((error) => (error as Error).name !== "StorageFailure");
      if (odd) throw odd;
    }
    for (const client of [...this.#subscribers.keys(), ...this.#publishers.map((publisher) => publisher.client)]) {
      if (client.closed !== undefined)
        throw new Error(`${client.id} was closed: ${JSON.stringify(client.driver.reports)}`);
      if (client.reused.length > 0) throw new Error(`${client.id} was sent packet id ${client.reused[0]} twice`);
    }
    for (const publisher of [...this.#publishers, ...this.#left]) this.#checkPublisher(publisher);
  }

  #checkPublisher({ client, sent, willTopic }: Publisher): void {
    const acknowledged = new Set(client.acknowledged);
    const connected = client.closed === undefined;
    if (connected && acknowledged.size < sent.length) {
      throw new Error(`${client.id} sent ${sent.length} and was acknowledged ${acknowledged.size}`);
    }
    for (const [subscriber, filter] of this.#subscribers) {
      const payloads = subscriber.all("publish").map(({ payload }) => payload!.toString());
      for (const { topic, payload, packetId, to } of sent) {
        if (!acknowledged.has(packetId) || !to.includes(subscriber) || !matches(filter, topic)) continue;
        if (!payloads.includes(payload))
          throw new Error(`${subscriber.id} (${filter}) never got "${payload}" on ${topic}`);
      }
      for (const topic of TOPICS) this.#checkOrder(subscriber, client, topic);
      const wills = payloads.filter((payload) => payload === `${client.id} will`).length;
      const had = client.last("connack") !== undefined && !connected;
      if (wills > (connected ? 0 : 1)) throw new Error(`${subscriber.id} got the will of ${client.id} ${wills} times`);
      const missed = had && wills === 0 && matches(filter, willTopic) && sent.at(-1)?.to.includes(subscriber);
      if (missed) throw new Error(`${subscriber.id} never got the will of ${client.id}`);
    }
  }

  #checkOrder(subscriber: Client, publisher: Client, topic: string): void {
    const live = subscriber.all("publish").filter((packet) => packet.topic === topic && !packet.retain);
    const numbers = live.flatMap(({ payload }) => {
      const [name, number] = payload!.toString().split(" ");
      return name === publisher.id ? [number === "will" ? Infinity : Number(number)] : [];
    });
    const first = [...new Set(numbers)];
    if (first.some((number, i) => i > 0 && number < first[i - 1]!)) {
      throw new Error(`${subscriber.id} got ${topic} of ${publisher.id} out of order: ${numbers.join(" ")}`);
    }
  }
}

/** The matching rules as a regular expression. */
function matches(filter: string, topic: string): boolean {
  const levels = filter.split("/").map((level) => (level === "+" ? "/[^/]*" : level === "#" ? "(/.*)?" : `/${level}`));
  return new RegExp(`^${levels.join("")}$`).test(`/${topic}`);
}
