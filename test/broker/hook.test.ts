/** A hook over real sockets: clients that it knows, and a hook that does not do what it should. */
import { readFile } from "node:fs/promises";
import type { ServerResponse } from "node:http";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Broker, startBroker } from "../../scripts/broker.ts";
import { usersSetting } from "../support/users.ts";
import { removeStateDir, scope, temporaryStateDir } from "./support/broker.ts";
import { Client, cutAll } from "./support/client.ts";
import { HookServer } from "./support/hook-server.ts";

const SECRET = "a-secret-of-broker-and-hook";
const login = { username: "meter-7", password: Buffer.from("pencil") };

let hook: HookServer;
let broker: Broker;
let stateDir: string;
let printed: string[] = [];

beforeAll(async () => {
  hook = await HookServer.start();
  stateDir = await temporaryStateDir();
  const vars = {
    HOOK_URL: hook.url,
    HOOK_SECRET: SECRET,
    HOOK_SECONDS_MAX: "1",
    USERS: usersSetting({ alice: "wonderland" }),
    ACL: "pattern readwrite %u/#",
  };
  broker = await startBroker({ port: 0, tcpPort: 0, stateDir, vars, onLog: ({ message }) => printed.push(message) });
});
beforeEach(() => {
  hook.asked.length = 0;
  printed = [];
});
afterEach(cutAll);
afterAll(async () => {
  await broker.stop();
  hook.stop();
  await removeStateDir(stateDir);
});

/** What CONNACK says. */
async function connected(said: Parameters<Client["connect"]>[0] = login): Promise<number> {
  const client = await Client.open(broker);
  const { reasonCode } = await client.connect(said);
  if (reasonCode !== 0) await client.expectClosed();
  return reasonCode!;
}

test("a client that it allows is in, as whom it says, with what it says", async () => {
  const topic = scope("hook");
  hook.reply = { result: "allow", user: "mill", rules: { pub: [topic], sub: [topic] } };
  const client = await Client.open(broker);
  expect(await client.connect({ ...login, clientId: "c-1" })).toMatchObject({ reasonCode: 0 });
  expect(await client.subscribe([topic, "mill/#", "meter-7/#"].map((filter) => ({ topic: filter })))).toEqual([
    1, 1, 0x87,
  ]);
  client.send(client.publishPacket(topic, "x"));
  await client.expectMessage(topic, "x");
  expect(hook.asked).toEqual([
    {
      path: "/hook/authenticate?v=1",
      authorization: `Bearer ${SECRET}`,
      request: {
        tenant: "main",
        username: "meter-7",
        password: Buffer.from("pencil").toString("base64"),
        clientId: "c-1",
        address: null,
        token: null,
        certificate: null,
      },
    },
  ]);
});

test("a client that it denies, or does not know, is not", async () => {
  hook.reply = { result: "deny", reason: "not paid" };
  expect(await connected()).toBe(0x86);
  await expect.poll(() => printed.join()).toContain("not paid");
  hook.reply = { result: "ignore" };
  expect(await connected()).toBe(0x86);
  expect(await connected({})).toBe(0x87);
});

test("a user whom somebody else knows is no question", async () => {
  hook.reply = { result: "deny" };
  expect(await connected({ username: "alice", password: Buffer.from("wonderland") })).toBe(0);
  expect(await connected({ username: "alice", password: Buffer.from("pencil") })).toBe(0x86);
  expect(hook.asked).toEqual([]);
});

test("one that says for how long ends the connection then", async () => {
  hook.reply = { result: "allow", expiresAt: Date.now() + 1500 };
  const client = await Client.open(broker);
  expect(await client.connect(login)).toMatchObject({ reasonCode: 0 });
  await client.expectPacket({ cmd: "disconnect", reasonCode: 0xa0 });
});

