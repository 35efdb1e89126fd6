/** From a publisher to its subscribers: versions, transports, wildcards over all shards, QoS, properties, order. */
import { beforeAll, describe, expect, test } from "vitest";
import { shardOfTopic } from "../../src/core/shard/placement.ts";
import { scope, useBroker } from "./support/broker.ts";
import { packet, properties, string, twoBytes, userPropertiesOf, userProperty } from "./support/bytes.ts";
import { Client, type Version, VERSIONS, versionName } from "./support/client.ts";
import { TRANSPORTS, type Transport } from "./support/wire.ts";

const use = useBroker();

/** Topics that between them live on every shard. */
function topicsOnEveryShard(under: string): string[] {
  const placement = { shards: 4, depth: 2 };
  const topics: string[] = [];
  for (let number = 0; topics.length < 4; number++) {
    const topic = `${under}/${number}/x`;
    if (shardOfTopic(topic, placement) === topics.length) topics.push(topic);
  }
  return topics;
}

describe("PUBLISH reaches a subscriber", () => {
  const ends: [Transport, Version][] = TRANSPORTS.flatMap((transport) =>
    VERSIONS.map((version): [Transport, Version] => [transport, version]),
  );
  const pairs = ends.flatMap((from) => ends.map((to) => ({ from, to })));

  test.each(
    pairs.map(({ from, to }) => ({
      from,
      to,
      name: `from ${versionName(from[1])} over ${from[0]} to ${versionName(to[1])} over ${to[0]}`,
    })),
  )("$name, QoS 0 and 1", async ({ from, to }) => {
    const topic = scope();
    const publisher = await Client.connected(use.broker, ...from);
    const subscriber = await Client.connected(use.broker, ...to);
    expect(await subscriber.subscribe(topic)).toEqual([1]);
    await publisher.publish(topic, "at most once", { qos: 0 });
    // [MQTT-4.3.1-1], [MQTT-3.3.1-1]. Order is kept within one QoS, not across: so one after the other.
    expect(await subscriber.expectMessage(topic, "at most once")).toMatchObject({ qos: 0, dup: false, retain: false });
    expect(await publisher.publish(topic, "at least once", { qos: 1 })).toBe(0);
    expect(await subscriber.expectMessage(topic, "at least once")).toMatchObject({ qos: 1, dup: false, retain: false });
    await subscriber.expectNothing();
    await publisher.expectNothing();
  });
});

