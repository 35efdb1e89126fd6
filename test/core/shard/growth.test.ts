/** What must not grow with the number of sessions, retained messages or links that a shard knows. */
import { describe, expect, test } from "vitest";
import { GRACE_MS } from "../../../src/core/shard/grace.ts";
import { writeAck, writeBye } from "../../../src/link/records.ts";
import { body, ShardRig } from "../../support/shard-rig.ts";

/** More than a page of rows. */
const SESSIONS = 1_050;

/** So many sessions that are away; a publisher on link 1. */
function away(sessions: number, ...filters: string[]): ShardRig {
  const r = new ShardRig();
  r.advance(GRACE_MS + 1);
  r.hello(1, "publisher");
  for (let number = 0; number < sessions; number++) {
    r.hello(2, `device ${number}`, { persistent: true });
    for (const filter of filters) r.subscribe(2, filter);
    r.frame(2, writeBye);
    r.lose(2);
  }
  r.advance(60_000);
  return r;
}

function resume(r: ShardRig, session: string, filter: string): string[] {
  const terms = { qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0, identifier: 0 } as const;
  const subscriptions = [{ ...terms, number: 1, filter, start: undefined, scan: undefined }];
  r.hello(3, session, { persistent: true, epoch: r.now, subscriptions });
  const delivered = r.delivered(3);
  for (const { packetId } of delivered) r.frame(3, (to) => writeAck(to, packetId));
  r.frame(3, writeBye);
  r.lose(3);
  return delivered.map(({ payload }) => payload);
}

describe("sessions that are away", () => {
  test("costs: a message for all of them writes a row of the log and none of theirs, and each has it after a restart", () => {
    const r = away(20, "t");
    r.publish(1, body("t", "before"));
    for (let number = 0; number < 20; number++) expect(resume(r, `device ${number}`, "t")).toEqual(["before"]);
    r.advance(60_000);
    const { run } = r.sql;
    const written: string[] = [];
    r.sql.run = (query, ...parameters) => {
      written.push(/INTO (\w+)/.exec(query)?.[1] ?? query);
      run.call(r.sql, query, ...parameters);
    };
    r.publish(1, body("t", "1"));
    r.advance(60_000);
    expect(written).toEqual(["log"]);
    r.restart();
    r.advance(GRACE_MS + 1);
    r.hello(1, "publisher", { link: 2 });
    r.publish(1, body("t", "2"));
    for (let number = 0; number < 20; number++) expect(resume(r, `device ${number}`, "t")).toEqual(["1", "2"]);
  });

  test("links: all of them are there after a restart, with all of their subscriptions", () => {
    const r = away(SESSIONS, "t", "u");
    r.restart();
    r.advance(GRACE_MS + 1);
    r.hello(1, "publisher");
    r.publish(1, body("t", "1"));
    r.publish(1, body("u", "2"));
    r.sleep();
    for (const number of [0, 7, 999, SESSIONS - 1]) {
      expect(resume(r, `device ${number}`, "t")).toEqual(["1"]);
    }
    expect(r.count("session")).toBe(SESSIONS);
  });
});

describe("retained messages", () => {
  test("links: few with a prefix and many come in the order in which they were set", () => {
    const r = new ShardRig();
    r.hello(1, "publisher");
    r.hello(2, "subscriber", { grants: 10_000 });
    const topics = Array.from({ length: 1_500 }, (_, i) => `many/${(i * 7919) % 1_500}/${i < 3 ? "few" : "x"}`);
    for (const topic of topics) r.publish(1, body(topic, topic, { retain: true }));
    r.take(2);
    r.subscribe(2, "many/#");
    expect(r.payloads(2)).toEqual(topics);
    r.subscribe(2, "many/838/#");
    expect(r.payloads(2)).toEqual(["many/838/few"]);
    r.subscribe(2, "many/+/few");
    expect(r.payloads(2)).toEqual(topics.slice(0, 3));
  });
});

describe("lost links", () => {
  test("links: of many the alarm is set for the one that was lost first and has not come back", () => {
    const r = new ShardRig();
    r.advance(GRACE_MS + 1);
    r.hello(1, "publisher");
    for (const [link, session] of [
      [2, "a"],
      [3, "b"],
      [4, "nobody"],
      [5, "c"],
    ] as const) {
      r.hello(link, session);
      if (session !== "nobody") r.subscribe(link, "t");
    }
    r.advance(5_000);
    const start = r.now;
    for (const link of [4, 2, 3, 5]) {
      r.now += 1_000;
      r.lose(link);
    }
    expect(r.shard.alarmAt).toBe(start + 2_000 + GRACE_MS);
    r.hello(6, "a", { link: 2, cursor: 0 });
    expect(r.shard.alarmAt).toBe(start + 3_000 + GRACE_MS);
    r.advance(3_000 + GRACE_MS);
    r.hello(7, "publisher", { link: 2 });
    r.publish(7, body("t"));
    expect(r.count("log")).toBe(0);
  });
});
