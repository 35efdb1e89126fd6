import { describe, expect, test } from "vitest";
import { LinkLife } from "../../../src/core/connection/link-life.ts";
import { ShardLink } from "../../../src/core/connection/shard-link.ts";
import { Phase } from "../../../src/link/records.ts";
import type { Client, Received } from "../../sim/world/client.ts";
import { World, type WorldOptions } from "../../sim/world/world.ts";

type Version = 3 | 4 | 5;

/** A publisher that answers nothing by itself, and a watcher of `t/#` at QoS 2. */
function publishing(
  version: Version = 5,
  options: WorldOptions = {},
): { world: World; client: Client; watcher: Client } {
  const world = new World({ shards: 1, ...options });
  const watcher = world.connected("watcher");
  watcher.subscribe("t/#", 2);
  const client = world.connected("client", {}, version);
  client.releases = false;
  world.settle();
  return { world, client, watcher };
}

/** A subscriber of `t/#` that answers nothing by itself, and a publisher. */
function subscribing(
  qos: 0 | 1 | 2 = 2,
  version: Version = 5,
  connect: object = {},
): { world: World; client: Client; publisher: Client } {
  const world = new World({ shards: 1 });
  const client = world.connected("client", connect, version);
  client.acknowledges = false;
  client.subscribe("t/#", qos);
  const publisher = world.connected("publisher");
  world.settle();
  return { world, client, publisher };
}

/** Command, packet id and reason of what came but for CONNACK, SUBACK and PUBLISH. */
function answers(client: Client): string[] {
  return client.received
    .filter(({ cmd }) => !["connack", "suback", "publish"].includes(cmd))
    .map(
      ({ cmd, messageId, reasonCode = 0 }) =>
        `${cmd} ${messageId}${reasonCode > 0 ? ` ${reasonCode.toString(16)}` : ""}`,
    );
}

function reason(client: Client): number | undefined {
  return client.last("disconnect")?.reasonCode;
}

const ids = (packets: readonly Received[]): number[] => packets.map(({ messageId }) => messageId!);

