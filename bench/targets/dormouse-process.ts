/**
 * The process that hosts Dormouse for {@link startDormouse}, with its state in a temporary directory. Its one argument:
 * settings that replace those of wrangler.toml, as JSON.
 */

import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startBroker } from "../../scripts/broker.ts";
import type { Listening } from "./target.ts";

const stateDir = await mkdtemp(join(tmpdir(), "dormouse-bench-"));
process.on("exit", () => rmSync(stateDir, { recursive: true, force: true }));
// While it starts there is nothing else to end in order.
let stop = async (): Promise<void> => {};
const end = (): void => void stop().finally(() => process.exit(0));
process.on("SIGTERM", end);
process.on("disconnect", end);

const broker = await startBroker({
  port: 0,
  tcpPort: 0,
  stateDir,
  vars: JSON.parse(process.argv[2]!) as Record<string, string>,
  // What the Worker prints is for its developer, and printing costs time; but not what went wrong.
  onLog: ({ level, message }) => {
    if (level === "error" || level === "warn") console.error(message);
  },
});
stop = () => broker.stop();

const listening: Listening = { wsUrl: broker.wsUrl, tcpPort: broker.tcpPort };
process.send?.(listening);
