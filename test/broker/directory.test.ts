/** Users, rules and bans that an admin keeps, as clients meet them over real sockets: who comes in, and what becomes of who is in. */
import { beforeAll, describe, expect, test } from "vitest";
import { MOSQUITTO, PASSWORD } from "../support/mosquitto-passwords.ts";
import { ScramClient } from "../support/scram.ts";
import { usersSetting } from "../support/users.ts";
import { Admin, ADMIN_TOKEN } from "./support/admin.ts";
import { scope, useBroker } from "./support/broker.ts";
import { Client, PATIENCE_MS, VERSIONS } from "./support/client.ts";

const use = useBroker({
  ADMIN_TOKEN,
  POLICY_SECONDS: "1",
  USERS: usersSetting({ root: "pencil" }),
  ACL: "user root\ntopic readwrite #\n",
});
const admin = new Admin(() => use.broker);

const EVERYTHING = { effect: "allow", actions: ["publish", "subscribe", "retain", "will"] };
let names = 0;

/** A user of a test's own. */
async function user(password = "pencil"): Promise<string> {
  const name = `user-${++names}`;
  expect((await admin.post("/users", { name, password })).status).toBe(201);
  return name;
}

async function login(username: string, password: string | Buffer, version: 3 | 4 | 5 = 5): Promise<Client> {
  return Client.connected(use.broker, "ws", version, { username, password: Buffer.from(password) });
}

async function refused(username: string, password: string): Promise<number> {
  const client = await Client.open(use.broker);
  const { reasonCode } = await client.connect({ username, password: Buffer.from(password) });
  await client.expectClosed(1008);
  return reasonCode!;
}

/** Does something again until it comes out so: what was changed has to be seen sooner or later. */
async function until(what: string, done: () => Promise<boolean>): Promise<void> {
  const patience = Date.now() + PATIENCE_MS;
  while (!(await done())) if (Date.now() > patience) expect.fail(`not seen: ${what}`);
}

beforeAll(async () => {
  await admin.post("/acl", { ...EVERYTHING, filter: "open/#" });
});

describe("who comes in", () => {
  test.each(VERSIONS)("a user that was just made, at once, in version %i", async (version) => {
    const name = `new-${version}`;
    const client = await Client.open(use.broker, "ws", version);
    const no = version === 5 ? { reasonCode: 0x86 } : { returnCode: 4 };
    expect(await client.connect({ username: name, password: Buffer.from("pencil") })).toMatchObject(no);
    await admin.put(`/users/${name}`, { password: "pencil" });
    await (await login(name, "pencil", version)).expectNothing();
  });

  test("not with a wrong password, nor by a name that nobody has, nor nobody in particular", async () => {
    const name = await user();
    expect(await refused(name, "eraser")).toBe(0x86);
    expect(await refused("nobody", "pencil")).toBe(0x86);
    expect(await refused(`${name}:`, "pencil")).toBe(0x86);
    const anonymous = await Client.open(use.broker);
    expect(await anonymous.connect()).toMatchObject({ reasonCode: 0x87 });
  });

  test("by another password as soon as there is one, and no more by the one of before", async () => {
    const name = await user();
    await (await login(name, "pencil")).expectNothing();
    await admin.put(`/users/${name}`, { password: "brush" });
    await (await login(name, "brush")).expectNothing();
    await until("the old password is refused", async () => {
      const client = await Client.open(use.broker);
      return (await client.connect({ username: name, password: Buffer.from("pencil") })).reasonCode === 0x86;
    });
  });

  test("whoever the settings have, by the settings alone", async () => {
    await admin.put("/users/root", { password: "another" });
    expect(await refused("root", "another")).toBe(0x86);
    await (await login("root", "pencil")).expectNothing();
    await admin.delete("/users/root");
    await (await login("root", "pencil")).expectNothing();
  });

  test("users of an imported file, with the password that its hash is of", async () => {
    const file = `imported-1:${MOSQUITTO.default}\nimported-2:${MOSQUITTO.once}\n`;
    expect((await admin.load("/users/import", file)).status).toBe(200);
    for (const name of ["imported-1", "imported-2"]) {
      await (await login(name, PASSWORD)).expectNothing();
      expect(await refused(name, "eraser")).toBe(0x86);
    }
  });
});

