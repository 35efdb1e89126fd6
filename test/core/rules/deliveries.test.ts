/** The rules of what a client is sent, over the whole broker: flow, identifiers, aliases, expiry, order. */
import { describe, expect, test } from "vitest";
import { shardOfTopic } from "../../../src/core/shard/placement.ts";
import { packet } from "../../mqtt/notation.ts";
import type { Client } from "../../sim/world/client.ts";
import { wire } from "../../support/wire.ts";
import { World } from "../../sim/world/world.ts";

const KEEPING = { clean: false, properties: { sessionExpiryInterval: 3600 } };
const hex = (notation: string): string => Buffer.from(packet(notation)).toString("hex");

/** One topic on each shard. */
function topics(world: World): string[] {
  const found: string[] = [];
  for (let i = 0; found.filter(Boolean).length < world.placement.shards; i++) {
    found[shardOfTopic(`t/${i}`, world.placement)] ??= `t/${i}`;
  }
  return found;
}

function leave(client: Client): void {
  client.send({ cmd: "disconnect", reasonCode: 0 });
  client.world.advance(3_000);
}

describe("a delivery", () => {
  test("[MQTT-2.2.1-2] [MQTT-4.3.1-1] of QoS 0 has no packet identifier and no DUP", () => {
    for (const version of [4, 5] as const) {
      const world = new World();
      const client = world.connected("client", {}, version);
      client.subscribe("t", 2);
      world.settle();
      const sent = wire(client);
      client.publish("t", "x");
      world.settle();
      expect(sent).toEqual([hex(version === 5 ? "30 ( 't' ( ) 78 )" : "30 ( 't' 78 )")]);
    }
  });

  test("[MQTT-4.3.2-2] [MQTT-4.3.3-2] [MQTT-3.3.1-3] is first sent without DUP, though its publisher had set it", () => {
    const world = new World();
    const client = world.connected("client");
    client.subscribe("t", 2);
    const publisher = world.connected("publisher");
    world.settle();
    publisher.publish("t", "1", { qos: 1, dup: true, messageId: 5 });
    publisher.publish("t", "2", { qos: 2, dup: true, messageId: 6 });
    world.settle();
    const got = client.all("publish").map(({ qos, dup }) => `${qos} ${dup}`);
    expect(got.toSorted()).toEqual(["1 false", "2 false"]);
  });

  test("[MQTT-4.3.2-3] [MQTT-4.3.3-3] [MQTT-3.3.1-1] is unacknowledged until PUBACK or PUBREC: then it is not sent again, before it is, with DUP", () => {
    const world = new World({ shards: 1 });
    const client = world.connected("client", KEEPING);
    client.acknowledges = false;
    client.subscribe("t", 2);
    const publisher = world.connected("publisher");
    world.settle();
    for (const qos of [1, 2, 1, 2]) publisher.publish("t", `${qos}`, { qos });
    world.settle();
    const [one, two, , open] = client.all("publish");
    client.puback(one!.messageId!);
    client.send({ cmd: "pubrec", messageId: two!.messageId });
    world.settle();
    client.cut();
    const again = world.client("client");
    again.acknowledges = false;
    again.connect(KEEPING);
    world.settle();
    const got = again.received.slice(1).map(({ cmd, messageId, dup }) => ({ cmd, messageId, dup }));
    expect(got).toHaveLength(3);
    expect(got).toContainEqual({ cmd: "pubrel", messageId: two!.messageId, dup: false });
    expect(got).toContainEqual({ cmd: "publish", messageId: open!.messageId, dup: true });
  });

  test("[MQTT-4.3.3-13] [MQTT-4.3.3-7] of a message that has expired meanwhile goes through its exchange to the end, on both sides", () => {
    const world = new World({ shards: 1 });
    const client = world.connected("client");
    client.acknowledges = false;
    client.subscribe("t", 2);
    const publisher = world.connected("publisher");
    publisher.releases = false;
    world.settle();
    const id = publisher.publish("t", "x", { qos: 2, properties: { messageExpiryInterval: 1 } });
    world.settle();
    world.advance(60_000);
    publisher.publish("t", "x", { qos: 2, messageId: id, dup: true });
    world.settle();
    publisher.send({ cmd: "pubrel", messageId: id });
    client.send({ cmd: "pubrec", messageId: client.last("publish")!.messageId });
    world.settle();
    client.pubcomp(client.last("publish")!.messageId!);
    world.settle();
    expect(publisher.received.slice(1).map(({ cmd, reasonCode }) => [cmd, reasonCode])).toEqual([
      ["pubrec", 0],
      ["pubrec", 0],
      ["pubcomp", 0],
    ]);
    expect(client.all("publish")).toHaveLength(1);
    expect(client.last("pubrel")).toMatchObject({ messageId: client.last("publish")!.messageId, reasonCode: 0 });
  });

  test("[MQTT §2.2.1] may have the identifier that the client itself has in use", () => {
    const world = new World({ shards: 1 });
    const client = world.connected("client");
    client.acknowledges = false;
    client.releases = false;
    client.subscribe("t", 2);
    world.settle();
    world.connected("publisher").publish("t", "x", { qos: 2 });
    world.settle();
    const id = client.last("publish")!.messageId!;
    client.publish("u", "own", { qos: 2, messageId: id });
    world.settle();
    client.send({ cmd: "pubrel", messageId: id });
    client.send({ cmd: "pubrec", messageId: id });
    world.settle();
    client.pubcomp(id);
    world.settle();
    expect(client.received.slice(3).map(({ cmd, messageId, reasonCode }) => [cmd, messageId, reasonCode])).toEqual([
      ["pubrec", id, 0],
      ["pubrel", id, 0],
      ["pubcomp", id, 0],
    ]);
    expect(client.closed).toBeUndefined();
  });
});

