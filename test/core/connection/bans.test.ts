/** What a client is told that is turned away, and what it has cost until then. */
import { describe, expect, test } from "vitest";
import { Reception } from "../../../src/access/reception.ts";
import { type Answer, identityOf, type Question } from "../../../src/core/authentication/asking.ts";
import { OPEN_POLICY } from "../../../src/core/authorization/policy.ts";
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

/** Lets everybody in by its name, and keeps bans, of which it knows for so long. */
class Keeping extends Reception {
  static readonly FRESH_MS = 30_000;
  world!: World;
  kept = new Bans();
  /** As an isolate knows them. */
  #known: Bans | undefined;
  #until = -Infinity;
  asked = 0;

  constructor() {
    const authenticate = ({ username = "u" }) => ({ type: "accepted", identity: identityOf(username) }) as const;
    super({
      authenticators: [{ name: "name", authenticate }],
      mechanisms: [],
      policy: OPEN_POLICY,
      allowAnonymous: false,
      clientIdsPerUser: false,
    });
  }

  override get bans(): Bans | undefined {
    return this.#known;
  }

  override get freshUntil(): number {
    return this.#until;
  }

  override answer(question: Question, now: number): Answer | Promise<Answer> {
    this.asked += 1;
    if (now >= this.#until) {
      this.#known = this.kept;
      this.#until = now + Keeping.FRESH_MS;
    }
    if (question.type !== "current") return super.answer(question, now);
    return { type: "current", doubt: question, identity: question.identity };
  }
}

function keeping() {
  const reception = new Keeping();
  const world = new World({ shards: 2, delayMs: 0, reception });
  world.arrival = { address: "192.0.2.7", token: undefined, certificate: undefined, tenant: undefined };
  return {
    world,
    reception,
    keep: (...bans: Ban[]) => void (reception.kept = new Bans(bans)),
    connect(version: Version = 5, username = "alice") {
      const client = world.client("c", version);
      client.connect({ username });
      world.settle();
      return client;
    },
  };
}

const KINDS = [
  ["clientId", "c"],
  ["user", "alice"],
  ["address", "192.0.2.0/24"],
] as const;

describe("[MQTT §3.2.2.2] a ban that is kept", () => {
  test.each(KINDS)("of a %s turns its client away when it is known, by what is proved or before", (type, value) => {
    const s = keeping();
    s.keep(ban(type, value));
    expect(s.connect().last("connack")).toMatchObject({ reasonCode: 0x8a });
    expect(s.reception.asked).toBe(1);
    const again = s.connect();
    expect(again.last("connack")).toMatchObject({ reasonCode: 0x8a });
    expect(again.closed).toBe(1008);
    // Whose user is banned has to prove first that it is that user.
    expect(s.reception.asked).toBe(type === "user" ? 2 : 1);
    expect(s.connect(4).last("connack")).toMatchObject({ returnCode: 5 });
    expect([...s.world.sessions.keys()]).toEqual([]);
  });

  test.each(KINDS)("of a %s is lifted also where it alone is what anybody asks by", (type, value) => {
    const s = keeping();
    s.keep(ban(type, value));
    s.connect();
    s.keep();
    expect(s.connect().last("connack")).toMatchObject({ reasonCode: 0x8a });
    s.world.advance(Keeping.FRESH_MS);
    expect(s.connect().last("connack")).toMatchObject({ reasonCode: 0 });
  });

  test("that is over lets its client in, though nobody has heard more of it", () => {
    const s = keeping();
    s.keep(ban("clientId", "c", s.world.now + 10_000));
    expect(s.connect().last("connack")).toMatchObject({ reasonCode: 0x8a });
    s.world.advance(10_000);
    expect(s.connect().last("connack")).toMatchObject({ reasonCode: 0 });
  });
});

describe("[MQTT §3.14.2.1] a client that is in and is banned is sent DISCONNECT 0x98, before MQTT 5 it is closed", () => {
  test.each(KINDS.flatMap((kind) => ([5, 4] as const).map((version) => [...kind, version] as const)))(
    "by its %s %s, version %i, at what passes when what is known is old",
    (type, value, version) => {
      const s = keeping();
      const client = s.connect(version);
      s.keep(ban(type, value));
      s.world.advance(Keeping.FRESH_MS - 1);
      client.publish("a", "1", { qos: 1 });
      s.world.settle();
      expect(client.all("puback")).toHaveLength(1);
      s.world.advance(1);
      expect(client.closed).toBeUndefined();
      client.publish("a", "2", { qos: 1 });
      s.world.settle();
      expect(client.all("puback")).toHaveLength(1);
      const disconnect = client.last("disconnect");
      if (version === 5) expect(disconnect).toMatchObject({ reasonCode: 0x98 });
      else expect(disconnect).toBeUndefined();
      // It is not told which of the three it is, or why.
      expect(disconnect?.properties?.["reasonString"]).toBeUndefined();
      expect(client.closed).toBe(1008);
      expect(client.driver.reports).toMatchObject([{ reason: 0x98, detail: expect.stringContaining("banned: spam") }]);
      expect(s.connect(version).last("connack")).toMatchObject(
        version === 5 ? { reasonCode: 0x8a } : { returnCode: 5 },
      );
    },
  );

  test("or at what comes for it, which it does not get", () => {
    const s = keeping();
    const client = s.connect();
    client.subscribe("a", 1);
    s.world.settle();
    s.world.arrival = { address: undefined, token: undefined, certificate: undefined, tenant: undefined };
    const sender = s.world.connected("sender", { username: "bob" });
    s.keep(ban("address", "192.0.2.7"));
    s.world.advance(Keeping.FRESH_MS);
    sender.publish("a", "1", { qos: 1 });
    s.world.settle();
    expect(client.payloads).toEqual([]);
    expect(client.last("disconnect")).toMatchObject({ reasonCode: 0x98 });
    expect(sender.closed).toBeUndefined();
  });
});