describe("SCRAM-SHA-256", () => {
  const SCRAM = "SCRAM-SHA-256";

  /** The reason code of the exchange's end, and whether the broker proved that it knows the user. */
  async function scram(name: string, password: string): Promise<[reason: number, proven: boolean]> {
    const proof = new ScramClient(name, password);
    const client = await Client.open(use.broker);
    client.send(
      client.connectPacket({
        properties: { authenticationMethod: SCRAM, authenticationData: proof.first },
      }),
    );
    const challenge = (await client.expectPacket({ cmd: "auth", reasonCode: 0x18 })) as unknown as {
      properties: { authenticationData: Buffer };
    };
    const authenticationData = proof.final(challenge.properties.authenticationData);
    client.send({ cmd: "auth", reasonCode: 0x18, properties: { authenticationMethod: SCRAM, authenticationData } });
    const connack = (await client.next()) as unknown as {
      reasonCode: number;
      properties?: { authenticationData?: Buffer };
    };
    return [connack.reasonCode, String(connack.properties?.authenticationData) === proof.signature];
  }

  test("lets users of the directory and of the settings in, and nobody else", async () => {
    const name = await user();
    expect(await scram(name, "pencil")).toEqual([0, true]);
    expect(await scram(name, "eraser")).toEqual([0x86, false]);
    expect(await scram("root", "pencil")).toEqual([0, true]);
    expect(await scram("nobody", "pencil")).toEqual([0x86, false]);
  });

  test("lets a user in who has a hash alone, once it has come with its password", async () => {
    await admin.put("/users/hashed", { hash: MOSQUITTO.default });
    expect(await scram("hashed", PASSWORD)).toEqual([0x86, false]);
    await (await login("hashed", PASSWORD)).expectNothing();
    await until("the verifier is kept", async () => (await scram("hashed", PASSWORD))[0] === 0);
    expect(await scram("hashed", PASSWORD)).toEqual([0, true]);
    expect((await admin.get("/users/hashed")).json).toMatchObject({ scram: true });
    await (await login("hashed", PASSWORD)).expectNothing();
  });

  test("has no part for a password that is no text", async () => {
    await admin.put("/users/bytes", { hash: MOSQUITTO.bytes });
    await (await login("bytes", Buffer.from([0xff, 0xfe]))).expectNothing();
    await until("the hash is renewed", async () => {
      return ((await admin.get("/users/bytes")).json as { hash: string }).hash === "pbkdf2";
    });
    expect((await admin.get("/users/bytes")).json).toMatchObject({ scram: false });
    await (await login("bytes", Buffer.from([0xff, 0xfe]))).expectNothing();
  });
});

describe("who is in", () => {
  test.each([4, 5] as const)("goes with its user, at what it sends next, in version %i", async (version) => {
    const name = await user();
    const client = await login(name, "pencil", version);
    await admin.delete(`/users/${name}`);
    await until("the client is disconnected", async () => {
      if (client.isClosed) return true;
      client.send(client.publishPacket(`open/${scope()}`, "x", { qos: 1 }));
      await client
        .take((packet) => packet.cmd === "puback" || packet.cmd === "disconnect", "an answer")
        .catch(() => {});
      return client.isClosed || client.untaken().length > 0;
    });
    await client.closed();
  });

  test("goes with its user, at what comes for it next, and is told why", async () => {
    const topic = `open/${scope()}`;
    const name = await user();
    const client = await login(name, "pencil");
    await client.subscribe({ topic, qos: 0 });
    const root = await login("root", "pencil");
    await admin.put(`/users/${name}`, { password: "brush" });
    const packets: string[] = [];
    await until("the client is disconnected", async () => {
      await root.publish(topic, "x", { qos: 1 });
      const packet = await client.next();
      packets.push(packet.cmd);
      if (packet.cmd === "publish") return false;
      expect(packet).toMatchObject({ cmd: "disconnect", reasonCode: 0x87 });
      return true;
    });
    await client.closed();
    expect(packets.at(-1)).toBe("disconnect");
  });

  test("stays if it is another one that changed", async () => {
    const [name, other] = [await user(), await user()];
    const client = await login(name, "pencil");
    const gone = await login(other, "pencil");
    await admin.delete(`/users/${other}`);
    await until("the other one is disconnected", async () => {
      expect(await client.publish(`open/${scope()}`, "x", { qos: 1 })).toBeLessThan(0x80);
      gone.send(gone.publishPacket("open/x", "x"));
      gone.send({ cmd: "pingreq" });
      return (await gone.next()).cmd === "disconnect";
    });
  });

  test("may what a new rule allows, and no more what it allowed once", async () => {
    const topic = `later/${scope()}`;
    const name = await user();
    const client = await login(name, "pencil");
    expect(await client.publish(topic, "x", { qos: 1 })).toBe(0x87);
    const { id } = (await admin.post("/acl", { ...EVERYTHING, filter: "later/#", user: name })).json as { id: number };
    await until("the rule holds", async () => (await client.publish(topic, "x", { qos: 1 })) < 0x80);
    await admin.delete(`/acl/${id}`);
    await until("the rule does not hold", async () => (await client.publish(topic, "x", { qos: 1 })) === 0x87);
    await client.expectNothing();
  });

  test("gets nothing any more of a subscription that it may not have any more, and all of the others", async () => {
    const below = scope("s");
    const [closing, open] = [`closing/${below}`, `open/${below}`];
    const name = await user();
    const { id } = (await admin.post("/acl", { ...EVERYTHING, filter: "closing/#", user: name })).json as {
      id: number;
    };
    const client = await login(name, "pencil");
    await until("the rule holds", async () => (await client.subscribe(closing))[0] === 1);
    expect(await client.subscribe(open)).toEqual([1]);
    const root = await login("root", "pencil");
    const round = async (number: number): Promise<string[]> => {
      await root.publish(closing, `closing ${number}`, { qos: 1 });
      await root.publish(open, `open ${number}`, { qos: 1 });
      const seen: string[] = [];
      // QoS 1 may come twice where a link was cut.
      while (!seen.includes(`open ${number}`)) seen.push((await client.message()).payload.toString());
      return seen;
    };
    expect((await round(0)).toSorted()).toContain("closing 0");
    await admin.delete(`/acl/${id}`);
    let number = 1;
    await until("the subscription is gone", async () => {
      const seen = await round(number);
      return !seen.includes(`closing ${number++}`);
    });
    for (let more = 0; more < 10; more++) {
      expect((await round(number++)).filter((payload) => payload.startsWith("closing"))).toEqual([]);
    }
    expect((await client.subscribe(closing))[0]).toBe(0x87);
    expect(await client.unsubscribe(closing)).toEqual([0x11]);
  });
});

