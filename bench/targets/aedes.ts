/** aedes, the broker in Node: one process, everything in memory. It speaks MQTT 3.1.1 only. */

import { readFile } from "node:fs/promises";
import { URL } from "node:url";
import { type Target, endProcess, startBrokerProcess } from "./target.ts";

/** Null where aedes is not installed. */
export async function startAedes(): Promise<Target | null> {
  const version = await installedVersion();
  if (version === null) return null;
  const { child, wsUrl, tcpPort } = await startBrokerProcess(new URL("aedes-process.ts", import.meta.url));
  return {
    name: "aedes",
    version,
    wsUrl,
    tcpPort,
    protocols: [4],
    pids: () => [child.pid!],
    stop: () => endProcess(child),
  };
}

async function installedVersion(): Promise<string | null> {
  try {
    const manifest = new URL("package.json", import.meta.resolve("aedes"));
    return (JSON.parse(await readFile(manifest, "utf8")) as { version: string }).version;
  } catch {
    return null;
  }
}
