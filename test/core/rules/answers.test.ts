/** The rules of what is answered, with which reason, under which identifier and how large, over the whole broker. */
import { describe, expect, test } from "vitest";
import { isLegalReason, Reason } from "../../../src/mqtt/reason.ts";
import { inboundCases } from "../../mqtt/corpus.ts";
import { packet } from "../../mqtt/notation.ts";
import type { Client } from "../../sim/world/client.ts";
import { Random } from "../../support/random.ts";
import { wire } from "../../support/wire.ts";
import { World } from "../../sim/world/world.ts";

const hex = (notation: string): string => Buffer.from(packet(notation)).toString("hex");

/** Has every answer but CONNACK and DISCONNECT sent that a client can get, with success and with an error. */
function askEverything(world: World, client: Client): string[] {
  const sent = wire(client);
  client.releases = false;
  client.subscribe([{ topic: "t" }, { topic: "a/#/b" }], 1);
  client.unsubscribe("t", "never");
  client.publish("t", "x", { qos: 1, messageId: 11 });
  client.publish("t", "x", { qos: 2, messageId: 12 });
  client.publish("$SYS/x", "x", { qos: 1, messageId: 13 });
  client.publish("$SYS/x", "x", { qos: 2, messageId: 14 });
  world.settle();
  client.send({ cmd: "pubrel", messageId: 12 });
  client.send({ cmd: "pubrel", messageId: 15 });
  client.send({ cmd: "pubrec", messageId: 16 });
  client.send({ cmd: "pingreq" });
  world.settle();
  return sent;
}

const EVERYTHING = [
  hex("90 ( 0001 ( ) 01 8f )"),
  hex("b0 ( 0002 ( ) 00 11 )"),
  hex("40 ( 000b )"),
  hex("50 ( 000c )"),
  hex("40 ( 000d 87 )"),
  hex("50 ( 000e 87 )"),
  hex("70 ( 000c )"),
  hex("70 ( 000f 92 )"),
  hex("62 ( 0010 92 )"),
  hex("d0 ( )"),
];

describe("reason strings and user properties", () => {
  test.each([undefined, true, false])(
    "[MQTT-3.1.2-29] are on no answer, whatever Request Problem Information (%s) says",
    (requestProblemInformation) => {
      const world = new World({ shards: 1 });
      const properties = requestProblemInformation === undefined ? {} : { requestProblemInformation };
      const sent = askEverything(world, world.connected("client", { properties }));
      expect(sent.toSorted()).toEqual(EVERYTHING.toSorted());
    },
  );

  // [MQTT-3.4.2-2] [MQTT-3.4.2-3] [MQTT-3.5.2-2] [MQTT-3.5.2-3] [MQTT-3.6.2-2] [MQTT-3.6.2-3] [MQTT-3.7.2-2]
  // [MQTT-3.7.2-3] [MQTT-3.9.2-1] [MQTT-3.9.2-2] [MQTT-3.11.2-1] [MQTT-3.11.2-2]
  test("make no answer too large: all fit into the Maximum Packet Size that CONNACK fits into", () => {
    const world = new World({ shards: 1 });
    const first = world.client("first");
    const connack = wire(first);
    first.connect();
    world.settle();
    const maximumPacketSize = connack[0]!.length / 2;
    const client = world.connected("client", { properties: { maximumPacketSize } });
    const sent = askEverything(world, client);
    expect(sent.toSorted()).toEqual(EVERYTHING.toSorted());
    const refused = world.connected("refused", { properties: { maximumPacketSize: maximumPacketSize - 1 } });
    expect(refused.received).toEqual([]);
    expect(refused.closed).toBeDefined();
  });

  test("[MQTT-3.2.2-19] [MQTT-3.2.2-20] [MQTT-3.14.2-3] [MQTT-3.14.2-4] are on no CONNACK and no DISCONNECT either", () => {
    const world = new World();
    const refused = world.client("refused");
    const ofRefused = wire(refused);
    refused.connect({ will: { topic: "$SYS/x", payload: Buffer.from(""), qos: 0, retain: false } });
    world.settle();
    expect(ofRefused).toEqual([hex("20 ( 00 87 ( ) )")]);

    const client = world.connected("client", { properties: { maximumPacketSize: 25 } });
    const sent = wire(client);
    client.raw(packet("c0 ( 00 )"));
    world.settle();
    expect(sent).toEqual([hex("e0 ( 81 ( ) )")]);
  });
});

