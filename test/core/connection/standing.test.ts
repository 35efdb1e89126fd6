/** What is known of a client gets old: when it is asked again, what waits for the answer, and what becomes of it. */
import { describe, expect, test } from "vitest";
import { Reception } from "../../../src/access/reception.ts";
import { type Answer, type Doubt, identityOf, type Question } from "../../../src/core/authentication/asking.ts";
import { OPEN_POLICY, type Policy, RuledPolicy } from "../../../src/core/authorization/policy.ts";
import { ACTIONS } from "../../../src/core/authorization/rule.ts";
import { HOLD_MS } from "../../../src/core/connection/standing.ts";
import type { Version } from "../../sim/world/client.ts";
import { World } from "../../sim/world/world.ts";

const FRESH_MS = 30_000;

/** Lets everybody in, and knows for {@link FRESH_MS} what it knows; answers at once, or when the test does. */
class Changing extends Reception {
  world!: World;
  rules: Policy = OPEN_POLICY;
  answers = true;
  gone = false;
  readonly doubts: Doubt[] = [];
  #until = -Infinity;

  constructor() {
    const byName = { name: "name", authenticate: () => ({ type: "accepted", identity: identityOf("u") }) as const };
    super({
      authenticators: [byName],
      mechanisms: [],
      policy: OPEN_POLICY,
      allowAnonymous: false,
      clientIdsPerUser: false,
    });
  }

  override get policy(): Policy {
    return this.rules;
  }

  override get freshUntil(): number {
    return this.#until;
  }

  override answer(question: Question, now: number): Answer | Promise<Answer> {
    if (question.type !== "current") {
      this.#until = now + FRESH_MS;
      return super.answer(question, now);
    }
    this.doubts.push(question);
    if (this.answers) return this.resolve(question);
    // Nobody has asked that: it is an answer to nothing.
    return { type: "current", doubt: { ...question }, identity: question.identity };
  }

  resolve(doubt = this.doubts.at(-1)!): Answer {
    this.#until = this.world.now + FRESH_MS;
    return { type: "current", doubt, identity: this.gone ? undefined : doubt.identity };
  }
}

function site(version: Version = 5) {
  const reception = new Changing();
  const world = new World({ shards: 2, delayMs: 0, reception });
  reception.world = world;
  const client = world.connected("client", {}, version);
  const other = world.connected("other");
  const only = (...filters: string[]) =>
    void (reception.rules = new RuledPolicy(filters.map((filter) => ({ effect: "allow", actions: ACTIONS, filter }))));
  return { reception, world, client, other, only };
}

describe("it is asked", () => {
  test("not while what is known is fresh, and not by a client that says nothing, pings or leaves", () => {
    const { reception, world, client } = site();
    client.publish("a", "1", { qos: 1 });
    world.advance(FRESH_MS - 1);
    client.publish("a", "2", { qos: 1 });
    world.settle();
    world.advance(10 * FRESH_MS);
    client.send({ cmd: "pingreq" });
    world.settle();
    expect(client.all("pingresp")).toHaveLength(1);
    client.send({ cmd: "disconnect" });
    world.settle();
    expect(client.closed).toBe(1000);
    expect(reception.doubts).toEqual([]);
  });

  test("once for all that comes at once, and again when that is old", () => {
    const { reception, world, client } = site();
    world.advance(FRESH_MS);
    for (const payload of ["1", "2", "3"]) client.publish("a", payload, { qos: 1 });
    world.settle();
    expect(client.all("puback")).toHaveLength(3);
    expect(reception.doubts).toHaveLength(1);
    world.advance(FRESH_MS - 1);
    client.publish("a", "4", { qos: 1 });
    world.settle();
    expect(reception.doubts).toHaveLength(1);
    world.advance(1);
    client.subscribe("a", 1);
    world.settle();
    expect(reception.doubts).toHaveLength(2);
  });

  test("before a delivery to a client that says nothing", () => {
    const { reception, world, client, other } = site();
    client.subscribe("a", 0);
    world.settle();
    world.advance(FRESH_MS);
    other.publish("a", "1", { qos: 1 });
    world.settle();
    expect(client.payloads).toEqual(["1"]);
    // One for each of the two.
    expect(reception.doubts).toHaveLength(2);
  });
});

