/** Users over real sockets, with MQTT.js as the client: passwords, SCRAM-SHA-256 and re-authentication. */
import mqtt, { type IClientOptions, type MqttClient } from "mqtt";
import type { IAuthPacket, IConnackPacket } from "mqtt-packet";
import { afterEach, describe, expect, test } from "vitest";
import { MOSQUITTO, PASSWORD } from "../support/mosquitto-passwords.ts";
import { ScramClient } from "../support/scram.ts";
import { usersSetting } from "../support/users.ts";
import { scope, useBroker } from "./support/broker.ts";
import { Client, type Received, VERSIONS } from "./support/client.ts";
import { TRANSPORTS } from "./support/wire.ts";

const SCRAM = "SCRAM-SHA-256";
/** As many iterations as a setting may ask for: the platform has to do them. */
const use = useBroker({
  USERS: usersSetting({ alice: "pencil", bob: "eraser" }, 100_000),
  ACL: "pattern readwrite #",
  PASSWORD_FILE: `once:${MOSQUITTO.once}\nmost:${MOSQUITTO.most}\n`,
});

const opened: MqttClient[] = [];
afterEach(() => {
  for (const client of opened.splice(0)) client.end(true);
});

/** A client of MQTT.js that speaks SCRAM, and what its broker said. */
class ScramSession {
  readonly client: MqttClient;
  readonly connack: Promise<IConnackPacket>;
  scram: ScramClient;
  #reauthenticated: ((packet: IAuthPacket) => void) | undefined;

  constructor(url: string, name: string, password: string, options: IClientOptions = {}) {
    this.scram = new ScramClient(name, password);
    this.client = mqtt.connect(url, {
      protocolVersion: 5,
      reconnectPeriod: 0,
      properties: { authenticationMethod: SCRAM, authenticationData: this.scram.first },
      ...options,
    });
    opened.push(this.client);
    this.client.handleAuth = (packet, callback) => {
      if (packet.reasonCode !== 0x18) {
        this.#reauthenticated?.(packet);
        callback();
        return;
      }
      const authenticationData = this.scram.final(packet.properties!.authenticationData!);
      callback(undefined, {
        cmd: "auth",
        reasonCode: 0x18,
        properties: { authenticationMethod: SCRAM, authenticationData },
      });
    };
    this.connack = new Promise((resolve, reject) => {
      this.client.once("connect", resolve);
      this.client.once("error", reject);
    });
    // Who expects a refusal looks at it later.
    this.connack.catch(() => {});
  }

