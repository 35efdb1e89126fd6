/**
 * Objects that leave memory while their clients are in full flow. Miniflare evicts one as the platform does: `hibernate`
 * leaves its sockets open, `close` breaks them. Connected clients notice nothing but a pause.
 */
import { describe, expect, test } from "vitest";
import { sessionName, shardName } from "../../src/names.ts";
import { scope, useBroker } from "./support/broker.ts";
import { Client, type Message } from "./support/client.ts";
import { TRANSPORTS } from "./support/wire.ts";

const use = useBroker();

type Way = "hibernate" | "close";
const WAYS: Way[] = ["hibernate", "close"];

/** An object that is not in memory is as good as evicted. */
async function evict(className: string, name: string, webSockets: Way): Promise<void> {
  try {
    await use.broker.miniflare.unsafeEvictDurableObject("dormouse", className, { name, webSockets });
  } catch (error) {
    if (!String(error).includes("it is not currently running")) throw error;
  }
}

const evictShard = (shard: number, webSockets: Way): Promise<void> =>
  evict("ShardObject", shardName("main", shard), webSockets);

const evictSession = (clientId: string, webSockets: Way): Promise<void> =>
  evict("SessionObject", sessionName("main", clientId), webSockets);

async function evictAllShards(webSockets: Way): Promise<void> {
  for (let shard = 0; shard < 4; shard++) await evictShard(shard, webSockets);
}