describe("SUBACK and UNSUBACK", () => {
  test("[MQTT-2.2.1-6] [MQTT-3.8.4-2] [MQTT-3.10.4-4] carry the identifier of what they answer, also out of turn", () => {
    const world = new World({ shards: 4 });
    const client = world.connected("client");
    const names = "abcdefghijklmnop".split("");
    const far = names.find((name) => world.shardOf(name).shard === 1)!;
    const near = names.find((name) => world.shardOf(name).shard === 2)!;
    world.shards[1]!.reachable = false;
    const options = { qos: 1, nl: false, rap: false, rh: 0 };
    client.send({ cmd: "subscribe", messageId: 65_535, subscriptions: [{ topic: far, ...options }] });
    client.send({ cmd: "subscribe", messageId: 300, subscriptions: [{ topic: near, ...options, qos: 2 }] });
    client.send({ cmd: "unsubscribe", messageId: 7, unsubscriptions: [near] });
    client.send({ cmd: "unsubscribe", messageId: 8, unsubscriptions: ["never"] });
    world.advance(3_000);
    world.shards[1]!.reachable = true;
    world.advance(5_000);
    const answers = client.received.filter(({ cmd }) => cmd.endsWith("suback"));
    expect(answers.map(({ cmd, messageId, granted }) => `${cmd} ${messageId} ${granted!.join()}`).toSorted()).toEqual([
      "suback 300 2",
      "suback 65535 1",
      "unsuback 7 0",
      "unsuback 8 17",
    ]);
    expect(answers.at(-1)!.messageId).toBe(65_535);
  });

  test("[MQTT-3.10.4-6] several filters are as several UNSUBSCRIBEs: [MQTT-3.11.3-1] codes in their order, the second of two equal ones is 0x11", () => {
    const world = new World({ shards: 4 });
    const client = world.connected("client");
    client.subscribe([{ topic: "a" }, { topic: "b/#" }, { topic: "#" }]);
    world.settle();
    client.unsubscribe("never", "#", "a", "#", "a/#");
    world.settle();
    expect(client.last("unsuback")!.granted).toEqual([0x11, 0, 0, 0x11, 0x11]);
    client.publish("b/c", "still");
    client.publish("a", "not");
    world.settle();
    expect(client.payloads).toEqual(["still"]);
  });

  test("[MQTT-3.10.4-5] what nobody can have subscribed is 0x11 like any filter that was not, and closes nobody", () => {
    const world = new World();
    const client = world.connected("client");
    client.unsubscribe("", "a#", "$share/g", "a/+/b");
    world.settle();
    expect(client.last("unsuback")!.granted).toEqual([0x11, 0x11, 0x11, 0x11]);
    expect(client.closed).toBeUndefined();
  });

  test("[MQTT-3.8.4-5] two equal filters are two subscriptions one after the other: the last counts, and what is retained comes under it", () => {
    const world = new World({ shards: 1 });
    const publisher = world.connected("publisher");
    publisher.publish("t", "kept", { qos: 1, retain: true });
    world.settle();
    const client = world.connected("client");
    client.subscribe([
      { topic: "t", qos: 1 },
      { topic: "t", qos: 0 },
    ]);
    world.settle();
    expect(client.last("suback")!.granted).toEqual([1, 0]);
    expect(client.last("publish")).toMatchObject({ qos: 0, retain: true });
    publisher.publish("t", "live", { qos: 1 });
    world.settle();
    expect(client.last("publish")).toMatchObject({ qos: 0, retain: false });
  });

  test("[MQTT-3.9.3-2] a filter is refused with 0x8F or 0x97, and never with 0x82", () => {
    const world = new World({ limits: { subscriptionsMax: 1 } });
    const client = world.connected("client");
    client.subscribe([{ topic: "" }, { topic: "a#" }, { topic: "+a" }, { topic: "ok" }, { topic: "more" }]);
    world.settle();
    expect(client.last("suback")!.granted).toEqual([0x8f, 0x8f, 0x8f, 1, 0x97]);
    expect(client.closed).toBeUndefined();
  });
});

