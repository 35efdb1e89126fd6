/** Tenants over real sockets, by path, by host and by claim: what each is refused, and that nothing crosses. */
import { SignJWT } from "jose";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Broker, startBroker } from "../../scripts/broker.ts";
import { usersSetting } from "../support/users.ts";
import { Admin, ADMIN_TOKEN } from "./support/admin.ts";
import { removeStateDir, scope, temporaryStateDir, useBroker } from "./support/broker.ts";
import { Client, type Connect } from "./support/client.ts";
import { HookServer } from "./support/hook-server.ts";

const SECRET = "a secret that is known to the issuer and to the broker alone";

/** Where a client comes to: a path, and the host that it calls the broker by. */
type Place = readonly [path: string, host?: string];
const PLAIN: Place = ["/mqtt"];
const ACME: Place = ["/mqtt/acme"];
const RIVAL: Place = ["/mqtt/rival"];
const ACME_HOST: Place = ["/mqtt", "acme.example"];
const MAIN_HOST: Place = ["/mqtt", "mqtt.example"];

function open(broker: Broker, [path, host]: Place, version: 4 | 5 = 5): Promise<Client> {
  const headers = host === undefined ? {} : { Host: host };
  return Client.at(broker.url.replace("http", "ws") + path, headers, version);
}

/** What CONNACK says. */
async function answer(broker: Broker, place: Place, login: Connect): Promise<number> {
  const client = await open(broker, place);
  const { reasonCode } = await client.connect(login);
  if (reasonCode !== 0) await client.expectClosed(1008);
  return reasonCode!;
}

async function comes(broker: Broker, place: Place, login: Connect = {}): Promise<Client> {
  const client = await open(broker, place);
  expect(await client.connect(login)).toMatchObject({ reasonCode: 0 });
  return client;
}

/** Opens no WebSocket, and says what the answer is. */
async function upgrade(broker: Broker, path: string, host?: string): Promise<number> {
  try {
    (await open(broker, host === undefined ? [path] : [path, host])).cut();
    return 101;
  } catch (error) {
    return Number(/Unexpected server response: (\d+)/.exec((error as Error).message)?.[1]);
  }
}

const as = (username: string, password: string): Connect => ({ username, password: Buffer.from(password) });