describe("filters", () => {
  test.each([
    ["sport/#", ["sport", "sport/a", "sport/a/b"], ["sports", "port/sport"]], // [§4.7.1.2]
    ["sport/+", ["sport/a", "sport/"], ["sport", "sport/a/b"]],
    ["+", ["finance"], ["/finance", "finance/"]],
    ["+/+", ["/finance", "a/b", "/"], ["finance", "a/b/c"]],
    ["/+", ["/finance"], ["finance"]],
    ["a//b", ["a//b"], ["a/b", "a/x/b"]], // [MQTT-4.7.3-1]
    ["a/+/b", ["a//b", "a/x/b"], ["a/b"]],
    ["Case/Ä", ["Case/Ä"], ["case/Ä", "Case/A\u0308", "Case/Ä/"]], // [MQTT-4.7.3-4]
    ["#", ["x", "/", "a/b/c/d/e"], ["$x", "$x/y"]], // [MQTT-4.7.2-1]
    ["+/y", ["x/y"], ["$x/y"]],
    ["$x/#", ["$x", "$x/y"], ["x/y"]],
    ["\ufefftopic", ["\ufefftopic"], ["topic"]], // [MQTT-1.5.4-3]
  ])("%s matches %j and not %j", async (filter, matching, others) => {
    const subscriber = await Client.connected(use.broker);
    const fences = topicsOnEveryShard("fence");
    await subscriber.subscribe([{ topic: filter }, ...fences.map((topic) => ({ topic }))]);
    const publisher = await Client.connected(use.broker, "tcp", 4);
    for (const topic of [...others, ...matching, ...fences]) await publisher.publish(topic, "", { qos: 1 });
    const topics = new Set<string>();
    for (let fenced = 0; fenced < fences.length;) {
      const { topic } = await subscriber.message();
      if (fences.includes(topic)) fenced += 1;
      if (!fences.includes(topic)) topics.add(topic);
    }
    await subscriber.expectNothing();
    expect([...topics].toSorted()).toEqual([...matching].toSorted());
  });

  test("a wildcard among the first levels is served by every shard, and UNSUBSCRIBE ends it on all [MQTT-3.10.4-2]", async () => {
    const under = scope("every").replace("/", "-");
    const topics = topicsOnEveryShard(under);
    const subscriber = await Client.connected(use.broker);
    await subscriber.subscribe([{ topic: `${under}/#` }, { topic: `${under}/+/y` }]);
    const publisher = await Client.connected(use.broker);
    for (const topic of topics) await publisher.publish(topic, "one", { qos: 1 });
    const seen = (await subscriber.messages(4)).map(({ topic }) => topic);
    expect(seen.toSorted()).toEqual(topics.toSorted());

    expect(await subscriber.unsubscribe(`${under}/#`, `${under}/absent`)).toEqual([0, 0x11]); // [MQTT-3.10.4-5]
    for (const topic of topics) {
      await publisher.publish(topic, "two", { qos: 1 });
      await publisher.publish(topic.replace(/x$/, "y"), "fence", { qos: 1 });
    }
    expect((await subscriber.messages(4)).map(({ payload }) => payload.toString())).toEqual(Array(4).fill("fence"));
    await subscriber.expectNothing();
  });

  test("an MQTT 3.1.1 UNSUBACK carries nothing but its packet id [v3 MQTT-3.11]", async () => {
    const client = await Client.connected(use.broker, "tcp", 4);
    client.send({ cmd: "unsubscribe", messageId: 77, unsubscriptions: ["never"] });
    expect((await client.next()).raw.toString("hex")).toBe("b002004d");
  });

  test("a shared subscription has each message go to one of its members, of any version [MQTT-4.8.2-3]", async () => {
    const topic = scope();
    const filter = `$share/g/${topic}`;
    const member = await Client.connected(use.broker);
    const old = await Client.connected(use.broker, "tcp", 4);
    expect([
      await member.subscribe([{ topic: filter }, { topic: `${topic}/end` }]),
      await old.subscribe(filter),
    ]).toEqual([[1, 1], [1]]);
    const publisher = await Client.connected(use.broker);
    for (const payload of ["a", "b", "c", "d"]) await publisher.publish(topic, payload, { qos: 1 });
    const received = [];
    for (const client of [member, old, member, old]) received.push(String((await client.message()).payload));
    expect(received.toSorted()).toEqual(["a", "b", "c", "d"]);
  });

  test("several filters in one SUBSCRIBE are one after another: the last of two equal ones counts [MQTT-3.8.4-5]", async () => {
    const topic = scope();
    const client = await Client.connected(use.broker);
    expect(
      await client.subscribe([
        { topic, qos: 1 },
        { topic, qos: 0 },
      ]),
    ).toEqual([1, 0]);
    await client.publish(topic, "", { qos: 1 });
    expect(await client.message()).toMatchObject({ qos: 0 });
    await client.expectNothing();
  });

  test("an identical filter replaces the subscription and its identifier [MQTT-3.8.4-3]", async () => {
    const topic = scope();
    const client = await Client.connected(use.broker);
    await client.subscribe({ topic, qos: 0 }, { subscriptionIdentifier: 1 });
    await client.subscribe({ topic, qos: 1 }, { subscriptionIdentifier: 268_435_455 });
    await client.publish(topic, "once", { qos: 1 });
    expect(await client.message()).toMatchObject({ qos: 1, properties: { subscriptionIdentifier: 268_435_455 } });
    await client.publish(topic, "fence", { qos: 1 });
    await client.expectMessage(topic, "fence");
  });
});

describe("$SYS, the server's own topics [§4.7.2]", () => {
  test("take no message of a client: 0x87 in MQTT 5, an acknowledgement in 3.1.1 [v3 MQTT-3.3.5-2]", async () => {
    const fence = scope();
    const client = await Client.connected(use.broker);
    await client.subscribe([{ topic: "$SYS/#" }, { topic: fence }]);
    expect(await client.publish("$SYS/a", "no", { qos: 1 })).toBe(0x87);
    await client.publish("$SYS/a", "no", { qos: 0 });
    const old = await Client.connected(use.broker, "tcp", 4);
    await old.publish("$SYS/a", "no", { qos: 1 });
    await client.publish(fence, "fence", { qos: 1 });
    await client.expectMessage(fence, "fence");
    await client.expectNothing();
  });
});

