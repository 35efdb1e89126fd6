/** What a client proves itself with is in no line of the log, however its connection goes. */
import { once } from "node:events";
import { SignJWT } from "jose";
import type { IAuthPacket } from "mqtt-packet";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import WebSocket from "ws";
import { type Broker, startBroker } from "../../scripts/broker.ts";
import { ScramClient } from "../support/scram.ts";
import { usersSetting } from "../support/users.ts";
import { removeStateDir, temporaryStateDir } from "./support/broker.ts";
import { Client, cutAll } from "./support/client.ts";

const SECRET = "a secret that is known to the issuer and to the broker alone";
const PASSWORD = "correct-horse-battery-staple";

let broker: Broker;
let stateDir: string;
let printed: string[] = [];

beforeAll(async () => {
  stateDir = await temporaryStateDir();
  const vars = { TOKEN_SECRET: SECRET, USERS: usersSetting({ alice: PASSWORD }), ACL: "pattern readwrite %u/#" };
  broker = await startBroker({ port: 0, tcpPort: 0, stateDir, vars, onLog: ({ message }) => printed.push(message) });
});
afterEach(cutAll);
afterAll(async () => {
  await broker.stop();
  await removeStateDir(stateDir);
});

/** Nothing of these, nor a part of one that could be used, has been printed; but something has. */
function expectUnprinted(...secrets: readonly string[]): void {
  const lines = printed.join("\n");
  printed = [];
  for (const secret of [SECRET, PASSWORD, ...secrets]) {
    for (const form of [secret, encodeURIComponent(secret), Buffer.from(secret).toString("base64")]) {
      expect(lines).not.toContain(form);
    }
    for (const part of secret.split(/[.,]/).slice(1)) if (part.length > 12) expect(lines).not.toContain(part);
  }
}

/** The log is written some time after the client is answered. */
async function printedSomething(): Promise<void> {
  await expect.poll(() => printed.length).toBeGreaterThan(0);
}

function token(seconds: number): Promise<string> {
  return new SignJWT({ sub: "meter-7", private: "what-only-the-bearer-knows" })
    .setProtectedHeader({ alg: "HS256" })
    .setExpirationTime(Math.floor(Date.now() / 1000) + seconds)
    .sign(new TextEncoder().encode(SECRET));
}

async function over(url: string, headers: Record<string, string>) {
  const socket = new WebSocket(url, "mqtt", { headers });
  const { client, bytes, closed } = Client.around(
    { send: (chunk) => socket.send(chunk), end() {}, cut: () => socket.terminate(), pause() {}, resume() {} },
    5,
  );
  socket.on("message", (frame) => bytes(frame as Buffer));
  socket.on("close", (code) => closed(code));
  await once(socket, "open");
  return client;
}

describe.each(["?token=", "Authorization"])("a token in %s", (way) => {
  const come = (given: string) =>
    way === "?token="
      ? over(`${broker.wsUrl}?token=${given}`, {})
      : over(broker.wsUrl, { Authorization: `Bearer ${given}` });

  test("that is good", async () => {
    const given = await token(3600);
    const client = await come(given);
    expect(await client.connect({})).toMatchObject({ reasonCode: 0 });
    client.send(client.publishPacket("not-allowed", "x", { qos: 1 }));
    await client.expectPacket({ cmd: "puback", reasonCode: 0x87 });
    await printedSomething();
    expectUnprinted(given);
  });

  test.each([
    ["that has expired", () => token(-3600)],
    ["whose signature is wrong", async () => `${await token(3600)}AAAA`],
    ["that is none", () => Promise.resolve("not-a-token-but-a-secret-all-the-same")],
    ["that is too long", async () => `${await token(3600)}${"A".repeat(9000)}`],
  ])("%s", async (_what, make) => {
    const given = await make();
    const client = await come(given);
    expect(await client.connect({})).toMatchObject({ reasonCode: 0x87 });
    await client.expectClosed();
    await printedSomething();
    expectUnprinted(given);
  });

  test("of a client that then breaks the protocol", async () => {
    const given = await token(3600);
    const client = await come(given);
    client.sendBytes(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
    await client.expectClosed();
    await printedSomething();
    expectUnprinted(given);
  });
});

test("a token in the URL of what is no upgrade, or nothing at all", async () => {
  const given = await token(3600);
  for (const path of ["/", "/mqtt", "/absent", "/health"]) {
    const response = await fetch(`${broker.url}${path}?token=${given}`);
    expect(await response.text()).not.toContain(given);
  }
  for (const headers of [{ Origin: "https://evil.example" }, { "Sec-WebSocket-Protocol": "chat" }]) {
    const response = await broker.miniflare.dispatchFetch(`${broker.url}/mqtt?token=${given}`, {
      headers: { Upgrade: "websocket", ...headers },
    });
    expect(response.status).toBeGreaterThanOrEqual(400);
    await response.text();
  }
  expectUnprinted(given);
});

describe("a password", () => {
  test("that is right, and one that is wrong", async () => {
    for (const [username, password, reasonCode] of [
      ["alice", PASSWORD, 0],
      ["alice", `${PASSWORD}-nearly`, 0x86],
      ["nobody", PASSWORD, 0x86],
    ] as const) {
      const client = await Client.open(broker);
      expect(await client.connect({ username, password: Buffer.from(password) })).toMatchObject({ reasonCode });
      if (reasonCode !== 0) await client.expectClosed();
    }
    await printedSomething();
    expectUnprinted();
  });

  test("of a client that then sends what is no packet", async () => {
    const client = await Client.open(broker);
    await client.connect({ username: "alice", password: Buffer.from(PASSWORD) });
    client.sendBytes(Buffer.from([0x00, 0x00]));
    await client.expectPacket({ cmd: "disconnect" });
    await client.expectClosed();
    await printedSomething();
    expectUnprinted();
  });
});

test.each([PASSWORD, "a-wrong-password-of-some-length"])("what SCRAM says, with %s", async (password) => {
  const scram = new ScramClient("alice", password);
  const client = await Client.open(broker);
  const method = { authenticationMethod: "SCRAM-SHA-256" };
  client.send({
    cmd: "connect",
    protocolId: "MQTT",
    protocolVersion: 5,
    clean: true,
    clientId: "scram",
    keepalive: 0,
    properties: { ...method, authenticationData: scram.first },
  });
  const auth = (await client.expectPacket({ cmd: "auth" })) as IAuthPacket;
  const serverFirst = auth.properties!.authenticationData!;
  const final = scram.final(serverFirst);
  client.send({ cmd: "auth", reasonCode: 0x18, properties: { ...method, authenticationData: final } });
  await client.expectPacket({ cmd: "connack", reasonCode: password === PASSWORD ? 0 : 0x86 });
  if (password === PASSWORD) {
    client.sendBytes(Buffer.from([0x00, 0x00]));
    await client.expectPacket({ cmd: "disconnect" });
  }
  await client.expectClosed();
  await printedSomething();
  expectUnprinted(password, scram.first.toString(), serverFirst.toString(), final.toString());
});