describe("tenants with users of their own", () => {
  const use = useBroker({
    TENANTS: "acme,rival",
    TENANT_HOSTS: JSON.stringify({ "acme.example": "acme", "mqtt.example": "main" }),
    ADMIN_TOKEN,
    POLICY_SECONDS: "1",
    USERS: usersSetting({ alice: "main-word" }),
    ACL: "pattern readwrite t/#",
    TOKEN_SECRET: SECRET,
    TOKEN_TENANT_CLAIM: "org",
    SHARDS: "1",
  });
  const admin = new Admin(() => use.broker);
  const alice = { main: as("alice", "main-word"), acme: as("alice", "acme-word"), rival: as("alice", "rival-word") };

  async function token(org: string): Promise<Connect> {
    const signed = new SignJWT({ sub: "meter", org }).setProtectedHeader({ alg: "HS256" }).setExpirationTime("1h");
    return as("meter", await signed.sign(new TextEncoder().encode(SECRET)));
  }

  beforeAll(async () => {
    for (const tenant of ["acme", "rival"]) {
      const made = await admin.put(`/tenants/${tenant}/users/alice`, { password: `${tenant}-word` });
      expect([made.status, made.headers.get("location")]).toEqual([201, `/api/v1/tenants/${tenant}/users/alice`]);
    }
  });

  test("let in their own alone, and users of the settings are the main one's", async () => {
    const places: [Place, keyof typeof alice][] = [
      [PLAIN, "main"],
      [MAIN_HOST, "main"],
      [ACME, "acme"],
      [ACME_HOST, "acme"],
      [["/mqtt/acme", "acme.example"], "acme"],
      [["/mqtt/acme", "127.0.0.1"], "acme"],
      [["/mqtt", "ACME.example.:8787"], "acme"],
      [RIVAL, "rival"],
    ];
    for (const [place, tenant] of places) {
      for (const whose of ["main", "acme", "rival"] as const) {
        const code = await answer(use.broker, place, alice[whose]);
        expect([place, whose, code]).toEqual([place, whose, whose === tenant ? 0 : 0x86]);
      }
      expect(await answer(use.broker, place, {})).toBe(0x87);
    }
  });

  test("TCP is the main one's, and a client before 5.0 is refused as one of it is", async () => {
    const client = await Client.open(use.broker, "tcp");
    expect(await client.connect(alice.main)).toMatchObject({ reasonCode: 0 });
    const other = await Client.open(use.broker, "tcp");
    expect(await other.connect(alice.acme)).toMatchObject({ reasonCode: 0x86 });
    const older = await open(use.broker, ACME, 4);
    expect(await older.connect(alice.main)).toMatchObject({ returnCode: 4 });
    const good = await open(use.broker, ACME, 4);
    expect(await good.connect(alice.acme)).toMatchObject({ returnCode: 0 });
  });

  test("that are not there, or not at this host, are HTTP 404", async () => {
    for (const path of [
      "/mqtt/nobody",
      "/mqtt/main",
      "/mqtt/Acme",
      "/mqtt/acme/x",
      "/mqtt/%252e%252e",
      "/mqtt/a%2Fb",
    ]) {
      expect(await upgrade(use.broker, path), path).toBe(404);
    }
    expect(await upgrade(use.broker, "/mqtt/rival", "acme.example")).toBe(404);
    expect(await upgrade(use.broker, "/mqtt/acme", "mqtt.example")).toBe(404);
    expect(await upgrade(use.broker, "/mqtt/%61cme")).toBe(101);
    await expect
      .poll(() => use.logged.join())
      .toContain('{"event":"refused","status":404,"tenant":"nobody","detail":"There is no such tenant here."}');
  });

  test("are said by a token where neither path nor host names one; another's is refused", async () => {
    const [acme, rival] = [await token("acme"), await token("rival")];
    const topic = `t/${scope("claim")}`;
    const listening = await comes(use.broker, ACME, alice.acme);
    await listening.subscribe(topic);
    const claimed = await comes(use.broker, PLAIN, acme);
    claimed.send(claimed.publishPacket(topic, "x"));
    await listening.expectMessage(topic, "x");
    expect(await answer(use.broker, ACME, acme)).toBe(0);
    expect(await answer(use.broker, ACME_HOST, acme)).toBe(0);
    for (const [place, login] of [
      [ACME, rival],
      [ACME_HOST, rival],
      [MAIN_HOST, acme],
      [ACME, await token("main")],
    ] as const) {
      expect([place, await answer(use.broker, place, login)]).toEqual([place, 0x87]);
    }
    await expect.poll(() => use.logged.join()).toContain(`"detail":"this is another tenant's"`);
  });

  test("share no topic, retained message, share group, session or client id, though all of it is called the same", async () => {
    const topic = `t/${scope("apart")}`;
    const kept = { clientId: "the-same", clean: false, properties: { sessionExpiryInterval: 60 } };
    const clients = [
      ["main", await open(use.broker, PLAIN), alice.main],
      ["acme", await open(use.broker, ACME_HOST), alice.acme],
      ["rival", await open(use.broker, RIVAL), alice.rival],
    ] as const;
    for (const [, client, login] of clients) {
      expect(await client.connect({ ...login, ...kept })).toMatchObject({ reasonCode: 0, sessionPresent: false });
      const filters = [{ topic: `${topic}/#` }, { topic: `$share/g/${topic}-shared` }];
      expect(await client.subscribe(filters)).toEqual([1, 1]);
    }
    for (const [name, client] of clients) {
      client.send(client.publishPacket(`${topic}/kept`, name, { retain: true }));
      await client.expectMessage(`${topic}/kept`, name);
      for (const number of ["1", "2", "3"]) {
        client.send(client.publishPacket(`${topic}-shared`, name + number));
        await client.expectMessage(`${topic}-shared`, name + number);
      }
    }
    for (const [name, client] of clients) {
      expect(await client.subscribe({ topic: `${topic}/+`, rh: 0 })).toEqual([1]);
      await client.expectMessage(`${topic}/kept`, name);
    }
    // Nobody was taken over, and nothing else was on its way.
    for (const [, client] of clients) await client.expectNothing();
    // By the path it is the same tenant as by the host: the session goes on.
    const again = await open(use.broker, ACME);
    expect(await again.connect({ ...alice.acme, ...kept })).toMatchObject({ reasonCode: 0, sessionPresent: true });
    await clients[1][1].expectPacket({ cmd: "disconnect", reasonCode: 0x8e });
    for (const at of [0, 2]) await clients[at]![1].expectNothing();
  });

  test("share no wills", async () => {
    const topic = `t/${scope("will")}`;
    const [acme, rival] = [await comes(use.broker, ACME, alice.acme), await comes(use.broker, RIVAL, alice.rival)];
    for (const client of [acme, rival]) await client.subscribe(topic);
    const will = { topic, payload: Buffer.from("gone"), qos: 1 as const, retain: false };
    const leaving = await comes(use.broker, ACME, { ...alice.acme, will });
    leaving.cut();
    await acme.expectMessage(topic, "gone");
    rival.send(rival.publishPacket(topic, "behind it"));
    await rival.expectMessage(topic, "behind it");
  });

  test("have rules of their own, which hold for nobody else, and those of ACL", async () => {
    const topic = scope("rules");
    const rule = { effect: "allow", actions: ["publish", "subscribe"], filter: `${topic}/#` };
    const made = await admin.post("/tenants/acme/acl", rule);
    const { id } = made.json as { id: number };
    expect([made.status, made.headers.get("location")]).toEqual([201, `/api/v1/tenants/acme/acl/${id}`]);
    const attempt = { user: "alice", clientId: "c", action: "publish", topic: `${topic}/a` };
    expect((await admin.post("/tenants/acme/acl/test", attempt)).json).toMatchObject({
      allowed: true,
      by: { from: "directory", id },
    });
    for (const path of ["/acl/test", "/tenants/rival/acl/test"]) {
      expect((await admin.post(path, attempt)).json).toEqual({ allowed: false, by: null });
    }
    const codes = async (place: Place, login: Connect): Promise<number[]> => {
      const client = await comes(use.broker, place, login);
      const granted = await client.subscribe([{ topic: `${topic}/a` }, { topic: "t/a" }]);
      client.cut();
      return granted;
    };
    // Rules are heard of within POLICY_SECONDS.
    await expect.poll(() => codes(ACME, alice.acme)).toEqual([1, 1]);
    expect(await codes(PLAIN, await token("acme"))).toEqual([1, 1]);
    expect(await codes(RIVAL, alice.rival)).toEqual([0x87, 1]);
    expect(await codes(PLAIN, alice.main)).toEqual([0x87, 1]);
    expect((await admin.delete(`/tenants/acme/acl/${id}`)).status).toBe(204);
  });

  test("are administered each by itself", async () => {
    expect((await admin.post("/tenants/acme/users", { name: "bob", password: "pencil" })).status).toBe(201);
    expect((await admin.get("/tenants/acme/users/bob")).status).toBe(200);
    for (const path of ["/users/bob", "/tenants/rival/users/bob"]) expect((await admin.get(path)).status).toBe(404);
    const names = async (path: string): Promise<string[]> =>
      ((await admin.get(path)).json as { users: { name: string }[] }).users.map(({ name }) => name);
    expect(await names("/tenants/acme/users")).toEqual(["alice", "bob"]);
    expect(await names("/users")).toEqual([]);
    const audited = async (path: string): Promise<unknown[]> =>
      ((await admin.get(path)).json as { entries: { what: string; on: string }[] }).entries.map(({ on }) => on);
    expect((await audited("/tenants/acme/audit"))[0]).toBe("bob");
    for (const path of ["/audit", "/tenants/rival/audit"]) expect(await audited(path)).not.toContain("bob");
    expect(await answer(use.broker, ACME, as("bob", "pencil"))).toBe(0);
    expect(await answer(use.broker, RIVAL, as("bob", "pencil"))).toBe(0x86);
    for (const path of ["/tenants/nobody/users", "/tenants/main/users", "/tenants/acme/nothing", "/tenants/acme"]) {
      expect((await admin.get(path)).status, path).toBe(404);
    }
    expect((await admin.send("DELETE", "/tenants/acme/users")).status).toBe(405);
    const nobody = new Admin(() => use.broker, {});
    for (const tenant of ["acme", "nobody"]) expect((await nobody.get(`/tenants/${tenant}/users`)).status).toBe(401);
  });

  test("have a user's end and a user's new password to themselves", async () => {
    for (const tenant of ["acme", "rival"]) await admin.put(`/tenants/${tenant}/users/carol`, { password: "same" });
    const [acme, rival] = [
      await comes(use.broker, ACME, as("carol", "same")),
      await comes(use.broker, RIVAL, as("carol", "same")),
    ];
    await admin.delete("/tenants/acme/users/carol");
    await expect
      .poll(async () => {
        if (!acme.isClosed) acme.send(acme.publishPacket("t/x", "x"));
        return (await answer(use.broker, RIVAL, as("carol", "same"))) === 0 && acme.isClosed;
      })
      .toBe(true);
    rival.send(rival.publishPacket("t/x", "x"));
    await rival.expectNothing();
  });

  test("are in the log, but for the main one", async () => {
    for (const [clientId, place] of [
      ["logged-of-acme", ACME],
      ["logged-of-main", PLAIN],
    ] as const) {
      expect(await answer(use.broker, place, { ...as("mallory", "x"), clientId })).toBe(0x86);
    }
    const about = (client: string): string | undefined =>
      use.logged.find((line) => line.includes(`"client":"${client}"`));
    await expect.poll(() => about("logged-of-main")).toBeDefined();
    expect(about("logged-of-acme")).toContain('"tenant":"acme"');
    expect(about("logged-of-main")).not.toContain('"tenant"');
  });
});

