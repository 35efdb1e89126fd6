/**
 * A share group through many bad days: members of all kinds come, go, are slow and lose their links while shards crash
 * and sleep. What was acknowledged to the publisher reaches some member; at QoS 2 exactly one, once; and nothing comes
 * twice that no failure explains.
 *
 * `SHARE_SEEDS=4000 SHARE_FIRST=300001 npx vitest run --project core test/core/schedules/shares` tries others.
 */

import { describe, expect, test } from "vitest";
import { SHARE_STRATEGIES } from "../../../src/core/shard/share-strategy.ts";
import type { Client, Version } from "../../sim/world/client.ts";
import { StorageFailure } from "../../support/node-sql.ts";
import { Random } from "../../support/random.ts";
import { World } from "../../sim/world/world.ts";

const SEEDS = Number(process.env["SHARE_SEEDS"] ?? 60);
const FIRST = Number(process.env["SHARE_FIRST"] ?? 1);

interface Plan {
  readonly seed: number;
  /** Objects crash and sleep, and links break. */
  readonly faults: boolean;
}

/** One client id of the group, over all its connections. */
class Member {
  readonly id: string;
  readonly #world: World;
  readonly #filter: string;
  readonly #version: Version;
  readonly #persistent: boolean;
  readonly #qos: 1 | 2;
  readonly #receiveMaximum: number;
  client: Client | undefined;
  /** What the application saw, by QoS. */
  readonly seen = { 0: [], 1: [], 2: [] } as Record<number, string[]>;
  /** QoS 2 deliveries whose PUBREL has not come. */
  readonly #held = new Set<number>();
  #read = 0;

  constructor(world: World, id: string, filter: string, random: Random, always: boolean) {
    this.id = id;
    this.#world = world;
    this.#filter = filter;
    this.#version = random.of([4, 5, 5]);
    this.#persistent = always || random.chance(0.5);
    // A session that ends takes its QoS 2 messages with it [MQTT-4.8.2-5].
    this.#qos = this.#persistent ? random.of([1, 2, 2]) : 1;
    this.#receiveMaximum = random.of([1, 2, 10, 100]);
  }