describe("it fails closed with 0x88", () => {
  test.each<[string, (response: ServerResponse) => void, string]>([
    ["without an answer", () => {}, "within 1 s"],
    ["with an answer that does not end", (response) => void response.writeHead(200).write("{"), "within 1 s"],
    ["with 500", (response) => response.writeHead(500).end('{"result":"allow"}'), "answers 500"],
    ["with 204", (response) => response.writeHead(204).end(), "answers 204"],
    [
      "with a way to somewhere else",
      (response) => response.writeHead(307, { location: hook.url }).end(),
      "answers 307",
    ],
    ["with HTML", (response) => response.end("<!doctype html><p>Sign in</p>"), "not JSON"],
    ["with nothing", (response) => response.end(), "not JSON"],
    ["with half of it", (response) => response.end('{"result":"allow"'), "not JSON"],
    [
      "with more than there can be",
      (response) => response.end(`{"result":"allow"${" ".repeat(70_000)}}`),
      "more than 65536 bytes",
    ],
    ["with what it may not say", (response) => response.end('{"result":"allow","admin":true}'), "its answer is wrong"],
    ["with a socket that is cut", (response) => void response.socket!.destroy(), "no connection"],
  ])("%s", async (_what, reply, detail) => {
    hook.reply = (_asked, response) => reply(response);
    expect(await connected()).toBe(0x88);
    await expect.poll(() => printed.join("\n")).toContain(detail);
    expect(printed.join("\n")).not.toContain(SECRET);
    expect(printed.join("\n")).not.toContain("pencil");
    expect(hook.asked).toHaveLength(1);
  });
});

test("each client is a question of its own, however alike they are", async () => {
  let count = 0;
  hook.reply = (_asked, response) => response.end(JSON.stringify({ result: ++count % 2 ? "allow" : "deny" }));
  const codes = await Promise.all(Array.from({ length: 6 }, () => connected()));
  expect(codes.toSorted((a, b) => a - b)).toEqual([0, 0, 0, 0x86, 0x86, 0x86]);
});

