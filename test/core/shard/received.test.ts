import { describe, expect, test } from "vitest";
import { GRACE_MS } from "../../../src/core/shard/grace.ts";
import { CHECKPOINT_MS } from "../../../src/core/shard/shard.ts";
import { Kind, writeAck, writeBye, writePublish, writeRelease } from "../../../src/link/records.ts";
import { body, ShardRig } from "../../support/shard-rig.ts";

const REFUSED = 0xff;

/** A publisher on link 1 and a subscriber of `t` at QoS 2 on link 2. */
function rig(): ShardRig {
  const r = new ShardRig();
  r.hello(1, "publisher");
  r.hello(2, "subscriber");
  r.subscribe(2, "t", { qos: 2 });
  r.take(1);
  r.take(2);
  return r;
}

function publish(r: ShardRig, link: number, packetId: number, payload = `${packetId}`): void {
  r.publish(link, body("t", payload, { qos: 2 }), packetId);
}

function release(r: ShardRig, link: number, ...packetIds: number[]): void {
  r.frame(link, (to) => packetIds.forEach((packetId) => writeRelease(to, packetId)));
}

/** What a publisher's link was told of its messages. */
function answers(r: ShardRig, link: number): string[] {
  return r.take(link).flatMap((record) => {
    if (record.kind === Kind.Published) return [`published ${record.packetId}`];
    if (record.kind === Kind.Released) return [`released ${record.packetId}`];
    return record.kind === REFUSED ? [`refused ${record.reason.toString(16)}`] : [];
  });
}

/** The stored ids, by session. */
function stored(r: ShardRig): Record<string, number[]> {
  const found = r.sql.rows("SELECT session, ids FROM received ORDER BY session");
  return Object.fromEntries(
    found.map(({ session, ids }) => {
      const bytes = ids as Uint8Array;
      return [session, Array.from({ length: bytes.length / 2 }, (_, i) => bytes[2 * i]! * 256 + bytes[2 * i + 1]!)];
    }),
  );
}

describe("taking a message", () => {
  test("[MQTT-4.3.3-8] its id is stored with it before it is answered and delivered", () => {
    const r = rig();
    publish(r, 1, 7);
    expect(stored(r)).toEqual({ publisher: [7] });
    expect(r.count("log")).toBe(1);
    expect(answers(r, 1)).toEqual(["published 7"]);
    expect(r.delivered(2)).toMatchObject([{ qos: 2, payload: "7" }]);
  });

  test.each(["INTO received", "INTO log"])(
    "[MQTT-4.3.3-8] when the write '%s' fails, neither is stored, nothing is answered, and the next try is taken",
    (write) => {
      const r = rig();
      r.sql.failWrites = (query) => query.includes(write);
      expect(() => publish(r, 1, 7)).toThrow("storage failed");
      r.sql.failWrites = false;
      expect(stored(r)).toEqual({});
      expect(r.count("log")).toBe(0);
      expect(answers(r, 1)).toEqual([]);
      expect(r.delivered(2)).toEqual([]);
      // The platform ends an object whose turn failed.
      r.restart();
      r.hello(11, "publisher", { link: 2 });
      publish(r, 11, 7);
      expect(answers(r, 11)).toEqual(["published 7"]);
      expect(stored(r)).toEqual({ publisher: [7] });
      expect(r.count("log")).toBe(1);
    },
  );

  test("[MQTT-4.3.3-8] it is stored though nobody wants the message", () => {
    const r = new ShardRig();
    r.hello(1, "publisher");
    publish(r, 1, 7);
    expect(stored(r)).toEqual({ publisher: [7] });
    expect(answers(r, 1)).toEqual(["published 7"]);
  });

  test("[MQTT-4.3.3-10] a repeat is answered and not delivered, whatever it says", () => {
    const r = rig();
    publish(r, 1, 7, "first");
    publish(r, 1, 7, "second");
    r.publish(1, body("t", "retained", { qos: 2, retain: true }), 7);
    expect(answers(r, 1)).toEqual(["published 7", "published 7", "published 7"]);
    expect(r.payloads(2)).toEqual(["first"]);
    r.advance(CHECKPOINT_MS);
    expect(r.count("retained")).toBe(0);
  });

  test("[MQTT-4.3.3-10] a repeat in the same frame is one message", () => {
    const r = rig();
    r.frame(1, (to) => {
      writePublish(to, 7, body("t", "first", { qos: 2 }));
      writePublish(to, 7, body("t", "second", { qos: 2 }));
    });
    expect(answers(r, 1)).toEqual(["published 7", "published 7"]);
    expect(r.payloads(2)).toEqual(["first"]);
  });

  test("[MQTT-4.3.2-5] QoS 1 with the same id is another message", () => {
    const r = rig();
    publish(r, 1, 7, "QoS 2");
    for (const payload of ["a", "b"]) r.publish(1, body("t", payload), 7);
    expect(r.payloads(2)).toEqual(["QoS 2", "a", "b"]);
  });

  test("[MQTT-2.2.1-3] the same id of another session is another message", () => {
    const r = rig();
    r.hello(3, "another");
    publish(r, 1, 7, "a");
    publish(r, 3, 7, "b");
    expect(r.payloads(2)).toEqual(["a", "b"]);
    expect(stored(r)).toEqual({ another: [7], publisher: [7] });
  });

  test("links: a session has one row however many ids, and a frame writes it once", () => {
    const r = rig();
    let writes = 0;
    r.sql.failWrites = (query) => {
      if (query.includes("INTO received")) writes += 1;
      return false;
    };
    r.frame(1, (to) => {
      for (let id = 1; id <= 300; id++) writePublish(to, id, body("t", `${id}`, { qos: 2 }));
    });
    expect(r.count("received")).toBe(1);
    expect(stored(r)["publisher"]).toHaveLength(300);
    expect([writes, r.count("log")]).toEqual([1, 1]);
    r.restart();
    expect(stored(r)["publisher"]).toEqual(Array.from({ length: 300 }, (_, i) => i + 1));
  });

  test("links: the greatest and the most ids fit", () => {
    const r = rig();
    r.frame(1, (to) => {
      for (let id = 1; id <= 65_535; id++) writePublish(to, id, body("nobody", "", { qos: 2 }));
    });
    expect(stored(r)["publisher"]).toHaveLength(65_535);
    publish(r, 1, 65_535);
    expect(r.payloads(2)).toEqual([]);
  });

  test("links: QoS 0 and QoS 1 store no id", () => {
    const r = rig();
    r.publish(1, body("t", "0", { qos: 0 }));
    r.publish(1, body("t", "1", { qos: 1 }));
    release(r, 1, 1);
    expect(r.count("received")).toBe(0);
  });
});

