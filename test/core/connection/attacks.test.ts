/**
 * What one client can do on purpose, and what it costs the broker: each attack is bounded in what is held for it, counted
 * here in things and bytes. Half-open sockets are in half-open.test.ts, subscription bombs in filter-quota.test.ts too.
 */
import { describe, expect, test } from "vitest";
import { DEFAULT_LIMITS } from "../../../src/core/limits.ts";
import { Reason } from "../../../src/mqtt/reason.ts";
import { packet } from "../../mqtt/notation.ts";
import { World } from "../../sim/world/world.ts";

const hex = (number: number, digits: number): string => number.toString(16).padStart(digits, "0");

describe("QoS 2 ids that are never released", () => {
  test("[MQTT-3.3.4-9] are no more than Receive Maximum of an MQTT 5 client", () => {
    const world = new World({ shards: 1 });
    const client = world.connected("client");
    client.releases = false;
    for (let id = 1; id <= DEFAULT_LIMITS.receiveMaximum; id++)
      client.driver.bytes(packet(`34 ( 't' ${hex(id, 4)} ( ) )`));
    world.settle();
    expect(client.all("pubrec")).toHaveLength(DEFAULT_LIMITS.receiveMaximum);
    client.driver.bytes(packet(`34 ( 't' ffff ( ) )`));
    world.settle();
    expect(client.last("disconnect")!.reasonCode).toBe(Reason.ReceiveMaximumExceeded);
  });

  test("are no more than 8,192 of a client before, whose shard keeps two bytes of each", () => {
    const world = new World({ shards: 1 });
    const client = world.connected("client", { clean: false }, 4);
    client.releases = false;
    let id = 0;
    while (client.closed === undefined && id < 65_535) {
      for (let count = 0; count < 256; count++) client.driver.bytes(packet(`34 ( 't' ${hex(++id, 4)} )`));
      world.settle();
    }
    expect(client.all("pubrec")).toHaveLength(8_192);
    expect(client.driver.reports).toMatchObject([{ reason: Reason.QuotaExceeded }]);
    const rows = world.shards[0]!.sql.rows("SELECT length(ids) AS bytes FROM received");
    expect(rows).toEqual([{ bytes: 2 * 8_192 }]);
  });
});

test("a subscription bomb of 10,000 filters at once is answered filter by filter, and the client goes on", () => {
  const world = new World({ shards: 2 });
  const client = world.connected("client");
  const filters = Array.from({ length: 12_000 }, (_, at) => ({
    topic: `${"+/".repeat(at % 60)}${hex(at, 4)}`,
    qos: 0,
  }));
  client.send({ cmd: "subscribe", messageId: 1, subscriptions: filters });
  world.settle();
  const codes = (client.last("suback") as unknown as { granted: number[] }).granted;
  expect(codes).toHaveLength(12_000);
  // 65,536 levels, and not one more.
  const levels = codes.map((code, at) => (code === 0 ? (at % 60) + 1 : 0)).reduce((sum, count) => sum + count, 0);
  expect(levels).toBeGreaterThan(65_000);
  expect(levels).toBeLessThanOrEqual(DEFAULT_LIMITS.subscriptionLevelsMax);
  expect(new Set(codes)).toEqual(new Set([0, Reason.QuotaExceeded]));
  expect(client.closed).toBeUndefined();
});

test.each([4, 5] as const)(
  "a retained flood leaves as many rows as there may be, and QoS 0 writes no more (version %i)",
  (version) => {
    const world = new World({ shards: 1, limits: { retainedMax: 100 } });
    const client = world.connected("client", {}, version);
    const watcher = world.connected("watcher");
    watcher.subscribe("#", 0);
    world.settle();
    for (let topic = 0; topic < 5_000; topic++) client.publish(`t/${topic}`, "x", { retain: true });
    world.settle();
    world.advance(2_000);
    expect(world.shards[0]!.sql.rows("SELECT count(*) AS n FROM retained")).toEqual([{ n: 100 }]);
    expect(world.shards[0]!.core!.counters.notRetained).toBe(4_900);
    expect(watcher.payloads).toHaveLength(5_000);
  },
);

describe("[MQTT-1.5.4-1] UTF-8 that says the same in more bytes is no UTF-8", () => {
  test.each([
    ["of a NUL", "c080"],
    ["of a slash, two bytes", "c0af"],
    ["of a slash, three bytes", "e080af"],
    ["of a slash, four bytes", "f08080af"],
    ["of a surrogate", "eda080"],
    ["above U+10FFFF", "f4908080"],
  ])("%s, in a client id, a topic and a filter", (_what, bytes) => {
    const length = hex(bytes.length / 2, 4);
    const world = new World({ shards: 1 });
    const connecting = world.client("connecting");
    connecting.driver.bytes(packet(`10 ( 'MQTT' 05 02 0000 ( ) ${length} ${bytes} )`));
    world.settle();
    expect(connecting.last("connack")!.reasonCode).toBe(Reason.MalformedPacket);
    for (const sent of [`30 ( ${length} ${bytes} ( ) )`, `82 ( 0001 ( ) ${length} ${bytes} 00 )`]) {
      const client = world.connected("client");
      client.driver.bytes(packet(sent));
      world.settle();
      expect(client.last("disconnect")!.reasonCode).toBe(Reason.MalformedPacket);
    }
    expect([...world.sessions.keys()]).toEqual(["client"]);
  });
});

test("a client that is denied again and again costs the broker no more than its answers", () => {
  const world = new World({ shards: 1 });
  const client = world.connected("client");
  for (let count = 0; count < 1_000; count++) client.publish("$SYS/x", "x", { qos: 1 });
  world.settle();
  expect(client.all("puback").every(({ reasonCode }) => reasonCode === Reason.NotAuthorized)).toBe(true);
  expect(client.driver.denied).toHaveLength(1_000);
  // No shard has heard of it.
  expect(world.shards[0]!.sql.rows("SELECT name FROM sqlite_master")).toEqual([]);
});
