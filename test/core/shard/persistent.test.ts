/** Sessions that outlive their connections, at a shard. */
import { describe, expect, test } from "vitest";
import { GRACE_MS } from "../../../src/core/shard/grace.ts";
import { readPlace, SAVE_MS } from "../../../src/core/shard/place.ts";
import {
  type AttachedRecord,
  type GreetedSubscription,
  type HelloRecord,
  type InflightRecord,
  Kind,
  Phase,
  writeAck,
  writeBye,
  writeReceived,
  writeRelease,
} from "../../../src/link/records.ts";
import { body, type Delivered, ShardRig } from "../../support/shard-rig.ts";

const REFUSED = 0xff;

function wanted(filter: string, more: Partial<GreetedSubscription> = {}): GreetedSubscription {
  return {
    number: 1,
    filter,
    qos: 2,
    noLocal: false,
    retainAsPublished: false,
    retainHandling: 0,
    identifier: 0,
    start: undefined,
    scan: undefined,
    ...more,
  };
}

/** A publisher on link 1; the session "device" is subscribed to `t` at QoS 2 over link 2. */
function rig(options: Partial<HelloRecord> = {}, limits: object = {}): ShardRig {
  const r = new ShardRig(limits);
  r.advance(GRACE_MS + 1);
  r.hello(1, "publisher");
  r.hello(2, "device", { persistent: true, ...options });
  r.subscribe(2, "t", { qos: 2 });
  r.advance(5_000);
  r.take(1);
  r.take(2);
  return r;
}

function publish(r: ShardRig, payload: string, qos: 0 | 1 | 2 = 1, topic = "t"): void {
  r.publish(1, body(topic, payload, { qos }));
  if (qos === 2) r.frame(1, (to) => writeRelease(to, 1));
}

function bye(r: ShardRig, link: number): void {
  r.frame(link, writeBye);
  r.lose(link);
}

/** Another connection of the session; returns what the shard says of it, and leaves what it delivers. */
function resume(r: ShardRig, link: number, options: Partial<HelloRecord> = {}): AttachedRecord {
  r.hello(link, "device", {
    persistent: true,
    epoch: link,
    subscriptions: [wanted("t")],
    ...options,
  });
  const said = r.take(link);
  const attached = said.find((record) => record.kind === Kind.Attached);
  if (!attached) throw new Error(`refused: ${JSON.stringify(said)}`);
  r.put(link, said);
  return attached;
}

function place(r: ShardRig): ReturnType<typeof readPlace> {
  return readPlace(r.sql.rows("SELECT place FROM session WHERE session = 'device'")[0]!["place"] as Uint8Array);
}

function brief(deliveries: readonly Delivered[]): [string, number, boolean, number][] {
  return deliveries.map(({ payload, packetId, dup, qos }) => [payload, packetId, dup, qos]);
}

function phases(inflight: readonly InflightRecord[]): [number, number][] {
  return inflight.map(({ packetId, phase }) => [packetId, phase]);
}

const RESTARTS: [what: string, restart: (r: ShardRig) => void][] = [
  ["that stays", () => {}],
  ["that sleeps", (r) => r.sleep()],
  ["that restarts", (r) => r.restart()],
];