describe("the answer", () => {
  test("may take rights away, and give others", () => {
    const { world, client, only } = site();
    only("b");
    client.publish("a", "still known to be allowed", { qos: 1 });
    world.settle();
    world.advance(FRESH_MS);
    client.publish("a", "forbidden", { qos: 1 });
    client.publish("b", "allowed", { qos: 1 });
    world.settle();
    expect(client.all("puback").map(({ reasonCode = 0 }) => reasonCode)).toEqual([0, 0x87, 0]);
  });

  test.each([0, 1, 2] as const)("takes a subscription away, and what is under way of it at QoS %i", (qos) => {
    const { world, client, only } = site();
    client.subscribe("a", 2);
    client.subscribe("b", 2);
    world.settle();
    only("b");
    world.advance(FRESH_MS);
    reach(world, "a", "forbidden", qos);
    world.advance(1_000);
    expect(client.payloads).toEqual([]);
    expect(client.driver.denied).toContain("subscribe a");
    reach(world, "b", "allowed", 1);
    world.advance(1_000);
    expect(client.payloads).toEqual(["allowed"]);
    expect(client.closed).toBeUndefined();
    expect(client.unsubscribe("a")).toBeGreaterThan(0);
    world.settle();
    expect(client.last("unsuback")).toMatchObject({ granted: [0x11] });
  });

  test.each([5, 4] as const)("ends the connection of a user who is gone, in version %i", (version) => {
    const { reception, world, client } = site(version);
    reception.gone = true;
    world.advance(FRESH_MS);
    client.publish("a", "1", { qos: 1 });
    world.settle();
    expect(client.all("puback")).toEqual([]);
    if (version === 5) expect(client.last("disconnect")).toMatchObject({ reasonCode: 0x87 });
    expect(client.closed).toBe(1008);
  });
});

/** Publishes by a client that is allowed to whatever the rules are. */
function reach(world: World, topic: string, payload: string, qos: 0 | 1 | 2): void {
  const reception = world.reception as Changing;
  const { rules } = reception;
  reception.rules = OPEN_POLICY;
  const sender = world.connected(`sender of ${payload}`);
  reception.rules = rules;
  sender.publish(topic, payload, { qos });
  world.settle();
}