describe("the send quota", () => {
  test.each([1, 2, 5, 65_535])(
    "[MQTT-4.9.0-1] [MQTT-4.9.0-2] begins above 0 and at most at a Receive Maximum of %i, and nothing goes out at 0",
    (receiveMaximum) => {
      const world = new World({ shards: 4 });
      const client = world.connected("client", { properties: { receiveMaximum } });
      client.acknowledges = false;
      client.subscribe("#", 2);
      const publisher = world.connected("publisher");
      world.settle();
      for (let i = 0; i < 40; i++) publisher.publish(topics(world)[i % 4]!, `${i}`, { qos: 1 + (i % 2) });
      world.settle();
      const sent = client.all("publish").length;
      expect(sent).toBeGreaterThan(0);
      expect(sent).toBe(Math.min(receiveMaximum, 40));
    },
  );

  test("[MQTT-4.9.0-3] [MQTT-3.3.4-10] at 0 everything else goes on: QoS 0, and every answer", () => {
    const world = new World({ shards: 1 });
    const client = world.connected("client", { properties: { receiveMaximum: 1 } });
    client.acknowledges = false;
    client.subscribe("t", 1);
    const publisher = world.connected("publisher");
    world.settle();
    for (const payload of ["1", "2"]) publisher.publish("t", payload, { qos: 1 });
    world.settle();
    expect(client.payloads).toEqual(["1"]);
    client.subscribe("u", 1);
    client.send({ cmd: "pingreq" });
    client.publish("v", "x", { qos: 1 });
    client.publish("v", "x", { qos: 2 });
    client.unsubscribe("u");
    publisher.publish("t", "now", { qos: 0 });
    world.settle();
    const got = client.received.map(({ cmd }) => cmd).toSorted();
    for (const cmd of ["pingresp", "puback", "pubrec", "pubcomp", "unsuback"]) expect(got).toContain(cmd);
    expect(client.all("suback")).toHaveLength(2);
    expect(client.payloads).toEqual(["1", "now"]);
  });

  test("[MQTT §4.9] is not raised by an acknowledgement that comes again", () => {
    const world = new World({ shards: 1 });
    const client = world.connected("client", { properties: { receiveMaximum: 2 } });
    client.acknowledges = false;
    client.subscribe("t", 2);
    const publisher = world.connected("publisher");
    world.settle();
    for (let i = 0; i < 20; i++) publisher.publish("t", `${i}`, { qos: 1 + (i % 2) });
    world.settle();
    const [one, two] = client.all("publish");
    client.send({ cmd: "pubrec", messageId: two!.messageId });
    for (let i = 0; i < 3; i++) {
      client.send({ cmd: "puback", messageId: one!.messageId });
      client.send({ cmd: "pubcomp", messageId: two!.messageId });
      world.settle();
    }
    // Two are done, so two more are under way, and not six.
    expect(client.all("publish")).toHaveLength(4);
  });
});