describe("releasing an id", () => {
  test("[MQTT-4.3.3-11] the release is stored before it is answered", () => {
    const r = rig();
    for (const id of [7, 8]) publish(r, 1, id);
    answers(r, 1);
    r.sql.failWrites = true;
    expect(() => release(r, 1, 7)).toThrow("storage failed");
    expect(answers(r, 1)).toEqual([]);
    r.sql.failWrites = false;
    expect(stored(r)).toEqual({ publisher: [7, 8] });
    r.restart();
    r.hello(11, "publisher", { link: 2 });
    release(r, 11, 7);
    expect(answers(r, 11)).toEqual(["released 7"]);
    expect(stored(r)).toEqual({ publisher: [8] });
  });

  test("[MQTT-4.3.3-11] the release of the last id is stored before it is answered too", () => {
    const r = rig();
    publish(r, 1, 7);
    answers(r, 1);
    r.sql.failWrites = true;
    expect(() => release(r, 1, 7)).toThrow("storage failed");
    expect(answers(r, 1)).toEqual([]);
    r.sql.failWrites = false;
    expect(stored(r)).toEqual({ publisher: [7] });
  });

  test("[MQTT-4.3.3-12] then the id is a new message's", () => {
    const r = rig();
    publish(r, 1, 7, "first");
    release(r, 1, 7);
    publish(r, 1, 7, "second");
    expect(answers(r, 1)).toEqual(["published 7", "released 7", "published 7"]);
    expect(r.payloads(2)).toEqual(["first", "second"]);
    expect(stored(r)).toEqual({ publisher: [7] });
  });

  test("[MQTT-4.3.3-12] within one frame as well", () => {
    const r = rig();
    r.frame(1, (to) => {
      writePublish(to, 7, body("t", "first", { qos: 2 }));
      writeRelease(to, 7);
      writePublish(to, 7, body("t", "second", { qos: 2 }));
      writeRelease(to, 7);
    });
    expect(answers(r, 1)).toEqual(["published 7", "released 7", "published 7", "released 7"]);
    expect(r.payloads(2)).toEqual(["first", "second"]);
    expect(stored(r)).toEqual({});
  });

  test("[MQTT-4.3.3-11] of an id that is not known is answered, and stores nothing", () => {
    const r = rig();
    release(r, 1, 99);
    publish(r, 1, 7);
    release(r, 1, 99);
    expect(answers(r, 1)).toEqual(["released 99", "published 7", "released 99"]);
    expect(stored(r)).toEqual({ publisher: [7] });
  });

  test("links: another session's id is not released", () => {
    const r = rig();
    r.hello(3, "another");
    publish(r, 1, 7);
    release(r, 3, 7);
    expect(stored(r)).toEqual({ publisher: [7] });
  });

  test("links: the row goes with the last id", () => {
    const r = rig();
    for (const id of [1, 2, 3]) publish(r, 1, id);
    release(r, 1, 2, 1);
    expect(stored(r)).toEqual({ publisher: [3] });
    release(r, 1, 3);
    expect(r.count("received")).toBe(0);
    r.advance(CHECKPOINT_MS);
    expect(r.shard.deadline).toBeUndefined();
  });
});