describe.each(RESTARTS)("a shard %s", (_what, restart) => {
  test("[MQTT-3.1.2-5] has for a session that comes back what was published while it was away, in order, once", () => {
    const r = rig();
    bye(r, 2);
    restart(r);
    r.hello(1, "publisher", { link: 9 });
    for (let i = 0; i < 5; i++) publish(r, `${i}`, i % 2 ? 2 : 1);
    publish(r, "QoS 0", 0);
    restart(r);
    resume(r, 3);
    expect(brief(r.delivered(3)).map(([payload, , dup, qos]) => [payload, dup, qos])).toEqual([
      ["0", false, 1],
      ["1", false, 2],
      ["2", false, 1],
      ["3", false, 2],
      ["4", false, 1],
    ]);
  });

  test("[MQTT-4.4.0-1] [MQTT-4.6.0-1] sends again what was not acknowledged, before anything new: DUP, the same ids, the same order", () => {
    const r = rig();
    for (let i = 0; i < 4; i++) publish(r, `${i}`, i % 2 ? 2 : 1);
    const sent = r.delivered(2);
    r.frame(2, (to) => writeAck(to, sent[2]!.packetId));
    bye(r, 2);
    restart(r);
    r.hello(1, "publisher", { link: 9 });
    publish(r, "new");
    resume(r, 3);
    expect(brief(r.delivered(3))).toEqual([
      ["0", sent[0]!.packetId, true, 1],
      ["1", sent[1]!.packetId, true, 2],
      ["3", sent[3]!.packetId, true, 2],
      ["new", expect.anything(), false, 1],
    ]);
  });

  test("[MQTT-4.3.3-6] goes on with PUBREL where the client has received, and never sends PUBLISH again", () => {
    const r = rig();
    publish(r, "0", 2);
    publish(r, "1", 2);
    const [first, second] = r.delivered(2);
    r.frame(2, (to) => writeReceived(to, first!.packetId));
    expect(r.take(2)).toContainEqual({ kind: Kind.Recorded, packetId: first!.packetId });
    r.lose(2);
    restart(r);
    const { inflight } = resume(r, 3);
    expect(phases(inflight)).toEqual([
      [first!.packetId, Phase.Received],
      [second!.packetId, Phase.Unsent],
    ]);
    expect(brief(r.delivered(3))).toEqual([["1", second!.packetId, true, 2]]);
  });

  test("[MQTT-4.3.3-10] still knows the QoS 2 ids that the session has not released, and delivers no repeat", () => {
    const r = rig();
    r.publish(2, body("t", "mine", { qos: 2 }), 7);
    const [own] = r.delivered(2);
    r.frame(2, (to) => writeReceived(to, own!.packetId));
    r.frame(2, (to) => writeAck(to, own!.packetId));
    r.lose(2);
    restart(r);
    expect(resume(r, 3).received).toEqual([7]);
    r.publish(3, body("t", "mine", { qos: 2 }), 7);
    expect(r.delivered(3)).toEqual([]);
    r.frame(3, (to) => writeRelease(to, 7));
    r.publish(3, body("t", "another", { qos: 2 }), 7);
    expect(r.payloads(3)).toEqual(["another"]);
  });

  test("[MQTT-3.3.4-9] sends no more again than there are grants for, and goes on with each", () => {
    const r = rig();
    for (let i = 0; i < 3; i++) publish(r, `${i}`);
    const sent = r.delivered(2);
    bye(r, 2);
    restart(r);
    resume(r, 3, { grants: 1 });
    expect(r.payloads(3)).toEqual(["0"]);
    r.grant(3, 1);
    expect(brief(r.delivered(3))).toEqual([["1", sent[1]!.packetId, true, 1]]);
  });

  test("[MQTT §3.3.1.3] does not send retained messages again, and goes on with those that are still to come", () => {
    const r = rig();
    for (let i = 0; i < 3; i++) r.publish(1, body(`r/${i}`, `${i}`, { retain: true }));
    r.subscribe(2, "r/#", { qos: 1, retainHandling: 0 });
    const first = r.delivered(2);
    expect(first.map(({ payload }) => payload)).toEqual(["0", "1", "2"]);
    for (const { packetId } of first) r.frame(2, (to) => writeAck(to, packetId));
    r.subscribe(2, "r/+", { qos: 1, retainHandling: 2 });
    bye(r, 2);
    restart(r);
    const both = [wanted("t"), wanted("r/#", { number: 2, qos: 1 }), wanted("r/+", { number: 3, qos: 1 })];
    resume(r, 3, { subscriptions: both });
    expect(r.delivered(3)).toEqual([]);
  });

  test("links: goes on with the retained messages that a SUBSCRIBE has not got yet", () => {
    const r = rig({ grants: 1 });
    for (let i = 0; i < 3; i++) r.publish(1, body(`r/${i}`, `${i}`, { retain: true }));
    r.subscribe(2, "r/#", { qos: 1, retainHandling: 0 });
    const [first] = r.delivered(2);
    r.frame(2, (to) => writeAck(to, first!.packetId));
    bye(r, 2);
    restart(r);
    const both = [wanted("t"), wanted("r/#", { number: 2, qos: 1 })];
    resume(r, 3, { subscriptions: both });
    expect(r.delivered(3).map(({ payload, retain }) => [payload, retain])).toEqual([
      ["1", true],
      ["2", true],
    ]);
  });

  test("links: refuses a hello of an earlier connection or generation", () => {
    const r = rig();
    r.hello(3, "device", { persistent: true, generation: 1, epoch: 5 });
    restart(r);
    r.hello(4, "device", { persistent: true, generation: 1, epoch: 4 });
    expect(r.take(4).find((record) => record.kind === REFUSED)?.reason).toBe(0x8e);
  });

  test("[MQTT-3.1.2-4] a later generation finds nothing of the earlier one", () => {
    const r = rig();
    publish(r, "old", 2);
    r.publish(2, body("t", "mine", { qos: 2 }), 7);
    bye(r, 2);
    restart(r);
    const attached = resume(r, 3, { generation: 2, subscriptions: [] });
    expect(attached).toMatchObject({ inflight: [], received: [], places: [] });
    r.hello(1, "publisher", { link: 9 });
    publish(r, "new");
    expect(r.delivered(3)).toEqual([]);
    expect([r.count("session"), r.count("subscription"), r.count("received")]).toEqual([0, 0, 0]);
  });

  test("links: a wipe leaves nothing, is answered twice, and keeps its generation from coming back", () => {
    const r = rig();
    publish(r, "old", 2);
    r.publish(2, body("t", "mine", { qos: 2 }), 7);
    bye(r, 2);
    restart(r);
    r.wipe("device", 1);
    r.wipe("device", 1);
    r.advance(2_000);
    for (const table of ["session", "subscription", "received"]) expect(r.count(table)).toBe(0);
    r.hello(3, "device", { persistent: true, epoch: 9, subscriptions: [wanted("t")] });
    expect(r.take(3).find((record) => record.kind === REFUSED)?.reason).toBe(0x8e);
    r.hello(4, "device", { persistent: true, generation: 2, epoch: 9 });
    expect(r.kinds(4)).toContain(Kind.Attached);
    // Nobody can come any more after a day.
    r.advance(3 * 24 * 3600 * 1000);
    expect(r.count("ended")).toBe(0);
  });

  test("links: a wipe that comes late spares the generation that is here", () => {
    const r = rig();
    bye(r, 2);
    restart(r);
    r.hello(3, "device", { persistent: true, generation: 2, epoch: 9 });
    r.subscribe(3, "t");
    r.wipe("device", 1);
    r.hello(1, "publisher", { link: 9 });
    publish(r, "new");
    expect(r.payloads(3)).toEqual(["new"]);
  });
});