describe("QoS 2 from a client", () => {
  test.each([3, 4, 5] as const)(
    "[MQTT-4.3.3-8] version %i: PUBREC when the shard owns the message, PUBCOMP for its PUBREL, one delivery",
    (version) => {
      const { world, client, watcher } = publishing(version);
      client.publish("t/1", "x", { qos: 2, messageId: 7 });
      world.settle();
      expect(answers(client)).toEqual(["pubrec 7"]);
      // It is delivered before it is released, as it may be [MQTT §4.3.3, method B is not required].
      expect(watcher.all("publish")).toMatchObject([{ qos: 2, dup: false, retain: false }]);
      client.send({ cmd: "pubrel", messageId: 7 });
      world.settle();
      expect(answers(client)).toEqual(["pubrec 7", "pubcomp 7"]);
      expect(watcher.payloads).toEqual(["x"]);
    },
  );

  test("[MQTT-4.3.3-8] there is no PUBREC while the shard is away", () => {
    const { world, client, watcher } = publishing();
    const [shard] = world.shards;
    shard!.reachable = false;
    shard!.crash();
    client.publish("t/1", "x", { qos: 2 });
    world.advance(5_000);
    expect(answers(client)).toEqual([]);
    shard!.reachable = true;
    world.advance(5_000);
    expect(answers(client)).toEqual(["pubrec 1"]);
    expect(watcher.payloads).toEqual(["x"]);
  });

  test("[MQTT-4.3.3-8] PUBREC comes when the id and the message are stored, in that order", () => {
    const { world, client } = publishing();
    client.publish("t/1", "x", { qos: 2, messageId: 7 });
    while (client.all("pubrec").length === 0) world.step(world.now + 100);
    const { sql } = world.shards[0]!;
    expect(sql.rows("SELECT session, ids FROM received")).toEqual([{ session: "client", ids: Uint8Array.of(0, 7) }]);
    expect(sql.rows("SELECT 1 FROM log")).toHaveLength(1);
  });

  test.each([
    [4, true],
    [4, false],
    [5, true],
    [5, false],
  ] as const)(
    "[MQTT-4.3.3-10] version %i: a repeat (DUP %s) before PUBREL gets PUBREC and is not delivered again",
    (version, dup) => {
      const { world, client, watcher } = publishing(version);
      client.publish("t/1", "x", { qos: 2, messageId: 7 });
      world.settle();
      for (let i = 0; i < 3; i++) client.publish("t/1", "x", { qos: 2, messageId: 7, dup });
      world.settle();
      world.shards[0]!.crash();
      world.advance(2_000);
      client.publish("t/1", "x", { qos: 2, messageId: 7, dup });
      world.advance(2_000);
      expect(answers(client)).toEqual(Array(5).fill("pubrec 7"));
      expect(watcher.payloads).toEqual(["x"]);
      expect(client.closed).toBeUndefined();
    },
  );

  test("[MQTT-4.3.3-10] a DUP that comes while the first is under way is not a second message", () => {
    const { world, client, watcher } = publishing(4);
    client.publish("t/1", "x", { qos: 2, messageId: 7 });
    client.publish("t/1", "x", { qos: 2, messageId: 7, dup: true });
    world.settle();
    expect(answers(client)).toEqual(["pubrec 7"]);
    expect(watcher.payloads).toEqual(["x"]);
  });

  test("[MQTT-4.3.3-10] a repeat sets its topic alias all the same, and means the first message whatever it says", () => {
    const { world, client, watcher } = publishing();
    client.publish("t/1", "x", { qos: 2, messageId: 7 });
    world.settle();
    client.publish("t/2", "y", { qos: 2, messageId: 7, dup: true, properties: { topicAlias: 3 } });
    client.publish("", "z", { qos: 0, properties: { topicAlias: 3 } });
    world.settle();
    expect(watcher.all("publish").map(({ topic, payload }) => `${topic} ${payload!.toString()}`)).toEqual([
      "t/1 x",
      "t/2 z",
    ]);
  });

  test("[MQTT-4.3.3-11] PUBCOMP comes when the shard has forgotten the id, and not before", () => {
    const { world, client } = publishing();
    client.publish("t/1", "x", { qos: 2, messageId: 7 });
    world.settle();
    const [shard] = world.shards;
    shard!.reachable = false;
    shard!.crash();
    client.send({ cmd: "pubrel", messageId: 7 });
    world.advance(5_000);
    expect(answers(client)).toEqual(["pubrec 7"]);
    expect(shard!.sql.rows("SELECT 1 FROM received")).toHaveLength(1);
    shard!.reachable = true;
    while (client.completed.length === 0) if (!world.step(world.now + 5_000)) break;
    expect(answers(client)).toEqual(["pubrec 7", "pubcomp 7"]);
    expect(shard!.sql.rows("SELECT 1 FROM received")).toEqual([]);
  });

  test("[MQTT-4.3.3-11] PUBREL is answered though the link was lost while nothing needed it", () => {
    const { world, client, watcher } = publishing();
    client.publish("t/1", "x", { qos: 2, messageId: 7 });
    world.settle();
    world.link(client, 0).drop();
    world.advance(5_000);
    client.send({ cmd: "pubrel", messageId: 7 });
    world.advance(5_000);
    expect(answers(client)).toEqual(["pubrec 7", "pubcomp 7"]);
    client.publish("t/1", "y", { qos: 2, messageId: 7 });
    world.advance(5_000);
    expect(watcher.payloads).toEqual(["x", "y"]);
  });

  test("[MQTT-4.3.3-11] PUBREL is answered though the shard has long given up whom it waited for", () => {
    const { world, client, watcher } = publishing();
    client.publish("t/1", "x", { qos: 2, messageId: 7 });
    world.settle();
    world.link(client, 0).drop();
    world.advance(200_000);
    client.publish("t/1", "x", { qos: 2, messageId: 7, dup: true });
    world.advance(5_000);
    client.send({ cmd: "pubrel", messageId: 7 });
    world.advance(5_000);
    expect(answers(client)).toEqual(["pubrec 7", "pubrec 7", "pubcomp 7"]);
    expect(watcher.payloads).toEqual(["x"]);
  });

  test.each([4, 5] as const)(
    "[MQTT-4.3.3-12] version %i: after PUBCOMP the id is a new message's, whatever DUP says",
    (version) => {
      const { world, client, watcher } = publishing(version);
      client.releases = true;
      for (const [payload, dup] of [
        ["1", false],
        ["2", false],
        ["3", true],
      ] as const) {
        client.publish("t/1", payload, { qos: 2, messageId: 7, dup });
        world.settle();
      }
      expect(answers(client)).toEqual(Array(3).fill(["pubrec 7", "pubcomp 7"]).flat());
      expect(watcher.payloads).toEqual(["1", "2", "3"]);
    },
  );

  test("[MQTT-4.3.3-12] after PUBCOMP the id is free for QoS 1 too", () => {
    const { world, client, watcher } = publishing();
    client.releases = true;
    client.publish("t/1", "2", { qos: 2, messageId: 7 });
    world.settle();
    client.publish("t/1", "1", { qos: 1, messageId: 7 });
    world.settle();
    expect(client.acknowledged).toEqual([7]);
    expect(watcher.payloads).toEqual(["2", "1"]);
  });

  test("[MQTT §3.7.2.1] PUBREL of an unknown id is answered with 0x92, and plainly before MQTT 5", () => {
    for (const version of [3, 4, 5] as const) {
      const { world, client } = publishing(version);
      client.send({ cmd: "pubrel", messageId: 99 });
      world.settle();
      expect(answers(client)).toEqual([version === 5 ? "pubcomp 99 92" : "pubcomp 99"]);
      expect(client.closed).toBeUndefined();
    }
  });

  test("[MQTT-4.3.3-11] PUBREL again while the shard releases is answered once it has; later it is unknown", () => {
    const { world, client } = publishing();
    client.publish("t/1", "x", { qos: 2, messageId: 7 });
    world.settle();
    for (let i = 0; i < 3; i++) client.send({ cmd: "pubrel", messageId: 7 });
    world.settle();
    expect(answers(client)).toEqual(["pubrec 7", "pubcomp 7"]);
    client.send({ cmd: "pubrel", messageId: 7 });
    world.settle();
    expect(answers(client).slice(2)).toEqual(["pubcomp 7 92"]);
  });

  test("[MQTT-4.3.3-11] PUBREL with the reason 0x92 completes as well", () => {
    const { world, client } = publishing();
    client.publish("t/1", "x", { qos: 2, messageId: 7 });
    world.settle();
    client.send({ cmd: "pubrel", messageId: 7, reasonCode: 0x92 });
    world.settle();
    expect(answers(client)).toEqual(["pubrec 7", "pubcomp 7"]);
  });

  test("[MQTT-3.3.4-7] Receive Maximum counts QoS 2 until PUBCOMP: one more is 0x93, a repeat is not", () => {
    const { world, client } = publishing(5, { limits: { receiveMaximum: 3 } });
    for (const messageId of [1, 2, 3]) client.publish("t/1", "x", { qos: 2, messageId });
    world.settle();
    client.publish("t/1", "x", { qos: 2, messageId: 2, dup: true });
    world.settle();
    expect(client.closed).toBeUndefined();
    client.send({ cmd: "pubrel", messageId: 1 });
    world.settle();
    client.publish("t/1", "x", { qos: 1, messageId: 4 });
    world.settle();
    client.publish("t/1", "x", { qos: 2, messageId: 5 });
    world.settle();
    expect(client.closed).toBeUndefined();
    client.publish("t/1", "x", { qos: 1, messageId: 6 });
    world.settle();
    expect(reason(client)).toBe(0x93);
  });

  test("[MQTT-3.3.4-7] a PUBREL does not make room before its PUBCOMP", () => {
    const { world, client } = publishing(5, { limits: { receiveMaximum: 1 } });
    client.publish("t/1", "x", { qos: 2, messageId: 1 });
    world.settle();
    world.link(client, 0).down.held = true;
    client.send({ cmd: "pubrel", messageId: 1 });
    client.publish("t/1", "x", { qos: 2, messageId: 2 });
    world.settle();
    expect(reason(client)).toBe(0x93);
  });

  test("[v3] before MQTT 5 nothing was promised, and many may be unreleased", () => {
    const { world, client, watcher } = publishing(4, { limits: { receiveMaximum: 3 } });
    for (let i = 0; i < 50; i++) client.publish("t/1", `${i}`, { qos: 2 });
    world.settle();
    for (let id = 1; id <= 50; id++) client.send({ cmd: "pubrel", messageId: id });
    world.settle();
    expect(client.completed).toHaveLength(50);
    expect(watcher.payloads).toHaveLength(50);
  });

  test("[MQTT-4.3.3-9] PUBREC with an error frees the id", () => {
    const { world, client, watcher } = publishing(5, { limits: { receiveMaximum: 1 } });
    for (let i = 0; i < 2; i++) client.publish("$SYS/x", "x", { qos: 2, messageId: 7 });
    client.publish("t/1", "x", { qos: 2, messageId: 7 });
    world.settle();
    expect(answers(client)).toEqual(["pubrec 7 87", "pubrec 7 87", "pubrec 7"]);
    expect(watcher.payloads).toEqual(["x"]);
  });

  test.each([3, 4] as const)(
    "[v3 MQTT-3.3.5-2] version %i: the server's own topic goes through the whole exchange",
    (version) => {
      const { world, client, watcher } = publishing(version);
      client.publish("$SYS/x", "x", { qos: 2, messageId: 7 });
      client.publish("$SYS/x", "x", { qos: 2, messageId: 7, dup: true });
      client.send({ cmd: "pubrel", messageId: 7 });
      world.settle();
      expect(answers(client)).toEqual(["pubrec 7", "pubrec 7", "pubcomp 7"]);
      client.publish("t/1", "x", { qos: 2, messageId: 7 });
      world.settle();
      expect(watcher.payloads).toEqual(["x"]);
    },
  );

  test.each(["under way", "received", "releasing"])(
    "[MQTT-2.2.1-4] QoS 1 with the id of a QoS 2 message that is %s is a protocol error",
    (phase) => {
      const { world, client } = publishing();
      client.publish("t/1", "x", { qos: 2, messageId: 7 });
      if (phase !== "under way") world.settle();
      if (phase === "releasing") client.send({ cmd: "pubrel", messageId: 7 });
      client.publish("t/1", "y", { qos: 1, messageId: 7 });
      world.settle();
      expect(reason(client)).toBe(0x82);
    },
  );

  test.each([false, true])("[MQTT-4.3.3-6] a PUBLISH after its PUBREL is a protocol error, DUP %s", (dup) => {
    const { world, client, watcher } = publishing();
    client.publish("t/1", "x", { qos: 2, messageId: 7 });
    world.settle();
    client.send({ cmd: "pubrel", messageId: 7 });
    client.publish("t/1", "y", { qos: 2, messageId: 7, dup });
    world.settle();
    expect(reason(client)).toBe(0x82);
    expect(watcher.payloads).toEqual(["x"]);
  });

  test("[MQTT-2.2.1-4] QoS 2 with the id of a QoS 1 message that is under way is a protocol error", () => {
    const { world, client } = publishing();
    client.publish("t/1", "x", { qos: 1, messageId: 7 });
    client.publish("t/1", "y", { qos: 2, messageId: 7 });
    world.settle();
    expect(reason(client)).toBe(0x82);
  });

  test("[MQTT-4.6.0-6] messages to several shards are answered by each, under any order of PUBREL", () => {
    const { world, client, watcher } = publishing(5, { shards: 4, depth: 2 });
    for (let i = 0; i < 12; i++) client.publish(`t/${i}`, `${i}`, { qos: 2 });
    world.settle();
    expect(ids(client.all("pubrec")).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
    for (let id = 12; id > 0; id--) client.send({ cmd: "pubrel", messageId: id });
    world.settle();
    expect(client.completed.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
    expect(watcher.payloads).toHaveLength(12);
    expect(world.shards.flatMap(({ sql }) => sql.rows("SELECT session FROM received"))).toEqual([]);
  });

  test("links: an id whose client is gone is forgotten by the shard, and the next client's is new", () => {
    const { world, client, watcher } = publishing();
    client.publish("t/1", "x", { qos: 2, messageId: 7 });
    world.settle();
    client.send({ cmd: "disconnect" });
    world.settle();
    expect(world.shards[0]!.sql.rows("SELECT 1 FROM received")).toEqual([]);
    const next = world.connected("client");
    next.publish("t/1", "y", { qos: 2, messageId: 7 });
    world.settle();
    expect(watcher.payloads).toEqual(["x", "y"]);
  });

  test("[MQTT-3.1.2-6] a session that takes over begins without ids, though the shard still knows the old one's", () => {
    const { world, client, watcher } = publishing();
    client.publish("t/1", "x", { qos: 2, messageId: 7 });
    world.settle();
    world.link(client, 0).up.held = true;
    const next = world.connected("client");
    next.publish("t/1", "y", { qos: 2, messageId: 7 });
    world.advance(5_000);
    expect(reason(client)).toBe(0x8e);
    expect(answers(next)).toEqual(["pubrec 7", "pubcomp 7"]);
    expect(watcher.payloads).toEqual(["x", "y"]);
  });

  test("links: a publisher that only sends QoS 2 leaves nothing that keeps its shard awake", () => {
    const world = new World({ shards: 1 });
    const client = world.connected("client");
    for (let i = 0; i < 5; i++) client.publish("t/1", "x", { qos: 2 });
    world.advance(60_000);
    expect(client.completed).toHaveLength(5);
    const [shard] = world.shards;
    expect([shard!.deadline, shard!.core!.alarmAt, shard!.sql.rows("SELECT session FROM received")]).toEqual([
      undefined,
      undefined,
      [],
    ]);
  });

  test("links: a client that does not release does not keep its shard awake either", () => {
    const world = new World({ shards: 1 });
    const client = world.connected("client");
    client.releases = false;
    client.publish("t/1", "x", { qos: 2 });
    world.advance(120_000);
    const [shard] = world.shards;
    expect([shard!.deadline, shard!.core!.alarmAt]).toEqual([undefined, undefined]);
    shard!.evict();
    client.send({ cmd: "pubrel", messageId: 1 });
    world.advance(5_000);
    expect(answers(client)).toEqual(["pubrec 1", "pubcomp 1"]);
  });
});

describe("QoS 2 to a client", () => {
  test.each([3, 4, 5] as const)(
    "[MQTT-4.3.3-4] version %i: PUBREC is answered with PUBREL, PUBCOMP with nothing",
    (version) => {
      const { world, client, publisher } = subscribing(2, version);
      publisher.publish("t/1", "x", { qos: 2 });
      world.settle();
      const [{ messageId, qos, dup } = {} as Received] = client.all("publish");
      expect([qos, dup]).toEqual([2, false]);
      client.send({ cmd: "pubrec", messageId });
      world.settle();
      client.send({ cmd: "pubcomp", messageId });
      world.settle();
      expect(answers(client)).toEqual([`pubrel ${messageId}`]);
      expect(client.closed).toBeUndefined();
    },
  );

  test("[MQTT-4.3.3-4] PUBREC again is answered with PUBREL again until PUBCOMP, then with 0x92", () => {
    const { world, client, publisher } = subscribing();
    publisher.publish("t/1", "x", { qos: 2 });
    world.settle();
    const { messageId } = client.last("publish")!;
    for (let i = 0; i < 3; i++) client.send({ cmd: "pubrec", messageId });
    client.send({ cmd: "pubcomp", messageId });
    client.send({ cmd: "pubrec", messageId });
    world.settle();
    expect(answers(client)).toEqual([...Array(3).fill(`pubrel ${messageId}`), `pubrel ${messageId} 92`]);
  });

  test("[MQTT §3.6.2.1] PUBREC of an unknown id is answered with PUBREL 0x92, and plainly before MQTT 5", () => {
    for (const version of [3, 4, 5] as const) {
      const { world, client } = subscribing(2, version);
      client.send({ cmd: "pubrec", messageId: 99 });
      world.settle();
      expect(answers(client)).toEqual([version === 5 ? "pubrel 99 92" : "pubrel 99"]);
    }
  });

  test("[MQTT-4.4.0-2] PUBREC with an error ends the delivery without a PUBREL, and frees its place in the window", () => {
    const { world, client, publisher } = subscribing(2, 5, { properties: { receiveMaximum: 1 } });
    for (let i = 0; i < 3; i++) publisher.publish("t/1", `${i}`, { qos: 2 });
    world.settle();
    expect(client.payloads).toEqual(["0"]);
    client.send({ cmd: "pubrec", messageId: client.last("publish")!.messageId, reasonCode: 0x97 });
    world.settle();
    expect(answers(client)).toEqual([]);
    expect(client.payloads).toEqual(["0", "1"]);
    world.shards[0]!.crash();
    world.advance(5_000);
    expect(client.payloads).toEqual(["0", "1"]);
  });

  test("[MQTT §3.5.2.1] PUBREC with 0x10 is a success", () => {
    const { world, client, publisher } = subscribing();
    publisher.publish("t/1", "x", { qos: 2 });
    world.settle();
    const { messageId } = client.last("publish")!;
    client.send({ cmd: "pubrec", messageId, reasonCode: 0x10 });
    world.settle();
    expect(answers(client)).toEqual([`pubrel ${messageId}`]);
  });

  test("[MQTT-4.3.3-5] PUBCOMP before PUBREC is ignored", () => {
    const { world, client, publisher } = subscribing(2, 5, { properties: { receiveMaximum: 1 } });
    for (let i = 0; i < 2; i++) publisher.publish("t/1", `${i}`, { qos: 2 });
    world.settle();
    const { messageId } = client.last("publish")!;
    client.send({ cmd: "pubcomp", messageId });
    world.settle();
    expect(client.payloads).toEqual(["0"]);
    client.send({ cmd: "pubrec", messageId });
    client.send({ cmd: "pubcomp", messageId });
    world.settle();
    expect(answers(client)).toEqual([`pubrel ${messageId}`]);
    expect(client.payloads).toEqual(["0", "1"]);
  });

  test("[MQTT-4.3.3-5] PUBCOMP before PUBREC is ignored under an id that was completed before, too", () => {
    const link = new ShardLink(0, new LinkLife(0, () => 0.5, []));
    for (const offset of [1, 2]) {
      link.delivered({ packetId: 4, offset, source: 0, qos: 2, retain: false, phase: Phase.Sent });
      expect(link.completes(4, 2)).toBe(false);
      expect(link.received(4, false)).toBe("recorded");
      expect(link.completes(4, 2)).toBe(true);
      expect(link.acknowledged(4)).toBe(true);
    }
    expect(link.received(4, false)).toBe("unknown");
  });

  test("[MQTT-3.3.4-9] the window counts a delivery until PUBCOMP, and PUBREL goes out though it is full", () => {
    const { world, client, publisher } = subscribing(2, 5, { properties: { receiveMaximum: 2 } });
    for (let i = 0; i < 5; i++) publisher.publish("t/1", `${i}`, { qos: 2 });
    world.settle();
    const [first, second] = ids(client.all("publish"));
    expect(client.payloads).toEqual(["0", "1"]);
    client.send({ cmd: "pubrec", messageId: first });
    client.send({ cmd: "pubrec", messageId: second });
    publisher.publish("t/1", "QoS 0", { qos: 0 });
    world.settle();
    expect(answers(client)).toEqual([`pubrel ${first}`, `pubrel ${second}`]);
    expect(client.payloads).toEqual(["0", "1", "QoS 0"]);
    client.send({ cmd: "pubcomp", messageId: second });
    world.settle();
    expect(client.payloads.slice(3)).toEqual(["2"]);
    expect(client.reused).toEqual([]);
  });

  test("[MQTT-4.4.0-1] neither PUBLISH nor PUBREL is written again when the shard restarts", () => {
    for (const phase of ["published", "received"]) {
      const { world, client, publisher } = subscribing();
      publisher.publish("t/1", "x", { qos: 2 });
      world.settle();
      const { messageId } = client.last("publish")!;
      if (phase === "received") client.send({ cmd: "pubrec", messageId });
      world.settle();
      world.shards[0]!.crash();
      world.advance(5_000);
      world.shards[0]!.evict();
      publisher.publish("t/1", "y", { qos: 2 });
      world.advance(5_000);
      expect(client.payloads).toEqual(["x", "y"]);
      expect(client.reused).toEqual([]);
      if (phase === "published") client.send({ cmd: "pubrec", messageId });
      client.send({ cmd: "pubcomp", messageId });
      world.settle();
      expect(answers(client)).toEqual([`pubrel ${messageId}`]);
    }
  });

  test.each([
    [2, 1, 1],
    [2, 0, 0],
    [1, 2, 1],
    [0, 2, 0],
    [2, 2, 2],
  ] as const)(
    "[MQTT-3.8.4-8] published with QoS %i and granted %i it comes with %i",
    (published, granted, delivered) => {
      const { world, client, publisher } = subscribing(granted);
      client.acknowledges = true;
      expect(client.last("suback")!.granted).toEqual([granted]);
      publisher.publish("t/1", "x", { qos: published });
      world.settle();
      expect(client.all("publish")).toMatchObject([{ qos: delivered }]);
      expect(publisher.completed).toHaveLength(published === 2 ? 1 : 0);
      // A filter that is subscribed to again takes its new QoS at once.
      client.subscribe("t/#", 2);
      world.settle();
      publisher.publish("t/1", "y", { qos: published });
      world.settle();
      expect(client.last("publish")).toMatchObject({ qos: published });
    },
  );

  test("[MQTT-3.3.4-2] overlapping subscriptions make one copy at the highest QoS", () => {
    const { world, client, publisher } = subscribing(0);
    client.subscribe("t/+", 2);
    client.subscribe("#", 1);
    world.settle();
    publisher.publish("t/1", "x", { qos: 2 });
    world.settle();
    expect(client.all("publish")).toMatchObject([{ qos: 2 }]);
  });

  test.each([
    [2, 2],
    [1, 1],
    [0, 0],
  ] as const)(
    "[MQTT-3.8.4-8] a retained message of QoS 2 comes to a subscription of QoS %i with %i",
    (granted, delivered) => {
      const world = new World({ shards: 1 });
      const publisher = world.connected("publisher");
      publisher.publish("t/1", "kept", { qos: 2, retain: true });
      world.settle();
      expect(publisher.completed).toHaveLength(1);
      world.shards[0]!.crash();
      world.advance(5_000);
      const client = world.connected("client");
      client.subscribe("t/#", granted);
      world.settle();
      expect(client.all("publish")).toMatchObject([{ qos: delivered, retain: true, dup: false }]);
      expect(client.all("pubrel")).toHaveLength(delivered === 2 ? 1 : 0);
      expect(client.unacknowledged.size).toBe(0);
    },
  );

  test("[MQTT-3.1.2-8] a will of QoS 2 is published once and comes with QoS 2", () => {
    const { world, client } = subscribing();
    client.acknowledges = true;
    for (const version of [3, 4, 5] as const) {
      const will = { topic: "t/will", payload: Buffer.from(`${version}`), qos: 2 as const, retain: false };
      const testator = world.connected(`testator ${version}`, { will }, version);
      testator.cut();
      world.advance(5_000);
    }
    expect(client.all("publish")).toMatchObject(Array(3).fill({ qos: 2, retain: false }));
    expect(client.payloads).toEqual(["3", "4", "5"]);
  });

  test("[MQTT-3.8.3-3] No Local holds at QoS 2", () => {
    const world = new World({ shards: 1 });
    const client = world.connected("client");
    client.subscribe([{ topic: "t/#", qos: 2, nl: true }]);
    client.publish("t/1", "own", { qos: 2 });
    world.settle();
    expect(client.completed).toHaveLength(1);
    expect(client.payloads).toEqual([]);
  });

  test("[MQTT-3.3.1-3] DUP of a publisher is not copied", () => {
    const { world, client, publisher } = subscribing();
    publisher.publish("t/1", "x", { qos: 2, dup: true });
    world.settle();
    expect(client.all("publish")).toMatchObject([{ dup: false }]);
  });
});
