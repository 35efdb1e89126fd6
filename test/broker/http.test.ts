/** What the broker says over HTTP: the page, the health check, the upgrade to WebSocket, and a wrong setting. */
import { once } from "node:events";
import { get } from "node:http";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import WebSocket from "ws";
import { startBroker, type Broker } from "../../scripts/broker.ts";
import { removeStateDir, temporaryStateDir, useBroker } from "./support/broker.ts";
import { Client } from "./support/client.ts";
import { openWebSocket } from "./support/wire.ts";

describe("the Worker", () => {
  const use = useBroker();

  test("GET / is a page that says where to connect", async () => {
    const response = await fetch(use.broker.url);
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "text/html; charset=UTF-8"]);
    expect(await response.text()).toContain(`<code>${use.broker.wsUrl}</code>`);
  });

  test("the page repeats no Host header unescaped", async () => {
    const [status, body] = await new Promise<[number, string]>((resolve, reject) => {
      get(use.broker.url, { headers: { Host: `"><script>` } }, (response) => {
        let text = "";
        response.on("data", (chunk) => (text += chunk));
        response.on("end", () => resolve([response.statusCode!, text]));
      }).on("error", reject);
    });
    expect(body).not.toContain("<script>");
    expect(status).toBeLessThan(600);
  });

  test("GET /health is ok", async () => {
    const response = await fetch(`${use.broker.url}/health`);
    expect([response.status, await response.json()]).toEqual([200, { status: "ok" }]);
  });

  test("GET /mqtt without an upgrade is 426", async () => {
    const response = await fetch(`${use.broker.url}/mqtt`);
    expect([response.status, await response.text()]).toEqual([426, expect.stringContaining("WebSocket")]);
  });

  test("anything else is 404", async () => {
    for (const path of ["/mqtt/", "/absent", "/health/x"]) {
      const response = await fetch(use.broker.url + path);
      expect(response.status, path).toBe(404);
      await response.body?.cancel();
    }
  });
});

describe("the WebSocket subprotocol [MQTT-6.0.0-3]", () => {
  const use = useBroker();

  test.each<[string, string[], string]>([
    ["mqtt", ["mqtt"], "mqtt"],
    ["mqttv3.1, of clients from before 3.1.1", ["mqttv3.1"], "mqttv3.1"],
    ["both, in either order: mqtt", ["mqttv3.1", "mqtt"], "mqtt"],
    ["mqtt among others", ["chat", "mqtt"], "mqtt"],
    ["none, which a client may have forgotten", [], ""],
  ])("%s", async (_what, offered, selected) => {
    let attached: ReturnType<typeof Client.around> | undefined = undefined;
    const { wire, socket } = await openWebSocket(
      use.broker.wsUrl,
      { bytes: (chunk) => attached?.bytes(chunk), closed: (code) => attached?.closed(code) },
      offered,
    );
    const around = Client.around(wire, 5);
    attached = around;
    expect(socket.protocol).toBe(selected);
    expect(await around.client.connect()).toMatchObject({ reasonCode: 0 });
    await around.client.expectNothing();
  });

  test.each([[["chat"]], [["MQTT"]], [["mqtt5", "chat"]]])("%s is refused with 400 [MQTT-6.0.0-4]", async (offered) => {
    const socket = new WebSocket(use.broker.wsUrl, offered);
    socket.on("error", () => {});
    const [, response] = (await once(socket, "unexpected-response")) as [unknown, { statusCode: number }];
    expect(response.statusCode).toBe(400);
    socket.terminate();
  });
});

describe("compression", () => {
  const use = useBroker();

  test("is not negotiated, so that no small frame becomes a large packet", async () => {
    const socket = new WebSocket(use.broker.wsUrl, "mqtt", { perMessageDeflate: { threshold: 0 } });
    await once(socket, "open");
    expect(socket.extensions).toBe("");
    socket.terminate();
  });

  test("a frame that says that it is compressed is a broken one, and closes the socket", async () => {
    const socket = new WebSocket(use.broker.wsUrl, "mqtt", { perMessageDeflate: false });
    await once(socket, "open");
    socket.on("error", () => {});
    const closed = new Promise((resolve) => socket.on("close", resolve));
    // RSV1 is set: FIN, RSV1 and binary, masked, with a body that deflate would make 10 MB of.
    const { _socket: raw } = socket as unknown as { _socket: { write(bytes: Buffer): void } };
    raw.write(Buffer.from([0xc2, 0x85, 0, 0, 0, 0, 0xed, 0xc1, 0x01, 0x00, 0x00]));
    await closed;
  });
});

describe("a wrong setting", () => {
  let broker: Broker | undefined;
  let stateDir: string;

  beforeEach(async () => {
    stateDir = await temporaryStateDir();
  });

  afterEach(async () => {
    await broker?.stop();
    await removeStateDir(stateDir);
  });

  test.each([
    ["SHARDS", "0", 'SHARDS is "0": it must be at least 1'],
    ["PACKET_BYTES_MAX", "1 MB", 'PACKET_BYTES_MAX is "1 MB": it must be a whole number'],
    ["CLIENT_ID_BYTES_MAX", "22", 'CLIENT_ID_BYTES_MAX is "22": it must be at least 23'],
    ["USERS", '{"alice":"pencil"}', "USERS is wrong: it has an error in its entry 1: it must be an object"],
  ])("%s=%s is reported by its name, to whoever asks and in the log", async (name, value, message) => {
    const printed: string[] = [];
    broker = await startBroker({
      port: 0,
      tcpPort: 0,
      stateDir,
      vars: { [name]: value },
      onLog: (line) => printed.push(line.message),
    });
    const response = await fetch(`${broker.url}/health`);
    expect([response.status, await response.text()]).toEqual([500, `${message}\n`]);
    expect(printed.join("\n")).toContain(message);
    const client = await Client.open(broker, "tcp");
    await client.expectClosed();
  });
});
