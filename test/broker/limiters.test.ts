/** Who connects too often or guesses passwords, as the platform's rate limiters count them; and what the log says of it. */
import { once } from "node:events";
import { expect, test } from "vitest";
import WebSocket from "ws";
import { usersSetting } from "../support/users.ts";
import { Admin, ADMIN_TOKEN } from "./support/admin.ts";
import { useBroker } from "./support/broker.ts";
import { Client, VERSIONS } from "./support/client.ts";

const use = useBroker(
  {
    USERS: usersSetting({ alice: "pencil", bob: "eraser" }),
    ADMIN_TOKEN,
    DIRECTORY: "false",
    BANS: JSON.stringify([{ clientId: "banned" }, { address: "198.51.100.0/24", why: "scanner" }]),
  },
  {
    CONNECT_LIMITER_ADDRESS: { limit: 3, period: 60 },
    CONNECT_LIMITER_USER: { limit: 4, period: 60 },
    LOGIN_LIMITER_USER: { limit: 3, period: 60 },
    ADMIN_LIMITER: { limit: 3, period: 60 },
  },
);

/** The status with which an upgrade is answered. */
async function upgrade(address: string): Promise<number> {
  const headers = { "CF-Connecting-IP": address };
  const socket = new WebSocket(use.broker.wsUrl, "mqtt", { headers, perMessageDeflate: false });
  socket.on("error", () => {});
  const status = await Promise.race([
    once(socket, "open").then(() => 101),
    once(socket, "unexpected-response").then(([, response]) => (response as { statusCode: number }).statusCode),
  ]);
  socket.terminate();
  return status;
}

test("CONNECT_LIMITER_ADDRESS: an address that asks for a WebSocket too often is answered 429", async () => {
  const statuses = [];
  // A minute may end between two of them.
  for (let count = 0; count < 8; count++) statuses.push(await upgrade("203.0.113.5"));
  expect(statuses.filter((status) => status === 101).length).toBeLessThanOrEqual(6);
  expect(statuses).toContain(429);
  expect(await upgrade("203.0.113.6")).toBe(101);
  expect(use.logged.some((text) => text.includes('"status":429') && text.includes('"address":"203.0.113.5"'))).toBe(
    true,
  );
});

test.each(VERSIONS)(
  "CONNECT_LIMITER_USER: a user who connects too often is answered 0x9F, or 3 (version %i)",
  async (version) => {
    const codes = [];
    for (let count = 0; count < 10; count++) {
      const client = await Client.open(use.broker, "tcp", version);
      const { reasonCode, returnCode } = await client.connect({ username: "bob", password: Buffer.from("eraser") });
      codes.push(version === 5 ? reasonCode : returnCode);
    }
    expect(new Set(codes)).toContain(version === 5 ? 0x9f : 3);
  },
);

test("LOGIN_LIMITER_USER: a password that is guessed too often is not looked at any more, not even the right one", async () => {
  const login = async (password: string): Promise<number> => {
    const client = await Client.open(use.broker, "tcp");
    return (await client.connect({ username: "alice", password: Buffer.from(password) })).reasonCode!;
  };
  const codes = [];
  for (let count = 0; count < 10; count++) codes.push(await login(`guess ${count}`));
  expect(codes.slice(0, 3)).toEqual([0x86, 0x86, 0x86]);
  expect(codes.at(-1)).toBe(0x9f);
  expect(await login("pencil")).toBe(0x9f);
});

test("ADMIN_LIMITER: an address that brings wrong admin tokens is answered 429, also with the right one", async () => {
  const ask = (token: string | undefined, address: string) =>
    new Admin(() => use.broker, {
      "CF-Connecting-IP": address,
      ...(token !== undefined && { Authorization: `Bearer ${token}` }),
    }).get("/users");
  const from = "203.0.113.9";
  for (let count = 0; count < 5; count++) expect((await ask(undefined, from)).status).toBe(401);
  expect((await ask(ADMIN_TOKEN, from)).status).toBe(200);
  const statuses = [];
  for (let count = 0; count < 10; count++) statuses.push((await ask(`guess-${count}`, from)).status);
  expect(statuses.slice(0, 3)).toEqual([401, 401, 401]);
  expect(statuses.at(-1)).toBe(429);
  const refused = await ask(ADMIN_TOKEN, from);
  expect([refused.status, refused.headers.get("retry-after"), refused.json]).toEqual([
    429,
    "10",
    { error: { message: "too many wrong admin tokens" } },
  ]);
  expect((await ask(ADMIN_TOKEN, "203.0.113.10")).status).toBe(200);
  const line = use.logged.find((text) => text.includes("wrong admin tokens"));
  expect(JSON.parse(line!)).toMatchObject({ event: "refused", status: 429, address: from });
});

test("BANS: a banned client id is answered 0x8A [MQTT §3.2.2.2], and the log says why", async () => {
  const client = await Client.open(use.broker);
  expect(await client.connect({ clientId: "banned" })).toMatchObject({ reasonCode: 0x8a });
  await client.expectClosed(1008);
  const line = use.logged.map((text) => text.trim()).find((text) => text.includes('"client":"banned"'));
  expect(JSON.parse(line!)).toMatchObject({ event: "refused", reason: "banned", code: 0x8a, client: "banned" });
});
