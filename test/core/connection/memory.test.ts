/**
 * What a client can make its connection hold while an object does not answer: bounded, however small the pieces are. An
 * isolate has 128 MB for all its connections.
 */
import { expect, test } from "vitest";
import { Reason } from "../../../src/mqtt/reason.ts";
import { packet } from "../../mqtt/notation.ts";
import type { Client } from "../../sim/world/client.ts";
import { World } from "../../sim/world/world.ts";

const join = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));

/** A client whose packets arrive at once, and a world in which nobody answers it any more. */
function silenced(): { world: World; client: Client } {
  const world = new World({ shards: 1 });
  const client = world.connected("client");
  client.driver.barred.add(0);
  return { world, client };
}

test("[§4.13] chunks of one byte before CONNACK count as what they cost, not as one byte", () => {
  const world = new World({ shards: 1 });
  const client = world.client("client");
  client.driver.barred.add("session");
  client.driver.bytes(packet("10 ( 'MQTT' 05 02 0000 ( ) 'client' )"));
  let chunks = 0;
  while (client.driver.reports.length === 0 && chunks < 100_000) {
    client.driver.bytes(Uint8Array.of(0xc0));
    chunks += 1;
  }
  expect(client.driver.reports).toMatchObject([{ reason: Reason.QuotaExceeded }]);
  expect(chunks).toBeLessThan(10_000);
});

test("[MQTT-4.3.1-1] small QoS 0 messages for a shard that is away count as what they cost", () => {
  const { world, client } = silenced();
  const thousand = join(...Array.from({ length: 1000 }, () => packet("30 ( 't' ( ) )")));
  for (let count = 0; count < 100; count++) client.driver.bytes(thousand.slice());
  expect(client.driver.connection.congested).toBe(true);
  const watcher = world.connected("watcher");
  watcher.subscribe("t", 0);
  world.advance(1_000);
  client.driver.barred.clear();
  world.advance(10_000);
  // The link's four MiB are not 100,000 messages.
  expect(watcher.payloads.length).toBeGreaterThan(10_000);
  expect(watcher.payloads.length).toBeLessThan(30_000);
  expect(client.closed).toBeUndefined();
});

test.each([
  ["SUBSCRIBE", (id: string) => packet(`82 ( ${id} ( ) 'a' 00 )`)],
  ["UNSUBSCRIBE", (id: string) => packet(`a2 ( ${id} ( ) 'a' )`)],
])("[§4.13] a client that floods a shard that is away with %s is closed with 0x97", (name, one) => {
  const { world, client } = silenced();
  if (name === "UNSUBSCRIBE") client.driver.bytes(packet("82 ( 0001 ( ) 'a' 00 )"));
  let packets = 0;
  while (client.driver.reports.length === 0 && packets < 50_000) {
    client.driver.bytes(one((1 + (packets % 65_535)).toString(16).padStart(4, "0")));
    if (name === "UNSUBSCRIBE") client.driver.bytes(packet("82 ( 0001 ( ) 'a' 00 )"));
    packets += 1;
  }
  expect(client.driver.reports).toMatchObject([{ reason: Reason.QuotaExceeded }]);
  expect(packets).toBeLessThanOrEqual(10_001);
  world.advance(10);
  expect(client.last("disconnect")!.reasonCode).toBe(Reason.QuotaExceeded);
});

test("[§4.13] the filters of one SUBSCRIBE count too", () => {
  const { world, client } = silenced();
  client.driver.bytes(packet(`82 ( 0001 ( ) ${"'a' 00 ".repeat(19_998)} )`));
  expect(client.driver.reports).toEqual([]);
  client.driver.bytes(packet("82 ( 0002 ( ) 'a' 00 )"));
  world.advance(10);
  expect(client.last("disconnect")!.reasonCode).toBe(Reason.QuotaExceeded);
});

test("[MQTT-3.8.4-1] as many filters as a client may have can be asked for at once, each in a packet of its own", () => {
  const world = new World({ shards: 1, limits: { subscriptionsMax: 10_000 } });
  const client = world.connected("client");
  for (let id = 1; id <= 10_000; id++) {
    const number = id.toString(16).padStart(4, "0");
    client.driver.bytes(packet(`82 ( ${number} ( ) '${number}' 00 )`));
  }
  world.advance(1_000);
  expect(client.all("suback")).toHaveLength(10_000);
});
