/** A client that publishes more in a second than it may: what it is told, what is dropped, and that it is told of. */
import { describe, expect, test } from "vitest";
import { Rate } from "../../../src/core/rate.ts";
import type { Limits, Settings } from "../../../src/core/limits.ts";
import type { Client, Version } from "../../sim/world/client.ts";
import { World } from "../../sim/world/world.ts";

describe("a rate", () => {
  function taken(rate: Rate, now: number, amount = 1): number {
    let count = 0;
    for (; rate.allows(now) && count < 1000; count++) rate.take(amount);
    return count;
  }

  test("is a burst, and then so much a second", () => {
    const rate = new Rate(10, 3, 0);
    expect(taken(rate, 0)).toBe(30);
    expect(taken(rate, 99)).toBe(1);
    expect(taken(rate, 1_000)).toBe(9);
    expect(taken(rate, 60_000)).toBe(30);
  });

  test("lets through what is more than a burst, and then nothing until that is paid off", () => {
    const rate = new Rate(100, 1, 0);
    expect(taken(rate, 0, 1_000)).toBe(1);
    expect(taken(rate, 9_000)).toBe(0);
    expect(taken(rate, 9_010)).toBe(1);
  });

  test("gives nothing for a clock that is set back", () => {
    const rate = new Rate(10, 1, 10_000);
    expect(taken(rate, 10_000)).toBe(10);
    expect(taken(rate, 0)).toBe(0);
    expect(taken(rate, 100)).toBe(1);
  });
});

function scene(version: Version, limits: Partial<Limits>, settings: Partial<Settings> = {}) {
  const world = new World({ shards: 1, limits: { publishBurstSeconds: 1, ...limits }, settings });
  const watcher = world.connected("watcher");
  watcher.subscribe("#", 2);
  world.settle();
  return { world, watcher, client: world.connected("client", {}, version) };
}

function publish(client: Client, count: number, qos: 0 | 1 | 2, payload = "x"): void {
  for (let at = 0; at < count; at++) client.publish("t", payload, { qos });
}

describe.each<[string, Partial<Limits>, string]>([
  ["PUBLISH_RATE_MAX", { publishRateMax: 5 }, "x"],
  ["PUBLISH_BYTES_RATE_MAX", { publishBytesRateMax: 500 }, "x".repeat(99)],
])("%s", (_name, limits, payload) => {
  test.each<Version>([3, 4, 5])("QoS 0 above it is dropped and counted (version %i)", (version) => {
    const { world, watcher, client } = scene(version, limits);
    publish(client, 20, 0, payload);
    world.settle();
    expect(watcher.payloads).toHaveLength(5);
    expect(client.closed).toBeUndefined();
    client.cut();
    world.settle();
    expect(client.driver.lost.reduce((sum, { qos0 }) => sum + qos0, 0)).toBe(15);
  });

  test.each([1, 2] as const)("[MQTT §3.4.2.1] QoS %i above it is answered 0x97, and nobody gets it", (qos) => {
    const { world, watcher, client } = scene(5, limits);
    publish(client, 8, qos, payload);
    world.settle();
    const codes = client.all(qos === 1 ? "puback" : "pubrec").map(({ reasonCode }) => reasonCode ?? 0);
    expect(codes.toSorted((one, other) => one - other)).toEqual([0, 0, 0, 0, 0, 0x97, 0x97, 0x97]);
    expect(watcher.payloads).toHaveLength(5);
    world.advance(1_000);
    publish(client, 5, qos, payload);
    world.settle();
    expect(watcher.payloads).toHaveLength(10);
    expect(client.closed).toBeUndefined();
    expect(client.driver.lost).toMatchObject([{ qos0: 0 }]);
  });

  test.each([1, 2] as const)("QoS %i above it closes a client of 3.1.1, which cannot be told", (qos) => {
    const { world, watcher, client } = scene(4, limits);
    publish(client, 6, qos, payload);
    world.settle();
    expect(client.closed).toBe(1008);
    expect(client.driver.reports).toMatchObject([{ event: "disconnected", reason: 0x96 }]);
    expect(watcher.payloads).toHaveLength(5);
  });

  test.each([0, 1] as const)("[MQTT §3.14.2.1] EXCESSIVE_PUBLISH=disconnect answers 0x96 at QoS %i", (qos) => {
    const { world, client } = scene(5, limits, { excessivePublish: "disconnect" });
    publish(client, 6, qos, payload);
    world.settle();
    expect(client.last("disconnect")).toMatchObject({ reasonCode: 0x96 });
    expect(client.closed).toBe(1008);
  });
});

test("what is sent again and was taken before is answered as it was, however fast [MQTT-4.3.3-10]", () => {
  const { world, client } = scene(5, { publishRateMax: 1 });
  client.publish("t", "x", { qos: 2, messageId: 7 });
  world.settle();
  client.publish("t", "x", { qos: 2, messageId: 7, dup: true });
  world.settle();
  expect(client.all("pubrec").map(({ reasonCode }) => reasonCode ?? 0)).toEqual([0, 0]);
});

test("a client is told of in the log at once, then once in a minute, and when it has gone", () => {
  const { world, client } = scene(5, { publishRateMax: 1 });
  for (let second = 0; second < 90; second++) {
    publish(client, 2, 0);
    world.advance(1_000);
  }
  expect(client.driver.lost.length).toBe(2);
  client.cut();
  world.settle();
  expect(client.driver.lost.length).toBe(3);
  expect(client.driver.lost.reduce((sum, { qos0 }) => sum + qos0, 0)).toBeGreaterThanOrEqual(89);
});

test("without them a client may publish as it likes", () => {
  const { world, watcher, client } = scene(5, {});
  publish(client, 2_000, 0);
  world.settle();
  expect(watcher.payloads).toHaveLength(2_000);
  expect(client.driver.lost).toEqual([]);
});
