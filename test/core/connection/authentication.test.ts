import { describe, expect, test } from "vitest";
import { identityOf } from "../../../src/core/authentication/asking.ts";
import type { Mechanism } from "../../../src/core/authentication/mechanism.ts";
import type { Client, Version } from "../../sim/world/client.ts";
import { ScramClient } from "../../support/scram.ts";
import { receptionWith } from "../../support/reception.ts";
import { usersWith } from "../../support/users.ts";
import { World, type WorldOptions } from "../../sim/world/world.ts";

const SCRAM = "SCRAM-SHA-256";
const PASSWORDS = { alice: "pencil", bob: "eraser" };
const will = { topic: "will", payload: Buffer.from("gone"), qos: 1 as const, retain: false };

function guarded(options: WorldOptions = {}, allowAnonymous = false): World {
  return new World({ delayMs: 0, reception: receptionWith(usersWith(PASSWORDS), { allowAnonymous }), ...options });
}

function login(username: string, password: string): { username: string; password: Buffer } {
  return { username, password: Buffer.from(password) };
}

function auth(client: Client, reasonCode: number, authenticationData?: Uint8Array, authenticationMethod = SCRAM): void {
  const data = authenticationData && { authenticationData: Buffer.from(authenticationData) };
  client.send({ cmd: "auth", reasonCode, properties: { authenticationMethod, ...data } });
  client.world.settle();
}

function dataOf(client: Client): Buffer {
  return client.received.at(-1)!.properties!["authenticationData"] as Buffer;
}

type Options = Exclude<Parameters<Client["connect"]>[0], undefined>;

/** CONNECT with the first message of SCRAM. */
function begin(world: World, scram: ScramClient, { properties, ...options }: Options = {}, id = "client"): Client {
  const authentication = { authenticationMethod: SCRAM, authenticationData: scram.first };
  return world.connected(id, { ...options, properties: { ...authentication, ...properties } });
}

function authenticated(world: World, name: string, password: string, options: Options = {}, id = "client"): Client {
  const scram = new ScramClient(name, password);
  const client = begin(world, scram, options, id);
  auth(client, 0x18, scram.final(dataOf(client)));
  return client;
}

/** Nothing on behalf of the client reached its session object. */
function expectUnasked(world: World): void {
  expect(world.sessions.size).toBe(0);
}

describe("user name and password", () => {
  test.each<Version>([3, 4, 5])("version %i: the right ones are taken", (version) => {
    const world = guarded();
    const client = world.connected("client", login("alice", "pencil"), version);
    expect(client.last("connack")).toMatchObject(version === 5 ? { reasonCode: 0 } : { returnCode: 0 });
  });

  test.each<[string, { username?: string; password?: Buffer }]>([
    ["a wrong password", login("alice", "eraser")],
    ["a name that nobody has", login("carol", "pencil")],
    ["no password", { username: "alice" }],
    ["an empty name", login("", "pencil")],
    ["a password that is not UTF-8", { username: "alice", password: Buffer.of(0xff) }],
  ])("[MQTT-3.1.4-2] %s is 0x86, or 0x04 before MQTT 5, and the session object is not asked", (_what, options) => {
    for (const version of [3, 4, 5] as const) {
      const world = guarded();
      const client = world.connected("client", { ...options, will }, version);
      expect(client.received).toMatchObject([version === 5 ? { reasonCode: 0x86 } : { returnCode: 4 }]);
      expect(client.closed).toBe(1008);
      expect(client.driver.done).toBe(true);
      expectUnasked(world);
    }
  });

  test("a password without a name, which MQTT 5 allows, is nobody's", () => {
    const world = guarded({}, true);
    const client = world.client("c");
    client.raw(Uint8Array.of(0x10, 17, 0, 4, 77, 81, 84, 84, 5, 0x42, 0, 0, 0, 0, 1, 99, 0, 1, 112));
    world.settle();
    expect(client.received).toMatchObject([{ cmd: "connack", reasonCode: 0x86 }]);
  });

  test("[MQTT-3.1.4-2] neither is 0x87, or 0x05 before MQTT 5", () => {
    for (const version of [3, 4, 5] as const) {
      const world = guarded();
      const client = world.connected("client", { will }, version);
      expect(client.received).toMatchObject([version === 5 ? { reasonCode: 0x87 } : { returnCode: 5 }]);
      expect(client.closed).toBe(1008);
      expectUnasked(world);
    }
  });

  test("anonymous clients may be allowed, and a wrong password is wrong all the same", () => {
    const world = guarded({}, true);
    expect(world.connected("one").last("connack")).toMatchObject({ reasonCode: 0 });
    expect(world.connected("two", login("alice", "x")).last("connack")).toMatchObject({ reasonCode: 0x86 });
  });

  test("without users they are not looked at", () => {
    expect(new World().connected("client", login("who", "ever")).last("connack")).toMatchObject({ reasonCode: 0 });
  });

  test("[MQTT-3.1.2-7] who is refused leaves the will and the session of the client id as they are", () => {
    const world = guarded();
    const owner = world.connected("client", {
      ...login("alice", "pencil"),
      clean: false,
      properties: { sessionExpiryInterval: 60 },
    });
    owner.subscribe("kept");
    world.settle();
    const intruder = world.connected("client", { ...login("alice", "x"), will });
    expect(intruder.last("connack")).toMatchObject({ reasonCode: 0x86 });
    world.advance(3_000);
    expect(owner.closed).toBeUndefined();
    owner.publish("kept", "still here");
    world.settle();
    expect(owner.payloads).toEqual(["still here"]);
  });
});