describe("the list of a hello", () => {
  test("links: mends a shard that has more or less than it, or other terms", () => {
    const r = rig();
    r.subscribe(2, "gone", { qos: 1 });
    bye(r, 2);
    resume(r, 3, { subscriptions: [wanted("t", { qos: 1, identifier: 5 }), wanted("more", { number: 2 })] });
    publish(r, "gone", 1, "gone");
    publish(r, "t", 2);
    publish(r, "more", 2, "more");
    expect(r.delivered(3).map(({ topic, qos }) => [topic, qos])).toEqual([
      ["t", 1],
      ["more", 2],
    ]);
    expect(r.sql.rows("SELECT filter FROM subscription ORDER BY filter")).toEqual([
      { filter: "more" },
      { filter: "t" },
    ]);
  });

  test("links: a filter that the shard learns of so counts from then, and brings no retained message", () => {
    const r = rig();
    bye(r, 2);
    r.publish(1, body("more", "retained", { retain: true }));
    resume(r, 3, { subscriptions: [wanted("t"), wanted("more", { number: 2 })] });
    expect(r.delivered(3)).toEqual([]);
  });

  test("[MQTT-3.8.4-3] a filter that the shard has keeps the place from which it counts", () => {
    const r = rig();
    bye(r, 2);
    publish(r, "queued");
    const { places } = resume(r, 3);
    expect(places).toHaveLength(1);
    expect(r.payloads(3)).toEqual(["queued"]);
  });

  test("links: what is owed under better terms than the new ones is delivered under those first", () => {
    const r = rig();
    bye(r, 2);
    publish(r, "owed at QoS 2", 2);
    resume(r, 3, { subscriptions: [wanted("t", { qos: 0 })], grants: 0 });
    r.take(3);
    r.grant(3, 10);
    expect(r.delivered(3).map(({ payload, qos }) => [payload, qos])).toEqual([["owed at QoS 2", 2]]);
    publish(r, "now at QoS 0", 2);
    expect(r.delivered(3).map(({ payload, qos }) => [payload, qos])).toEqual([["now at QoS 0", 0]]);
  });
});