describe("a PUBLISH", () => {
  test.each([
    [3, "t", ["puback", "pubrec"]],
    [4, "t", ["puback", "pubrec"]],
    [5, "t", ["puback", "pubrec"]],
    [4, "$SYS/t", ["puback", "pubrec"]],
    [5, "$SYS/t", ["puback", "pubrec"]],
  ] as const)(
    "[MQTT-3.3.4-1] [MQTT-2.2.1-5] of version %i to %s is answered by its QoS: not at all, PUBACK, PUBREC, under its identifier",
    (version, topic, answers) => {
      const world = new World();
      const client = world.connected("client", {}, version);
      client.releases = false;
      client.publish(topic, "x");
      client.publish(topic, "x", { qos: 1, messageId: 40_000 });
      client.publish(topic, "x", { qos: 2, messageId: 3 });
      world.settle();
      const got = client.received.slice(1);
      expect(got.map(({ cmd }) => cmd).toSorted()).toEqual([...answers]);
      expect(client.last("puback")!.messageId).toBe(40_000);
      expect(client.last("pubrec")!.messageId).toBe(3);
    },
  );

  test("[MQTT-3.4.2-1] [MQTT-3.5.2-1] that a full shard refuses gets 0x97, and one without subscribers 0x00", () => {
    const world = new World({ shards: 1 });
    const client = world.connected("client");
    client.publish("nobody", "x", { qos: 1 });
    client.publish("nobody", "x", { qos: 2 });
    world.settle();
    expect([client.last("puback")!.reasonCode, client.last("pubrec")!.reasonCode]).toEqual([0, 0]);

    const full = new World({ shards: 1, limits: { shardBytesMax: 1 } });
    const subscriber = full.connected("subscriber");
    subscriber.subscribe("t", 2);
    full.settle();
    const publisher = full.connected("publisher");
    publisher.publish("t", "x", { qos: 1 });
    publisher.publish("t", "x", { qos: 2 });
    full.settle();
    expect([publisher.last("puback")!.reasonCode, publisher.last("pubrec")!.reasonCode]).toEqual([0x97, 0x97]);
    expect(publisher.closed).toBeUndefined();
  });

  test.each([
    ["[MQTT-3.3.1-4] QoS 3", "36 ( 't' 0001 ( ) )", 0x81],
    ["[MQTT-3.3.1-2] DUP at QoS 0", "38 ( 't' ( ) )", 0x81],
    ["[MQTT-3.3.2-1] a topic that is not UTF-8", "30 ( [ c0af ] ( ) )", 0x81],
    ["[MQTT-4.7.3-2] U+0000 in the topic", "30 ( [ 6100 ] ( ) )", 0x81],
    ["[MQTT-3.3.2-2] [MQTT-4.7.0-1] a wildcard in the topic", "30 ( 'a/+' ( ) )", 0x90],
    ["[MQTT §3.3.2.1] neither topic nor alias", "30 ( '' ( ) )", 0x82],
    ["[MQTT-3.3.2-8] topic alias 0", "30 ( 't' ( 23 0000 ) )", 0x94],
    ["[MQTT-3.2.2-17] topic alias 33 of 32", "30 ( 't' ( 23 0021 ) )", 0x94],
    ["[MQTT-3.3.4-6] a subscription identifier", "30 ( 't' ( 0b 01 ) )", 0x82],
    ["[MQTT-3.3.2-14] a wildcard in the response topic", "30 ( 't' ( 08 'r/#' ) )", 0x82],
    ["[MQTT-3.3.2-13] a response topic that is not UTF-8", "30 ( 't' ( 08 [ ff ] ) )", 0x81],
    ["[MQTT-1.5.7-1] a user property that is not UTF-8", "30 ( 't' ( 26 'k' [ ff ] ) )", 0x81],
    ["[§3.3.2.3.2] payload format indicator 2", "30 ( 't' ( 01 02 ) )", 0x82],
    ["[§2.2.2.2] message expiry twice", "30 ( 't' ( 02 00000001 02 00000001 ) )", 0x82],
    ["[§2.2.2.2] a session expiry", "30 ( 't' ( 11 00000001 ) )", 0x81],
    ["[MQTT-2.2.2-1] no property length", "30 ( 't' )", 0x81],
    ["[MQTT-1.5.5-1] a property length with needless bytes", "30 ( 't' 8000 )", 0x81],
  ])("with %s ends the connection with that reason [MQTT-4.13.1-1]", (_what, notation, reason) => {
    const world = new World();
    const watcher = world.connected("watcher");
    watcher.subscribe("#");
    const client = world.connected("client");
    client.raw(packet(notation));
    client.publish("t", "behind");
    world.settle();
    expect(client.received.slice(1)).toMatchObject([{ cmd: "disconnect", reasonCode: reason }]);
    expect(client.closed).toBeDefined();
    expect(watcher.payloads).toEqual([]);
  });
});