describe("client ids", () => {
  test("each user has its own: no id leads to the session of another", () => {
    const world = guarded({}, true);
    const kept = { clean: false, properties: { sessionExpiryInterval: 60 } };
    const alice = world.connected("client", { ...login("alice", "pencil"), ...kept });
    const bob = world.connected("client", { ...login("bob", "eraser"), ...kept });
    const nobody = world.connected("client", kept);
    const clever = world.connected("alice:client", kept);
    for (const client of [alice, bob, nobody, clever]) {
      expect(client.last("connack")).toMatchObject({ reasonCode: 0, sessionPresent: false });
      expect(client.closed).toBeUndefined();
    }
    expect([...world.sessions.keys()]).toEqual(["alice:client", "bob:client", ":client", ":alice:client"]);
    const again = world.connected("client", { ...login("alice", "pencil"), ...kept });
    expect(again.last("connack")).toMatchObject({ sessionPresent: true });
    expect(alice.last("disconnect")).toMatchObject({ reasonCode: 0x8e });
    expect(bob.closed).toBeUndefined();
  });

  test("[MQTT-3.1.3-2] the same user has the same session whichever way it proved who it is", () => {
    const world = guarded();
    const kept = { clean: false, properties: { sessionExpiryInterval: 60 } };
    world.connected("client", { ...login("alice", "pencil"), ...kept }).cut();
    world.settle();
    expect(authenticated(world, "alice", "pencil", kept).last("connack")).toMatchObject({ sessionPresent: true });
  });
});