describe("a hook that is asked about topics", () => {
  let asking: Broker;
  let asked: HookServer;
  let dir: string;
  /** What it allows of `authorize`; who comes it always does. */
  let allows: (topic: string) => boolean;
  const requests = () =>
    asked.asked.filter(({ path }) => path.startsWith("/hook/authorize")).map(({ request }) => request["requests"]);

  beforeAll(async () => {
    asked = await HookServer.start();
    dir = await temporaryStateDir();
    const vars = {
      HOOK_URL: asked.url,
      HOOK_SECONDS_MAX: "1",
      HOOK_AUTHORIZE: "true",
      ACL: "pattern readwrite rule/%u/#",
    };
    asking = await startBroker({
      port: 0,
      tcpPort: 0,
      stateDir: dir,
      vars,
      onLog: ({ message }) => printed.push(message),
    });
  });
  beforeEach(() => {
    asked.asked.length = 0;
    allows = (topic) => !topic.includes("no");
    asked.reply = ({ path, request }, response) => {
      const wanted = request["requests"] as { topic: string }[] | undefined;
      const said = path.startsWith("/hook/authorize")
        ? { results: wanted!.map(({ topic }) => (allows(topic) ? "allow" : "deny")) }
        : { result: "allow", claims: { site: "north" } };
      response.end(JSON.stringify(said));
    };
  });
  afterAll(async () => {
    await asking.stop();
    asked.stop();
    await removeStateDir(dir);
  });

  async function come(connect: Parameters<Client["connect"]>[0] = {}): Promise<Client> {
    const client = await Client.open(asking);
    expect(await client.connect({ ...login, clientId: scope("c").replace("/", "-"), ...connect })).toMatchObject({
      reasonCode: 0,
    });
    return client;
  }

  test("says what a client may, and is asked once", async () => {
    const topic = scope("asked");
    const client = await come({ clientId: "c-2" });
    expect(await client.subscribe([{ topic }, { topic: `${topic}/no` }, { topic: "rule/meter-7/#" }])).toEqual([
      1, 0x87, 1,
    ]);
    for (const payload of ["1", "2", "3"]) client.send(client.publishPacket(topic, payload));
    for (const payload of ["1", "2", "3"]) await client.expectMessage(topic, payload);
    client.send(client.publishPacket(`${topic}/no`, "x", { qos: 1 }));
    await client.expectPacket({ cmd: "puback", reasonCode: 0x87 });
    client.send(client.publishPacket("rule/meter-7/a", "x"));
    await client.expectMessage("rule/meter-7/a", "x");
    expect(requests()).toEqual([
      [
        { action: "subscribe", topic },
        { action: "subscribe", topic: `${topic}/no` },
      ],
      [{ action: "publish", topic }],
      [{ action: "publish", topic: `${topic}/no` }],
    ]);
    const { requests: _requests, ...who } = asked.asked.at(-1)!.request;
    expect(who).toEqual({ tenant: "main", user: "meter-7", clientId: "c-2", claims: { site: "north" } });
  });

  test("has a message of a client that publishes and leaves at once", async () => {
    const topic = scope("asked");
    const listener = await come();
    await listener.subscribe([{ topic }]);
    for (const transport of ["ws", "tcp"] as const) {
      const client = await Client.open(asking, transport);
      await client.connect(login);
      client.send(client.publishPacket(topic, transport), { cmd: "disconnect", reasonCode: 0 });
      client.end();
      await listener.expectMessage(topic, transport);
    }
  });

  test.each<[string, (response: ServerResponse) => void, string]>([
    ["is slow", () => {}, "within 1 s"],
    ["fails", (response) => response.writeHead(500).end(), "answers 500"],
    ["says too little", (response) => response.end('{"results":[]}'), "its answer is wrong"],
    ["says too much", (response) => response.end(`{"results":["allow"${" ".repeat(5000)}]}`), "more than"],
  ])("that %s allows nothing, and the connection goes on", async (_what, reply, problem) => {
    const client = await come();
    const { reply: right } = asked;
    asked.reply = (_asked, response) => reply(response);
    client.send(client.publishPacket(scope("asked"), "x", { qos: 1 }));
    await client.expectPacket({ cmd: "puback", reasonCode: 0x87 });
    await expect.poll(() => printed.join("\n")).toContain(problem);
    asked.reply = right;
    client.send(client.publishPacket(scope("asked"), "x", { qos: 1 }));
    expect(((await client.expectPacket({ cmd: "puback" })) as { reasonCode?: number }).reasonCode ?? 0).toBeLessThan(
      0x80,
    );
  });
});

test("a Worker that is bound is a hook too, as it is in docs/hook.md", async () => {
  const documented = await readFile(join(import.meta.dirname, "../../docs/hook.md"), "utf8");
  const [, script] = /```js\n(\/\/ hook\/index\.js\n.*?)```/s.exec(documented)!;
  const dir = await temporaryStateDir();
  const vars = { HOOK_AUTHORIZE: "true" };
  const bound = await startBroker({
    port: 0,
    tcpPort: 0,
    stateDir: dir,
    vars,
    services: { HOOK: script! },
    onLog: () => {},
  });
  try {
    const client = await Client.open(bound);
    expect(await client.connect(login)).toMatchObject({ reasonCode: 0 });
    expect(await client.subscribe([{ topic: "meters/meter-7/#" }, { topic: "meters/#" }])).toEqual([1, 0x87]);
    client.send(client.publishPacket("meters/meter-7/watt", "230"));
    await client.expectMessage("meters/meter-7/watt", "230");
    const other = await Client.open(bound);
    expect(await other.connect({ ...login, password: Buffer.from("pen") })).toMatchObject({ reasonCode: 0x86 });
  } finally {
    await bound.stop();
    await removeStateDir(dir);
  }
});