describe("another packet", () => {
  test.each([
    ["[MQTT-3.8.1-1] SUBSCRIBE with other flags", "80 ( 0001 ( ) 't' 00 )", 0x81],
    ["[MQTT-3.10.1-1] UNSUBSCRIBE with other flags", "a0 ( 0001 ( ) 't' )", 0x81],
    ["[MQTT-3.6.1-1] PUBREL with other flags", "60 ( 0001 )", 0x81],
    ["[MQTT-3.14.1-1] DISCONNECT with flags", "e1 ( )", 0x81],
    ["[MQTT-3.15.1-1] AUTH with flags", "f2 ( 18 ( 15 'm' ) )", 0x81],
    ["[MQTT-2.1.3-1] PINGREQ with flags", "c2 ( )", 0x81],
    ["[§2.1.2] packet type 0", "00 ( )", 0x81],
    ["[MQTT-1.5.5-1] a remaining length of five bytes", "30 8080808001", 0x81],
    ["[MQTT-3.8.3-2] SUBSCRIBE without a filter", "82 ( 0001 ( ) )", 0x82],
    ["[MQTT-3.10.3-2] UNSUBSCRIBE without a filter", "a2 ( 0001 ( ) )", 0x82],
    ["[MQTT-3.8.3-1] a filter that is not UTF-8", "82 ( 0001 ( ) [ ff ] 00 )", 0x81],
    ["[MQTT-3.10.3-1] a filter that is not UTF-8", "a2 ( 0001 ( ) [ ff ] )", 0x81],
    ["[MQTT-3.8.3-5] a reserved subscription option", "82 ( 0001 ( ) 't' 40 )", 0x81],
    ["[MQTT-3.8.3-5] QoS 3", "82 ( 0001 ( ) 't' 03 )", 0x81],
    ["[§3.8.3.1] Retain Handling 3", "82 ( 0001 ( ) 't' 30 )", 0x82],
    ["[MQTT-3.8.3-4] No Local on a shared subscription", "82 ( 0001 ( ) '$share/g/t' 04 )", 0x82],
    ["[§3.8.2.1.2] subscription identifier 0", "82 ( 0001 ( 0b 00 ) 't' 00 )", 0x82],
    ["[§3.8.2.1.2] two subscription identifiers", "82 ( 0001 ( 0b 01 0b 01 ) 't' 00 )", 0x82],
    ["[MQTT-3.14.2-1] DISCONNECT with a server's reason", "e0 ( 8e ( ) )", 0x82],
    ["[MQTT-3.4.2-1] PUBACK with a reason of PUBREL", "40 ( 0001 92 )", 0x82],
    ["[MQTT-3.5.2-1] PUBREC with a reason of PUBREL", "50 ( 0001 92 )", 0x82],
    ["[MQTT-3.6.2-1] PUBREL with a reason of PUBREC", "62 ( 0001 10 )", 0x82],
    ["[MQTT-3.7.2-1] PUBCOMP with a reason of PUBREC", "70 ( 0001 97 )", 0x82],
    ["[§3.4.2.2.2] PUBACK with two reason strings", "40 ( 0001 00 ( 1f 'a' 1f 'b' ) )", 0x82],
    ["[§2.2.2.2] PUBREC with a topic alias", "50 ( 0001 00 ( 23 0001 ) )", 0x81],
    ["[§2.1.4] PUBCOMP with a byte too many", "70 ( 0001 00 ( ) 00 )", 0x81],
    ["[§4.13] CONNACK", "20 ( 00 00 ( ) )", 0x82],
    ["[§4.13] PINGRESP", "d0 ( )", 0x82],
  ])("%s ends the connection with its reason [MQTT-4.13.1-1] [MQTT-4.13.2-1]", (_what, notation, reason) => {
    const world = new World();
    const client = world.connected("client");
    client.raw(packet(notation));
    client.send({ cmd: "pingreq" });
    world.settle();
    expect(client.received.slice(1)).toMatchObject([{ cmd: "disconnect", reasonCode: reason }]);
    expect(client.closed).toBeDefined();
  });
});

