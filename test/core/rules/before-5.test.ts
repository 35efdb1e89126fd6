/** What MQTT 3.1.1 says otherwise than 5.0, and 3.1 with it, over the whole broker. */
import { describe, expect, test } from "vitest";
import { packet } from "../../mqtt/notation.ts";
import type { Client } from "../../sim/world/client.ts";
import { wire } from "../../support/wire.ts";
import { World } from "../../sim/world/world.ts";

const DAY_MS = 24 * 3600 * 1000;
const will = { topic: "will", payload: Buffer.from("gone"), qos: 1 as const, retain: false };
const hex = (notation: string): string => Buffer.from(packet(notation)).toString("hex");

function leave(client: Client): void {
  client.send({ cmd: "disconnect" });
  client.world.advance(3_000);
}

describe.each([3, 4] as const)("version %i", (version) => {
  test("[v3 MQTT-3.1.2-4] [v3 MQTT-3.2.2-2] [v3 MQTT-3.2.2-3] Clean Session 0 begins a session, keeps it and goes on with it; 3.1 has no session present", () => {
    const world = new World({ limits: { sessionExpirySecondsMax: 90 * 24 * 3600 } });
    const publisher = world.connected("publisher");
    const present = (client: Client): boolean => client.last("connack")!.sessionPresent!;
    const first = world.connected("client", { clean: false }, version);
    expect(present(first)).toBe(false);
    first.subscribe("t", 1);
    world.settle();
    leave(first);
    publisher.publish("t", "waited", { qos: 1 });
    world.advance(89 * DAY_MS - 14 * DAY_MS);
    publisher.publish("t", "later", { qos: 1 });
    world.settle();
    const again = world.connected("client", { clean: false }, version);
    expect(present(again)).toBe(version === 4);
    expect(again.payloads.at(-1)).toBe("later");
    leave(again);
    world.advance(91 * DAY_MS);
    const late = world.connected("client", { clean: false }, version);
    expect(present(late)).toBe(false);
    publisher.publish("t", "nobody", { qos: 1 });
    world.settle();
    expect(late.payloads).toEqual([]);
  });

  test("[v3 MQTT-3.1.2-6] [v3 MQTT-3.2.2-1] Clean Session 1 discards what there was, and lasts as long as its connection", () => {
    const world = new World();
    const publisher = world.connected("publisher");
    const kept = world.connected("client", { clean: false }, version);
    kept.subscribe("old", 1);
    world.settle();
    leave(kept);
    publisher.publish("old", "old", { qos: 1 });
    world.settle();
    const clean = world.connected("client", { clean: true }, version);
    expect(clean.last("connack")).toMatchObject({ returnCode: 0, sessionPresent: false });
    clean.subscribe("new", 1);
    world.settle();
    leave(clean);
    publisher.publish("new", "new", { qos: 1 });
    publisher.publish("old", "old", { qos: 1 });
    world.settle();
    const again = world.connected("client", { clean: false }, version);
    expect(again.last("connack")).toMatchObject({ returnCode: 0, sessionPresent: false });
    expect([...clean.payloads, ...again.payloads]).toEqual([]);
  });

  test("[v3 MQTT-3.1.2-7] what is retained outlives the session that set it", () => {
    const world = new World();
    const publisher = world.connected("publisher", { clean: true }, version);
    publisher.publish("t", "kept", { qos: 1, retain: true });
    world.settle();
    leave(publisher);
    const client = world.connected("client", {}, version);
    client.subscribe("t", 1);
    world.settle();
    expect(client.payloads).toEqual(["kept"]);
  });

  test("[v3 MQTT-3.1.2-8] [v3 MQTT-3.14.4-3] a will comes when the connection ends, and not after DISCONNECT", () => {
    const world = new World();
    const watcher = world.connected("watcher", {}, version);
    watcher.subscribe("will", 1);
    world.settle();
    world.connected("one", { will }, version).cut();
    world.advance(3_000);
    expect(watcher.payloads).toEqual(["gone"]);
    leave(world.connected("two", { will }, version));
    world.advance(120_000);
    expect(watcher.payloads).toEqual(["gone"]);
  });

  test("[v3 MQTT-3.1.3-9] [v3 MQTT-3.2.2-4] [v3 MQTT-3.2.2-5] an id that is refused is told 0x02 and closed", () => {
    const world = new World({ limits: { clientIdBytesMax: 5 } });
    const client = world.client("longer", version);
    const sent = wire(client);
    client.connect({ clean: false });
    world.settle();
    expect(sent).toEqual(["20020002"]);
    expect(client.closed).toBeDefined();
  });

  test("[v3 MQTT-3.2.2-4] a refusal says session present 0 though there is a session", () => {
    const world = new World();
    leave(world.connected("client", { clean: false }, version));
    const client = world.client("client", version);
    const sent = wire(client);
    client.connect({ clean: false, will: { ...will, topic: "$SYS/x" } });
    world.settle();
    expect(sent).toEqual(["20020005"]);
    expect(client.closed).toBeDefined();
  });

  test("[v3 MQTT-3.1.4-2] of a client that connects again the old connection is closed without a word", () => {
    const world = new World();
    const old = world.connected("client", {}, version);
    const sent = wire(old);
    world.connected("client", {}, version);
    world.settle();
    expect(sent).toEqual([]);
    expect(old.closed).toBeDefined();
  });

  test("[v3 MQTT-3.3.1-8] [v3 MQTT-3.3.1-9] [v3 MQTT-3.8.4-3] what is retained comes with RETAIN at every SUBSCRIBE, what is live without", () => {
    const world = new World();
    const client = world.connected("client", {}, version);
    client.publish("t", "kept", { qos: 1, retain: true });
    world.settle();
    for (const qos of [0, 1]) {
      client.subscribe("t", qos);
      world.settle();
    }
    client.publish("t", "live", { qos: 1, retain: true });
    world.settle();
    const got = client.all("publish").map(({ payload, retain, qos }) => [payload!.toString(), retain, qos]);
    expect(got).toEqual([
      ["kept", true, 0],
      ["kept", true, 1],
      ["live", false, 1],
    ]);
  });

  test.each([
    ["a second CONNECT", "10 ( 'MQTT' 04 02 0000 'c' )"],
    ["CONNACK", "20 ( 00 00 )"],
    ["SUBACK", "90 ( 0001 00 )"],
    ["PINGRESP", "d0 ( )"],
    ["packet type 15", "f0 ( )"],
    ["packet type 0", "00 ( )"],
    ["PINGREQ with a body", "c0 ( 00 )"],
    ["SUBSCRIBE with flags 0000", "80 ( 0001 't' 00 )"],
    ["SUBSCRIBE with an option of 5.0", "82 ( 0001 't' 08 )"],
    ["a PUBACK with a reason", "40 ( 0001 00 )"],
    ["DISCONNECT with a reason", "e0 ( 04 )"],
    ["an empty topic", "30 ( '' 00 )"],
    ["a wildcard in a topic", "30 ( 'a/#' )"],
    ["a topic that is not UTF-8", "30 ( [ ff ] )"],
  ])("[v3 MQTT-4.8.0-1] [MQTT-4.13.2-1] %s closes without a word, and the will comes", (_what, notation) => {
    const world = new World();
    const watcher = world.connected("watcher");
    watcher.subscribe("#");
    const client = world.connected("client", { will }, version);
    const sent = wire(client);
    client.raw(packet(notation));
    client.publish("t", "behind");
    world.advance(5_000);
    expect(sent).toEqual([]);
    expect(client.closed).toBeDefined();
    expect(watcher.payloads).toEqual(["gone"]);
  });

  test("[v3 MQTT-3.9.3-2] [v3 MQTT-3.10.4-4] answers have the form of their version", () => {
    const world = new World({ shards: 1 });
    const client = world.connected("client", {}, version);
    client.releases = false;
    const sent = wire(client);
    client.subscribe([{ topic: "t", qos: 2 }, { topic: "a#" }], 1);
    client.unsubscribe("t", "never");
    client.publish("t", "x", { qos: 1, messageId: 3 });
    client.publish("t", "x", { qos: 2, messageId: 4 });
    client.publish("$SYS/t", "x", { qos: 2, messageId: 5 });
    world.settle();
    for (const messageId of [4, 5, 6]) client.send({ cmd: "pubrel", messageId });
    client.send({ cmd: "pubrec", messageId: 7 });
    world.settle();
    expect(sent.toSorted()).toEqual(
      [
        hex("90 ( 0001 02 80 )"),
        hex("b0 ( 0002 )"),
        hex("40 ( 0003 )"),
        hex("50 ( 0004 )"),
        hex("50 ( 0005 )"),
        hex("70 ( 0004 )"),
        hex("70 ( 0005 )"),
        hex("70 ( 0006 )"),
        hex("62 ( 0007 )"),
      ].toSorted(),
    );
  });
});
