/** What broke the broker once. */
import { expect, test } from "vitest";
import { useBroker } from "./support/broker.ts";
import { Client } from "./support/client.ts";

const use = useBroker();

/*
 * Two shards that both have more to deliver than grants, and a window smaller than their number. The connection gives
 * its one free grant to A and, as B is hungry too, recalls it at once; both records travel in one frame, so A gives the
 * grant back before it could use it. It then goes to B with a recall for A, and so on for ever.
 */
test("a Receive Maximum of 1 serves all shards, and the grant is used before it is taken back [MQTT-3.3.4-9], [§4.9]", async () => {
  const publisher = await Client.connected(use.broker);
  for (let number = 0; number < 40; number++) {
    await publisher.publish(`hungry/${number}/x`, String(number), { qos: 1, retain: true });
  }
  const subscriber = await Client.connected(use.broker, "ws", 5, { properties: { receiveMaximum: 1 } });
  await subscriber.subscribe("hungry/#");
  const seen = await subscriber.messages(40);
  expect(new Set(seen.map(({ topic }) => topic)).size).toBe(40);
});

// A client whose Maximum Packet Size is below the CONNACK's own size has not been accepted, so it is not disconnected either.
test("a CONNACK that is too large for its client is followed by nothing: no DISCONNECT before CONNACK [MQTT-3.14.0-1], [MQTT-3.1.2-24]", async () => {
  const client = await Client.open(use.broker);
  client.send(client.connectPacket({ properties: { maximumPacketSize: 10 } }));
  // A CONNACK that refuses has five bytes, and may be sent.
  await client.closed();
  const packets = client.untaken();
  expect(packets.map(({ cmd }) => cmd)).not.toContain("disconnect");
  expect(packets.every(({ raw }) => raw.length <= 10)).toBe(true);
});

test("a refusal is not sent where the client may not be sent it [MQTT-3.1.2-24]", async () => {
  const client = await Client.open(use.broker);
  client.send(client.connectPacket({ properties: { maximumPacketSize: 4, authenticationMethod: "x" } }));
  await client.expectClosed();
});