describe.each(WAYS)("evicted with its sockets: %s", (way) => {
  test.each(TRANSPORTS)(
    "shards in the middle of QoS 1 traffic over %s lose nothing that they acknowledged, and keep the order",
    async (transport) => {
      const count = 1600;
      const base = scope(`evict-${way}`).replace("/", "-");
      const subscribers = [
        await Client.connected(use.broker, transport, 5),
        await Client.connected(use.broker, "tcp", 4),
        await Client.connected(use.broker, transport, 5, { properties: { receiveMaximum: 5 } }),
      ];
      for (const subscriber of subscribers) await subscriber.subscribe(`${base}/#`);
      const publisher = await Client.connected(use.broker, transport, 5);

      // At most 100 unacknowledged, over topics of every shard; with every 400th acknowledgement a shard is evicted.
      const evictions: Promise<void>[] = [];
      const publishing = (async () => {
        for (let sent = 0, acknowledged = 0; acknowledged < count; acknowledged++) {
          for (; sent < count && sent - acknowledged < 100; sent++) {
            publisher.send(publisher.publishPacket(`${base}/${sent % 8}/x`, String(sent), { qos: 1 }));
          }
          await publisher.expectPacket({ cmd: "puback", reasonCode: 0 });
          if (acknowledged % 400 === 399) evictions.push(evictShard(evictions.length % 4, way));
        }
      })();

      await Promise.all([
        publishing,
        ...subscribers.map(async (subscriber) => {
          const last = new Map<string, number>();
          const seen = new Set<number>();
          while (seen.size < count) {
            const { topic, payload, dup } = await subscriber.message();
            const number = Number(payload.toString());
            // Once written to a client's socket, a message is not written to it again [MQTT-4.4.0-1].
            expect([number, dup, seen.has(number)]).toEqual([number, false, false]);
            expect(number).toBeGreaterThan(last.get(topic) ?? -1); // [MQTT-4.6.0-6]
            last.set(topic, number);
            seen.add(number);
          }
          await subscriber.expectNothing();
        }),
      ]);
      await Promise.all(evictions);
      expect(evictions.length).toBe(4);
      await publisher.expectNothing();
    },
    60_000,
  );

  test.each(TRANSPORTS)(
    "shards in the middle of QoS 2 traffic over %s deliver every message exactly once [MQTT-4.3.3-10]",
    async (transport) => {
      const count = 200;
      const base = scope(`exactly-${way}`).replace("/", "-");
      const subscribers = [
        await Client.connected(use.broker, transport, 5),
        await Client.connected(use.broker, "tcp", 4),
        await Client.connected(use.broker, transport, 5, { properties: { receiveMaximum: 5 } }),
      ];
      for (const subscriber of subscribers) await subscriber.subscribe({ topic: `${base}/#`, qos: 2 });
      const publishers = [
        await Client.connected(use.broker, transport, 5),
        await Client.connected(use.broker, "tcp", 4),
      ];

      // Each has 50 under way, under 50 packet ids; a shard is evicted with every hundredth PUBREC and PUBCOMP.
      const evictions: Promise<void>[] = [];
      const publishing = publishers.map(async (publisher, who) => {
        const ids = Array.from({ length: 50 }, (_, id) => id + 1);
        let sent = 0;
        let received = 0;
        let completed = 0;
        while (completed < count) {
          while (sent < count && ids.length > 0) {
            const topic = `${base}/${sent % 8}/${who}`;
            publisher.send(publisher.publishPacket(topic, String(sent++), { qos: 2, messageId: ids.shift()! }));
          }
          const { cmd, messageId } = await publisher.next();
          if (cmd === "pubrec") {
            publisher.send({ cmd: "pubrel", messageId: messageId! });
            if (++received % 100 === 50 * who) evictions.push(evictShard(evictions.length % 4, way));
          } else {
            expect(cmd).toBe("pubcomp");
            ids.push(messageId!);
            if (++completed % 100 === 25 + 50 * who) evictions.push(evictShard(evictions.length % 4, way));
          }
        }
      });

      await Promise.all([
        ...publishing,
        ...subscribers.map(async (subscriber) => {
          const last = new Map<string, number>();
          let open = 0;
          for (let seen = 0; seen < publishers.length * count || open > 0;) {
            const packet = await subscriber.next();
            const messageId = packet.messageId!;
            if (packet.cmd === "pubrel") {
              subscriber.send({ cmd: "pubcomp", messageId });
              open -= 1;
              continue;
            }
            const { cmd, topic, payload, dup, qos } = packet as Message;
            expect([cmd, dup, qos]).toEqual(["publish", false, 2]);
            // In its order, and so once: the topic's numbers are 8 apart.
            expect(Number(payload.toString())).toBe(
              last.has(topic) ? last.get(topic)! + 8 : Number(topic.split("/")[1]),
            );
            last.set(topic, Number(payload.toString()));
            subscriber.send({ cmd: "pubrec", messageId });
            seen += 1;
            open += 1;
          }
          await subscriber.expectNothing();
        }),
      ]);
      await Promise.all(evictions);
      expect(evictions.length).toBe(8);
      for (const publisher of publishers) {
        await publisher.expectNothing();
        for (let shard = 0; shard < 8; shard++) await publisher.publish(`${base}/${shard}/fence`, "fence", { qos: 1 });
      }
      for (const subscriber of subscribers) {
        const fences = await subscriber.messages(16);
        expect(fences.every(({ payload }) => payload.toString() === "fence")).toBe(true);
      }
    },
    60_000,
  );

  test("shards between PUBREC and PUBREL know what they took, and forget it when it is released [MQTT-4.3.3-12]", async () => {
    const base = scope(`between-${way}`).replace("/", "-");
    const witness = await Client.connected(use.broker);
    await witness.subscribe({ topic: `${base}/#`, qos: 2 });
    for (const version of [4, 5] as const) {
      const client = await Client.connected(use.broker, "ws", version);
      const topic = (number: number): string => `${base}/${number}/${version}`;
      const messages = Array.from({ length: 8 }, (_, number) =>
        client.publishPacket(topic(number), "once", { qos: 2 }),
      );
      client.send(...messages);
      for (const { messageId } of messages) {
        await client.take((packet) => packet.cmd === "pubrec" && packet.messageId === messageId, "PUBREC");
      }
      await evictAllShards(way);
      for (const { messageId } of messages) client.send({ cmd: "pubrel", messageId: messageId! });
      for (const { messageId } of messages) {
        await client.take((packet) => packet.cmd === "pubcomp" && packet.messageId === messageId, "PUBCOMP");
      }
      await evictAllShards(way);
      for (const { topic, messageId } of messages) {
        expect(await client.publish(topic, "again", { qos: 2, messageId: messageId! })).toBe(0);
      }
      const payloads = (await witness.messages(16)).map(({ topic, payload }) => `${topic} ${payload.toString()}`);
      const all = messages.flatMap(({ topic }) => [`${topic} once`, `${topic} again`]);
      expect(payloads.toSorted()).toEqual(all.toSorted());
    }
  });

  test("shards at rest know their subscriptions and their retained messages afterwards", async () => {
    const base = scope(`rest-${way}`).replace("/", "-");
    const client = await Client.connected(use.broker);
    await client.subscribe({ topic: `${base}/+/a`, qos: 1 }, { subscriptionIdentifier: 9 });
    for (let number = 0; number < 8; number++)
      await client.publish(`${base}/${number}/kept`, "kept", { qos: 1, retain: true });
    await evictAllShards(way);
    for (let number = 0; number < 8; number++) {
      await client.publish(`${base}/${number}/a`, String(number), { qos: 1 });
      expect((await client.expectMessage(`${base}/${number}/a`, String(number))).properties).toEqual({
        subscriptionIdentifier: 9,
      });
    }
    await evictAllShards(way);
    await client.subscribe(`${base}/+/kept`);
    expect((await client.messages(8)).every(({ retain }) => retain)).toBe(true);
    await evictAllShards(way);
    await client.unsubscribe(`${base}/+/a`);
    for (let number = 0; number < 8; number++) {
      await client.publish(`${base}/${number}/a`, "not any more", { qos: 1 });
      await client.publish(`${base}/${number}/kept`, "fence", { qos: 1 });
    }
    expect((await client.messages(8)).map(({ payload }) => payload.toString())).toEqual(Array(8).fill("fence"));
    await client.expectNothing();
  });

  test("shards do not send again what a client holds unacknowledged, and go on when it acknowledges [MQTT-4.4.0-1]", async () => {
    const base = scope();
    const client = await Client.connected(use.broker, "ws", 5, { properties: { receiveMaximum: 2 } });
    await client.subscribe(`${base}/#`);
    const publisher = await Client.connected(use.broker);
    for (let number = 0; number < 4; number++) await publisher.publish(`${base}/x`, String(number), { qos: 1 });
    const held = [await client.expectPacket({ cmd: "publish" }), await client.expectPacket({ cmd: "publish" })];
    await evictAllShards(way);
    // A publish through every shard shows that it is back.
    await publisher.publish(`${base}/x`, "4", { qos: 1 });
    await client.expectNothing();
    for (const { messageId } of held) client.send({ cmd: "puback", messageId: messageId! });
    for (let number = 2; number < 5; number++) await client.expectMessage(`${base}/x`, String(number));
    await client.expectNothing();
  });

  test("a client's session object: its will is still published when it goes, and a successor still takes over", async () => {
    const base = scope();
    const witness = await Client.connected(use.broker);
    await witness.subscribe(`${base}/#`);
    const will = { topic: `${base}/will`, payload: "gone", qos: 1 as const, retain: false };
    const clientId = `evicted-${way}`;
    const client = await Client.connected(use.broker, "ws", 5, { clientId, will });
    await evictSession(clientId, way);
    await client.expectNothing();
    const successor = await Client.connected(use.broker, "tcp", 5, {
      clientId,
      will: { ...will, payload: "gone too" },
    });
    await client.expectDisconnected(0x8e);
    await witness.expectMessage(`${base}/will`, "gone");
    await evictSession(clientId, way);
    successor.cut();
    await witness.expectMessage(`${base}/will`, "gone too");
    await witness.publish(`${base}/fence`, "fence", { qos: 1 });
    await witness.expectMessage(`${base}/fence`, "fence");
  });
});
