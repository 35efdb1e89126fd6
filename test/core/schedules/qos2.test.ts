/**
 * Exactly once, end to end: QoS 2 traffic in which a fault happens at every single step. A world without delays that
 * differ does the same things in the same order each time, so the steps of a run without a fault enumerate the moments.
 */

import { describe, expect, test } from "vitest";
import type { Client, Version } from "../../sim/world/client.ts";
import { World } from "../../sim/world/world.ts";

interface Scene {
  readonly shards: number;
  readonly publishers: readonly Version[];
  readonly subscribers: readonly Version[];
  /** What each publisher sends, over as many topics as there are shards. */
  readonly messages: number;
  /** Messages that a publisher has under way at once. */
  readonly window: number;
  /** Packet ids that it uses, again and again; as many as its window unless said otherwise. */
  readonly ids?: number;
  /** Receive Maximum of the subscribers. */
  readonly receiveMaximum: number;
  /** Everything is saved, and the grace of the start is over, when the first message is sent. */
  readonly settled: boolean;
}

const ONE: Scene = {
  shards: 1,
  publishers: [5],
  subscribers: [5],
  messages: 5,
  window: 5,
  receiveMaximum: 10,
  settled: true,
};

const SCENES: readonly [name: string, scene: Scene][] = [
  ["a burst", ONE],
  ["a burst on a shard that has just started", { ...ONE, settled: false }],
  ["one message at a time under one packet id", { ...ONE, messages: 3, window: 1 }],
  ["a subscriber that takes one at a time", { ...ONE, receiveMaximum: 1 }],
  ["a subscriber and a publisher of 3.1.1", { ...ONE, publishers: [4], subscribers: [4], messages: 4, window: 2 }],
  [
    "two publishers, two subscribers, two shards",
    { ...ONE, shards: 2, publishers: [5, 4], subscribers: [5, 3], messages: 3, window: 2, receiveMaximum: 2 },
  ],
];

/** Sends its messages in their order, each under the packet id that is free for the longest time. */
class Publisher {
  readonly client: Client;
  readonly #scene: Scene;
  readonly #topics: readonly string[];
  readonly #free: number[];
  /** What is under way, by packet id. */
  readonly #held = new Map<number, { readonly topic: string; readonly payload: string; received: boolean }>();
  #sent = 0;
  #read = 0;
  completed = 0;
  /** It has said something twice, and may be answered twice. */
  #repeated = false;

  constructor(client: Client, scene: Scene, topics: readonly string[]) {
    this.client = client;
    this.#scene = scene;
    this.#topics = topics;
    this.#free = Array.from({ length: scene.ids ?? scene.window }, (_, i) => i + 1);
  }