describe("a shard that restarts", () => {
  test("[MQTT-4.3.3-10] answers a repeat and does not deliver it", () => {
    const r = rig();
    publish(r, 1, 7);
    expect(r.payloads(2)).toEqual(["7"]);
    r.restart();
    r.hello(12, "subscriber", { link: 2 });
    r.subscribe(12, "t", { qos: 2 });
    r.take(12);
    r.hello(11, "publisher", { link: 2 });
    publish(r, 11, 7);
    publish(r, 11, 8);
    expect(answers(r, 11)).toEqual(["published 7", "published 8"]);
    expect(r.payloads(12)).toEqual(["8"]);
  });

  test("[MQTT-4.3.3-10] and one that wakes from sleep", () => {
    const r = rig();
    publish(r, 1, 7);
    r.advance(CHECKPOINT_MS);
    expect(r.payloads(2)).toEqual(["7"]);
    r.sleep();
    publish(r, 1, 7);
    publish(r, 1, 8);
    expect(answers(r, 1)).toEqual(["published 7", "published 7", "published 8"]);
    expect(r.payloads(2)).toEqual(["8"]);
    expect(stored(r)).toEqual({ publisher: [7, 8] });
  });

  test("[MQTT-4.3.3-12] takes a released id as new", () => {
    const r = rig();
    publish(r, 1, 7);
    release(r, 1, 7);
    r.restart();
    r.hello(11, "publisher", { link: 2 });
    publish(r, 11, 7);
    expect(stored(r)).toEqual({ publisher: [7] });
    expect(r.count("log")).toBe(2);
  });

  test.each([
    ["epoch", { generation: 5, epoch: 8 }],
    ["generation", { generation: 4, epoch: 9 }],
  ])("links: refuses a connection of a lower %s than the ids are of", (_what, fence) => {
    const r = new ShardRig();
    r.hello(1, "publisher", { generation: 5, epoch: 9 });
    publish(r, 1, 7);
    r.restart();
    r.hello(2, "publisher", { ...fence, link: 9 });
    expect(answers(r, 2)).toEqual(["refused 8e"]);
    publish(r, 2, 8);
    expect(stored(r)).toEqual({ publisher: [7] });
    r.hello(3, "publisher", { generation: 5, epoch: 9, link: 2 });
    publish(r, 3, 7);
    expect(answers(r, 3)).toEqual(["published 7"]);
  });

  test("links: a later connection of the same generation keeps the ids, and is what they are of from its first own", () => {
    const r = rig();
    r.hello(3, "publisher", { generation: 1, epoch: 2 });
    r.take(3);
    publish(r, 1, 6);
    expect(stored(r)).toEqual({});
    publish(r, 3, 7);
    r.restart();
    r.hello(4, "publisher", { generation: 1, epoch: 3 });
    publish(r, 4, 7, "repeat");
    publish(r, 4, 8);
    expect(stored(r)).toEqual({ publisher: [7, 8] });
    r.restart();
    r.hello(5, "publisher", { generation: 1, epoch: 2, link: 5 });
    expect(answers(r, 5)).toEqual(["refused 8e"]);
  });

  test("links: waits for a publisher that subscribes to nothing, and forgets it when it does not come", () => {
    const r = new ShardRig();
    r.hello(1, "publisher");
    publish(r, 1, 7);
    r.restart();
    expect(r.shard.alarmAt).toBeDefined();
    r.advance(GRACE_MS - 1_000);
    expect(stored(r)).toEqual({ publisher: [7] });
    r.advance(GRACE_MS);
    expect(stored(r)).toEqual({});
    r.advance(CHECKPOINT_MS);
    expect([r.shard.deadline, r.shard.alarmAt]).toEqual([undefined, undefined]);
    expect(r.count("log")).toBe(0);
  });
});

