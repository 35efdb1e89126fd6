/**
 * Dormouse as `npm start` runs it: workerd under Miniflare. Its CPU time is that of workerd and of the Node process
 * that hosts Miniflare. What Dormouse makes durable it does write to disk; the peers write nothing.
 */

import { readFile } from "node:fs/promises";
import { URL } from "node:url";
import { processTree } from "../cpu.ts";
import { type Target, endProcess, startBrokerProcess } from "./target.ts";

/** @param settings replace those of wrangler.toml */
export async function startDormouse(settings: Record<string, string>): Promise<Target> {
  const own = JSON.parse(await readFile(new URL("../../package.json", import.meta.url), "utf8")) as { version: string };
  const module = new URL("dormouse-process.ts", import.meta.url);
  const { child, wsUrl, tcpPort } = await startBrokerProcess(module, JSON.stringify(settings));
  return {
    name: "dormouse",
    version: own.version,
    wsUrl,
    tcpPort,
    protocols: [4, 5],
    pids: () => processTree(child.pid!),
    stop: () => endProcess(child),
  };
}
