/** What schedules begin with and look for. */
import assert from "node:assert/strict";
import type { Client } from "../world/client.ts";
import type { World } from "../world/world.ts";

type Options = NonNullable<Parameters<Client["connect"]>[0]>;

/** CONNECT of a session that goes on, and outlives its connection by so many seconds. */
export function lasting(seconds = 3600, options: Options = {}): Options {
  return { clean: false, ...options, properties: { ...options.properties, sessionExpiryInterval: seconds } };
}

/** CONNECT that begins such a session anew. */
export function anew(seconds = 3600, options: Options = {}): Options {
  return { ...lasting(seconds, options), clean: true };
}

export const will = (topic: string, payload = "will"): Options => ({
  will: { topic, payload: Buffer.from(payload), qos: 1, retain: false },
});

/** A topic that lives on a shard, below `prefix/`. */
export function topicOn(world: World, shard: number, prefix = "t"): string {
  for (let i = 0; ; i++) if (world.shardOf(`${prefix}/${i}`).shard === shard) return `${prefix}/${i}`;
}

/** Subscribes and has the SUBACK. */
export function subscribed(client: Client, filter: string, qos = 1): void {
  const id = client.subscribe(filter, qos);
  client.world.settle();
  const suback = client.all("suback").find(({ messageId }) => messageId === id);
  assert.deepEqual(suback?.granted, [qos], `SUBACK for ${filter}`);
}

/** Publishes `from` to `to - 1` in one go, at QoS 1 unless `options` say otherwise. */
export function publishMany(publisher: Client, topic: string, from: number, to: number, options: object = {}): void {
  for (let i = from; i < to; i++) publisher.publish(topic, `${i}`, { qos: 1, ...options });
}

export const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, i) => `${from + i}`);

export const equal = (a: readonly unknown[], b: readonly unknown[]): boolean => JSON.stringify(a) === JSON.stringify(b);

/** The client says goodbye, and its end is stored. */
export function disconnect(client: Client, options: object = {}): void {
  client.send({ cmd: "disconnect", reasonCode: 0, ...options });
  client.world.settle();
  assert.notEqual(client.closed, undefined, "DISCONNECT closes");
}

/** The memory of every object and of one Worker is gone at once, as if the machine had failed. */
export function loseEverything(world: World, worker = "worker"): void {
  world.killWorker(worker);
  for (const node of [...world.shards, ...world.sessions.values()]) node.crash();
}

/** Does things one at a time until `done`. */
export function until(world: World, done: () => boolean, ms = 10_000): void {
  const end = world.now + ms;
  while (!done()) assert(world.step(end), "it never comes to this");
}

/** A subscriber of `t/#` and a publisher on one shard, everything saved. */
export function pair(world: World): { subscriber: Client; publisher: Client } {
  const subscriber = world.connected("subscriber", {}, 5, "a");
  const publisher = world.connected("publisher", {}, 5, "b");
  subscribed(subscriber, "t/#");
  subscribed(publisher, "p");
  world.advance(60_000);
  return { subscriber, publisher };
}

export function rowsOf(node: { sql: World["shards"][number]["sql"] }, table: string): number {
  const found = node.sql.rows("SELECT name FROM sqlite_master WHERE name = ?", table);
  return found.length === 0 ? 0 : node.sql.rows(`SELECT 1 AS one FROM ${table}`).length;
}

/** The QoS > 0 messages of a client are acknowledged. */
export function assertAcknowledged(publisher: Client, count: number): void {
  assert.equal(new Set(publisher.acknowledged).size, count, "PUBACKs");
}

/** The client's link to a shard breaks. The next one is there at once, but what is sent over it takes `delayMs`. */
export function relink(client: Client, delayMs: number, shard = 0): void {
  const { world, driver } = client;
  const broken = world.link(client, shard);
  broken.drop();
  until(world, () => driver.links.get(shard) !== broken && driver.links.get(shard)?.id !== undefined);
  world.link(client, shard).up.delayMs = delayMs;
  world.settle();
}
