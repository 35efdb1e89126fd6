/** A client that somebody is asked about before it may do something: what it sends waits, keeps its order and is not lost. */
import { describe, expect, test } from "vitest";
import type { Authorizer } from "../../../src/access/authorizer.ts";
import type { Directory } from "../../../src/access/directory.ts";
import { Reception } from "../../../src/access/reception.ts";
import { type Answer, type Decide, identityOf, type Question } from "../../../src/core/authentication/asking.ts";
import { OPEN_POLICY, RuledPolicy } from "../../../src/core/authorization/policy.ts";
import { ACTIONS, type Rule } from "../../../src/core/authorization/rule.ts";
import type { Client } from "../../sim/world/client.ts";
import { World, type WorldOptions } from "../../sim/world/world.ts";

const ALL: Rule = { effect: "allow", actions: ACTIONS, filter: "#", user: "all" };
const ANSWER_MS = 500;
const keeping = { username: "u", clean: false, properties: { sessionExpiryInterval: 3600 } };

/** Allows what begins with `ok`, each answer after {@link ANSWER_MS}. */
class Asking implements Authorizer {
  readonly questions: Decide[] = [];
  readonly world: World;
  seconds = 60;
  problem: string | undefined;
  allows = (filter: string): boolean => filter.startsWith("ok");

  constructor({ answerMs, ...options }: WorldOptions = {}, rules: readonly Rule[] = []) {
    const reception = new Reception({
      authenticators: [
        { name: "name", authenticate: ({ username }) => ({ type: "accepted", identity: identityOf(username) }) },
      ],
      mechanisms: [
        { method: "WORD", begin: () => ({ step: () => ({ type: "accepted", identity: identityOf("u") }) }) },
      ],
      policy: new RuledPolicy([ALL, ...rules]),
      authorizer: this,
      allowAnonymous: false,
      clientIdsPerUser: false,
    });
    const late = ({ type }: Question) => (type === "decide" ? ANSWER_MS : undefined);
    this.world = new World({ shards: 2, delayMs: 0, reception, answerMs: answerMs ?? late, ...options });
  }

  authorize(question: Decide) {
    this.questions.push(question);
    const allowed = this.problem ? [] : question.needs.map(({ filter }) => this.allows(filter));
    return {
      type: "decided" as const,
      allowed,
      seconds: this.seconds,
      ...(this.problem !== undefined && { problem: this.problem }),
    };
  }

  get asked(): string[] {
    return this.questions.map(({ needs }) => needs.map(({ action, filter }) => `${action} ${filter}`).join(", "));
  }

  listener(): Client {
    const all = this.world.connected("listener", { username: "all" });
    all.subscribe("#", 2);
    this.world.settle();
    return all;
  }

  /** Until nothing more has to be asked. */
  settle(): void {
    this.world.advance(10 * ANSWER_MS);
  }
}