describe("who is banned", () => {
  /** Bans somebody for as long as the test takes. */
  async function banned<T>(whom: Record<string, string>, meanwhile: () => Promise<T>): Promise<void> {
    const { id } = (await admin.post("/bans", { ...whom, why: "a test" })).json as { id: number };
    await meanwhile();
    expect((await admin.delete(`/bans/${id}`)).status).toBe(204);
  }

  async function code(username: string, clientId: string): Promise<number> {
    const client = await Client.open(use.broker);
    return (await client.connect({ username, clientId, password: Buffer.from("pencil") })).reasonCode!;
  }

  test.each(["user", "clientId"])(
    "by its %s goes, is told so, and comes in again when that is lifted",
    async (type) => {
      const name = await user();
      const clientId = `client-of-${name}`;
      const client = await Client.connected(use.broker, "ws", 5, {
        username: name,
        clientId,
        password: Buffer.from("pencil"),
      });
      await banned({ [type]: type === "user" ? name : clientId }, async () => {
        await until("the client is disconnected", async () => {
          client.send(client.publishPacket(`open/${scope()}`, "x", { qos: 1 }));
          const packet = await client.next();
          if (packet.cmd === "puback") return false;
          expect(packet).toMatchObject({ cmd: "disconnect", reasonCode: 0x98 });
          return true;
        });
        await client.expectClosed(1008);
        expect(await code(name, clientId)).toBe(0x8a);
        expect(await code(name, "another")).toBe(type === "user" ? 0x8a : 0);
        for (const told of [
          '{"event":"disconnected","reason":"administrative action"',
          '{"event":"refused","reason":"banned"',
        ]) {
          const isIt = (text: string): boolean => text.includes(told) && text.includes(`"client":"${clientId}"`);
          // What the log says comes by another way.
          await until(told, async () => (await admin.get("/bans?limit=1")).status === 200 && use.logged.some(isIt));
        }
      });
      await until("the ban is lifted", async () => (await code(name, clientId)) === 0);
    },
  );

  test("by its address is answered 0x8A, before its password is looked at", async () => {
    const name = await user();
    const from = async (password: string): Promise<number> => {
      const headers = { "CF-Connecting-IP": "198.51.100.7" };
      const client = await Client.open(use.broker, "ws", 5, headers);
      return (await client.connect({ username: name, password: Buffer.from(password) })).reasonCode!;
    };
    expect(await from("pencil")).toBe(0);
    await banned({ address: "198.51.100.0/24" }, async () => {
      await until("the ban is known", async () => (await from("pencil")) === 0x8a);
      // Unless what is known has just become old.
      await until("no password is looked at", async () => (await from("eraser")) === 0x8a);
      expect(await code(name, "from elsewhere")).toBe(0);
    });
  });
});