describe("SCRAM-SHA-256", () => {
  test("[MQTT-4.12.0-2], [MQTT-4.12.0-5] it goes by AUTH 0x18 and ends in CONNACK, each with the method", () => {
    const world = guarded();
    const scram = new ScramClient("alice", "pencil");
    const client = begin(world, scram);
    expect(client.received).toMatchObject([
      { cmd: "auth", reasonCode: 0x18, properties: { authenticationMethod: SCRAM } },
    ]);
    expectUnasked(world);
    auth(client, 0x18, scram.final(dataOf(client)));
    expect(client.received.map(({ cmd }) => cmd)).toEqual(["auth", "connack"]);
    expect(client.last("connack")).toMatchObject({
      reasonCode: 0,
      properties: { authenticationMethod: SCRAM, authenticationData: Buffer.from(scram.signature) },
    });
    client.subscribe("t");
    client.publish("t", "hello");
    world.settle();
    expect(client.payloads).toEqual(["hello"]);
  });

  test.each([
    ["a wrong password", "alice", "eraser"],
    ["a name that nobody has", "carol", "pencil"],
  ])("[MQTT-4.12.0-4] %s is CONNACK 0x86 at the proof, and no will", (_what, name, password) => {
    const world = guarded();
    const client = authenticated(world, name, password, { will });
    expect(client.received.map(({ cmd }) => cmd)).toEqual(["auth", "connack"]);
    expect(client.last("connack")).toMatchObject({ reasonCode: 0x86, sessionPresent: false });
    expect(client.last("connack")).not.toHaveProperty("properties");
    expect(client.closed).toBe(1008);
    expect(client.driver.done).toBe(true);
    expectUnasked(world);
  });

  test("[MQTT-4.12.0-1] another method is CONNACK 0x8C", () => {
    for (const method of ["SCRAM-SHA-1", "scram-sha-256", ""]) {
      const world = guarded();
      const client = world.connected("client", {
        ...login("alice", "pencil"),
        properties: { authenticationMethod: method },
      });
      expect(client.received).toMatchObject([{ cmd: "connack", reasonCode: 0x8c }]);
      expectUnasked(world);
    }
  });

  test("a user name and a password beside the method are not looked at", () => {
    const client = authenticated(guarded(), "alice", "pencil", login("bob", "wrong"));
    expect(client.last("connack")).toMatchObject({ reasonCode: 0 });
  });

  test("a client that names the method alone is asked for its first message", () => {
    const world = guarded();
    const client = world.connected("client", { properties: { authenticationMethod: SCRAM } });
    expect(client.last("auth")).toMatchObject({ reasonCode: 0x18 });
    const scram = new ScramClient("alice", "pencil");
    auth(client, 0x18, scram.first);
    auth(client, 0x18, scram.final(dataOf(client)));
    expect(client.last("connack")).toMatchObject({ reasonCode: 0 });
  });

  test.each<[string, (client: Client) => void]>([
    ["[MQTT-3.1.2-30] SUBSCRIBE", (client) => void client.subscribe("t")],
    ["[MQTT-3.1.2-30] PUBLISH", (client) => void client.publish("t", "x", { qos: 1 })],
    ["[MQTT-3.1.2-30] PINGREQ", (client) => client.send({ cmd: "pingreq" })],
    ["[MQTT-3.1.0-2] CONNECT", (client) => client.connect()],
    ["[MQTT-4.12.0-5] AUTH with another method", (client) => auth(client, 0x18, Buffer.from("x"), "PLAIN")],
    ["[MQTT-4.12.1-1] AUTH 0x19", (client) => auth(client, 0x19, Buffer.from("x"))],
  ])("%s before CONNACK is a protocol error", (_what, send) => {
    const world = guarded();
    const client = begin(world, new ScramClient("alice", "pencil"), { will });
    send(client);
    world.settle();
    expect(client.received.map(({ cmd }) => cmd)).toEqual(["auth", "connack"]);
    expect(client.last("connack")).toMatchObject({ reasonCode: 0x82 });
    expect(client.closed).toBe(1002);
    expectUnasked(world);
  });

  test("[MQTT-3.1.2-30] what follows the last AUTH before CONNACK is a protocol error too", () => {
    const world = guarded({ delayMs: 5 });
    const scram = new ScramClient("alice", "pencil");
    const client = begin(world, scram, { will });
    auth(client, 0x18, scram.final(dataOf(client)));
    const early = begin(world, scram, { will }, "early");
    const final = scram.final(dataOf(early));
    early.send({
      cmd: "auth",
      reasonCode: 0x18,
      properties: { authenticationMethod: SCRAM, authenticationData: final },
    });
    early.send({ cmd: "pingreq" });
    world.advance(5_000);
    expect(client.last("connack")).toMatchObject({ reasonCode: 0 });
    expect(early.all("connack")).toMatchObject([{ reasonCode: 0x82 }]);
    expect(early.driver.done).toBe(true);
    expect(world.session("alice:early").sockets.size).toBe(0);
    expect(world.session("alice:early").sql.rows("SELECT name FROM sqlite_master")).toEqual([]);
  });

  test("[MQTT-3.15.1-1] flags of AUTH are 0", () => {
    const world = guarded();
    const client = begin(world, new ScramClient("alice", "pencil"));
    client.raw(Uint8Array.of(0xf1, 0));
    world.settle();
    expect(client.last("connack")).toMatchObject({ reasonCode: 0x81 });
  });

  test("[MQTT-3.1.2-30] DISCONNECT ends it, without CONNACK or will", () => {
    const world = guarded();
    const client = begin(world, new ScramClient("alice", "pencil"), { will });
    client.send({ cmd: "disconnect", reasonCode: 4 });
    world.settle();
    expect(client.received.map(({ cmd }) => cmd)).toEqual(["auth"]);
    expect(client.closed).toBe(1000);
    expect(client.driver.done).toBe(true);
    expectUnasked(world);
  });

  test("links: a client that goes in the middle leaves nothing behind", () => {
    const world = guarded();
    const client = begin(world, new ScramClient("alice", "pencil"), { will });
    client.cut();
    world.settle();
    expect(client.driver.done).toBe(true);
    expectUnasked(world);
  });

  test("links: connectSecondsMax is for the exchange too, from the socket on", () => {
    const world = guarded({ limits: { connectSecondsMax: 10 } });
    const client = world.client("client");
    world.advance(6_000);
    client.connect({ properties: { authenticationMethod: SCRAM } });
    world.advance(3_999);
    expect(client.closed).toBeUndefined();
    world.advance(1);
    expect(client.last("connack")).toMatchObject({ reasonCode: 0x87 });
    expect(client.closed).toBe(1008);
    expectUnasked(world);
  });

  test("[MQTT-3.1.2-22] keep alive is for the exchange too", () => {
    const world = guarded();
    const client = begin(world, new ScramClient("alice", "pencil"), { keepalive: 2 });
    world.advance(2_999 - 25);
    expect(client.closed).toBeUndefined();
    world.advance(26);
    expect(client.closed).toBe(1002);
  });

  test("[MQTT-3.1.2-24] an AUTH above the client's Maximum Packet Size is not sent", () => {
    const client = begin(guarded(), new ScramClient("alice", "pencil"), { properties: { maximumPacketSize: 60 } });
    expect(client.received).toMatchObject([{ cmd: "connack", reasonCode: 0x95 }]);
    expect(client.closed).toBe(1009);
  });

  test("[MQTT-3.1.2-24] a CONNACK above it is not sent either", () => {
    const world = guarded();
    const scram = new ScramClient("alice", "pencil");
    const client = world.connected("client", {
      properties: { authenticationMethod: SCRAM, authenticationData: scram.first, maximumPacketSize: 20 },
    });
    expect(client.received).toMatchObject([{ cmd: "connack", reasonCode: 0x95 }]);
    const fits = authenticated(world, "alice", "pencil", { properties: { maximumPacketSize: 125 } });
    expect(fits.last("connack")).toMatchObject({ reasonCode: 0 });
  });
});