describe("a PUBLISH that has to be asked about", () => {
  test("waits for the answer, and what follows waits behind it, in order", () => {
    const asking = new Asking();
    const all = asking.listener();
    const client = asking.world.connected("c", { username: "u" });
    const payloads = Array.from({ length: 1000 }, (_, at) => `${at}`);
    for (const payload of payloads) client.publish("ok", payload, { qos: Number(payload) % 4 === 0 ? 1 : 0 });
    client.send({ cmd: "pingreq" });
    asking.world.advance(ANSWER_MS - 1);
    expect([all.payloads, client.received.map(({ cmd }) => cmd)]).toEqual([[], ["connack"]]);
    asking.settle();
    expect(all.payloads).toEqual(payloads);
    expect(client.all("puback")).toHaveLength(250);
    expect(client.all("pingresp")).toHaveLength(1);
    expect(asking.asked).toEqual(["publish ok"]);
  });

  test.each([0, 1, 2] as const)("goes nowhere at QoS %i if the answer is no", (qos) => {
    const asking = new Asking();
    const all = asking.listener();
    const client = asking.world.connected("c", { username: "u" });
    client.publish("no", "1", { qos });
    client.publish("ok", "2", { qos });
    client.publish("no", "3", { qos });
    asking.settle();
    expect(all.payloads).toEqual(["2"]);
    expect(asking.asked).toEqual(["publish no", "publish ok"]);
    expect(client.driver.denied).toEqual(["publish no", "publish no"]);
  });

  test("has an alias, which is set once and used behind it", () => {
    const asking = new Asking();
    const all = asking.listener();
    const client = asking.world.connected("c", { username: "u" });
    for (const topic of ["no", "ok/1", "ok/2"]) {
      client.publish(topic, `${topic} set`, { qos: 1, properties: { topicAlias: 1 } });
      client.publish("", `${topic} used`, { qos: 1, properties: { topicAlias: 1 } });
    }
    asking.settle();
    expect(all.payloads.toSorted()).toEqual(["ok/1 set", "ok/1 used", "ok/2 set", "ok/2 used"]);
    expect(asking.asked).toEqual(["publish no", "publish ok/1", "publish ok/2"]);
  });

  test("of QoS 2 is one message, though it is sent again while it waits", () => {
    const asking = new Asking();
    const all = asking.listener();
    const client = asking.world.connected("c", { username: "u" }, 4);
    client.publish("ok", "x", { qos: 2, messageId: 7 });
    client.publish("ok", "x", { qos: 2, messageId: 7, dup: true });
    asking.settle();
    expect(all.payloads).toEqual(["x"]);
    expect(client.closed).toBeUndefined();
  });

  test("with RETAIN is two things at once", () => {
    const asking = new Asking();
    const client = asking.world.connected("c", { username: "u" });
    client.publish("ok", "1", { qos: 1 });
    client.publish("ok", "2", { qos: 1, retain: true });
    client.publish("ok/more", "3", { qos: 1, retain: true });
    asking.settle();
    expect(asking.asked).toEqual(["publish ok", "retain ok", "publish ok/more, retain ok/more"]);
  });

  test("that a rule is about is not asked about", () => {
    const rules: Rule[] = [
      { effect: "allow", actions: ["publish"], filter: "rule/#" },
      { effect: "deny", actions: ["publish"], filter: "rule/no" },
      { effect: "deny", actions: ["publish"], filter: "ok/no" },
    ];
    const asking = new Asking({}, rules);
    const all = asking.listener();
    const client = asking.world.connected("c", { username: "u" });
    for (const topic of ["rule/a", "rule/no", "ok/no", "$SYS/x"]) client.publish(topic, topic, { qos: 1 });
    asking.world.settle();
    expect(all.payloads).toEqual(["rule/a"]);
    expect(asking.asked).toEqual([]);
    expect(client.all("puback").map(({ reasonCode = 0 }) => reasonCode)).toEqual([0x87, 0x87, 0x87, 0]);
  });

  test("is asked about again when the answer has become too old", () => {
    const asking = new Asking();
    const client = asking.world.connected("c", { username: "u" });
    const publish = (): void => {
      client.publish("ok", "x", { qos: 1 });
      asking.settle();
    };
    publish();
    publish();
    expect(asking.questions).toHaveLength(1);
    asking.allows = () => false;
    asking.world.advance(60_000);
    publish();
    expect(asking.questions).toHaveLength(2);
    expect(client.all("puback").map(({ reasonCode = 0 }) => reasonCode)).toEqual([0, 0, 0x87]);
  });

  test("is asked about each time, if nothing is remembered", () => {
    const asking = new Asking();
    asking.seconds = 0;
    const client = asking.world.connected("c", { username: "u" });
    for (let count = 1; count <= 3; count++) {
      client.publish("ok", "x", { qos: 1 });
      client.subscribe("ok/#");
      asking.settle();
      expect([client.all("puback").length, client.all("suback").length]).toEqual([count, count]);
    }
    expect(asking.questions).toHaveLength(6);
  });

  test("is denied if nobody knows, and the log says why", () => {
    const asking = new Asking();
    asking.problem = "it is away";
    asking.seconds = 5;
    const client = asking.world.connected("c", { username: "u" });
    client.publish("ok", "x", { qos: 1 });
    asking.settle();
    expect(client.last("puback")).toMatchObject({ reasonCode: 0x87 });
    expect(client.driver.undecided).toEqual(["it is away"]);
    asking.problem = undefined;
    asking.world.advance(5_000);
    client.publish("ok", "x", { qos: 1 });
    asking.settle();
    expect(client.last("puback")?.reasonCode ?? 0).toBe(0);
  });
});

