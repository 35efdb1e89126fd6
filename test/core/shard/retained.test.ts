import { describe, expect, test } from "vitest";
import { Kind, writeAck, writeGrant } from "../../../src/link/records.ts";
import { body, ShardRig } from "../../support/shard-rig.ts";

/** Publisher on link 1, subscriber on link 2. */
function rig(grants = 100): ShardRig {
  const rig = new ShardRig();
  rig.hello(1, "publisher");
  rig.hello(2, "subscriber", { grants });
  rig.take(2);
  return rig;
}

const kept = (topic: string, payload: string, options: object = {}): ReturnType<typeof body> =>
  body(topic, payload, { retain: true, ...options });

describe("retained messages", () => {
  test("[MQTT-3.3.1-5] the last one of a topic is sent to who subscribes, with RETAIN and the lower QoS", () => {
    const r = rig();
    r.publish(1, kept("t", "1"));
    r.publish(1, kept("t", "2"));
    r.subscribe(2, "t", { qos: 0, identifier: 7 });
    expect(r.delivered(2)).toMatchObject([
      { topic: "t", payload: "2", qos: 0, retain: true, dup: false, properties: Uint8Array.of(11, 7) },
    ]);
    r.subscribe(2, "t");
    expect(r.delivered(2)).toMatchObject([{ payload: "2", qos: 1, retain: true }]);
  });

  test("[MQTT-3.3.1-6] an empty payload is delivered live and clears", () => {
    const r = rig();
    r.subscribe(2, "t");
    r.take(2);
    r.publish(1, kept("t", "1"));
    r.publish(1, kept("t", ""));
    expect(r.payloads(2)).toEqual(["1", ""]);
    r.subscribe(2, "t");
    expect(r.payloads(2)).toEqual([]);
    expect(r.count("retained")).toBe(0);
  });

  test("[MQTT-3.3.1-8] a message without RETAIN touches none", () => {
    const r = rig();
    r.publish(1, kept("t", "1"));
    r.publish(1, body("t", "2"));
    r.publish(1, body("t", ""));
    r.subscribe(2, "t");
    expect(r.payloads(2)).toEqual(["1"]);
  });

  test("[v3 MQTT-3.3.1-7] one of QoS 0 replaces one of QoS 1 and the reverse, saved or not", () => {
    for (const wait of [0, 5_000]) {
      const r = rig();
      r.publish(1, kept("t", "1"));
      r.publish(1, kept("t", "2", { qos: 0 }));
      r.advance(wait);
      r.subscribe(2, "t");
      expect(r.delivered(2)).toMatchObject([{ payload: "2", qos: 0 }]);
      r.publish(1, kept("t", "3", { qos: 0 }));
      r.publish(1, kept("t", "4"));
      r.advance(wait);
      r.take(2);
      r.subscribe(2, "t");
      expect(r.payloads(2)).toEqual(["4"]);
    }
  });

  test("links: one of QoS 1 is stored before its answer, one of QoS 0 at the checkpoint", () => {
    const r = rig();
    r.publish(1, kept("a", "1"));
    expect(r.count("retained")).toBe(1);
    r.publish(1, kept("b", "1", { qos: 0 }));
    expect(r.count("retained")).toBe(1);
    r.advance(1_000);
    expect(r.count("retained")).toBe(2);
    r.restart();
    r.hello(2, "subscriber");
    r.subscribe(2, "#");
    expect(r.payloads(2)).toEqual(["1", "1"]);
  });

  test("[MQTT-3.3.2-5] one that has expired is not sent, and [MQTT-3.3.2-6] the rest of its time is", () => {
    const r = rig();
    r.publish(1, kept("t", "1", { expirySeconds: 10 }));
    r.advance(3_500);
    r.subscribe(2, "t");
    expect(r.delivered(2)).toMatchObject([{ properties: Uint8Array.of(2, 0, 0, 0, 7) }]);
    r.advance(6_500);
    r.subscribe(2, "t");
    expect(r.delivered(2)).toEqual([]);
    expect(r.count("retained")).toBe(0);
  });

  test("[MQTT-3.3.1-9..11] retain handling: 0 always, 1 for a new subscription, 2 never", () => {
    const r = rig();
    r.publish(1, kept("t", "1"));
    r.subscribe(2, "t", { retainHandling: 2 });
    expect(r.kinds(2)).not.toContain(Kind.Scanned);
    r.subscribe(2, "t", { retainHandling: 1 });
    expect(r.payloads(2)).toEqual([]);
    r.subscribe(2, "t", { retainHandling: 0 });
    expect(r.payloads(2)).toEqual(["1"]);
    r.subscribe(2, "+", { retainHandling: 1 });
    expect(r.payloads(2)).toEqual(["1"]);
    r.subscribe(2, "+", { retainHandling: 1 });
    expect(r.payloads(2)).toEqual([]);
  });

  test("[MQTT-3.8.3-3] No Local leaves out what the subscriber has set itself", () => {
    const r = rig();
    r.publish(1, kept("t", "other"));
    r.publish(2, kept("u", "own"));
    r.take(2);
    r.subscribe(2, "#", { noLocal: true });
    expect(r.payloads(2)).toEqual(["other"]);
  });

  test("[MQTT-4.7.2-1] a wildcard does not find $ topics, and finds its parent level", () => {
    const r = rig();
    for (const topic of ["$internal/x", "sport", "sport/a", "sport/a/b", "sports", "/"])
      r.publish(1, kept(topic, topic));
    const found = (filter: string): string[] => {
      r.subscribe(2, filter);
      return r.payloads(2).toSorted();
    };
    expect(found("#")).toEqual(["/", "sport", "sport/a", "sport/a/b", "sports"]);
    expect(found("sport/#")).toEqual(["sport", "sport/a", "sport/a/b"]);
    expect(found("sport/+")).toEqual(["sport/a"]);
    expect(found("+/+")).toEqual(["/", "sport/a"]);
    expect(found("$internal/#")).toEqual(["$internal/x"]);
    expect(found("$internal/+")).toEqual(["$internal/x"]);
  });

  test("links: a wildcard finds more than a page of them, in the order in which they were set", () => {
    const r = rig(1000);
    const topics = Array.from({ length: 700 }, (_, i) => `t/${i}`);
    for (const topic of topics) r.publish(1, kept(topic, topic));
    for (let i = 0; i < 300; i++) r.publish(1, kept(`other/${i}`, "no"));
    r.subscribe(2, "t/+");
    expect(r.payloads(2)).toEqual(topics);
  });

  test("links: with one grant at a time they all come, once, while some are replaced, cleared and added", () => {
    const r = rig(1);
    for (let i = 0; i < 20; i++) r.publish(1, kept(`t/${i}`, `${i}`));
    r.subscribe(2, "t/+");
    const got: string[] = [];
    const scanned: boolean[] = [];
    for (let step = 0; step < 60; step++) {
      const sent = r.take(2);
      scanned.push(sent.some((record) => record.kind === Kind.Scanned && record.after === undefined));
      r.frame(2, () => undefined);
      for (const record of sent) {
        if (record.kind !== Kind.Deliver) continue;
        got.push(new TextDecoder().decode(record.packets.slice(-2)).trim());
        r.frame(2, (to) => writeAck(to, record.deliveries[0]!.packetId));
      }
      if (step === 5) r.publish(1, kept("t/15", "new"));
      if (step === 6) r.publish(1, kept("t/16", ""));
      if (step === 7) r.publish(1, kept("t/99", "more"));
      r.frame(2, (to) => writeGrant(to, 1));
    }
    // 15 and 16 come live with their new values, as does what was added.
    expect(got).toHaveLength(18 + 3);
    expect(new Set(got).size).toBe(got.length);
    expect(scanned.filter(Boolean)).toHaveLength(1);
  });

  test("links: 10,000 of them come to #, ten at a time, in the order in which they were set, without a stop", () => {
    const r = rig(10);
    // Every third is set again, by which it comes after those that are set once.
    const topics = Array.from({ length: 10_000 }, (_, i) => `${i % 7}/${i % 100}/${i}`);
    const again = topics.filter((_, i) => i % 3 === 0);
    for (const topic of topics) r.publish(1, kept(topic, "first"));
    for (const topic of again) r.publish(1, kept(topic, "second"));
    const wanted = [
      ...topics.filter((_, i) => i % 3 !== 0).map((topic) => `${topic} first`),
      ...again.map((topic) => `${topic} second`),
    ];
    r.subscribe(2, "#");
    const got: string[] = [];
    while (got.length < wanted.length) {
      const came = r.delivered(2);
      expect(came.length, `after ${got.length}`).toBeGreaterThan(0);
      expect(came.length).toBeLessThanOrEqual(10);
      for (const { topic, payload, retain } of came) got.push(`${topic} ${payload}${retain ? "" : " live"}`);
      r.frame(2, (to) => {
        for (const { packetId } of came) writeAck(to, packetId);
        writeGrant(to, came.length);
      });
    }
    expect(got).toEqual(wanted);
    expect(r.delivered(2)).toEqual([]);
  });

  test("[MQTT-3.1.2-25] one that is too large for the client is left out, and the others come", () => {
    const r = new ShardRig();
    r.hello(1, "publisher");
    r.hello(2, "subscriber", { packetBytesMax: 30 });
    for (const [topic, payload] of [
      ["a", "1"],
      ["b", "x".repeat(40)],
      ["c", "3"],
    ] as const)
      r.publish(1, kept(topic, payload));
    r.take(2);
    r.subscribe(2, "+");
    expect(r.payloads(2)).toEqual(["1", "3"]);
  });
});

describe("a scan that a SUBSCRIBE finds under way", () => {
  test("[MQTT-3.8.4-4] goes on when the SUBSCRIBE asks for no retained messages", () => {
    const r = rig(1);
    for (const topic of ["t/1", "t/2"]) r.publish(1, kept(topic, topic));
    r.subscribe(2, "t/+");
    expect(r.payloads(2)).toEqual(["t/1"]);
    r.subscribe(2, "t/+", { retainHandling: 2 });
    r.frame(2, (to) => writeGrant(to, 1));
    expect(r.payloads(2)).toEqual(["t/2"]);
  });
});