describe("while there is no answer", () => {
  function waiting(version: Version = 5) {
    const all = site(version);
    all.client.subscribe("a", 1);
    all.world.settle();
    all.world.advance(FRESH_MS);
    all.reception.answers = false;
    reach(all.world, "a", "1", 1);
    reach(all.world, "a", "2", 1);
    expect(all.reception.doubts).toHaveLength(1);
    return all;
  }

  test("packets and deliveries wait, and go on in their order when it comes", () => {
    const { reception, world, client } = waiting();
    client.publish("b", "x", { qos: 1 });
    client.publish("b", "y", { qos: 1 });
    client.send({ cmd: "pingreq" });
    world.settle();
    expect([client.payloads, client.acknowledged, client.all("pingresp")]).toEqual([[], [], []]);
    client.driver.answered(reception.resolve());
    world.settle();
    expect(client.payloads).toEqual(["1", "2"]);
    expect(client.acknowledged).toHaveLength(2);
    expect(client.all("pingresp")).toHaveLength(1);
    expect(reception.doubts).toHaveLength(1);
  });

  test("they wait no longer than so long, and a later answer counts", () => {
    const { reception, world, client } = waiting();
    client.publish("b", "x", { qos: 1 });
    world.advance(HOLD_MS - 1);
    expect(client.payloads).toEqual([]);
    world.advance(1);
    world.settle();
    expect(client.payloads).toEqual(["1", "2"]);
    expect(client.acknowledged).toHaveLength(1);
    reception.gone = true;
    client.driver.answered(reception.resolve());
    world.settle();
    expect(client.last("disconnect")).toMatchObject({ reasonCode: 0x87 });
  });

  test("it is asked again, but not at once", () => {
    const { reception, world, client } = waiting();
    world.advance(HOLD_MS);
    client.publish("b", "x", { qos: 1 });
    world.settle();
    expect(reception.doubts).toHaveLength(1);
    world.advance(1_000);
    client.publish("b", "y", { qos: 1 });
    world.settle();
    expect(reception.doubts).toHaveLength(2);
    const [first] = reception.doubts;
    reception.gone = true;
    client.driver.answered(reception.resolve(first));
    expect(client.closed).toBeUndefined();
  });

  test("what a link brought is lost with it, and comes again", () => {
    const { reception, world, client } = waiting();
    client.driver.links.forEach((link, name) => name !== "session" && link.cut());
    world.advance(200);
    expect(client.payloads).toEqual([]);
    client.driver.answered(reception.resolve());
    world.advance(1_000);
    expect(client.payloads).toEqual(["1", "2"]);
  });

  test("a client may leave, or be cut off, and its end is settled", () => {
    for (const leave of ["disconnect", "cut"] as const) {
      const { world, client } = waiting();
      if (leave === "cut") client.cut();
      else client.send({ cmd: "disconnect" });
      world.advance(HOLD_MS + 10_000);
      expect(client.driver.done, leave).toBe(true);
      expect(client.driver.connection.deadline, leave).toBeUndefined();
    }
  });

  test.each(["the user is gone", "the rules are others", "nothing changed"])(
    "a will is published or not: %s",
    (what) => {
      const { reception, world, other, only } = site();
      other.subscribe("will", 1);
      const client = world.client("mortal");
      client.connect({ will: { topic: "will", payload: Buffer.from("gone"), qos: 1, retain: false } });
      world.advance(FRESH_MS - 1_000);
      // The one who listens knows what it may for longer.
      other.publish("x", "", { qos: 0 });
      world.advance(1_000);
      if (what === "the rules are others") only("x");
      reception.gone = what === "the user is gone";
      client.publish("x", "", { qos: 0 });
      world.settle();
      reception.gone = false;
      client.cut();
      only("x", "will");
      world.advance(10_000);
      expect(other.payloads).toEqual(what === "nothing changed" ? ["gone"] : []);
      expect(client.driver.denied).toEqual(what === "nothing changed" ? [] : ["will will"]);
    },
  );

  test.each([true, false])("who publishes and leaves at once has published (with DISCONNECT: %s)", (politely) => {
    const { reception, world, other } = site();
    other.subscribe("a", 1);
    other.subscribe("will", 1);
    const client = world.client("leaving");
    const will = { topic: "will", payload: Buffer.from("gone"), qos: 0 as const, retain: false };
    client.connect({ will });
    world.advance(FRESH_MS);
    reception.answers = false;
    client.publish("a", "last");
    if (politely) client.send({ cmd: "disconnect" });
    world.settle();
    client.cut();
    world.settle();
    client.driver.answered(reception.resolve());
    other.driver.answered(reception.resolve(reception.doubts.find((doubt) => doubt !== reception.doubts.at(-1))));
    world.advance(10_000);
    expect(other.payloads).toEqual(politely ? ["last"] : ["last", "gone"]);
    expect(client.driver.done).toBe(true);
  });

  test("a client with a short keep alive that is not listened to is not silent", () => {
    const reception = new Changing();
    const world = new World({ shards: 2, delayMs: 0, reception });
    reception.world = world;
    const client = world.connected("client", { keepalive: 1 });
    for (let ms = 0; ms < FRESH_MS; ms += 1_000) {
      client.send({ cmd: "pingreq" });
      world.advance(1_000);
    }
    reception.answers = false;
    client.publish("a", "1", { qos: 1 });
    world.advance(1_000);
    client.send({ cmd: "pingreq" });
    const { steps } = world;
    world.advance(HOLD_MS - 1_001);
    // Nothing spins.
    expect(world.steps - steps).toBeLessThan(20);
    world.advance(1);
    world.settle();
    expect(client.closed).toBeUndefined();
    expect(client.acknowledged).toHaveLength(1);
  });

  test("a client that sends more than may wait goes on", () => {
    const reception = new Changing();
    const world = new World({ shards: 2, delayMs: 0, reception, limits: { packetBytesMax: 2048 } });
    reception.world = world;
    const client = world.connected("client");
    world.advance(FRESH_MS);
    reception.answers = false;
    for (let count = 0; count < 20; count++) client.publish("a", "x".repeat(500), { qos: 1 });
    world.settle();
    expect(client.closed).toBeUndefined();
    expect(client.acknowledged).toHaveLength(20);
  });
});