describe("one message, several matching subscriptions of one client", () => {
  test("is one copy at the highest QoS with every Subscription Identifier [MQTT-3.3.4-2], [MQTT-3.3.4-3]", async () => {
    const base = scope();
    const client = await Client.connected(use.broker);
    await client.subscribe({ topic: `${base}/#`, qos: 0 }, { subscriptionIdentifier: 11 });
    await client.subscribe({ topic: `${base}/a`, qos: 1 }, { subscriptionIdentifier: 300 });
    await client.subscribe({ topic: `${base}/+`, qos: 0 });
    await client.publish(`${base}/a`, "x", { qos: 1 });
    const message = await client.message();
    expect(message.qos).toBe(1);
    expect([message.properties!.subscriptionIdentifier!].flat().toSorted((a, b) => a - b)).toEqual([11, 300]);
    await client.publish(`${base}/b`, "fence", { qos: 1 });
    expect(await client.expectMessage(`${base}/b`, "fence")).toMatchObject({
      qos: 0,
      properties: { subscriptionIdentifier: 11 },
    });
    await client.expectNothing();
  });

  test("is one copy for a 3.1.1 client too [v3 MQTT-3.3.5-1]", async () => {
    const base = scope();
    const client = await Client.connected(use.broker, "tcp", 4);
    await client.subscribe([
      { topic: `${base}/#`, qos: 0 },
      { topic: `${base}/a`, qos: 1 },
    ]);
    await client.publish(`${base}/a`, "x", { qos: 1 });
    expect(await client.message()).toMatchObject({ qos: 1 });
    await client.publish(`${base}/b`, "fence", { qos: 1 });
    await client.expectMessage(`${base}/b`, "fence");
  });

  test("is not held back by a No Local that only some of them have [MQTT-3.8.3-3]", async () => {
    const base = scope();
    const client = await Client.connected(use.broker);
    await client.subscribe({ topic: `${base}/#`, qos: 1, nl: true }, { subscriptionIdentifier: 1 });
    await client.subscribe({ topic: `${base}/a`, qos: 0 }, { subscriptionIdentifier: 2 });
    await client.publish(`${base}/a`, "own", { qos: 1 });
    expect(await client.expectMessage(`${base}/a`, "own")).toMatchObject({
      qos: 0,
      properties: { subscriptionIdentifier: 2 },
    });
  });
});

describe("subscription options", () => {
  test("No Local keeps a client's own messages from it, and only those [MQTT-3.8.3-3]", async () => {
    const base = scope();
    const client = await Client.connected(use.broker);
    const other = await Client.connected(use.broker);
    await client.subscribe({ topic: `${base}/#`, qos: 1, nl: true });
    await client.publish(`${base}/x`, "own", { qos: 1 });
    await other.publish(`${base}/x`, "other's", { qos: 1 });
    await client.expectMessage(`${base}/x`, "other's");
    await client.expectNothing();
  });

  test("Retain As Published keeps the publisher's RETAIN, its absence clears it [MQTT-3.3.1-12], [MQTT-3.3.1-13]", async () => {
    const base = scope();
    const keeps = await Client.connected(use.broker);
    const clears = await Client.connected(use.broker);
    await keeps.subscribe({ topic: `${base}/#`, rap: true });
    await clears.subscribe({ topic: `${base}/#`, rap: false });
    const publisher = await Client.connected(use.broker);
    await publisher.publish(`${base}/x`, "retained", { qos: 1, retain: true });
    await publisher.publish(`${base}/x`, "not retained", { qos: 1 });
    for (const [client, retain] of [
      [keeps, true],
      [clears, false],
    ] as const) {
      expect(await client.expectMessage(`${base}/x`, "retained")).toMatchObject({ retain });
      expect(await client.expectMessage(`${base}/x`, "not retained")).toMatchObject({ retain: false });
    }
  });

  test.each([
    [0, 0, 0],
    [0, 1, 0],
    [0, 2, 0],
    [1, 0, 0],
    [1, 1, 1],
    [1, 2, 1],
    [2, 0, 0],
    [2, 1, 1],
    [2, 2, 2],
  ] as const)(
    "published at QoS %s and granted QoS %s is delivered at QoS %s [MQTT-3.8.4-8]",
    async (published, granted, delivered) => {
      const topic = scope();
      const client = await Client.connected(use.broker);
      expect(await client.subscribe({ topic, qos: granted })).toEqual([granted]);
      await client.publish(topic, "x", { qos: published });
      expect(await client.message()).toMatchObject({ qos: delivered });
    },
  );
});

