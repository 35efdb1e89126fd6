/** Who gets in, over real sockets: nobody where nothing is set, and clients with tokens. */
import { once } from "node:events";
import { SignJWT } from "jose";
import { describe, expect, test } from "vitest";
import WebSocket from "ws";
import { scope, useBroker } from "./support/broker.ts";
import { Client, VERSIONS } from "./support/client.ts";
import { TRANSPORTS } from "./support/wire.ts";

describe("a broker whose owner has not said who may connect", () => {
  const use = useBroker({ ALLOW_ANONYMOUS: "false" });

  test.each(TRANSPORTS.flatMap((transport) => VERSIONS.map((version) => [transport, version] as const)))(
    "over %s refuses every CONNECT of version %i",
    async (transport, version) => {
      for (const login of [{}, { username: "admin", password: Buffer.from("admin") }]) {
        const client = await Client.open(use.broker, transport, version);
        const code = version === 5 ? { reasonCode: 0x87 } : { returnCode: 5 };
        expect(await client.connect(login)).toMatchObject(code);
        await client.expectClosed();
      }
    },
  );

  test("says so on its page, and with what command to mend it", async () => {
    const page = await (await fetch(use.broker.url)).text();
    expect(page).toContain("Nobody may connect");
    expect(page).toContain("npx wrangler secret put USERS");
  });
});

describe("tokens", () => {
  const SECRET = "a secret that is known to the issuer and to the broker alone";
  const use = useBroker({ TOKEN_SECRET: SECRET });
  const acl = { pub: ["open/#"], sub: ["open/#"] };

  function token(claims: Record<string, unknown>, seconds = 3600): Promise<string> {
    return new SignJWT({ acl, ...claims })
      .setProtectedHeader({ alg: "HS256" })
      .setExpirationTime(Math.floor(Date.now() / 1000) + seconds)
      .sign(new TextEncoder().encode(SECRET));
  }

  test("let a client in as its password, and give it what their claim lists", async () => {
    const topic = `open/${scope("token")}`;
    const client = await Client.open(use.broker);
    const password = Buffer.from(await token({ sub: "meter-7" }));
    expect(await client.connect({ username: "meter-7", password })).toMatchObject({ reasonCode: 0 });
    expect(await client.subscribe([topic, "#", "closed"].map((filter) => ({ topic: filter })))).toEqual([
      1, 0x87, 0x87,
    ]);
    client.send(client.publishPacket(topic, "x"));
    await client.expectMessage(topic, "x");
    client.send(client.publishPacket("closed", "x", { qos: 1 }));
    await client.expectPacket({ cmd: "puback", reasonCode: 0x87 });
  });

  test.each(["?token=", "Authorization"])("come with the upgrade: %s", async (way) => {
    const good = await token({ sub: "meter-7" });
    const inUrl = way === "?token=";
    const [status] = await new Promise<[number]>((resolve) => {
      const headers = inUrl ? {} : { Authorization: `Bearer ${good}` };
      const socket = new WebSocket(`${use.broker.wsUrl}${inUrl ? `?token=${good}` : ""}`, "mqtt", { headers });
      const client = Client.around(
        { send: (bytes) => socket.send(bytes), end() {}, cut: () => socket.terminate(), pause() {}, resume() {} },
        5,
      );
      socket.on("message", (frame) => client.bytes(frame as Buffer));
      void once(socket, "open").then(async () => {
        const connack = await client.client.connect({});
        resolve([connack.reasonCode!]);
      });
    });
    expect(status).toBe(0);
  });

  test("that are wrong, or missing, let nobody in", async () => {
    const refused = async (login: { username?: string; password?: Buffer }): Promise<number> => {
      const client = await Client.open(use.broker);
      const { reasonCode } = await client.connect(login);
      await client.expectClosed();
      return reasonCode!;
    };
    const expired = Buffer.from(await token({ sub: "meter-7" }, -3600));
    const tampered = Buffer.from(`${await token({ sub: "meter-7" })}x`);
    const none = Buffer.from(
      `${Buffer.from('{"alg":"none"}').toString("base64url")}.${Buffer.from('{"sub":"a"}').toString("base64url")}.`,
    );
    expect(await refused({ username: "meter-7", password: expired })).toBe(0x86);
    expect(await refused({ username: "meter-7", password: tampered })).toBe(0x86);
    expect(await refused({ username: "meter-7", password: none })).toBe(0x86);
    expect(await refused({ username: "meter-7", password: Buffer.from("guess") })).toBe(0x86);
    expect(await refused({})).toBe(0x87);
  });

  test("that expire end their connection with 0xA0, and AUTH renews them", async () => {
    const client = await Client.open(use.broker);
    const properties = async (seconds: number) => ({
      authenticationMethod: "JWT",
      // Longer ago than the clocks may differ, but for some seconds.
      authenticationData: Buffer.from(await token({ sub: "meter-7" }, seconds)),
    });
    expect(await client.connect({ properties: await properties(-25) })).toMatchObject({ reasonCode: 0 });
    client.send({ cmd: "auth", reasonCode: 0x19, properties: await properties(-26) });
    await client.expectPacket({ cmd: "auth", reasonCode: 0 });
    await client.expectPacket({ cmd: "disconnect", reasonCode: 0xa0 });
    await client.expectClosed();
  });

  test("are not told to anybody by a page or an error", async () => {
    const secret = await token({ sub: "meter-7" });
    const page = await (await fetch(`${use.broker.url}/?token=${secret}`)).text();
    expect(page).not.toContain(secret);
  });
});

describe("tenants", () => {
  const SECRET = "a secret that is known to the issuer and to the broker alone";
  const use = useBroker({ TOKEN_SECRET: SECRET, TOKEN_TENANT_CLAIM: "org", SHARDS: "1" });

  async function of(org: string): Promise<Client> {
    const claims = { sub: "meter", org, acl: { all: ["#"] } };
    const token = await new SignJWT(claims)
      .setProtectedHeader({ alg: "HS256" })
      .setExpirationTime("1h")
      .sign(new TextEncoder().encode(SECRET));
    const client = await Client.open(use.broker);
    const login = { username: "meter", password: Buffer.from(token), clientId: "the-same" };
    expect(await client.connect(login)).toMatchObject({ reasonCode: 0 });
    return client;
  }

  test("share no session, topic, retained message or share group, though user, client id and topic are the same", async () => {
    const [acme, rival] = [await of("acme"), await of("rival")];
    for (const client of [acme, rival])
      expect(await client.subscribe([{ topic: "t/#" }, { topic: "$share/g/s" }])).toEqual([1, 1]);
    for (const [client, name] of [
      [acme, "acme"],
      [rival, "rival"],
    ] as const) {
      client.send(client.publishPacket("t/kept", name, { retain: true }));
      await client.expectMessage("t/kept", name);
      client.send(client.publishPacket("s", name));
      await client.expectMessage("s", name);
    }
    expect(await acme.subscribe({ topic: "t/kept", rh: 0 })).toEqual([1]);
    await acme.expectMessage("t/kept", "acme");
    // Nobody was taken over, and nothing else was on its way.
    for (const client of [acme, rival]) await client.expectNothing();
  });
});