describe("re-authentication", () => {
  test("[MQTT-4.12.1-1] AUTH 0x19 begins it, 0x00 ends it, and everything else goes on", () => {
    const world = guarded();
    const client = authenticated(world, "alice", "pencil");
    client.subscribe("t");
    world.settle();
    for (const nonce of ["once", "twice"]) {
      const scram = new ScramClient("alice", "pencil", { nonce });
      auth(client, 0x19, scram.first);
      expect(client.received.at(-1)).toMatchObject({ cmd: "auth", reasonCode: 0x18 });
      const serverFirst = dataOf(client);
      client.publish("t", nonce, { qos: 1 });
      client.send({ cmd: "pingreq" });
      world.settle();
      expect(client.payloads.at(-1)).toBe(nonce);
      auth(client, 0x18, scram.final(serverFirst));
      expect(client.received.at(-1)).toMatchObject({
        cmd: "auth",
        reasonCode: 0,
        properties: { authenticationMethod: SCRAM, authenticationData: Buffer.from(scram.signature) },
      });
    }
    expect(client.all("connack")).toHaveLength(1);
    expect(client.closed).toBeUndefined();
  });

  test.each([
    ["a wrong password", "alice", "eraser"],
    ["another user", "bob", "eraser"],
  ])("[MQTT-4.12.1-2] with %s it is DISCONNECT 0x87, and the will is published", (_what, name, password) => {
    const world = guarded();
    const watcher = world.connected("watcher", login("bob", "eraser"));
    watcher.subscribe("will");
    const client = authenticated(world, "alice", "pencil", { will });
    const scram = new ScramClient(name, password);
    auth(client, 0x19, scram.first);
    auth(client, 0x18, scram.final(dataOf(client)));
    expect(client.last("disconnect")).toMatchObject({ reasonCode: 0x87 });
    expect(client.all("connack")).toHaveLength(1); // [MQTT-3.2.0-2]
    expect(client.closed).toBe(1008);
    world.advance(3_000);
    expect(watcher.payloads).toEqual(["gone"]);
  });

  test.each<[string, number, string]>([
    ["[MQTT-4.12.1-1] another method", 0x19, "PLAIN"],
    ["AUTH 0x18 that continues nothing", 0x18, SCRAM],
  ])("%s is a protocol error", (_what, reasonCode, method) => {
    const client = authenticated(guarded(), "alice", "pencil");
    auth(client, reasonCode, new ScramClient("alice", "pencil").first, method);
    expect(client.last("disconnect")).toMatchObject({ reasonCode: 0x82 });
    expect(client.closed).toBe(1002);
  });

  test("one at a time: AUTH 0x19 within an exchange is a protocol error", () => {
    const client = authenticated(guarded(), "alice", "pencil");
    auth(client, 0x19, new ScramClient("alice", "pencil").first);
    auth(client, 0x19, new ScramClient("alice", "pencil").first);
    expect(client.last("disconnect")).toMatchObject({ reasonCode: 0x82 });
  });

  test("[MQTT-4.12.0-6], [MQTT-4.12.0-7] without a method in CONNECT there is no AUTH either way", () => {
    const client = guarded().connected("client", login("alice", "pencil"));
    expect(client.last("connack")!.properties).not.toHaveProperty("authenticationMethod");
    auth(client, 0x19, new ScramClient("alice", "pencil").first);
    expect(client.all("auth")).toEqual([]);
    expect(client.last("disconnect")).toMatchObject({ reasonCode: 0x82 });
  });
});