describe("topic aliases towards a client", () => {
  test.each([undefined, 0, 1, 65_535])(
    "[MQTT-3.1.2-26] [MQTT-3.1.2-27] [MQTT-3.3.2-11] are not used, whatever it would take (%s), nor is the publisher's passed on",
    (topicAliasMaximum) => {
      const world = new World({ shards: 1 });
      const properties = topicAliasMaximum === undefined ? {} : { topicAliasMaximum };
      const publisher = world.connected("publisher");
      publisher.publish("t", "kept", { retain: true, qos: 1, properties: { topicAlias: 1 } });
      world.settle();
      const client = world.connected("client", { ...KEEPING, properties: { ...KEEPING.properties, ...properties } });
      client.subscribe("t", 1);
      world.settle();
      publisher.publish("", "live", { properties: { topicAlias: 1 } });
      world.settle();
      leave(client);
      publisher.publish("", "queued", { qos: 1, properties: { topicAlias: 1 } });
      world.settle();
      const again = world.connected("client", { ...KEEPING, properties: { ...KEEPING.properties, ...properties } });
      const got = [...client.all("publish"), ...again.all("publish")];
      expect(got.map(({ topic, payload }) => `${topic} ${payload!.toString()}`)).toEqual([
        "t kept",
        "t live",
        "t queued",
      ]);
      for (const one of got) expect(one.properties ?? {}).not.toHaveProperty("topicAlias");
    },
  );
});

describe("subscription identifiers", () => {
  /** Payloads with the identifiers that came with them. */
  const ids = (client: Client): string[] =>
    client.all("publish").map(({ payload, properties }) => {
      const found = (properties?.["subscriptionIdentifier"] ?? []) as number | number[];
      return `${payload!.toString()} ${[found]
        .flat()
        .sort((a, b) => a - b)
        .join()}`.trim();
    });

  test("[MQTT-3.3.4-3] [MQTT-3.3.4-4] are on what is live, retained, queued, sent again and a will; all of those that match", () => {
    const world = new World({ shards: 1 });
    const publisher = world.connected("publisher", {
      will: { topic: "a/b", payload: Buffer.from("will"), qos: 1, retain: false },
    });
    publisher.publish("a/b", "kept", { qos: 1, retain: true });
    world.settle();
    const client = world.connected("client", KEEPING);
    client.subscribe("a/b", 1, { subscriptionIdentifier: 1 });
    world.settle();
    client.subscribe("a/+", 1, { subscriptionIdentifier: 268_435_455 });
    world.settle();
    client.subscribe([{ topic: "#", qos: 0, rh: 2 }], 0);
    world.settle();
    // What comes because of a SUBSCRIBE has that subscription's own.
    expect(ids(client)).toEqual(["kept 1", "kept 268435455"]);
    client.received.length = 0;
    publisher.publish("a/b", "live 0");
    publisher.publish("a/b", "live 1", { qos: 1 });
    publisher.publish("c", "none", { qos: 1 });
    world.settle();
    expect(ids(client).toSorted()).toEqual(["live 0 1,268435455", "live 1 1,268435455", "none"]);
    client.acknowledges = false;
    publisher.publish("a/b", "again", { qos: 1 });
    world.settle();
    leave(client);
    publisher.publish("a/b", "queued", { qos: 1 });
    world.settle();
    publisher.cut();
    world.advance(10_000);
    const back = world.connected("client", KEEPING);
    expect(ids(back)).toEqual(["again 1,268435455", "queued 1,268435455", "will 1,268435455"]);
  });

  test("[MQTT §3.8.2.1.2] change with the next SUBSCRIBE of the filter, and go with one that brings none", () => {
    const world = new World();
    const client = world.connected("client");
    for (const subscriptionIdentifier of [7, 8, undefined]) {
      client.subscribe("t", 1, subscriptionIdentifier === undefined ? undefined : { subscriptionIdentifier });
      world.settle();
      client.publish("t", "x", { qos: 1 });
      world.settle();
    }
    expect(ids(client)).toEqual(["x 7", "x 8", "x"]);
  });
});

