/** What a client is told that is turned away, and what it has cost until then. */
import { describe, expect, test } from "vitest";
import type { Ban } from "../../../src/core/bans/bans.ts";
import { Bans } from "../../../src/core/bans/bans.ts";
import { Door } from "../../../src/core/bans/door.ts";
import { Flapping, type FlappingConfig } from "../../../src/core/bans/flapping.ts";
import { receptionWith } from "../../support/reception.ts";
import { usersWith } from "../../support/users.ts";
import type { Version } from "../../sim/world/client.ts";
import { World } from "../../sim/world/world.ts";

function scene(bans: Ban[], flapping: FlappingConfig = { connects: 0, seconds: 60, banSeconds: 300 }) {
  const users = usersWith({ alice: "pencil" });
  const reception = receptionWith(users, { allowAnonymous: true });
  let asked = 0;
  const answer = reception.answer.bind(reception);
  reception.answer = (...question) => {
    asked += 1;
    return answer(...question);
  };
  const world = new World({ reception, door: new Door(new Bans(bans), new Flapping(flapping)) });
  world.arrival = { address: "192.0.2.7", token: undefined, certificate: undefined, tenant: undefined };
  return {
    world,
    get asked() {
      return asked;
    },
    connect(version: Version = 5, options: object = {}, id = "c") {
      const client = world.client(id, version);
      client.connect(options);
      world.settle();
      return client;
    },
  };
}

const ban = (type: Ban["type"], value: string, until?: number): Ban => ({ type, value, until, why: "spam" });
const ALICE = { username: "alice", password: Buffer.from("pencil") };

describe("[MQTT §3.2.2.2] a banned client is answered 0x8A, or 5 before MQTT 5, and nothing is opened for it", () => {
  test.each<[Ban["type"], string, Version, number]>([
    ["clientId", "c", 5, 0],
    ["clientId", "c", 4, 0],
    ["address", "192.0.2.0/24", 5, 0],
    ["address", "192.0.2.7", 3, 0],
    ["user", "alice", 5, 1],
    ["user", "alice", 4, 1],
  ])("by its %s %s, version %i, with %i questions asked", (type, value, version, questions) => {
    const s = scene([ban(type, value)]);
    const client = s.connect(version, ALICE);
    expect(client.last("connack")).toMatchObject(version === 5 ? { reasonCode: 0x8a } : { returnCode: 5 });
    // The client is not told which of the three it is, or why.
    expect(client.last("connack")!.properties?.["reasonString"]).toBeUndefined();
    expect(client.closed).toBe(1008);
    expect(client.driver.reports).toMatchObject([{ reason: 0x8a, detail: expect.stringContaining("banned: spam") }]);
    expect(s.asked).toBe(questions);
    expect([...s.world.sessions.keys()]).toEqual([]);
  });
});

test("a wrong password is a wrong password, also of a user who is banned", () => {
  const client = scene([ban("user", "alice")]).connect(5, { ...ALICE, password: Buffer.from("no") });
  expect(client.last("connack")!.reasonCode).toBe(0x86);
});

test("a ban that is over lets its client in", () => {
  const { now } = new World();
  const s = scene([ban("clientId", "c", now + 60_000)]);
  expect(s.connect().last("connack")!.reasonCode).toBe(0x8a);
  s.world.advance(60_000);
  expect(s.connect().last("connack")!.reasonCode).toBe(0);
});

test("a client id that is assigned is judged as any other", () => {
  const s = scene([ban("clientId", "auto-0")]);
  expect(s.connect(5, {}, "").last("connack")!.reasonCode).toBe(0x8a);
});

test("a session whose client connects too often is kept out for a while, and nobody else is", () => {
  const s = scene([], { connects: 3, seconds: 60, banSeconds: 300 });
  const codes = [1, 2, 3, 4, 5].map(() => s.connect().last("connack")!.reasonCode);
  expect(codes).toEqual([0, 0, 0, 0x8a, 0x8a]);
  // The same client id of a user is another session.
  expect(s.connect(5, ALICE).last("connack")!.reasonCode).toBe(0);
  s.world.advance(300_000);
  expect(s.connect().last("connack")!.reasonCode).toBe(0);
});

test("connects with a wrong password are not counted as the session's", () => {
  const s = scene([], { connects: 1, seconds: 60, banSeconds: 300 });
  for (let count = 0; count < 5; count++) s.connect(5, { ...ALICE, password: Buffer.from("no") });
  expect(s.connect(5, ALICE).last("connack")!.reasonCode).toBe(0);
});