describe("a client that waits", () => {
  test("may leave: what it has sent is still done, and its will is published or not as it said", () => {
    for (const politely of [true, false]) {
      const asking = new Asking();
      const all = asking.listener();
      const will = { topic: "ok/will", payload: Buffer.from("gone"), qos: 1 as const, retain: false };
      const client = asking.world.client("c");
      client.connect({ username: "u", will });
      asking.settle();
      client.publish("ok", "last");
      client.publish("ok/other", "very last");
      if (politely) client.send({ cmd: "disconnect" });
      asking.world.settle();
      client.cut();
      asking.settle();
      expect(all.payloads.toSorted()).toEqual(politely ? ["last", "very last"] : ["gone", "last", "very last"]);
      expect(client.driver.done).toBe(true);
    }
  });

  test("is not silent", () => {
    const asking = new Asking({ answerMs: ({ type }) => (type === "decide" ? 10_000 : undefined) });
    const client = asking.world.connected("c", { username: "u", keepalive: 1 });
    client.publish("ok", "x", { qos: 1 });
    asking.world.advance(10_001);
    expect(client.closed).toBeUndefined();
    expect(client.all("puback")).toHaveLength(1);
    asking.world.advance(1_600);
    expect(client.last("disconnect")).toMatchObject({ reasonCode: 0x8d });
  });

  test("gets what others publish meanwhile, and acknowledges it afterwards", () => {
    const asking = new Asking();
    const client = asking.world.connected("c", { username: "u" });
    client.subscribe("ok/in", 1);
    asking.settle();
    client.publish("ok/out", "x", { qos: 1 });
    const publisher = asking.world.connected("all", { username: "all" });
    publisher.publish("ok/in", "meanwhile", { qos: 1 });
    asking.world.settle();
    expect(client.payloads).toEqual(["meanwhile"]);
    expect(client.all("puback")).toHaveLength(0);
    asking.settle();
    expect(client.all("puback")).toHaveLength(1);
    expect(client.closed).toBeUndefined();
  });

  test("is disconnected if it sends more than can be held", () => {
    const asking = new Asking({ limits: { packetBytesMax: 10_000 } });
    const client = asking.world.connected("c", { username: "u" });
    for (let at = 0; at < 30; at++) client.publish("ok", "x".repeat(1000));
    asking.world.settle();
    expect(client.last("disconnect")).toMatchObject({ reasonCode: 0x97 });
    asking.settle();
    expect(client.driver.done).toBe(true);
  });

  test("is taken over", () => {
    const asking = new Asking();
    const all = asking.listener();
    const first = asking.world.connected("c", keeping);
    first.publish("ok", "of the first", { qos: 1 });
    const second = asking.world.connected("c", keeping);
    expect(first.last("disconnect")).toMatchObject({ reasonCode: 0x8e });
    asking.settle();
    second.publish("ok", "of the second", { qos: 1 });
    asking.settle();
    expect(all.payloads).toEqual(["of the second"]);
  });
});

describe("a SUBSCRIBE that has to be asked about", () => {
  test("is one question for all of its filters that are any", () => {
    const asking = new Asking();
    const client = asking.world.connected("c", { username: "u" });
    client.subscribe([{ topic: "ok/#" }, { topic: "no" }, { topic: "$share/g/ok/+" }, { topic: "a/#/b" }]);
    client.subscribe("ok/#");
    asking.settle();
    expect(client.all("suback").map(({ granted }) => granted)).toEqual([[1, 0x87, 1, 0x8f], [1]]);
    expect(asking.asked).toEqual(["subscribe ok/#, subscribe no, subscribe ok/+"]);
  });

  test("may have more filters than are remembered", () => {
    const asking = new Asking();
    const client = asking.world.connected("c", { username: "u" });
    const topics = Array.from({ length: 1000 }, (_, at) => ({ topic: `ok/${at}` }));
    client.subscribe(topics);
    asking.settle();
    expect(client.last("suback")!.granted).toEqual(topics.map(() => 1));
    expect(asking.questions).toHaveLength(1);
  });
});

