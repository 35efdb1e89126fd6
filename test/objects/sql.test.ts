import { runInDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { expect, test } from "vitest";
import { objectSql } from "../../src/objects/sql.ts";
import { sqlContract } from "../contracts/sql.ts";

const { TOPIC_SHARDS } = env as unknown as { TOPIC_SHARDS: DurableObjectNamespace };

let objects = 0;

/** Runs `body` inside a new object, named as a shard is, without the tables that it made when it started. */
function inNewObject(body: (state: DurableObjectState) => void | Promise<void>): Promise<void> {
  const stub = TOPIC_SHARDS.get(TOPIC_SHARDS.idFromName(`sql-${objects++}/shard/0`));
  return runInDurableObject(stub, async (_object, state) => {
    objectSql(state.storage).wipe();
    await body(state);
  });
}

sqlContract("Durable Object", (body) => inNewObject((state) => body(objectSql(state.storage))));

test("wipe leaves the alarm and the key-value store of the object alone", () =>
  inNewObject(async ({ storage }) => {
    const sql = objectSql(storage);
    const alarm = Date.now() + 3_600_000;
    await storage.setAlarm(alarm);
    storage.kv.put("key", "value");
    sql.run("CREATE TABLE kept (id INTEGER)");
    sql.wipe();
    expect(storage.kv.get("key")).toBe("value");
    expect(await storage.getAlarm()).toBe(alarm);
    await storage.deleteAll();
  }));

test("wipe writes no rows, and gives the space back", () =>
  inNewObject(({ storage }) => {
    const sql = objectSql(storage);
    sql.run("CREATE TABLE kept (id INTEGER PRIMARY KEY, value BLOB); CREATE INDEX by_value ON kept (value)");
    for (let i = 0; i < 200; i++) sql.run("INSERT INTO kept VALUES (?, ?)", i, new Uint8Array(10_000).fill(i));
    const sizeBefore = storage.sql.databaseSize;
    expect(storage.sql.exec("DROP TABLE kept").rowsWritten).toBe(0);
    sql.wipe();
    expect(sizeBefore).toBeGreaterThan(2_000_000);
    expect(storage.sql.databaseSize).toBeLessThan(50_000);
  }));