describe("in flight when the message is gone", () => {
  test("[MQTT-4.3.3-6] at QoS 2 PUBREL frees the packet id, at QoS 1 it is free", () => {
    const r = rig();
    for (const [i, qos] of [1, 2].entries()) {
      r.publish(1, body(`r/${i}`, "first", { retain: true, qos: qos as 1 | 2 }));
    }
    r.subscribe(2, "r/#", { qos: 2, retainHandling: 0 });
    const [atQos1, atQos2] = r.delivered(2);
    bye(r, 2);
    for (let i = 0; i < 2; i++) r.publish(1, body(`r/${i}`, "", { retain: true, qos: 0 }));
    r.advance(2_000);
    r.restart();
    resume(r, 3, { subscriptions: [wanted("t"), wanted("r/#", { number: 2 })] });
    const said = r.take(3);
    expect(said.filter(({ kind }) => kind === Kind.Deliver)).toEqual([]);
    expect(said).toContainEqual({ kind: Kind.Recorded, packetId: atQos2!.packetId });
    expect(said).not.toContainEqual({ kind: Kind.Recorded, packetId: atQos1!.packetId });
    expect(phases(place(r).inflight)).toEqual([[atQos2!.packetId, Phase.Received]]);
  });

  test("[MQTT-4.3.3-7] a message that expired after it was sent is sent again all the same", () => {
    const r = rig();
    r.publish(1, body("t", "brief", { qos: 2, expirySeconds: 10 }));
    bye(r, 2);
    r.advance(3_600_000);
    resume(r, 3);
    expect(r.delivered(3)).toMatchObject([{ payload: "brief", dup: true }]);
  });

  test("[MQTT-3.3.2-5] a message that expired in the queue never comes, and one that did not has the rest of its time", () => {
    const r = rig();
    bye(r, 2);
    r.publish(1, body("t", "brief", { expirySeconds: 10 }));
    r.publish(1, body("t", "long", { expirySeconds: 100 }));
    r.advance(40_000);
    resume(r, 3);
    const [only, ...more] = r.delivered(3);
    expect(more).toEqual([]);
    expect(only).toMatchObject({ payload: "long" });
    expect([...only!.properties]).toEqual([0x02, 0, 0, 0, 60]);
  });

  test("[MQTT-3.1.2-25] what the new connection does not take counts as delivered", () => {
    const r = rig();
    publish(r, "x".repeat(200), 1);
    publish(r, "small", 1);
    r.take(2);
    bye(r, 2);
    resume(r, 3, { packetBytesMax: 100 });
    expect(r.payloads(3)).toEqual(["small"]);
  });
});