describe("message expiry", () => {
  test("[MQTT-3.3.2-5] a message that has 0 s is expired from the start, and acknowledged all the same", () => {
    const world = new World();
    const client = world.connected("client");
    client.subscribe("t", 1);
    world.settle();
    client.publish("t", "x", { qos: 1, properties: { messageExpiryInterval: 0 } });
    client.publish("t", "x", { qos: 0, properties: { messageExpiryInterval: 0 } });
    world.settle();
    expect(client.acknowledged).toHaveLength(1);
    expect(client.payloads).toEqual([]);
  });

  test("[MQTT-3.3.2-5] a message that expires is gone for a client of 3.1.1 too, which is told no time", () => {
    const world = new World({ shards: 1 });
    const device = world.connected("device", { clean: false }, 4);
    device.subscribe("t", 1);
    world.settle();
    device.send({ cmd: "disconnect" });
    world.advance(3_000);
    const publisher = world.connected("publisher");
    publisher.publish("t", "short", { qos: 1, properties: { messageExpiryInterval: 5 } });
    publisher.publish("t", "long", { qos: 1, properties: { messageExpiryInterval: 500, userProperties: { a: "b" } } });
    world.settle();
    world.advance(60_000);
    const again = world.client("device", 4);
    const sent = wire(again);
    again.connect({ clean: false });
    world.settle();
    expect(again.payloads).toEqual(["long"]);
    // Fixed header, topic, identifier, payload; no properties.
    expect(sent.at(-1)).toHaveLength(2 * (2 + 3 + 2 + 4));
  });
});

test("[MQTT-3.3.2-16] [MQTT-3.3.2-17] [MQTT-3.3.2-18] properties arrive as they came, live, retained and queued", () => {
  const world = new World({ shards: 1 });
  const client = world.connected("client", KEEPING);
  client.subscribe("t", 1);
  world.settle();
  const properties = "26 'z' '1' 09 [ 00ff ] 26 'a' '2' 03 'text' 26 'z' '1' 08 'r' 01 01 26 '' ''";
  const live = wire(client);
  const publisher = world.connected("publisher");
  publisher.raw(packet(`31 ( 't' ( ${properties} ) 78 )`));
  world.settle();
  const later = world.connected("later");
  const kept = wire(later);
  later.subscribe("t", 0);
  world.settle();
  leave(client);
  publisher.raw(packet(`32 ( 't' 0001 ( ${properties} ) 78 )`));
  world.settle();
  const again = world.client("client");
  const queued = wire(again);
  again.connect(KEEPING);
  world.settle();
  const section = hex(`( ${properties} ) 78`);
  expect(live.find((one) => one.startsWith("3"))).toBe(hex(`30 ( 't' ( ${properties} ) 78 )`));
  expect(kept.find((one) => one.startsWith("3"))).toBe(hex(`31 ( 't' ( ${properties} ) 78 )`));
  expect(queued.find((one) => one.startsWith("3"))!.endsWith(section)).toBe(true);
});

test("[MQTT-4.7.3-4] topics and filters are matched as they are: no Unicode form, case or slash is the same as another", () => {
  const world = new World();
  const client = world.connected("client");
  const names = ["é", "e\u0301", "A", "a", "a/", "/a", "a//b", "a/b", " a", "\ufeffa", "a\u0001"];
  for (const name of names) client.subscribe(name, 1);
  world.settle();
  const publisher = world.connected("publisher");
  for (const name of names) publisher.publish(name, name, { qos: 1 });
  world.settle();
  const got = client.all("publish").map(({ topic, payload }) => `${topic} = ${payload!.toString()}`);
  expect(got.toSorted()).toEqual(names.map((name) => `${name} = ${name}`).toSorted());
});

