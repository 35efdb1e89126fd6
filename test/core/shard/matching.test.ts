import { describe, expect, test } from "vitest";
import { Kind } from "../../../src/link/records.ts";
import { body, ShardRig } from "../../support/shard-rig.ts";

function rig(options: object = {}): ShardRig {
  const r = new ShardRig();
  r.hello(1, "publisher");
  r.hello(2, "subscriber", options);
  return r;
}

describe("what a subscriber gets", () => {
  test("[MQTT-3.8.3-3] No Local leaves out its own messages, by client id, in all ways of delivery", () => {
    const r = rig();
    r.subscribe(1, "t", { noLocal: true });
    r.subscribe(2, "t", { noLocal: true });
    r.take(1);
    r.take(2);
    r.publish(1, body("t", "1"));
    r.publish(1, body("t", "2", { qos: 0 }));
    expect(r.payloads(1)).toEqual([]);
    expect(r.payloads(2)).toEqual(["1", "2"]);
  });

  test("[MQTT-3.8.3-3] of overlapping subscriptions only those without No Local count for its own message", () => {
    const r = rig();
    r.subscribe(1, "t", { noLocal: true, identifier: 1 });
    r.subscribe(1, "#", { qos: 0, identifier: 2 });
    r.take(1);
    r.publish(1, body("t", "own"));
    expect(r.delivered(1)).toMatchObject([{ payload: "own", qos: 0, properties: Uint8Array.of(11, 2) }]);
  });

  test("[MQTT-3.3.1-12] RETAIN is 0 live, [MQTT-3.3.1-13] or as published where that was asked for", () => {
    const r = rig();
    r.hello(3, "as-published");
    r.subscribe(2, "t");
    r.subscribe(3, "t", { retainAsPublished: true });
    r.take(2);
    r.take(3);
    r.publish(1, body("t", "1", { retain: true }));
    r.publish(1, body("t", "2"));
    expect(r.delivered(2).map(({ retain }) => retain)).toEqual([false, false]);
    expect(r.delivered(3).map(({ retain }) => retain)).toEqual([true, false]);
  });

  test("[MQTT-3.3.4-2] overlapping subscriptions are one copy with the highest QoS and [MQTT-3.3.4-4] every identifier", () => {
    const r = rig();
    r.subscribe(2, "a/b", { qos: 0, identifier: 1 });
    r.subscribe(2, "a/#", { qos: 1, identifier: 200 });
    r.subscribe(2, "+/b", { qos: 1 });
    r.take(2);
    r.publish(1, body("a/b"));
    const [only, ...more] = r.delivered(2);
    expect(more).toEqual([]);
    expect(only!.qos).toBe(1);
    expect([...only!.properties].toSorted((a, b) => a - b)).toEqual([1, 1, 11, 11, 200]);
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
    "[MQTT-3.8.4-8] published with QoS %i and granted %i, it is delivered with %i",
    (published, granted, delivered) => {
      const r = rig();
      r.subscribe(2, "t", { qos: granted });
      r.take(2);
      r.publish(1, body("t", "x", { qos: published }));
      expect(r.delivered(2)).toMatchObject([{ qos: delivered }]);
    },
  );

  test("[MQTT-3.8.4-3] subscribing again replaces QoS, options and identifier", () => {
    const r = rig();
    r.subscribe(2, "t", { identifier: 1 });
    r.subscribe(2, "t", { qos: 0, identifier: 2 });
    r.take(2);
    r.publish(1, body("t"));
    expect(r.delivered(2)).toMatchObject([{ qos: 0, properties: Uint8Array.of(11, 2) }]);
  });

  test("[MQTT-3.1.2-25] a message above the client's Maximum Packet Size is not sent, takes no grant and is not owed", () => {
    const r = rig({ packetBytesMax: 30, grants: 1 });
    r.subscribe(2, "t");
    r.take(2);
    r.publish(1, body("t", "x".repeat(40)));
    r.publish(1, body("t", "fits"));
    expect(r.payloads(2)).toEqual(["fits"]);
  });

  test("[MQTT-3.3.2-5] a message that expires while it waits is not delivered, [MQTT-3.3.2-6] another with what is left", () => {
    const r = rig({ grants: 0 });
    r.subscribe(2, "t");
    r.take(2);
    r.publish(1, body("t", "1", { expirySeconds: 2 }));
    r.publish(1, body("t", "2", { expirySeconds: 60 }));
    r.advance(5_000);
    r.frame(2, (to) => to.u8(Kind.Grant).u16(5));
    expect(r.delivered(2)).toMatchObject([{ payload: "2", properties: Uint8Array.of(2, 0, 0, 0, 55) }]);
  });

  test("[MQTT-3.3.2-15..20] properties are passed on as they came, before MQTT 5 left out", () => {
    const r = rig();
    r.hello(3, "old", { mqttVersion: 4 });
    r.subscribe(2, "t");
    r.subscribe(3, "t");
    r.take(2);
    r.take(3);
    // A payload format indicator and two user properties of one name.
    const properties = Uint8Array.of(1, 1, 38, 0, 1, 97, 0, 1, 98, 38, 0, 1, 97, 0, 1, 99);
    r.publish(1, body("t", "xyz", { properties }));
    expect(r.delivered(2)).toMatchObject([{ properties }]);
    const old = r.take(3).find((record) => record.kind === Kind.Deliver)!;
    expect(old.packets).toHaveLength(2 + 2 + 1 + 2 + 3);
  });

  test("[MQTT-4.7.2-1] a filter that begins with a wildcard does not match $ topics", () => {
    const r = rig();
    r.subscribe(2, "#");
    r.subscribe(2, "+/x");
    r.take(2);
    r.publish(1, body("$internal/x"));
    expect(r.delivered(2)).toEqual([]);
  });

  test("links: one array is the frame of all links that are sent the same", () => {
    const r = new ShardRig();
    r.hello(1, "publisher");
    for (let link = 2; link < 22; link++) {
      r.hello(link, `subscriber-${link}`, { mqttVersion: link < 12 ? 5 : 4 });
      r.subscribe(link, "t", { qos: 0 });
    }
    r.frames.length = 0;
    r.publish(1, body("t", "x", { qos: 0 }));
    const frames = r.frames.filter(({ link }) => link > 1).map(({ frame }) => frame);
    expect(frames).toHaveLength(20);
    expect(new Set(frames).size).toBe(2);
  });

  test("[MQTT-2.2.1-4] packet ids are the shard's own, are never 0, and none is used that is in flight", () => {
    const r = rig({ grants: 16_383, inflight: [{ packetId: 4, offset: 0, source: 0 }] });
    r.subscribe(2, "t");
    r.take(2);
    for (let i = 0; i < 16_382; i++) r.publish(1, body("t"));
    const ids = r.delivered(2).map(({ packetId }) => packetId);
    expect(ids).toHaveLength(16_382);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).not.toContain(4);
    expect(ids.every((id) => id > 0 && id % 4 === 0)).toBe(true);
  });
});