describe("DISCONNECT of the server", () => {
  test("[MQTT-3.14.2-2] says no Session Expiry Interval", () => {
    const world = new World();
    const keeping = { clean: false, properties: { sessionExpiryInterval: 0xffff_ffff } };
    const old = world.connected("client", keeping);
    const ofOld = wire(old);
    const client = world.connected("client", keeping);
    const sent = wire(client);
    client.connect();
    world.settle();
    expect(ofOld).toEqual([hex("e0 ( 8e ( ) )")]);
    expect(sent).toEqual([hex("e0 ( 82 ( ) )")]);
  });

  test("[MQTT-3.14.4-1] is the last packet, whatever is on its way to the client", () => {
    const world = new World({ shards: 2, delayMs: 5 });
    const client = world.connected("client");
    client.subscribe("#", 2);
    const publisher = world.connected("publisher");
    world.settle();
    const sent = wire(client);
    for (let i = 0; i < 50; i++) publisher.publish(`t/${i}`, "x", { qos: (i % 3) as 0 | 1 | 2 });
    client.publish("t", "own", { qos: 1 });
    client.unsubscribe("#");
    world.advance(7);
    client.raw(packet("c0 ( 00 )"));
    world.advance(60_000);
    expect(sent.at(-1)).toBe(hex("e0 ( 81 ( ) )"));
    expect(sent.filter((one) => one.startsWith("e0"))).toHaveLength(1);
    expect(client.closed).toBeDefined();
  });
});

test("[MQTT-4.13.1-1] [MQTT-3.14.2-1] whatever bytes a client sends, it is closed for what it did, with a server's reason, or goes on", () => {
  const random = new Random(1);
  const corpus = inboundCases().map(({ version, packet: notation }) => ({ version, bytes: packet(notation) }));
  const small = corpus.filter(({ bytes }) => bytes.length < 400);
  for (let round = 0; round < 2_000; round++) {
    const version = random.of([3, 4, 5] as const);
    const mine = small.filter((one) => one.version === version);
    const world = new World({ shards: 2 });
    const client = world.connected("client", {}, version);
    const sent: string[] = [];
    for (let i = 0; i < 4; i++) {
      const bytes = random.of(mine).bytes.slice();
      for (let flips = random.below(3); flips > 0; flips--) bytes[random.below(bytes.length)]! ^= 1 << random.below(8);
      sent.push(Buffer.from(bytes).toString("hex"));
      client.raw(bytes);
    }
    world.settle();
    const what = `${version}: ${sent.join(" ")}`;
    const told = client.last("disconnect")?.reasonCode;
    for (const { reason, detail } of client.driver.reports) expect(reason, detail).not.toBe(Reason.UnspecifiedError);
    if (told !== undefined) {
      expect(version, what).toBe(5);
      expect(isLegalReason("serverDisconnect", told), what).toBe(true);
      expect(client.closed, what).toBeDefined();
    }
  }
});