  come(): void {
    if (this.client) return;
    const expiry = this.#persistent ? { sessionExpiryInterval: 0xffff_ffff } : {};
    const properties = { ...expiry, receiveMaximum: this.#receiveMaximum };
    this.client = this.#world.client(this.id, this.#version);
    this.#read = 0;
    this.client.connect({ clean: !this.#persistent, ...(this.#version === 5 && { properties }) });
    this.client.subscribe(this.#filter, this.#qos);
  }

  /** Takes note of what came. */
  read(): void {
    const { client } = this;
    if (!client) return;
    for (; this.#read < client.received.length; this.#read++) {
      const { cmd, qos, messageId, payload, sessionPresent, granted } = client.received[this.#read]!;
      if (cmd === "connack" && !sessionPresent) this.#held.clear();
      // A shard that was away for too long did not confirm: what was in effect before still is.
      if (cmd === "suback" && granted![0] === 0x80) client.subscribe(this.#filter, this.#qos);
      else if (cmd === "suback") expect(granted).toEqual([this.#qos]);
      if (cmd === "pubrel") this.#held.delete(messageId!);
      if (cmd !== "publish") continue;
      if (qos === 2 && this.#held.has(messageId!)) continue;
      if (qos === 2) this.#held.add(messageId!);
      this.seen[qos!]!.push(payload!.toString());
    }
    if (client.closed !== undefined) this.client = undefined;
  }

  leave(how: "cut" | "disconnect"): void {
    this.read();
    const { client } = this;
    this.client = undefined;
    if (!client) return;
    client.acknowledges = false;
    if (how === "cut") client.cut();
    else client.send({ cmd: "disconnect", reasonCode: 0 });
  }

  /** Acknowledges nothing any more in this connection. */
  tire(): void {
    if (this.client) this.client.acknowledges = false;
  }

  /** Its Worker dies with everything that it held. */
  die(): void {
    this.read();
    this.client?.driver.kill();
    this.client = undefined;
  }

  /** Leaves the group, and joins it again. */
  hesitate(): void {
    this.client?.unsubscribe(this.#filter);
    this.client?.subscribe(this.#filter, this.#qos);
  }
}

function run({ seed, faults }: Plan): void {
  const random = new Random(seed);
  const shards = random.of([1, 1, 2, 4]);
  const world = new World({
    shards,
    settings: { shareStrategy: random.of(SHARE_STRATEGIES) },
    random: () => random.next(),
    pick: (ready) => random.below(ready),
  });
  const filter = `$share/group/${random.of(["a/#", "+/+", "a/1"])}`;
  const publisher = world.connected("publisher");
  const members = Array.from({ length: 1 + random.below(5) }, (_, i) => {
    return new Member(world, `member-${i}`, filter, random, i === 0);
  });
  for (const member of members) member.come();
  world.settle();
  const sent = new Map<number, string>();
  let count = 0;

  const publish = (): void => {
    for (let burst = 1 + random.below(5); burst > 0; burst--) {
      const payload = `${++count}`;
      const qos = random.of([1, 2]);
      // Ids are not used again, so that an answer says which message it is for.
      const topic = filter.endsWith("/a/1") ? "a/1" : `a/${random.of([1, 1, 2, 3])}`;
      sent.set(publisher.publish(topic, payload, { qos }), payload);
    }
  };
  const actions: (() => void)[] = [
    publish,
    publish,
    publish,
    publish,
    () => random.of(members).leave(random.of(["cut", "disconnect"])),
    () => random.of(members).come(),
    () => random.of(members).come(),
    () => random.of(members).tire(),
    // The first is always in the group, so that it never ends.
    () => members.slice(1).forEach((member) => member.hesitate()),
    () => world.advance(random.of([1, 10, 500, 2_000])),
    ...(faults
      ? [
          () => random.of(members).die(),
          () => random.of(world.shards).crash(),
          () => {
            // Some writes of a shard fail, and with each its turn.
            const { sql } = random.of(world.shards);
            sql.failWrites = random.of([
              true,
              (query: string) => / share /.test(query),
              (query) => / session /.test(query),
            ]);
            for (let moves = 1 + random.below(6); moves > 0; moves--) world.step(world.now + 30);
            sql.failWrites = false;
          },
          () => random.of(world.shards).evict(),
          () => {
            const links = [...(random.of(members).client?.driver.links.values() ?? [])];
            if (links.length > 0) random.of(links).drop();
          },
          () => world.advance(random.of([5_000, 45_000])),
        ]
      : []),
  ];
  for (let step = 0; step < 60; step++) {
    random.of(actions)();
    for (let moves = random.below(12); moves > 0; moves--) world.step(world.now + 30);
    for (const member of members) member.read();
  }
  // All is well again.
  for (const member of members) member.leave("disconnect");
  world.advance(5_000);
  for (let tries = 0; tries < 4; tries++) {
    // An earlier connection of its own may be late, and take its place.
    for (const member of members) member.come();
    world.advance(60_000);
    for (const member of members) member.read();
  }

  for (const { failures } of world.shards) {
    expect(failures.filter((failure) => !(failure instanceof StorageFailure))).toEqual([]);
  }
  const acknowledged = new Map([
    ...publisher.acknowledged.map((id) => [id, 1] as const),
    ...publisher.completed.map((id) => [id, 2] as const),
  ]);
  expect(acknowledged.size, "everything is acknowledged").toBe(count);
  const seen = members.flatMap((member) => Object.values(member.seen).flat());
  expect(
    [...sent.values()].filter((payload) => !seen.includes(payload)),
    "lost",
  ).toEqual([]);
  const exact = members.flatMap((member) => member.seen[2]!);
  expect(
    exact.filter((payload, at) => exact.indexOf(payload) < at),
    "twice at QoS 2",
  ).toEqual([]);
}

describe("a share group loses nothing", () => {
  const seeds = Array.from({ length: SEEDS }, (_, i) => FIRST + i);
  test.each(seeds)("while members come and go (seed %i)", (seed) => run({ seed, faults: false }));
  test.each(seeds)("while everything fails (seed %i)", (seed) => run({ seed, faults: true }));
});
