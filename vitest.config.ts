import { cloudflareTest } from "@cloudflare/vitest-plugin";
import { defineConfig } from "vitest/config";
import { readWorker } from "./scripts/worker.ts";

const worker = readWorker("./wrangler.toml");

/**
 * core     the rules, the codec and the links, in Node
 * sim      the simulator: the whole broker in one process, its clock and its platform
 * objects  the objects and their SQLite, in workerd
 * broker   the whole broker over real sockets, as `npm start` runs it
 * clients  the same with client programs that others wrote; needs mosquitto-clients and python3-paho-mqtt installed
 * browser  the same programs and MQTT.js in a real browser, and the broker's page in it; needs chromium too
 * torture  objects aborted, storage failing, workerd killed under load, for a short while; `npm run torture` does it longer
 *
 * `npm test` runs the first four. Projects follow each other (`groupOrder`), and files with sockets too: on a small
 * machine two workerd processes at once make each other's deadlines late.
 */
export default defineConfig({
  test: {
    passWithNoTests: false,
    projects: [
      {
        test: {
          name: "core",
          environment: "node",
          include: ["test/{mqtt,core,access,link,contracts,lint,fuzz,trial,bench}/**/*.test.ts"],
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: "sim",
          environment: "node",
          include: ["test/sim/**/*.test.ts"],
          // Each of them starts threads that load the broker.
          testTimeout: 60_000,
          sequence: { groupOrder: 2 },
        },
      },
      {
        // Not `wrangler: { configPath }`: the tests would then listen on wrangler.toml's TCP port, which a running
        // broker holds.
        plugins: [
          cloudflareTest({
            main: worker.main,
            miniflare: {
              ...worker.options,
              bindings: { ...worker.bindings, ALLOW_ANONYMOUS: "true" },
              modulesRules: worker.moduleRules,
            },
          }),
        ],
        test: {
          name: "objects",
          include: ["test/objects/**/*.test.ts"],
          // Loaded as CommonJS it redefines what workerd's Node compatibility has already defined.
          deps: { optimizer: { ssr: { enabled: true, include: ["mqtt-packet"] } } },
          fileParallelism: false,
          sequence: { groupOrder: 3 },
        },
      },
      sockets("broker", 4, ["test/broker/**/*.test.ts", "test/start/**/*.test.ts"]),
      sockets("clients", 5, ["test/clients/**/*.test.ts"]),
      sockets("browser", 6, ["test/browser/**/*.test.ts"]),
      sockets("torture", 7, ["test/torture/**/*.test.ts"]),
    ],
  },
});

function sockets(name: string, groupOrder: number, include: string[]) {
  return {
    test: {
      name,
      environment: "node" as const,
      include,
      fileParallelism: false,
      // Starting a broker bundles the Worker first: seconds, not milliseconds.
      hookTimeout: 60_000,
      testTimeout: 20_000,
      sequence: { groupOrder },
    },
  };
}
