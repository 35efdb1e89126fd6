/** What a test sees of the objects from inside, and does to them. */

import { evictDurableObject, reset, runInDurableObject } from "cloudflare:test";
import { env as bindings } from "cloudflare:workers";
import { afterEach, expect, vi } from "vitest";
import { type Placement, shardOfTopic } from "../../src/core/shard/placement.ts";
import type { Env } from "../../src/env.ts";
import type { Fence } from "../../src/link/records.ts";
import { sessionName, shardName } from "../../src/names.ts";
import { endClients } from "./client.ts";

export const env = bindings as unknown as Env;

export const PLACEMENT: Placement = { shards: Number(env["SHARDS"]), depth: Number(env["SHARD_DEPTH"]) };
export const SHARDS = Array.from({ length: PLACEMENT.shards }, (_, shard) => shard);

export function shardStub(shard: number) {
  return env.TOPIC_SHARDS.getByName(shardName("main", shard));
}

export function sessionStub(clientId: string) {
  return env.SESSIONS.getByName(sessionName("main", clientId));
}

/** A topic that lives on a shard. */
export function topicOn(shard: number, name = "topic"): string {
  for (let i = 0; ; i++) if (shardOfTopic(`${name}/${i}`, PLACEMENT) === shard) return `${name}/${i}`;
}

/** Runs inside an object. It is woken by that. */
export function inside<R>(stub: DurableObjectStub, body: (state: DurableObjectState) => R | Promise<R>): Promise<R> {
  return runInDurableObject(stub, (_object, state) => body(state));
}

/** The object's present instance: another one after every end. */
export function instanceOf(stub: DurableObjectStub): Promise<unknown> {
  return runInDurableObject(stub, (object) => ({ object })).then(({ object }) => object);
}

/** Keeps what arrives on the object's links from it. The result gives it to the object, and holds nothing any more. */
export async function holdFrames(stub: DurableObjectStub): Promise<() => Promise<void>> {
  const held: [WebSocket, ArrayBuffer | string][] = [];
  await runInDurableObject(stub, (object) => {
    object.webSocketMessage = (...frame) => void held.push(frame);
  });
  return () =>
    runInDurableObject(stub, (object) => {
      delete object.webSocketMessage;
      for (const frame of held) void object.webSocketMessage!(...frame);
    });
}

/** Ends the object's instance as the platform does to one that is idle: its links sleep on. */
export function hibernate(stub: DurableObjectStub): Promise<void> {
  return evictDurableObject(stub, { webSockets: "hibernate" });
}

/** Ends the object's instance with its links, as a crash does. */
export async function crash(stub: DurableObjectStub): Promise<void> {
  await inside(stub, (state) => state.abort("crash")).then(
    () => {},
    () => {},
  );
}

/** Counts the rows that an object writes from now on, alarms included (one is a row written). */
export async function countRows(
  stub: DurableObjectStub,
): Promise<{ readonly written: number; readonly alarms: number }> {
  const counted = { written: 0, alarms: 0 };
  await inside(stub, ({ storage }) => {
    const { sql } = storage;
    const exec = sql.exec.bind(sql);
    sql.exec = ((query: string, ...parameters: unknown[]) => {
      const cursor = exec(query, ...parameters);
      // A cursor is counted when it was read to its end, which every statement of an object is.
      const toArray = cursor.toArray.bind(cursor);
      cursor.toArray = () => {
        const found = toArray();
        counted.written += cursor.rowsWritten;
        return found;
      };
      return cursor;
    }) as typeof sql.exec;
    const setAlarm = storage.setAlarm.bind(storage);
    storage.setAlarm = (...parameters) => {
      counted.alarms += 1;
      return setAlarm(...parameters);
    };
  });
  return counted;
}

export function rows(stub: DurableObjectStub, query: string): Promise<Record<string, SqlStorageValue>[]> {
  return inside(stub, (state) => state.storage.sql.exec(query).toArray());
}

/** Tables that are not the platform's own. */
export function tables(stub: DurableObjectStub): Promise<string[]> {
  return inside(stub, ({ storage }) => tablesOf(storage));
}

export function tablesOf(storage: DurableObjectStorage): string[] {
  return storage.sql
    .exec("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB '_cf_*' AND name NOT GLOB 'sqlite_*'")
    .toArray()
    .map((row) => row["name"] as string);
}

export function alarmOf(stub: DurableObjectStub): Promise<number | null> {
  return inside(stub, (state) => state.storage.getAlarm());
}

/** What the object's open links remember for its sleep; null: nothing, they will have to come back. */
export function attachments(stub: DurableObjectStub): Promise<unknown[]> {
  return inside(stub, (state) =>
    state
      .getWebSockets()
      .filter((socket) => socket.readyState === WebSocket.OPEN)
      .map((socket) => socket.deserializeAttachment() as unknown),
  );
}

/** Waits until a shard has nothing unsaved: its next checkpoint has come. */
export async function clean(shard: number): Promise<void> {
  await until(`shard ${shard} is clean`, async () =>
    (await attachments(shardStub(shard))).every((kept) => kept !== null),
  );
}

/** The generation and epoch of the connection that has a session object's link; undefined while none has. */
export async function fenceOf(clientId: string): Promise<Fence | undefined> {
  const [kept] = (await attachments(sessionStub(clientId))) as (Fence | null)[];
  return kept ? { generation: kept.generation, epoch: kept.epoch } : undefined;
}

/** Waits until a session's connection has its link. */
export async function backAgain(clientId: string): Promise<Fence> {
  let fence: Fence | undefined;
  await until(`${clientId} is back`, async () => (fence = await fenceOf(clientId)) !== undefined);
  return fence!;
}

/** Looks again after other events had their turn, a bounded number of times. */
export async function until(what: string, condition: () => boolean | Promise<boolean>, turns = 400): Promise<void> {
  for (let turn = 0; turn < turns; turn++) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  expect.fail(`not seen in ${turns} turns: ${what}`);
}

/** First occurrences, in order: QoS 1 may deliver twice. */
export function distinct(payloads: readonly string[]): string[] {
  return [...new Set(payloads)];
}

/** `prefix` 0 to `prefix` n − 1. */
export function series(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, i) => `${prefix}${i}`);
}

/** Every test begins with empty objects and ends with every client gone. */
export function freshObjects(): void {
  afterEach(async () => {
    vi.restoreAllMocks();
    await endClients();
    await reset();
  });
}
