/** A broker for the tests of one file, and topics that no two tests share. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll } from "vitest";
import { startBroker, type Broker, type BrokerOptions } from "../../../scripts/broker.ts";
import { cutAll } from "./client.ts";

/** Starts one broker before the file's tests; ends it, and every socket after each test. */
export function useBroker(
  vars: Record<string, string> = {},
  limiters?: BrokerOptions["limiters"],
): { readonly broker: Broker; readonly logged: readonly string[] } {
  const logged: string[] = [];
  let broker: Broker;
  let stateDir: string;
  beforeAll(async () => {
    stateDir = await temporaryStateDir();
    broker = await startBroker({
      port: 0,
      tcpPort: 0,
      stateDir,
      vars,
      ...(limiters && { limiters }),
      onLog: ({ message }) => logged.push(message),
    });
  });
  afterEach(cutAll);
  afterAll(async () => {
    await broker.stop();
    await removeStateDir(stateDir);
  });
  return {
    logged,
    get broker() {
      return broker;
    },
  };
}

export function temporaryStateDir(): Promise<string> {
  return mkdtemp(join(tmpdir(), "dormouse-test-"));
}

/** A workerd that was killed may be writing its last. */
export function removeStateDir(dir: string): Promise<void> {
  return rm(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 });
}

let scopes = 0;

/**
 * Two topic levels of a test's own. Whatever is published below them passes through one shard, so to one subscriber it
 * arrives in its order, and a message behind another proves that the other will not come.
 */
export function scope(name = "t"): string {
  return `${name}/${++scopes}`;
}
