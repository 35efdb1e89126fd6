/**
 * What a client can make its connection hold while an object does not answer: bounded, however small the pieces are. An
 * isolate has 128 MB for all its connections.
 */
import { expect, test } from "vitest";
import { Reason } from "../../../src/mqtt/reason.ts";
import { packet } from "../../mqtt/notation.ts";
import { World } from "../../support/world.ts";

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