test("[MQTT-2.2.2-1] what was published before MQTT 5 comes to a client of 5.0 without properties", () => {
  const world = new World();
  const client = world.connected("client");
  client.subscribe("t", 0);
  world.settle();
  const sent = wire(client);
  world.connected("old", {}, 4).publish("t", "x", { qos: 1 });
  world.settle();
  expect(sent).toEqual([hex("30 ( 't' ( ) 78 )")]);
});

test("[MQTT §3.3.1.3] a session that goes on, or is taken over, is not sent again what is retained", () => {
  const world = new World();
  world.connected("publisher").publish("t", "kept", { qos: 1, retain: true });
  world.settle();
  const first = world.connected("client", KEEPING);
  first.subscribe("#", 1);
  world.settle();
  expect(first.payloads).toEqual(["kept"]);
  const over = world.connected("client", KEEPING);
  expect(over.last("connack")!.sessionPresent).toBe(true);
  leave(over);
  const again = world.connected("client", KEEPING);
  // Retain Handling 1: the subscription is there already.
  again.subscribe([{ topic: "#", qos: 1, rh: 1 }]);
  world.advance(10_000);
  expect([...over.payloads, ...again.payloads]).toEqual([]);
});

test.each([
  [2, 1],
  [2, 0],
  [1, 2],
  [1, 0],
  [0, 2],
  [0, 1],
])(
  "[MQTT-3.3.1-5] of what is retained at QoS %i and then at %i the last one stays, in a session that begins or goes on",
  (qos, next) => {
    for (const resumed of [false, true]) {
      const world = new World({ shards: 2, delayMs: 5 });
      let publisher = world.connected("publisher", KEEPING);
      if (resumed) {
        publisher.publish("t", "before", { qos: 2 });
        world.settle();
        publisher.cut();
        world.advance(3_000);
        publisher = world.client("publisher");
        publisher.connect(KEEPING);
      }
      publisher.publish("t", "first", { qos, retain: true });
      publisher.publish("t", "last", { qos: next, retain: true });
      world.advance(5_000);
      const client = world.connected("client");
      client.subscribe("t", 2);
      world.advance(1_000);
      expect(client.all("publish").map(({ payload, qos: got }) => `${payload!.toString()} ${got}`)).toEqual([
        `last ${next}`,
      ]);
    }
  },
);

test.each([0, 1])(
  "[MQTT-4.6.0-5] what is published at QoS %i behind a QoS 2 message that waits keeps its order, retained or not",
  (qos) => {
    for (const resumed of [false, true]) {
      const world = new World({ shards: 2, delayMs: 5 });
      const client = world.connected("client");
      client.subscribe("#", 2);
      let publisher = world.connected("publisher", KEEPING);
      if (resumed) {
        publisher.publish("t", "before", { qos: 2 });
        world.settle();
        publisher.cut();
        world.advance(3_000);
        publisher = world.client("publisher");
        publisher.connect(KEEPING);
      }
      publisher.publish("t", "QoS 2", { qos: 2 });
      for (let i = 0; i < 6; i++) publisher.publish("t", `${i}`, { qos, retain: i % 2 === 0 });
      world.advance(5_000);
      expect(client.payloads.filter((payload) => payload.length === 1)).toEqual(["0", "1", "2", "3", "4", "5"]);
    }
  },
);

test("links: QoS 0 behind a QoS 2 message that waits for the session object is bounded, and what is over it is dropped", () => {
  const world = new World({ shards: 1, limits: { linkBacklogBytesMax: 5_000 } });
  const client = world.connected("client");
  client.subscribe("t", 2);
  const publisher = world.connected("publisher", KEEPING);
  world.link(publisher, "session").up.held = true;
  publisher.publish("t", "first", { qos: 2 });
  for (let i = 0; i < 20; i++) publisher.publish("t", `${i}`.padEnd(1_000), { retain: true });
  publisher.publish("t", "last", { qos: 1 });
  world.settle();
  expect(client.payloads).toEqual([]);
  world.link(publisher, "session").up.held = false;
  world.settle();
  expect(client.payloads.map((payload) => payload.trim())).toEqual(["first", "0", "1", "2", "3", "last"]);
  expect(publisher.closed).toBeUndefined();
});