describe("a will that has to be asked about", () => {
  const will = (topic: string) => ({ topic, payload: Buffer.from("gone"), qos: 1 as const, retain: true });

  test.each([
    ["ok", 0],
    ["no", 0x87],
  ])("to %s is decided before anybody hears of the client", (topic, reasonCode) => {
    const asking = new Asking();
    const client = asking.world.client("c");
    client.connect({ username: "u", will: will(topic) });
    client.publish("ok", "behind it", { qos: 1 });
    asking.world.advance(ANSWER_MS - 1);
    expect([client.received, asking.world.sessions.size]).toEqual([[], 0]);
    asking.settle();
    expect(client.last("connack")).toMatchObject({ reasonCode });
    expect(asking.asked[0]).toBe(`publish ${topic}, retain ${topic}, will ${topic}`);
    expect(client.all("puback")).toHaveLength(reasonCode === 0 ? 1 : 0);
  });

  test("has the time that CONNECT has, and an answer after that finds nobody", () => {
    const asking = new Asking({ answerMs: ({ type }) => (type === "decide" ? 20_000 : undefined) });
    const client = asking.world.client("c");
    client.connect({ username: "u", will: will("ok") });
    asking.world.advance(10_001);
    expect(client.last("connack")).toMatchObject({ reasonCode: 0x87 });
    asking.world.advance(20_000);
    expect([client.driver.done, asking.world.sessions.size]).toEqual([true, 0]);
  });

  test("of a client that leaves meanwhile is nobody's", () => {
    const asking = new Asking();
    const all = asking.listener();
    const client = asking.world.client("c");
    client.connect({ username: "u", will: will("ok") });
    asking.world.settle();
    client.cut();
    asking.settle();
    expect([client.driver.done, all.payloads]).toEqual([true, []]);
  });
});

describe("subscriptions of a session that goes on", () => {
  function resuming(filters: readonly string[]): Asking {
    const asking = new Asking();
    const client = asking.world.connected("c", keeping);
    client.subscribe(filters.map((topic) => ({ topic })));
    asking.settle();
    client.cut();
    asking.settle();
    asking.questions.length = 0;
    return asking;
  }

  test("are decided in one question before CONNACK, and those that are denied are gone", () => {
    const asking = resuming(["ok/a", "ok/b"]);
    const publisher = asking.world.connected("all", { username: "all" });
    for (const topic of ["ok/a", "ok/b"]) publisher.publish(topic, topic, { qos: 1 });
    asking.world.settle();
    asking.allows = (filter) => filter === "ok/a";
    const again = asking.world.connected("c", keeping);
    expect(again.received).toEqual([]);
    asking.settle();
    expect(again.last("connack")).toMatchObject({ sessionPresent: true });
    expect(again.payloads).toEqual(["ok/a"]);
    expect(asking.asked).toEqual(["subscribe ok/a, subscribe ok/b"]);
    expect(again.driver.denied).toEqual(["subscribe ok/b"]);
  });

  test("wait for a client that leaves meanwhile, and come back with it", () => {
    const asking = resuming(["ok/a"]);
    const gone = asking.world.connected("c", keeping);
    gone.cut();
    asking.settle();
    expect(gone.driver.done).toBe(true);
    const again = asking.world.connected("c", keeping);
    asking.settle();
    const publisher = asking.world.connected("all", { username: "all" });
    publisher.publish("ok/a", "x", { qos: 1 });
    asking.world.settle();
    expect(again.payloads).toEqual(["x"]);
  });

  test("are decided though the link to the session breaks meanwhile", () => {
    const asking = resuming(["ok/a"]);
    const again = asking.world.connected("c", keeping);
    asking.world.link(again, "session").cut();
    asking.settle();
    expect(again.last("connack")).toMatchObject({ sessionPresent: true });
    expect(again.driver.denied).toEqual([]);
  });
});

