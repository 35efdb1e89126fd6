/** What a client may do, as a connection sees to it. */
import { describe, expect, test } from "vitest";
import type { Authenticator } from "../../../src/access/authenticator.ts";
import { Reception } from "../../../src/access/reception.ts";
import { identityOf } from "../../../src/core/authentication/asking.ts";
import type { Identity } from "../../../src/core/authentication/identity.ts";
import type { Mechanism } from "../../../src/core/authentication/mechanism.ts";
import { RuledPolicy } from "../../../src/core/authorization/policy.ts";
import { ACTIONS, type Action, type Rule } from "../../../src/core/authorization/rule.ts";
import type { Client, Version } from "../../sim/world/client.ts";
import { World, type WorldOptions } from "../../sim/world/world.ts";

const allow = (filter: string, ...actions: Action[]): Rule => ({ effect: "allow", actions, filter });
const deny = (filter: string, ...actions: Action[]): Rule => ({ effect: "deny", actions, filter });

/** Whoever comes is who its user name says. */
const byName: Authenticator = {
  name: "name",
  authenticate: ({ username }) => ({ type: "accepted", identity: identityOf(username) }),
};

function guarded(rules: readonly Rule[], options: WorldOptions = {}, more: Partial<Identity> = {}): World {
  const authenticator: Authenticator = {
    name: "name",
    authenticate: (credentials) => ({ type: "accepted", identity: { ...identityOf(credentials.username), ...more } }),
  };
  const reception = new Reception({
    authenticators: [authenticator],
    mechanisms: [],
    policy: new RuledPolicy(rules),
    allowAnonymous: false,
    clientIdsPerUser: false,
  });
  return new World({ shards: 2, delayMs: 0, reception, ...options });
}

function listener(world: World): Client {
  const all = world.connected("listener", { username: "all" });
  all.subscribe("#", 2);
  world.settle();
  return all;
}

const ALL: Rule = { ...allow("#", ...ACTIONS), user: "all" };

describe("a PUBLISH that is not allowed", () => {
  test.each([
    [0, undefined],
    [1, "puback"],
    [2, "pubrec"],
  ] as const)("[MQTT §3.3.5] at QoS %i goes nowhere, and MQTT 5 is told with 0x87", (qos, answer) => {
    const world = guarded([ALL, allow("a", "publish")]);
    const all = listener(world);
    const client = world.connected("client", { username: "u" });
    client.publish("b", "forbidden", { qos });
    client.publish("a", "allowed", { qos });
    world.settle();
    expect(all.payloads).toEqual(["allowed"]);
    expect(client.closed).toBeUndefined();
    if (answer) expect(client.all(answer).map(({ reasonCode = 0 }) => reasonCode)).toEqual([0x87, 0]);
    expect(client.driver.denied).toEqual(["publish b"]);
  });

  test.each([3, 4] as const)("in version %i is acknowledged as if it had gone out", (version: Version) => {
    const world = guarded([ALL]);
    const all = listener(world);
    const client = world.connected("client", { username: "u" }, version);
    client.publish("b", "1", { qos: 1 });
    client.publish("b", "2", { qos: 2 });
    world.settle();
    expect(client.received.map(({ cmd }) => cmd)).toEqual(["connack", "puback", "pubrec", "pubcomp"]);
    expect(all.payloads).toEqual([]);
  });

  test("or ends the connection, if that is set", () => {
    const world = guarded([ALL], { settings: { deniedPublish: "disconnect" } });
    const client = world.connected("client", { username: "u" }, 4);
    client.publish("b", "1");
    world.settle();
    expect(client.closed).toBe(1008);
  });

  test("is known by the topic that an alias stands for", () => {
    const world = guarded([ALL, allow("a", "publish")]);
    const all = listener(world);
    const client = world.connected("client", { username: "u" });
    client.publish("b", "1", { qos: 1, properties: { topicAlias: 1 } });
    client.publish("", "2", { qos: 1, properties: { topicAlias: 1 } });
    client.publish("a", "3", { qos: 1, properties: { topicAlias: 1 } });
    client.publish("", "4", { qos: 1, properties: { topicAlias: 1 } });
    world.settle();
    expect(all.payloads).toEqual(["3", "4"]);
  });

  test("is one with RETAIN where only `publish` is allowed", () => {
    const world = guarded([ALL, allow("a", "publish")]);
    const all = listener(world);
    const client = world.connected("client", { username: "u" });
    client.publish("a", "kept", { qos: 1, retain: true });
    client.publish("a", "passing", { qos: 1 });
    world.settle();
    expect(all.payloads).toEqual(["passing"]);
  });

  test("is one to $SYS, whatever is allowed", () => {
    const world = guarded([{ ...allow("$SYS/#", ...ACTIONS) }]);
    const client = world.connected("client", { username: "u" });
    client.publish("$SYS/broker", "x", { qos: 1 });
    world.settle();
    expect(client.last("puback")).toMatchObject({ reasonCode: 0x87 });
  });
});