describe("another mechanism", () => {
  /** Whoever knows the word is the user of that name, at the first step. */
  const word: Mechanism = {
    method: "WORD",
    begin: () => ({ step: (data) => ({ type: "accepted", identity: identityOf(Buffer.from(data ?? []).toString()) }) }),
  };

  test("[MQTT-4.12.0-3] may be done with CONNECT alone, without an AUTH and without data", () => {
    const world = new World({ reception: receptionWith(usersWith(PASSWORDS), { mechanisms: [word] }) });
    const client = world.connected("client", {
      properties: { authenticationMethod: "WORD", authenticationData: Buffer.from("alice") },
    });
    expect(client.received.map(({ cmd }) => cmd)).toEqual(["connack"]);
    expect(client.last("connack")).toMatchObject({ reasonCode: 0, properties: { authenticationMethod: "WORD" } });
    expect([...world.sessions.keys()]).toEqual(["alice:client"]);
  });

  test("that throws is the broker's fault: CONNACK 0x80, 1011", () => {
    const broken: Mechanism = {
      method: "BROKEN",
      begin: () => ({
        step: () => {
          throw new TypeError("undefined is not a function");
        },
      }),
    };
    const world = new World({ reception: receptionWith(usersWith(PASSWORDS), { mechanisms: [broken] }) });
    const client = world.connected("client", { properties: { authenticationMethod: "BROKEN" } });
    expect(client.received).toMatchObject([{ cmd: "connack", reasonCode: 0x80 }]);
    expect(client.closed).toBe(1011);
    expectUnasked(world);
  });
});