describe("a client that proves anew who it is", () => {
  const properties = { authenticationMethod: "WORD" };

  function subscribed(options: WorldOptions): { asking: Asking; client: Client } {
    const asking = new Asking(options);
    const client = asking.world.connected("c", { properties });
    asking.settle();
    client.subscribe([{ topic: "ok/a" }, { topic: "ok/b" }]);
    asking.settle();
    asking.questions.length = 0;
    asking.allows = (filter) => filter !== "ok/b";
    return { asking, client };
  }

  test("keeps what it may still have, decided in one question", () => {
    const { asking, client } = subscribed({});
    client.send({ cmd: "auth", reasonCode: 0x19, properties });
    asking.settle();
    expect(asking.asked).toEqual(["subscribe ok/a, subscribe ok/b"]);
    expect(client.driver.denied).toEqual(["subscribe ok/b"]);
    const publisher = asking.world.connected("all", { username: "all" });
    for (const topic of ["ok/a", "ok/b"]) publisher.publish(topic, topic, { qos: 1 });
    asking.world.settle();
    expect(client.payloads).toEqual(["ok/a"]);
  });

  test("while a PUBLISH waits has that asked about as whom it was and as whom it is", () => {
    const { asking, client } = subscribed({ answerMs: ({ type }) => (type === "decide" ? ANSWER_MS : 100) });
    client.send({ cmd: "auth", reasonCode: 0x19, properties });
    client.publish("ok/c", "1", { qos: 1 });
    client.publish("ok/c", "2", { qos: 1 });
    asking.settle();
    expect(asking.asked).toEqual(["publish ok/c", "subscribe ok/a, subscribe ok/b", "publish ok/c"]);
    expect(client.all("puback").map(({ reasonCode = 0 }) => reasonCode)).toEqual([0, 0]);
    expect(client.last("auth")).toMatchObject({ reasonCode: 0 });
  });
});

describe("a client whose rules change while it is connected", () => {
  const FRESH_MS = 30_000;

  /** As where a directory is: what is known is fresh for so long, and the rules may then be others. */
  class Changing extends Reception {
    world!: World;
    fresh = Infinity;

    override get freshUntil(): number {
      return this.fresh;
    }

    override answer(question: Question, now: number): Answer | Promise<Answer> {
      if (question.type === "decide") return super.answer(question, now);
      this.fresh = now + FRESH_MS;
      if (question.type === "current") return { type: "current", doubt: question, identity: question.identity };
      return { type: "accepted", identity: identityOf("u") };
    }
  }

  test.each([undefined, ANSWER_MS])("is not delivered what it may perhaps not have any more (%s ms)", (answerMs) => {
    const directory = { policy: new RuledPolicy([{ effect: "allow", actions: ACTIONS, filter: "#" }]) };
    const asked: string[] = [];
    const authorizer: Authorizer = {
      authorize({ needs }) {
        asked.push(needs.map(({ action, filter }) => `${action} ${filter}`).join(", "));
        return { type: "decided", allowed: needs.map(({ filter }) => filter === "ok"), seconds: 60 };
      },
    };
    const reception = new Changing({
      authenticators: [],
      mechanisms: [],
      policy: OPEN_POLICY,
      directory: directory as unknown as Directory,
      authorizer,
      allowAnonymous: false,
      clientIdsPerUser: false,
    });
    const late = ({ type }: Question) => (type === "decide" ? answerMs : undefined);
    const world = new World({ shards: 2, delayMs: 0, reception, answerMs: late });
    const client = world.connected("c");
    client.subscribe([{ topic: "ok" }, { topic: "no" }]);
    const publisher = world.connected("publisher");
    world.settle();
    for (const topic of ["ok", "no"]) publisher.publish(topic, `${topic} 1`, { qos: 1 });
    world.settle();
    expect(client.payloads).toEqual(["ok 1", "no 1"]);
    world.advance(FRESH_MS);
    // The publisher hears of it only when it publishes again.
    for (const topic of ["ok", "no"]) publisher.publish(topic, `${topic} 2`, { qos: 1 });
    directory.policy = new RuledPolicy([{ effect: "allow", actions: ["publish"], filter: "#" }]);
    world.advance(5_000);
    expect(client.payloads).toEqual(["ok 1", "no 1", "ok 2"]);
    expect(client.driver.denied).toEqual(["subscribe no"]);
    expect(asked).toEqual(["subscribe ok, subscribe no"]);
  });
});

test("an identity that comes late finds the client, or nobody if it has left or its time is over", () => {
  for (const [answerMs, cut, code] of [
    [5_000, false, 0],
    [5_000, true, undefined],
    [15_000, false, 0x87],
  ] as const) {
    const asking = new Asking({ answerMs: ({ type }) => (type === "identify" ? answerMs : undefined) });
    const client = asking.world.connected("c", { username: "u" });
    if (cut) client.cut();
    asking.world.advance(20_000);
    expect(client.last("connack")?.reasonCode).toBe(code);
    expect(asking.world.sessions.size).toBe(code === 0 ? 1 : 0);
    expect(client.driver.done).toBe(code !== 0);
  }
});