describe("a SUBSCRIBE", () => {
  test("[MQTT-3.9.3-2] is answered filter by filter: 0x87 for what is not allowed", () => {
    const world = guarded([allow("a/#", "subscribe"), deny("a/secret", "subscribe")]);
    const client = world.connected("client", { username: "u" });
    client.subscribe([
      { topic: "a/b" },
      { topic: "#" },
      { topic: "a/#" },
      { topic: "a/+" },
      { topic: "$share/g/#" },
      { topic: "$share/g/a/b" },
      { topic: "a/secret" },
    ]);
    world.settle();
    expect(client.last("suback")!.granted).toEqual([1, 0x87, 0x87, 0x87, 0x87, 1, 0x87]);
  });

  test("of 3.1.1 gets 0x80", () => {
    const world = guarded([allow("a/#", "subscribe")]);
    const client = world.connected("client", { username: "u" }, 4);
    client.subscribe([{ topic: "a" }, { topic: "b" }]);
    world.settle();
    expect(client.last("suback")!.granted).toEqual([1, 0x80]);
  });
});

describe("a will", () => {
  const will = { topic: "a", payload: Buffer.from("gone"), qos: 1 as const, retain: false };

  test.each([
    [[allow("a", "publish")], 0x87],
    [[allow("a", "will")], 0x87],
    [[allow("a", "publish", "will")], 0],
    [[allow("#", "publish", "will"), deny("a", "will")], 0x87],
  ])("[MQTT-3.2.2-7] that is not allowed refuses CONNECT (%#)", (rules, reasonCode) => {
    const world = guarded(rules);
    const client = world.connected("client", { username: "u", will });
    expect(client.last("connack")).toMatchObject({ reasonCode });
    expect(world.sessions.size).toBe(reasonCode === 0 ? 1 : 0);
  });

  test("with RETAIN takes `retain` too", () => {
    const world = guarded([allow("a", "publish", "will")]);
    const client = world.connected("client", { username: "u", will: { ...will, retain: true } }, 4);
    expect(client.last("connack")).toMatchObject({ returnCode: 5 });
    expect(client.closed).toBe(1008);
  });
});

