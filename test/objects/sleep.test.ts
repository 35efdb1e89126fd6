/**
 * What the platform does by itself after ten idle seconds: every object sleeps under clients that stay connected, whatever
 * they have asked for, and a message wakes it with everything as it was. The only test that waits for time to pass: the
 * ten seconds are the platform's.
 */

import { describe, expect, test, vi } from "vitest";
import { SessionObject, ShardObject } from "../../src/index.ts";
import { Client } from "./client.ts";
import {
  alarmOf,
  clean,
  freshObjects,
  instanceOf,
  rows,
  sessionStub,
  SHARDS,
  shardStub,
  topicOn,
  until,
} from "./inside.ts";

freshObjects();

/** The platform takes an object from memory that was idle for ten seconds. */
const ASLEEP_MS = 13_000;

const CLIENTS = ["plain", "persistent", "with-will", "publisher"];
const KEPT = { clean: false, properties: { sessionExpiryInterval: 3600 } };

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

describe("ten idle seconds", () => {
  test(
    "let every object sleep with its clients connected, PINGREQ wakes none, and a message finds all as it was",
    { timeout: 60_000 },
    async () => {
      const topics = SHARDS.map((shard) => topicOn(shard));
      const plain = await Client.connect({ clientId: "plain" });
      const persistent = await Client.connect({ clientId: "persistent", ...KEPT, acknowledges: false });
      const will = { topic: topics[0]!, payload: Buffer.from("gone"), qos: 1, retain: false } as const;
      const withWill = await Client.connect({ clientId: "with-will", ...KEPT, will });
      const publisher = await Client.connect({ clientId: "publisher", ...KEPT });
      const clients = [plain, persistent, withWill, publisher];
      for (const client of [plain, persistent, withWill]) await client.subscribe({ topic: "#", qos: 2 });
      for (const topic of topics) await publisher.publish(topic, `before ${topic}`, { qos: 2 });
      for (const client of [plain, withWill]) await client.delivered((payloads) => payloads.length === topics.length);
      await persistent.delivered((payloads) => payloads.length === topics.length);
      for (const shard of SHARDS) await clean(shard);

      const stubs = [...SHARDS.map(shardStub), ...CLIENTS.map(sessionStub)];
      const before = await Promise.all(stubs.map(instanceOf));
      const events = [SessionObject.prototype, ShardObject.prototype].flatMap((prototype) => [
        vi.spyOn(prototype, "fetch"),
        vi.spyOn(prototype, "webSocketMessage"),
        vi.spyOn(prototype, "webSocketClose"),
        vi.spyOn(prototype, "alarm"),
      ]);
      for (let pings = 0; pings < 4; pings++) {
        for (const client of clients) await client.ping();
        await sleep(ASLEEP_MS / 4);
      }
      expect(events.reduce((sum, spy) => sum + spy.mock.calls.length, 0)).toBe(0);

      // The message that wakes the shards is the first that anybody hears of them.
      for (const topic of topics) await publisher.publish(topic, `after ${topic}`, { qos: 2 });
      const wanted = topics.flatMap((topic) => [`before ${topic}`, `after ${topic}`]).toSorted();
      for (const client of [plain, withWill]) {
        await client.delivered((payloads) => payloads.length === wanted.length);
        expect(client.payloads().toSorted()).toEqual(wanted);
      }
      await persistent.delivered((payloads) => payloads.length === wanted.length);
      for (const client of clients) expect(client.closed).toBeUndefined();
      const after = await Promise.all(stubs.map(instanceOf));
      const names = [...SHARDS.map((shard) => `shard ${shard}`), ...CLIENTS];
      expect(names.filter((_, i) => after[i] === before[i])).toEqual([]);
      // What was in flight to the client that acknowledges nothing still is, and is known.
      expect(await rows(shardStub(0), "SELECT session FROM session WHERE session = 'persistent'")).toHaveLength(1);
      expect(await alarmOf(sessionStub("plain"))).toBeNull();

      withWill.cut();
      await until("the will came", () => plain.payloads().includes("gone"));
    },
  );
});
