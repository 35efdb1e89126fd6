import { describe, expect, test } from "vitest";
import { effectiveKeepAlive } from "../../../src/core/connection/keepalive.ts";
import { World } from "../../sim/world/world.ts";

describe("keep alive", () => {
  test("[MQTT-3.1.2-22] [MQTT-3.2.2-22] a client is closed after one and a half times its silence, to the millisecond", () => {
    const world = new World({ delayMs: 0 });
    const client = world.client("client");
    client.connect({ keepalive: 10 });
    world.advance(14_999);
    expect(client.closed).toBeUndefined();
    world.advance(1);
    expect(client.last("disconnect")!.reasonCode).toBe(0x8d);
    expect(client.closed).toBe(1008);
  });

  test("[MQTT-3.1.2-22] any packet counts, and half a packet does not", () => {
    const world = new World({ delayMs: 0 });
    const client = world.client("client");
    client.connect({ keepalive: 10 });
    world.advance(10_000);
    client.publish("t", "x");
    world.advance(14_999);
    client.puback(9);
    world.advance(14_999);
    client.raw(Uint8Array.of(0x30));
    world.advance(1);
    expect(client.last("disconnect")!.reasonCode).toBe(0x8d);
  });

  test("[MQTT-3.12.4-1] PINGREQ is answered, and keeps the client", () => {
    const world = new World({ delayMs: 0 });
    const client = world.client("client");
    client.connect({ keepalive: 10 });
    for (let i = 0; i < 10; i++) {
      world.advance(14_000);
      client.send({ cmd: "pingreq" });
    }
    world.settle();
    expect(client.all("pingresp")).toHaveLength(10);
    expect(client.closed).toBeUndefined();
    // Nobody was woken for it.
    expect(world.shards.every(({ core }) => core === undefined)).toBe(true);
  });

  test("[MQTT §3.1.2.10] 0 means never", () => {
    const world = new World({ delayMs: 0 });
    const client = world.client("client");
    client.connect({ keepalive: 0 });
    world.advance(30 * 24 * 3600 * 1000);
    expect(client.closed).toBeUndefined();
  });

  test("[MQTT-3.1.2-21] [MQTT-3.2.2-21] the server's keep alive is the one that counts", () => {
    const world = new World({ delayMs: 0, settings: { keepAliveSecondsMax: 10 } });
    const client = world.client("client");
    client.connect({ keepalive: 0 });
    world.advance(15_000);
    expect(client.last("connack")!.properties!["serverKeepAlive"]).toBe(10);
    expect(client.last("disconnect")!.reasonCode).toBe(0x8d);
  });

  test("[v3 MQTT-3.1.2-24] a client of 3.1.1 cannot be told another one, so its own counts", () => {
    const world = new World({ delayMs: 0, settings: { keepAliveSecondsMax: 10 } });
    const client = world.client("client", 4);
    client.connect({ keepalive: 20 });
    world.advance(29_999);
    expect(client.closed).toBeUndefined();
    world.advance(1);
    expect(client.closed).toBeDefined();
    expect(client.all("disconnect")).toEqual([]);
  });

  test.each([
    [60, 0, 60],
    [0, 0, 0],
    [0, 30, 30],
    [60, 30, 30],
    [20, 30, 20],
  ])("[MQTT-3.2.2-21] of %i s wanted and %i s at most, %i s are in effect", (wanted, most, effective) => {
    expect(effectiveKeepAlive(wanted, most)).toBe(effective);
  });
});