describe("tenants whom anybody may come to", () => {
  const use = useBroker({ TENANTS: "acme", ALLOW_ANONYMOUS: "true", SHARDS: "1" });

  test("are apart all the same, where client ids are common to all", async () => {
    const clients = [await open(use.broker, PLAIN), await open(use.broker, ACME, 4)];
    for (const client of clients) {
      expect((await client.connect({ clientId: "the-same" })).cmd).toBe("connack");
      await client.subscribe("#");
    }
    for (const [at, client] of clients.entries()) {
      client.send(client.publishPacket("a", `${at}`));
      await client.expectMessage("a", `${at}`);
      await client.expectNothing();
    }
  });
});

describe("a hook", () => {
  let hook: HookServer;
  let broker: Broker;
  let stateDir: string;

  beforeAll(async () => {
    hook = await HookServer.start();
    stateDir = await temporaryStateDir();
    const vars = { TENANTS: "acme", HOOK_URL: hook.url, HOOK_AUTHORIZE: "true" };
    broker = await startBroker({ port: 0, tcpPort: 0, stateDir, vars, onLog: () => {} });
  });
  beforeEach(() => {
    hook.asked.length = 0;
    hook.reply = ({ path, request }, response) => {
      const said = path.startsWith("/hook/authorize")
        ? { results: (request["requests"] as unknown[]).map(() => "allow") }
        : { result: "allow" };
      response.setHeader("content-type", "application/json").end(JSON.stringify(said));
    };
  });
  afterAll(async () => {
    await broker.stop();
    hook.stop();
    await removeStateDir(stateDir);
  });

  test.each([
    ["main", PLAIN],
    ["acme", ACME],
  ])("is told in each question that the tenant is %s", async (tenant, place) => {
    const client = await comes(broker, place, as("alice", "pencil"));
    expect(await client.subscribe("a")).toEqual([1]);
    expect(hook.asked.map(({ request }) => request["tenant"])).toEqual([tenant, tenant]);
    client.cut();
  });
});