describe("a session that goes on", () => {
  const keeping = { username: "u", clean: false, properties: { sessionExpiryInterval: 3600 } };

  test("loses subscriptions that its client may not have any more, and what waited for them", () => {
    const rules: Rule[] = [ALL, allow("a", "subscribe"), allow("b", "subscribe")];
    const world = guarded(rules);
    const client = world.connected("client", keeping);
    client.subscribe([{ topic: "a" }, { topic: "b" }]);
    world.settle();
    client.cut();
    world.settle();
    const publisher = world.connected("publisher", { username: "all" });
    for (const topic of ["a", "b"]) publisher.publish(topic, `waits for ${topic}`, { qos: 1 });
    world.settle();
    const changed = guarded(rules.slice(0, 2));
    Object.assign(world, { reception: changed.reception });
    const again = world.connected("client", keeping);
    for (const topic of ["a", "b"]) publisher.publish(topic, `comes on ${topic}`, { qos: 1 });
    world.settle();
    expect(again.payloads).toEqual(["waits for a", "comes on a"]);
    expect(again.driver.denied).toEqual(["subscribe b"]);
    again.unsubscribe("b");
    world.settle();
    expect(again.last("unsuback")).toMatchObject({ granted: [0x11] });
    // It is forgotten for good, and does not come back with the right to it.
    again.cut();
    world.settle();
    Object.assign(world, { reception: guarded(rules).reception });
    const third = world.connected("client", keeping);
    publisher.publish("b", "later", { qos: 1 });
    world.settle();
    expect(third.payloads).toEqual([]);
  });
});

describe("who has proven who it is for a time", () => {
  test("is disconnected with 0xA0 when that is over, and its will is published", () => {
    const world = guarded([allow("#", ...ACTIONS)], {}, { expiresAt: 1_700_000_000_000 + 60_000 });
    const will = { topic: "w", payload: Buffer.from("gone"), qos: 1 as const, retain: false };
    const start = world.now;
    const client = world.connected("client", { username: "u", will });
    world.advance(59_000 - (world.now - start));
    expect(client.closed).toBeUndefined();
    world.advance(5_000);
    expect(client.last("disconnect")).toMatchObject({ reasonCode: 0xa0 });
    expect(client.closed).toBe(1008);
  });

  test("goes on if it proves it again in time, with what it may from then on", () => {
    let rules: Rule[] = [allow("a", "subscribe"), allow("b", "subscribe")];
    let seconds = 60;
    const world: World = new World({
      shards: 2,
      delayMs: 0,
      reception: new Reception({
        authenticators: [byName],
        mechanisms: [
          {
            method: "WORD",
            begin: () => ({
              step: (_data, now) => {
                const identity = { ...identityOf("u"), expiresAt: now + seconds * 1000, rules };
                return { type: "accepted", identity, data: undefined };
              },
            }),
          } satisfies Mechanism,
        ],
        policy: new RuledPolicy([{ ...allow("#", ...ACTIONS), user: "all" }]),
        allowAnonymous: false,
        clientIdsPerUser: false,
      }),
    });
    const properties = { authenticationMethod: "WORD" };
    const client = world.connected("client", { properties });
    client.subscribe([{ topic: "a" }, { topic: "b" }]);
    world.advance(50_000);
    rules = [allow("a", "subscribe")];
    seconds = 600;
    client.send({ cmd: "auth", reasonCode: 0x19, properties });
    world.advance(60_000);
    expect(client.closed).toBeUndefined();
    const publisher = world.connected("publisher", { username: "all" });
    for (const topic of ["a", "b"]) publisher.publish(topic, topic, { qos: 1 });
    world.settle();
    expect(client.payloads).toEqual(["a"]);
    expect(client.driver.denied).toEqual(["subscribe b"]);
    world.advance(600_000);
    expect(client.last("disconnect")).toMatchObject({ reasonCode: 0xa0 });
  });
});

describe("a client id", () => {
  test("that is not the identity's is refused, and an empty one becomes it", () => {
    const world = guarded([], {}, { clientId: "meter-7" });
    const wrong = world.connected("meter-8", { username: "u" });
    expect(wrong.last("connack")).toMatchObject({ reasonCode: 0x87 });
    const assigned = world.client("meter-7");
    assigned.connect({ clientId: "", username: "u" });
    world.settle();
    expect(assigned.last("connack")).toMatchObject({
      reasonCode: 0,
      properties: { assignedClientIdentifier: "meter-7" },
    });
    expect([...world.sessions.keys()]).toEqual(["meter-7"]);
  });
});