  /** Proves once more who it is; resolves with the broker's last word. */
  reauthenticate(name: string, password: string): Promise<IAuthPacket> {
    this.scram = new ScramClient(name, password, { nonce: "again" });
    const properties = { authenticationMethod: SCRAM, authenticationData: this.scram.first };
    const done = new Promise<IAuthPacket>((resolve) => (this.#reauthenticated = resolve));
    (this.client as unknown as { _sendPacket(packet: IAuthPacket): void })._sendPacket({
      cmd: "auth",
      reasonCode: 0x19,
      properties,
    });
    return done;
  }
}

const url = { ws: () => use.broker.wsUrl, tcp: () => use.broker.tcpUrl };

describe.each(TRANSPORTS)("over %s", (transport) => {
  test("SCRAM-SHA-256 proves both sides, and once more later [MQTT §4.12]", async () => {
    const session = new ScramSession(url[transport](), "alice", "pencil");
    const { properties } = await session.connack;
    expect(properties!.authenticationMethod).toBe(SCRAM);
    expect(properties!.authenticationData!.toString()).toBe(session.scram.signature);

    const topic = scope("scram");
    const { client } = session;
    const messages: string[] = [];
    client.on("message", (_topic, payload) => messages.push(payload.toString()));
    await client.subscribeAsync(topic, { qos: 1 });
    const again = session.reauthenticate("alice", "pencil");
    await client.publishAsync(topic, "meanwhile", { qos: 1 });
    const success = await again;
    expect(success.reasonCode).toBe(0);
    expect(success.properties!.authenticationData!.toString()).toBe(session.scram.signature);
    const next = new Promise((resolve) => client.once("message", (_topic, payload) => resolve(payload.toString())));
    await client.publishAsync(topic, "after", { qos: 0 });
    expect([...messages, await next]).toContain("after");
    expect(messages).toContain("meanwhile");
  });

  test.each([
    ["a wrong password", "alice", "eraser"],
    ["a name that nobody has", "carol", "pencil"],
  ])("SCRAM-SHA-256 with %s is refused with 0x86 [MQTT-4.12.0-4]", async (_what, name, password) => {
    const { connack } = new ScramSession(url[transport](), name, password);
    await expect(connack).rejects.toMatchObject({ code: 0x86 });
  });

  test("a failed re-authentication ends the connection with DISCONNECT 0x87 [MQTT-4.12.1-2]", async () => {
    const session = new ScramSession(url[transport](), "alice", "pencil");
    await session.connack;
    const disconnected = new Promise((resolve) => session.client.once("disconnect", resolve));
    void session.reauthenticate("bob", "eraser");
    expect(await disconnected).toMatchObject({ reasonCode: 0x87 });
  });

  test.each(VERSIONS)("version %i connects with its user name and password, and not without", async (version) => {
    const refused = (five: number, before: number): Record<string, number> =>
      version === 5 ? { reasonCode: five } : { returnCode: before };
    const right = await Client.connected(use.broker, transport, version, {
      username: "alice",
      password: Buffer.from("pencil"),
    });
    await right.expectNothing();
    const wrong = await Client.open(use.broker, transport, version);
    expect(await wrong.connect({ username: "alice", password: Buffer.from("eraser") })).toMatchObject(refused(0x86, 4));
    await wrong.expectClosed(1008);
    const unknown = await Client.open(use.broker, transport, version);
    expect(await unknown.connect({ username: "carol", password: Buffer.from("pencil") })).toMatchObject(
      refused(0x86, 4),
    );
    await unknown.expectClosed(1008);
    const anonymous = await Client.open(use.broker, transport, version);
    expect(await anonymous.connect()).toMatchObject(refused(0x87, 5));
    await anonymous.expectClosed(1008);
  });
});

test("MQTT.js connects with a password in 3.1.1 and 5.0", async () => {
  for (const protocolVersion of [4, 5] as const) {
    const options = { protocolVersion, reconnectPeriod: 0, username: "bob" };
    const client = await mqtt.connectAsync(use.broker.wsUrl, { ...options, password: "eraser" });
    opened.push(client);
    await client.publishAsync(scope("password"), "hello", { qos: 1 });
    await expect(mqtt.connectAsync(use.broker.wsUrl, { ...options, password: "pencil" })).rejects.toMatchObject({
      code: protocolVersion === 5 ? 0x86 : 4,
    });
  }
});

test.each(["once", "most"])("user %s of Mosquitto's password_file connects, with that password only", async (name) => {
  const right = await Client.connected(use.broker, "ws", 5, { username: name, password: Buffer.from(PASSWORD) });
  await right.expectNothing();
  const wrong = await Client.open(use.broker, "ws", 5);
  expect(await wrong.connect({ username: name, password: Buffer.from("eraser") })).toMatchObject({ reasonCode: 0x86 });
  const { connack } = new ScramSession(use.broker.wsUrl, name, PASSWORD);
  await expect(connack).rejects.toMatchObject({ code: 0x86 });
});

test("another Authentication Method is refused with 0x8C [MQTT-4.12.0-1]", async () => {
  const client = await Client.open(use.broker);
  const connack = await client.connect({ properties: { authenticationMethod: "KERBEROS" } });
  expect(connack).toMatchObject({ reasonCode: 0x8c });
  await client.expectClosed(1008);
});

test("a refused client leaves the session and the will of its client id alone [MQTT-3.1.2-7]", async () => {
  const topic = scope("refused");
  const alice = { username: "alice", password: Buffer.from("pencil") };
  const owner = await Client.connected(use.broker, "ws", 5, {
    ...alice,
    clientId: "meter",
    clean: false,
    properties: { sessionExpiryInterval: 60 },
  });
  await owner.subscribe(topic);
  const will = { topic, payload: Buffer.from("boo"), qos: 1 as const, retain: false };
  const intruder = await Client.open(use.broker, "ws", 5);
  expect(
    await intruder.connect({ username: "alice", password: Buffer.from("x"), clientId: "meter", clean: true, will }),
  ).toMatchObject({ reasonCode: 0x86 });
  await intruder.expectClosed(1008);

  // Another user has another session under the same id.
  const bob = { username: "bob", password: Buffer.from("eraser") };
  const other = await Client.open(use.broker, "ws", 5);
  const connack = (await other.connect({ ...bob, clientId: "meter", clean: false })) as IConnackPacket & Received;
  expect(connack).toMatchObject({ reasonCode: 0, sessionPresent: false });
  await other.publish(topic, "still here", { qos: 1 });
  await owner.expectMessage(topic, "still here");
});
