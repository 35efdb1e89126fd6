/** Retained messages: kept, replaced, cleared, and sent to whom. */
import { expect, test } from "vitest";
import { scope, useBroker } from "./support/broker.ts";
import { Client, VERSIONS } from "./support/client.ts";

const use = useBroker();

/** What a new subscriber to a filter is sent, as topic and payload, until the fence. */
async function retainedFor(filter: string, fence: string, qos: 0 | 1 = 1): Promise<string[]> {
  const client = await Client.connected(use.broker);
  await client.subscribe({ topic: fence });
  await client.subscribe({ topic: filter, qos });
  await client.publish(fence, "fence", { qos: 1 });
  const seen: string[] = [];
  for (;;) {
    const message = await client.message();
    if (message.topic === fence) break;
    expect(message.retain).toBe(true);
    seen.push(`${message.topic.slice(message.topic.lastIndexOf("/") + 1)}=${message.payload.toString()}`);
  }
  client.cut();
  return seen.toSorted();
}

test("a retained message is kept, replaced and cleared, at QoS 0 and 1 [MQTT-3.3.1-5], [MQTT-3.3.1-6]", async () => {
  const base = scope();
  const publisher = await Client.connected(use.broker);
  for (const qos of [0, 1] as const) {
    const set = async (payload: string): Promise<void> => {
      await publisher.publish(`${base}/a`, payload, { qos, retain: true });
      // On the same link, so the shard has both.
      await publisher.publish(`${base}/fence`, "", { qos: 1 });
    };
    await set("first");
    expect(await retainedFor(`${base}/a`, `${base}/fence`)).toEqual(["a=first"]);
    await set("second");
    expect(await retainedFor(`${base}/#`, `${base}/fence`)).toEqual(["a=second"]);
    await set("");
    expect(await retainedFor(`${base}/#`, `${base}/fence`)).toEqual([]); // [MQTT-3.3.1-7]
  }
});

test("a message without RETAIN never touches what is kept [MQTT-3.3.1-8]", async () => {
  const base = scope();
  const publisher = await Client.connected(use.broker);
  await publisher.publish(`${base}/a`, "kept", { qos: 1, retain: true });
  await publisher.publish(`${base}/a`, "passing", { qos: 1 });
  await publisher.publish(`${base}/a`, "", { qos: 1 });
  expect(await retainedFor(`${base}/a`, `${base}/fence`)).toEqual(["a=kept"]);
});

test("clearing is delivered live as an empty message [MQTT-3.3.1-6]", async () => {
  const base = scope();
  const subscriber = await Client.connected(use.broker);
  await subscriber.subscribe({ topic: `${base}/a`, rap: true });
  const publisher = await Client.connected(use.broker);
  await publisher.publish(`${base}/a`, "", { qos: 1, retain: true });
  expect(await subscriber.expectMessage(`${base}/a`, "")).toMatchObject({ retain: true });
});

test.each(VERSIONS)(
  "a new subscription gets it with RETAIN 1 at no more than its QoS, version %s [MQTT-3.3.1-9]",
  async (version) => {
    const base = scope();
    const publisher = await Client.connected(use.broker);
    await publisher.publish(`${base}/a`, "kept", { qos: 1, retain: true });
    for (const qos of [0, 1] as const) {
      const subscriber = await Client.connected(use.broker, "tcp", version);
      await subscriber.subscribe({ topic: `${base}/a`, qos });
      expect(await subscriber.expectMessage(`${base}/a`, "kept")).toMatchObject({ retain: true, qos, dup: false });
    }
  },
);

test("it carries the Subscription Identifier of the subscription that asked for it [§3.3.2.3.8]", async () => {
  const base = scope();
  const client = await Client.connected(use.broker);
  await client.publish(`${base}/a`, "kept", { qos: 1, retain: true });
  await client.subscribe({ topic: `${base}/+` }, { subscriptionIdentifier: 5 });
  await client.subscribe({ topic: `${base}/a` }, { subscriptionIdentifier: 6 });
  expect((await client.message()).properties).toEqual({ subscriptionIdentifier: 5 });
  expect((await client.message()).properties).toEqual({ subscriptionIdentifier: 6 });
});