  /** Takes note of what came, and sends what may be sent. */
  go(): void {
    const { received } = this.client;
    for (; this.#read < received.length; this.#read++) {
      const { cmd, messageId, reasonCode = 0 } = received[this.#read]!;
      if (cmd !== "pubrec" && cmd !== "pubcomp") continue;
      expect([cmd, reasonCode]).toEqual([cmd, 0]);
      const held = this.#held.get(messageId!);
      if (!held && this.#repeated) continue;
      if (cmd === "pubrec") {
        expect(held, `PUBREC for ${messageId}`).toBeDefined();
        held!.received = true;
        continue;
      }
      expect(held?.received, `PUBCOMP for ${messageId}`).toBe(true);
      this.#held.delete(messageId!);
      this.#free.push(messageId!);
      this.completed += 1;
    }
    while (this.#held.size < this.#scene.window && this.#sent < this.#scene.messages) {
      const messageId = this.#free.shift()!;
      const topic = this.#topics[this.#sent % this.#topics.length]!;
      const message = { topic, payload: `${this.client.id} ${this.#sent++}`, received: false };
      this.#held.set(messageId, message);
      this.client.publish(topic, message.payload, { qos: 2, messageId });
    }
  }

  /** Says again everything that is not answered, as clients of 3.1.1 may at any time [v3 MQTT §4.4]. */
  repeat(): void {
    this.#repeated = true;
    for (const [messageId, { topic, payload, received }] of this.#held) {
      if (received) this.client.send({ cmd: "pubrel", messageId });
      else this.client.publish(topic, payload, { qos: 2, messageId, dup: true });
    }
  }
}

class Traffic {
  readonly world: World;
  readonly scene: Scene;
  readonly publishers: readonly Publisher[];
  readonly subscribers: readonly Client[];
  readonly topics: readonly string[];

  constructor(scene: Scene) {
    this.scene = scene;
    this.world = new World({ shards: scene.shards, limits: { receiveMaximum: scene.window } });
    const { world } = this;
    this.topics = world.shards.map((node) => {
      for (let i = 0; ; i++) if (world.shardOf(`t/${i}`) === node) return `t/${i}`;
    });
    this.subscribers = scene.subscribers.map((version, i) => {
      const properties = version === 5 ? { properties: { receiveMaximum: scene.receiveMaximum } } : {};
      const client = world.connected(`subscriber ${i}`, properties, version);
      client.subscribe("t/+", 2);
      return client;
    });
    this.publishers = scene.publishers.map((version, i) => {
      return new Publisher(world.connected(`publisher ${i}`, {}, version), scene, this.topics);
    });
    world.advance(scene.settled ? 60_000 : 100);
    this.#go();
  }

  get clients(): readonly Client[] {
    return [...this.subscribers, ...this.publishers.map(({ client }) => client)];
  }

  step(until: number): boolean {
    if (!this.world.step(until)) return false;
    this.#go();
    return true;
  }

  steps(count: number): void {
    for (let i = 0; i < count; i++) this.step(this.world.now + 100);
  }

  advance(ms: number): void {
    const until = this.world.now + ms;
    while (this.step(until));
    this.world.now = until;
  }

  /** Everything was sent, everything arrived, and every exchange is over. */
  get done(): boolean {
    const all = this.scene.messages * this.publishers.length;
    return (
      this.publishers.every(({ completed }) => completed === this.scene.messages) &&
      this.subscribers.every(({ payloads, unacknowledged }) => payloads.length === all && unacknowledged.size === 0) &&
      this.clients.every(({ up, down }) => up.length === 0 && down.length === 0)
    );
  }

  expectExactlyOnce(): void {
    const { messages } = this.scene;
    expect(this.publishers.map(({ completed }) => completed)).toEqual(this.publishers.map(() => messages));
    for (const subscriber of this.subscribers) {
      const got = subscriber.all("publish").map(({ topic, payload }) => ({ topic, payload: payload!.toString() }));
      expect(got).toHaveLength(messages * this.publishers.length);
      for (const { client } of this.publishers) {
        for (const [shard, topic] of this.topics.entries()) {
          const own = got.filter((message) => message.topic === topic && message.payload.startsWith(`${client.id} `));
          const sent = Array.from({ length: messages }, (_, i) => i).filter((i) => i % this.topics.length === shard);
          expect(own.map(({ payload }) => payload)).toEqual(sent.map((i) => `${client.id} ${i}`));
        }
      }
      expect(subscriber.all("publish").every(({ qos, dup }) => qos === 2 && !dup)).toBe(true);
      expect([subscriber.reused, [...subscriber.unacknowledged]]).toEqual([[], []]);
    }
    expect(this.clients.map(({ closed }) => closed)).toEqual(this.clients.map(() => undefined));
    for (const { sql } of this.world.shards) expect(sql.rows("SELECT session FROM received")).toEqual([]);
  }

  #go(): void {
    for (const publisher of this.publishers) publisher.go();
  }
}

/** The steps of a run without a fault. */
function stepsOf(scene: Scene): number {
  const traffic = new Traffic(scene);
  let steps = 0;
  for (; !traffic.done; steps++) expect(traffic.step(traffic.world.now + 5_000)).toBe(true);
  traffic.expectExactlyOnce();
  return steps;
}

function failWrites(traffic: Traffic, fails: boolean | ((query: string) => boolean)): void {
  for (const { sql } of traffic.world.shards) sql.failWrites = fails;
}

function dropLinks(clients: readonly Client[]): void {
  for (const client of clients) {
    for (const [name, link] of client.driver.links) if (name !== "session") link.drop();
  }
}

const FAULTS: Record<string, (traffic: Traffic) => void> = {
  "every shard crashes": ({ world }) => world.shards.forEach((node) => node.crash()),
  "every shard is evicted": ({ world }) => world.shards.forEach((node) => node.evict()),
  "a shard is evicted, wakes and crashes": (traffic) => {
    traffic.world.shards[0]!.evict();
    traffic.steps(3);
    traffic.world.shards[0]!.crash();
  },
  "a shard crashes and stays away": (traffic) => {
    const [shard] = traffic.world.shards;
    shard!.crash();
    shard!.reachable = false;
    traffic.advance(8_000);
    shard!.reachable = true;
  },
  "the publishers' links break": (traffic) => dropLinks(traffic.publishers.map(({ client }) => client)),
  "the subscribers' links break": (traffic) => dropLinks(traffic.subscribers),
  "all links break": (traffic) => dropLinks(traffic.clients),
  "a link does not come back before the grace is over": (traffic) => {
    const { client } = traffic.publishers[0]!;
    client.driver.barred.add(0);
    dropLinks([client]);
    traffic.advance(20_000);
    traffic.world.shards[0]!.crash();
    traffic.advance(5_000);
    client.driver.barred.delete(0);
  },
  "every session object crashes": ({ world }) => {
    for (const node of world.sessions.values()) node.crash();
  },
  "no write succeeds for a second": (traffic) => {
    failWrites(traffic, true);
    traffic.advance(1_000);
    failWrites(traffic, false);
  },
  "the next write of ids fails": (traffic) => {
    let failures = 0;
    failWrites(traffic, (query) => /received/.test(query) && failures++ === 0);
  },
  "the next write of the log fails": (traffic) => {
    let failures = 0;
    failWrites(traffic, (query) => /INTO log/.test(query) && failures++ === 0);
  },
};

describe.each(SCENES)("exactly once in %s", (_name, scene) => {
  test.each(Object.keys(FAULTS))("when, at any step, %s [MQTT-4.3.3-10]", { timeout: 30_000 }, (fault) => {
    const steps = stepsOf(scene);
    for (let step = 0; step <= steps; step++) {
      const traffic = new Traffic(scene);
      traffic.steps(step);
      try {
        FAULTS[fault]!(traffic);
        traffic.advance(10_000);
        traffic.expectExactlyOnce();
      } catch (error) {
        throw new Error(`after step ${step} of ${steps}: ${(error as Error).message}`, { cause: error });
      }
    }
  });
});

describe("exactly once", () => {
  const small = { ...ONE, messages: 2, window: 1 };

  test("when a shard crashes at any step and again at any step after that", { timeout: 30_000 }, () => {
    const steps = stepsOf(small);
    for (let first = 0; first <= steps; first++) {
      for (let second = 1; second <= 20; second++) {
        const traffic = new Traffic(small);
        traffic.steps(first);
        traffic.world.shards[0]!.crash();
        traffic.steps(second);
        traffic.world.shards[0]!.crash();
        traffic.advance(10_000);
        traffic.expectExactlyOnce();
      }
    }
  });

  test("when a link breaks at any step and the shard crashes at any step after that", { timeout: 30_000 }, () => {
    const steps = stepsOf(small);
    for (let first = 0; first <= steps; first++) {
      for (let second = 1; second <= 20; second++) {
        const traffic = new Traffic(small);
        traffic.steps(first);
        dropLinks([traffic.publishers[0]!.client]);
        traffic.steps(second);
        traffic.world.shards[0]!.crash();
        traffic.advance(10_000);
        traffic.expectExactlyOnce();
      }
    }
  });

  test("when a shard crashes after every n-th step, for every n that lets it live at all", { timeout: 30_000 }, () => {
    for (let every = 15; every < 60; every++) {
      const traffic = new Traffic(ONE);
      for (let i = 1; i < 600; i++) {
        traffic.steps(1);
        if (i % every === 0) traffic.world.shards[0]!.crash();
      }
      traffic.advance(10_000);
      traffic.expectExactlyOnce();
    }
  });

  test("when a publisher of 3.1.1 says everything again after a crash at any step", { timeout: 30_000 }, () => {
    const scene: Scene = { ...ONE, publishers: [4], messages: 4, window: 2, ids: 4 };
    const steps = stepsOf(scene);
    for (let step = 0; step <= steps; step++) {
      for (const wait of [0, 5, 500]) {
        const traffic = new Traffic(scene);
        traffic.steps(step);
        traffic.world.shards[0]!.crash();
        traffic.advance(wait);
        for (let i = 0; i < 2; i++) traffic.publishers[0]!.repeat();
        traffic.advance(10_000);
        traffic.expectExactlyOnce();
      }
    }
  });

  test("and nothing of it is left when it is over: no row, no alarm, no timer", () => {
    for (const fault of Object.keys(FAULTS)) {
      const traffic = new Traffic(ONE);
      traffic.steps(20);
      FAULTS[fault]!(traffic);
      traffic.advance(200_000);
      traffic.expectExactlyOnce();
      const [shard] = traffic.world.shards;
      expect([fault, shard!.deadline, shard!.core?.alarmAt]).toEqual([fault, undefined, undefined]);
      for (const table of ["log", "received"]) expect(shard!.sql.rows(`SELECT * FROM ${table}`)).toEqual([]);
    }
  });
});
