/** `npm start` as its user meets it: what it prints, what it keeps, and how it ends. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { get, type IncomingMessage } from "node:http";
import { createServer, connect, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import mqtt from "mqtt";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import WebSocket from "ws";

const START = resolve(import.meta.dirname, "../../scripts/start.ts");

const CLIENT = { protocolVersion: 5, reconnectPeriod: 0 } as const;

let stateDir: string;
let started: Started[];

beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), "dormouse-start-"));
  started = [];
});

afterEach(async () => {
  for (const { child, exit } of started) {
    child.kill("SIGTERM");
    await exit;
  }
  // Where the process was killed outright, workerd may be writing its last.
  await rm(stateDir, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
});

interface Started {
  child: ChildProcess;
  exit: Promise<number | null>;
  output: string;
  errors: string;
}

function start(env: Record<string, string> = {}): Started {
  const child = spawn(process.execPath, [START], {
    env: { PATH: process.env["PATH"], PORT: "0", TCP_PORT: "0", STATE_DIR: stateDir, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const run: Started = {
    child,
    exit: once(child, "close").then(([code]) => code as number | null),
    output: "",
    errors: "",
  };
  child.stdout.on("data", (text) => (run.output += text));
  child.stderr.on("data", (text) => (run.errors += text));
  started.push(run);
  return run;
}

async function listening(run: Started): Promise<{ ws: string; http: string; tcpPort: number }> {
  while (!run.output.includes("Ctrl-C stops it.")) {
    await Promise.race([
      once(run.child.stdout!, "data"),
      run.exit.then(() => Promise.reject(new Error(`it ended: ${run.output}${run.errors}`))),
    ]);
  }
  const [, ws = ""] = /(ws:\S+)/.exec(run.output) ?? [];
  const [, http = ""] = /(http:\S+)/.exec(run.output) ?? [];
  const [, tcpPort] = /mqtt:\/\/127\.0\.0\.1:(\d+)/.exec(run.output) ?? [];
  return { ws, http, tcpPort: Number(tcpPort) };
}

async function openWebSocket(url: string): Promise<WebSocket> {
  const socket = new WebSocket(url, "mqtt");
  await once(socket, "open");
  return socket;
}

/** Resolves when nothing listens on the port any more. A dying listener may still take a connection and reset it. */
async function refused(port: number): Promise<void> {
  for (;;) {
    const socket = connect(port, "127.0.0.1");
    const failure = await new Promise<string | undefined>((resolve) => {
      socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code));
      socket.once("connect", () => resolve(undefined));
    });
    socket.destroy();
    if (failure === "ECONNREFUSED") return;
  }
}

describe("npm start", () => {
  test("says where it listens, where its state is, and what to try", async () => {
    const run = start();
    const { ws, http, tcpPort } = await listening(run);
    expect(ws).toMatch(/^ws:\/\/127\.0\.0\.1:\d+\/mqtt$/);
    expect(http).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/$/);
    expect(run.output).toContain(`State                ${stateDir}`);
    expect(run.output).toContain(`npx mqtt sub -h 127.0.0.1 -p ${tcpPort} -t 'hello/#' -v`);
    expect(run.output).toContain(`npx mqtt pub -h 127.0.0.1 -p ${tcpPort} -t hello/world -m hi`);
    expect(run.errors).toBe("");
  });

  test("is reached by the names of this machine, and by no other that stands for it", async () => {
    const { http } = await listening(start());
    const { port } = new URL(http);
    const ask = async (host: string): Promise<number> => {
      const request = get(`${http}health`, { headers: { Host: host } });
      const [response] = (await once(request, "response")) as [IncomingMessage];
      response.resume();
      return response.statusCode!;
    };
    for (const host of [`127.0.0.1:${port}`, `localhost:${port}`, `[::1]:${port}`, "localhost"]) {
      expect(await ask(host), host).toBe(200);
    }
    for (const host of [`evil.example:${port}`, "localhost.evil.example", "192.0.2.1"]) {
      expect(await ask(host), host).toBe(421);
    }
  });

  test("speaks MQTT over WebSocket, uncompressed", async () => {
    const { ws } = await listening(start());
    const socket = await openWebSocket(ws);
    expect(socket.protocol).toBe("mqtt");
    expect(socket.extensions).toBe("");
    socket.terminate();
  });

  test.each([["SIGINT"], ["SIGTERM"]] as const)("ends at once on %s, with clients connected", async (signal) => {
    const run = start();
    const { ws, tcpPort } = await listening(run);
    const socket = await openWebSocket(ws);
    const closed = once(socket, "close");
    const tcp = connect(tcpPort, "127.0.0.1");
    tcp.on("error", () => {});
    await once(tcp, "connect");
    const asked = performance.now();
    run.child.kill(signal);
    expect(await run.exit).toBe(0);
    await closed;
    expect(performance.now() - asked).toBeLessThan(3_000);
    await refused(tcpPort);
    await refused(Number(new URL(ws).port));
    expect(run.output).toContain("Stopped.");
    expect(run.errors).toBe("");
  });

  test("leaves nothing behind when it is killed outright", async () => {
    const run = start();
    const { ws, tcpPort } = await listening(run);
    const socket = await openWebSocket(ws);
    const closed = once(socket, "close");
    run.child.kill("SIGKILL");
    await run.exit;
    await closed;
    await refused(tcpPort);
  });

  test.each(["PORT", "TCP_PORT"])("names the port that is taken and %s, which changes it", async (variable) => {
    const holder = createServer().listen(0, "127.0.0.1");
    await once(holder, "listening");
    const { port } = holder.address() as AddressInfo;
    const run = start({ [variable]: String(port) });
    expect(await run.exit).toBe(1);
    expect(run.errors).toBe(`Port ${port} of 127.0.0.1 is already in use; set ${variable} to choose another one.\n`);
    expect(run.output).toBe("");
    holder.close();
  });

  test("refuses what is no port", async () => {
    const run = start({ PORT: "mqtt" });
    expect(await run.exit).toBe(1);
    expect(run.errors).toBe(`PORT must be a port number from 0 to 65535, not "mqtt".\n`);
  });

  test("keeps its state in STATE_DIR: a retained message outlives the process", async () => {
    const first = start();
    const publisher = await mqtt.connectAsync(`mqtt://127.0.0.1:${(await listening(first)).tcpPort}`, CLIENT);
    await publisher.publishAsync("kept/one", "still here", { qos: 1, retain: true });
    publisher.end(true);
    first.child.kill("SIGTERM");
    expect(await first.exit).toBe(0);

    const second = start();
    const subscriber = await mqtt.connectAsync(`mqtt://127.0.0.1:${(await listening(second)).tcpPort}`, CLIENT);
    const message = new Promise((resolve) => {
      subscriber.once("message", (topic, payload) => resolve([topic, payload.toString()]));
    });
    await subscriber.subscribeAsync("kept/#", { qos: 1 });
    expect(await message).toEqual(["kept/one", "still here"]);
    subscriber.end(true);
  });
});