test.each<[number, string, string[]]>([
  [0, "every time [MQTT-3.3.1-9]", ["kept", "kept"]],
  [1, "for a new subscription only [MQTT-3.3.1-10]", ["kept"]],
  [2, "never [MQTT-3.3.1-11]", []],
])("Retain Handling %s sends it %s", async (rh, _what, expected) => {
  const base = scope();
  const client = await Client.connected(use.broker);
  await client.publish(`${base}/a`, "kept", { qos: 1, retain: true });
  await client.subscribe({ topic: `${base}/#`, rh });
  await client.subscribe({ topic: `${base}/#`, rh });
  await client.publish(`${base}/b`, "fence", { qos: 1 });
  for (const payload of expected) await client.expectMessage(`${base}/a`, payload);
  await client.expectMessage(`${base}/b`, "fence");
});

test("Retain Handling 1 takes a subscription for new again after UNSUBSCRIBE [MQTT-3.3.1-10]", async () => {
  const base = scope();
  const client = await Client.connected(use.broker);
  await client.publish(`${base}/a`, "kept", { qos: 1, retain: true });
  await client.subscribe({ topic: `${base}/a`, rh: 1 });
  await client.expectMessage(`${base}/a`, "kept");
  await client.unsubscribe(`${base}/a`);
  await client.subscribe({ topic: `${base}/a`, rh: 1 });
  await client.expectMessage(`${base}/a`, "kept");
});

test("a 3.1.1 client gets it again with every SUBSCRIBE [v3 MQTT-3.3.1-6]", async () => {
  const base = scope();
  const client = await Client.connected(use.broker, "tcp", 4);
  await client.publish(`${base}/a`, "kept", { qos: 1, retain: true });
  for (let count = 0; count < 2; count++) {
    await client.subscribe(`${base}/a`);
    await client.expectMessage(`${base}/a`, "kept");
  }
});

test("retained messages below $ are not found with a leading wildcard [MQTT-4.7.2-1]", async () => {
  const publisher = await Client.connected(use.broker);
  const name = scope("d").replace("/", "-");
  await publisher.publish(`$${name}/x/secret`, "kept", { qos: 1, retain: true });
  const fence = `$${name}/x/fence`;
  expect(await retainedFor("+/x/secret", fence)).toEqual([]);
  expect(await retainedFor(`$${name}/#`, fence)).toEqual(["secret=kept"]);
});

test("a message that a client may not be sent for its size is passed over [MQTT-3.1.2-25]", async () => {
  const base = scope();
  const publisher = await Client.connected(use.broker);
  await publisher.publish(`${base}/a`, "x".repeat(500), { qos: 1, retain: true });
  await publisher.publish(`${base}/b`, "fits", { qos: 1, retain: true });
  const client = await Client.connected(use.broker, "ws", 5, {
    properties: { maximumPacketSize: 100, receiveMaximum: 1 },
  });
  await client.subscribe(`${base}/#`);
  await client.expectMessage(`${base}/b`, "fits");
});

test("10,000 retained messages reach one # subscriber at QoS 1 with a Receive Maximum of 10, each once, none missing", async () => {
  const count = 10_000;
  const base = scope("ten-thousand").replace("/", "-");
  const publisher = await Client.connected(use.broker, "tcp", 5);
  // No more than the broker's Receive Maximum at once.
  for (let sent = 0, acknowledged = 0; acknowledged < count; acknowledged++) {
    for (; sent < count && sent - acknowledged < 256; sent++) {
      publisher.send(publisher.publishPacket(`${base}/${sent % 100}/${sent}`, String(sent), { qos: 1, retain: true }));
    }
    await publisher.expectPacket({ cmd: "puback", reasonCode: 0 });
  }
  const subscriber = await Client.connected(use.broker, "ws", 5, { properties: { receiveMaximum: 10 } });
  await subscriber.subscribe(`${base}/#`);
  const seen = new Set<string>();
  while (seen.size < count) {
    const message = await subscriber.message();
    expect(message).toMatchObject({
      retain: true,
      qos: 1,
      topic: expect.stringContaining(`/${message.payload.toString()}`),
    });
    expect(seen.has(message.topic)).toBe(false);
    seen.add(message.topic);
  }
  await subscriber.expectNothing();
}, 60_000);