describe("properties", () => {
  let base: string;
  beforeAll(() => {
    base = scope("properties");
  });

  test("user properties keep their order and their duplicates, live and retained [MQTT-3.3.2-18]", async () => {
    const pairs: [string, string][] = [
      ["b", "1"],
      ["a", "2"],
      ["b", "1"],
      ["", ""],
      ["a", "ü"],
      ["b", "3"],
    ];
    const topic = `${base}/user`;
    const live = await Client.connected(use.broker, "tcp");
    await live.subscribe({ topic, qos: 1 });
    const publisher = await Client.connected(use.broker);
    const section = properties(...pairs.map(([name, value]) => userProperty(name, value)));
    publisher.sendBytes(packet(0x33, string(topic), twoBytes(5), section, Buffer.from("payload")));
    await publisher.expectPacket({ cmd: "puback", messageId: 5 });
    expect(userPropertiesOf((await live.message()).raw)).toEqual(pairs);
    const later = await Client.connected(use.broker);
    await later.subscribe({ topic, qos: 0 });
    expect(userPropertiesOf((await later.message()).raw)).toEqual(pairs);
  });

  test("what belongs to the message arrives unaltered, and the alias of its publisher does not [MQTT-3.3.2-4, -15, -16, -20], [MQTT-3.1.2-26]", async () => {
    const topic = `${base}/all`;
    const subscriber = await Client.connected(use.broker);
    await subscriber.subscribe(topic);
    const sent = {
      payloadFormatIndicator: true,
      responseTopic: "reply/to/me",
      correlationData: Buffer.of(0, 1, 2, 255),
      contentType: "text/plain",
    };
    const publisher = await Client.connected(use.broker);
    await publisher.publish(topic, "x", { qos: 1, properties: { ...sent, topicAlias: 7 } });
    await publisher.publish("", "by alias", { qos: 1, properties: { topicAlias: 7 } });
    expect((await subscriber.message()).properties).toEqual(sent);
    expect((await subscriber.expectMessage(topic, "by alias")).properties).toBeUndefined();
    const old = await Client.connected(use.broker, "tcp", 4);
    await old.subscribe(topic);
    await publisher.publish(topic, "to 3.1.1", { qos: 1, properties: sent });
    await old.expectMessage(topic, "to 3.1.1");
  });

  test("a topic alias can be given another topic [MQTT-3.3.2-12]", async () => {
    const subscriber = await Client.connected(use.broker);
    await subscriber.subscribe(`${base}/alias/#`);
    const publisher = await Client.connected(use.broker);
    for (const topic of [`${base}/alias/a`, "", `${base}/alias/b`, ""]) {
      await publisher.publish(topic, "", { qos: 1, properties: { topicAlias: 32 } });
    }
    expect((await subscriber.messages(4)).map(({ topic }) => topic.at(-1))).toEqual(["a", "a", "b", "b"]);
  });

  test("the message expiry that is sent on is what remains, and an expired message is gone [MQTT-3.3.2-5], [MQTT-3.3.2-6]", async () => {
    const topic = `${base}/expiry/x`;
    const publisher = await Client.connected(use.broker);
    const live = await Client.connected(use.broker);
    await live.subscribe(`${base}/expiry/#`);
    await publisher.publish(topic, "soon gone", { qos: 1, retain: true, properties: { messageExpiryInterval: 2 } });
    expect((await live.message()).properties).toEqual({ messageExpiryInterval: 2 });
    const seen: number[] = [];
    // Asked for again and again until it is gone.
    for (let number = 0; ; number++) {
      const fence = `${base}/expiry/${number}`;
      await live.subscribe({ topic, qos: 0 });
      await publisher.publish(fence, "fence", { qos: 1 });
      const message = await live.message();
      if (message.topic === fence) break;
      expect(message).toMatchObject({ topic, retain: true });
      seen.push(message.properties!.messageExpiryInterval!);
      await live.expectMessage(fence, "fence");
    }
    expect(seen).toEqual(seen.toSorted((a, b) => b - a));
    expect(new Set(seen)).toEqual(new Set([2, 1]));
  });
});