describe("a shard on which nobody is subscribed", () => {
  test("links: waits all the same for a publisher with ids, when it restarts long after it took them", () => {
    const r = new ShardRig();
    r.hello(1, "publisher");
    publish(r, 1, 7);
    r.advance(5 * GRACE_MS);
    r.restart();
    r.hello(3, "another");
    r.advance(GRACE_MS - 1_000);
    expect(stored(r)).toEqual({ publisher: [7] });
    r.hello(2, "publisher", { link: 2 });
    publish(r, 2, 7);
    r.advance(3 * GRACE_MS);
    expect(stored(r)).toEqual({ publisher: [7] });
    expect(r.count("log")).toBe(0);
  });
});

describe("the end of a session", () => {
  test("[MQTT-3.1.2-6] bye deletes its ids, in whatever frame it comes", () => {
    const r = rig();
    publish(r, 1, 7);
    r.frame(1, (to) => {
      writePublish(to, 8, body("t", "8", { qos: 2 }));
      writeBye(to);
    });
    expect(stored(r)).toEqual({});
    expect(r.payloads(2)).toEqual(["7", "8"]);
  });

  test("[MQTT-3.1.2-6] a higher generation begins without ids", () => {
    const r = rig();
    publish(r, 1, 7, "old");
    r.hello(3, "publisher", { generation: 2, epoch: 2 });
    expect(stored(r)).toEqual({});
    publish(r, 3, 7, "new");
    expect(r.payloads(2)).toEqual(["old", "new"]);
    // The old link says goodbye too late.
    r.frame(1, (to) => writeBye(to));
    expect(stored(r)).toEqual({ publisher: [7] });
  });

  test("[MQTT-3.1.2-6] a higher generation begins without ids after a restart too", () => {
    const r = rig();
    publish(r, 1, 7, "old");
    r.restart();
    r.hello(3, "publisher", { generation: 2, epoch: 2 });
    publish(r, 3, 7, "new");
    expect(r.count("log")).toBe(2);
    expect(stored(r)).toEqual({ publisher: [7] });
  });

  test("links: a will ends the ids of its connection, whose last word it is", () => {
    const r = rig();
    publish(r, 1, 7);
    r.will({ generation: 1, epoch: 1 }, "publisher", body("t", "will"));
    expect(stored(r)).toEqual({});
    expect(r.payloads(2)).toEqual(["7", "will"]);
  });

  test("links: a publisher whose link is lost comes back within the grace, and its repeat is not delivered", () => {
    const r = rig();
    publish(r, 1, 7);
    r.lose(1);
    r.advance(GRACE_MS - 1_000);
    r.hello(3, "publisher", { link: 2 });
    publish(r, 3, 7);
    expect(answers(r, 3)).toEqual(["published 7"]);
    expect(r.payloads(2)).toEqual(["7"]);
    r.advance(3 * GRACE_MS);
    expect(stored(r)).toEqual({ publisher: [7] });
  });

  test("links: a publisher whose link is lost and that has released everything is forgotten at once", () => {
    const r = rig();
    publish(r, 1, 7);
    release(r, 1, 7);
    r.lose(1);
    r.advance(CHECKPOINT_MS);
    expect(r.shard.deadline).toBeUndefined();
  });

  test.each(["stays", "sleeps", "restarts"])(
    "links: ids of a publisher that does not come back are gone after the grace; the shard %s meanwhile",
    (what) => {
      const r = rig();
      publish(r, 1, 7);
      const [delivery] = r.delivered(2);
      r.frame(2, (to) => writeAck(to, delivery!.packetId));
      r.advance(CHECKPOINT_MS);
      r.lose(1);
      if (what === "sleeps") r.sleep();
      if (what === "restarts") r.restart();
      r.advance(GRACE_MS / 2);
      expect(stored(r)).toEqual({ publisher: [7] });
      if (what === "sleeps") r.sleep();
      r.advance(3 * GRACE_MS);
      expect(stored(r)).toEqual({});
      expect([r.shard.deadline, r.shard.alarmAt]).toEqual([undefined, undefined]);
    },
  );

  test("links: the sweep spares who is attached", () => {
    const r = rig();
    r.hello(3, "another");
    publish(r, 1, 7);
    publish(r, 3, 7);
    r.advance(CHECKPOINT_MS);
    r.lose(1);
    r.advance(3 * GRACE_MS);
    expect(stored(r)).toEqual({ another: [7] });
    publish(r, 3, 7, "repeat");
    expect(r.payloads(2)).toEqual(["7", "7"]);
  });
});
