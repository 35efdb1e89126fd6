/** `startBroker` itself, with a Worker of a few lines in place of the broker. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { BrokerStartError, startBroker, type Broker, type BrokerOptions } from "../../scripts/broker.ts";

const WORKER = `
import { DurableObject } from "cloudflare:workers";
import page from "./page.html";
export class Counter extends DurableObject {
  fetch() {
    this.ctx.storage.sql.exec("CREATE TABLE IF NOT EXISTS counted (n)");
    this.ctx.storage.sql.exec("INSERT INTO counted VALUES (1)");
    return Response.json(this.ctx.storage.sql.exec("SELECT count(*) AS n FROM counted").one().n);
  }
}
export default {
  fetch(request, env) {
    const { pathname } = new URL(request.url);
    if (pathname === "/count") return env.COUNTER.getByName("one").fetch(request);
    if (pathname === "/log") console.log("from the Worker");
    return Response.json({ page, settings: [env.FIRST, env.SECOND, env.THIRD], path: env.PATH ?? null });
  },
  async connect(socket) {
    await socket.readable.pipeTo(socket.writable);
  },
};`;

const CONFIG = `
name = "fixture"
main = "index.js"
compatibility_date = "2026-10-20"
connect = [{ protocol = "tcp", port = 1883 }]
vars = { FIRST = "file", SECOND = "file", THIRD = "file" }
durable_objects.bindings = [{ name = "COUNTER", class_name = "Counter" }]
migrations = [{ tag = "v1", new_sqlite_classes = ["Counter"] }]
`;

let worker: string;
let stateDir: string;
let brokers: Broker[];

beforeAll(async () => {
  worker = await mkdtemp(join(tmpdir(), "dormouse-worker-"));
  await writeFile(join(worker, "index.js"), WORKER);
  await writeFile(join(worker, "page.html"), "<p>page</p>");
  await writeFile(join(worker, "wrangler.toml"), CONFIG);
});

afterAll(() => rm(worker, { recursive: true, force: true }));

beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), "dormouse-state-"));
  brokers = [];
});

afterEach(async () => {
  await Promise.all(brokers.map((broker) => broker.stop()));
  await rm(stateDir, { recursive: true, force: true });
});

async function start(options: Partial<BrokerOptions> = {}): Promise<Broker> {
  const broker = await startBroker({
    port: 0,
    tcpPort: 0,
    stateDir,
    configPath: join(worker, "wrangler.toml"),
    ...options,
  });
  brokers.push(broker);
  return broker;
}

const get = async (broker: Broker, path: string): Promise<unknown> => (await fetch(broker.url + path)).json();

test("an object's database outlives the broker, stopped or killed", async () => {
  const first = await start();
  expect(await get(first, "/count")).toBe(1);
  await first.stop();
  const second = await start();
  expect(await get(second, "/count")).toBe(2);
  await second.kill9();
  expect(() => process.kill(second.pid, 0)).toThrow("ESRCH");
  const third = await start();
  expect(await get(third, "/count")).toBe(3);
});

test("two brokers run side by side on ports of their own", async () => {
  const other = await mkdtemp(join(tmpdir(), "dormouse-state-"));
  const [one, two] = await Promise.all([start(), start({ stateDir: other })]);
  expect(new Set([one.port, one.tcpPort, two.port, two.tcpPort]).size).toBe(4);
  expect(one.pid).not.toBe(two.pid);
  expect([await get(one, "/count"), await get(two, "/count")]).toEqual([1, 1]);
  await two.stop();
  await rm(other, { recursive: true, force: true });
});

test("TCP reaches the Worker's connect handler", async () => {
  const socket = connect((await start()).tcpPort, "127.0.0.1");
  socket.write("ping");
  const [bytes] = (await once(socket, "data")) as [Buffer];
  expect(bytes.toString()).toBe("ping");
  socket.destroy();
});

test("settings come from vars, else from env, else from wrangler.toml; other names of env do not", async () => {
  const env = { FIRST: "env", SECOND: "env", PATH: "/bin" };
  const broker = await start({ vars: { FIRST: "vars" }, env });
  expect(await get(broker, "/")).toEqual({ page: "<p>page</p>", settings: ["vars", "env", "file"], path: null });
});

test("what the Worker prints goes to onLog", async () => {
  const messages: string[] = [];
  const printed = Promise.withResolvers<void>();
  const broker = await start({
    onLog: ({ message }) => {
      messages.push(message);
      printed.resolve();
    },
  });
  await get(broker, "/log");
  await printed.promise;
  expect(messages.join("\n")).toContain("from the Worker");
});

test("a Worker that does not build is a sentence, not a crash", async () => {
  const broken = join(worker, "broken.toml");
  await writeFile(broken, CONFIG.replace("index.js", "absent.js"));
  await expect(start({ configPath: broken })).rejects.toThrow(BrokerStartError);
});