describe("a client's own limits", () => {
  test("a message above its Maximum Packet Size is not sent to it, and counts as delivered [MQTT-3.1.2-24], [MQTT-3.1.2-25]", async () => {
    const base = scope();
    const small = await Client.connected(use.broker, "ws", 5, {
      properties: { maximumPacketSize: 100, receiveMaximum: 1 },
    });
    await small.subscribe(`${base}/#`);
    const publisher = await Client.connected(use.broker);
    for (let count = 0; count < 5; count++) await publisher.publish(`${base}/x`, "x".repeat(200), { qos: 1 });
    await publisher.publish(`${base}/x`, "fits", { qos: 1 });
    await small.expectMessage(`${base}/x`, "fits");
  });

  test("no more is unacknowledged than its Receive Maximum, and QoS 0 still flows [MQTT-3.3.4-9], [MQTT-3.3.4-10]", async () => {
    const topics = topicsOnEveryShard(scope("window").replace("/", "-"));
    const client = await Client.connected(use.broker, "ws", 5, { properties: { receiveMaximum: 3 } });
    for (const topic of topics) await client.subscribe(topic);
    const publisher = await Client.connected(use.broker);
    for (let count = 0; count < 5; count++) {
      for (const topic of topics) await publisher.publish(topic, `qos 1 number ${count}`, { qos: 1 });
    }
    for (const topic of topics) await publisher.publish(topic, "qos 0");
    const held = [];
    for (let qos0 = 0; qos0 < 4;) {
      const message = await client.next();
      if (message.cmd !== "publish") throw new Error(message.cmd);
      if (message.qos === 0) qos0 += 1;
      else held.push(message);
    }
    await client.expectNothing();
    expect(held.length).toBeLessThanOrEqual(3);
    for (let count = held.length; count < 20; count++) {
      const oldest = held.shift();
      if (oldest) client.send({ cmd: "puback", messageId: oldest.messageId! });
      const message = await client.next();
      if (message.cmd !== "publish") throw new Error(message.cmd);
      expect(held.map(({ messageId }) => messageId)).not.toContain(message.messageId); // [MQTT-2.2.1-4]
      held.push(message);
      expect(held.length).toBeLessThanOrEqual(3);
    }
    await client.expectNothing();
  });

  test("a refusal by the client completes a delivery, and nothing is sent again [MQTT-4.4.0-2]", async () => {
    const topic = scope();
    const client = await Client.connected(use.broker, "ws", 5, { properties: { receiveMaximum: 1 } });
    await client.subscribe(topic);
    await client.publish(topic, "refused", { qos: 1 });
    await client.publish(topic, "next", { qos: 1 });
    const refused = await client.expectPacket({ cmd: "publish" });
    await client.expectNothing();
    client.send({ cmd: "puback", messageId: refused.messageId!, reasonCode: 0x80 });
    await client.expectMessage(topic, "next");
    client.send({ cmd: "puback", messageId: 65_535 });
    await client.expectNothing();
  });
});

describe("order [MQTT-4.6.0-5], [MQTT-4.6.0-6]", () => {
  test("per topic and QoS it is the publisher's, for every subscriber and across both transports", async () => {
    const base = scope();
    const count = 2000;
    const subscribers = await Promise.all(
      TRANSPORTS.flatMap((transport) => [
        Client.connected(use.broker, transport, 5),
        Client.connected(use.broker, transport, 4),
      ]),
    );
    for (const subscriber of subscribers) await subscriber.subscribe(`${base}/#`);
    const publisher = await Client.connected(use.broker, "tcp", 4);
    for (let number = 0; number < count; number++) {
      publisher.send(publisher.publishPacket(`${base}/${number % 3}`, String(number), { qos: (number % 2) as 0 | 1 }));
    }
    await Promise.all(
      subscribers.map(async (subscriber) => {
        const last = new Map<string, number>();
        for (const { topic, qos, payload } of await subscriber.messages(count)) {
          const number = Number(payload.toString());
          expect(number).toBeGreaterThan(last.get(`${topic} ${qos}`) ?? -1);
          last.set(`${topic} ${qos}`, number);
        }
        await subscriber.expectNothing();
      }),
    );
  });
});