describe("the stored place", () => {
  test("[MQTT-4.3.3-1] is written before a QoS 2 PUBLISH is sent, and before PUBREL", () => {
    const r = rig();
    const { run } = r.sql;
    r.sql.run = (query, ...parameters) => {
      if (query.includes("INTO session")) r.history.push("store");
      run.call(r.sql, query, ...parameters);
    };
    for (const step of [
      () => r.publish(1, body("t", "x", { qos: 2 })),
      () => r.frame(2, (to) => writeReceived(to, place(r).inflight[0]!.packetId)),
    ]) {
      const before = r.history.length;
      step();
      const history = r.history.slice(before);
      expect(history.indexOf("store")).toBeGreaterThanOrEqual(0);
      expect(history.indexOf("store")).toBeLessThan(history.indexOf("send"));
    }
  });

  test("costs: QoS 1 to a client that acknowledges writes none", () => {
    const r = rig();
    const writes = countWrites(r);
    for (let i = 0; i < 20; i++) {
      publish(r, `${i}`);
      for (const { packetId } of r.delivered(2)) r.frame(2, (to) => writeAck(to, packetId));
      r.advance(10_000);
    }
    expect(writes()).toBe(0);
  });

  test("costs: while another session holds the log, QoS 1 writes one at most every 30 s, and one at the end", () => {
    const r = rig();
    r.hello(4, "away", { persistent: true });
    r.subscribe(4, "t");
    bye(r, 4);
    r.advance(2 * SAVE_MS);
    const writes = countWrites(r);
    const seconds = 120;
    for (let i = 0; i < seconds; i++) {
      publish(r, `${i}`);
      for (const { packetId } of r.delivered(2)) r.frame(2, (to) => writeAck(to, packetId));
      r.advance(1_000);
    }
    expect(writes()).toBeLessThanOrEqual((seconds * 1000) / SAVE_MS + 1);
    expect(writes()).toBeGreaterThanOrEqual((seconds * 1000) / SAVE_MS - 1);
  });

  test("costs: a session that only publishes at QoS 0 and 1 has none", () => {
    const r = new ShardRig();
    r.hello(1, "device", { persistent: true });
    publish(r, "x");
    bye(r, 1);
    r.advance(5_000);
    expect(r.count("session")).toBe(0);
  });

  test("links: lets the object sleep: nothing is unsaved for longer than 30 s after the last change", () => {
    const r = rig();
    r.hello(4, "away", { persistent: true });
    r.subscribe(4, "t");
    bye(r, 4);
    publish(r, "x");
    r.advance(SAVE_MS + 2_000);
    expect(r.shard.deadline).toBeUndefined();
  });

  function countWrites(r: ShardRig): () => number {
    let writes = 0;
    const { run } = r.sql;
    r.sql.run = (query, ...parameters) => {
      if (query.includes("INTO session")) writes += 1;
      run.call(r.sql, query, ...parameters);
    };
    return () => writes;
  }
});

describe("a wake", () => {
  test("links: takes the later of two sockets of a session, whatever their order", () => {
    for (const order of [
      [2, 3],
      [3, 2],
    ]) {
      const r = rig();
      const first = r.attachments.get(2);
      resume(r, 3);
      r.advance(2_000);
      const second = r.attachments.get(3);
      r.attachments.clear();
      for (const link of order) r.attachments.set(link, link === 2 ? first : second);
      r.sleep();
      expect(r.closed).toContain(2);
      expect(r.closed).not.toContain(3);
      r.take(3);
      r.hello(1, "publisher", { link: 9 });
      publish(r, "x");
      expect(r.payloads(3)).toEqual(["x"]);
    }
  });

  test("links: does not take a session in again that said BYE over a socket that is not closed yet", () => {
    const r = rig();
    r.frame(2, writeBye);
    r.sleep();
    expect(r.closed).toContain(2);
    publish(r, "x");
    expect(r.attachments.has(2)).toBe(false);
  });
});
