/**
 * The Worker as wrangler.toml describes it, in Miniflare's words. wrangler does the translation, but the types of what
 * it returns name a package that it does not ship, so they are stated here.
 */
import type { Json } from "miniflare";
import { unstable_getMiniflareWorkerOptions, unstable_readConfig } from "wrangler";

export interface WorkerConfig {
  /** The ids of the Worker's objects are derived from it. */
  readonly name: string;
  readonly main: string;
  /** Settings: [vars], and what `.dev.vars` adds to them. */
  readonly bindings: Record<string, Json>;
  /** Which imports wrangler turns into text, bytes or WebAssembly. */
  readonly moduleRules: { type: "Text" | "Data" | "CompiledWasm"; include: string[] }[];
  /** The rest: compatibility, objects. Without the TCP listener, whose port is each caller's own affair. */
  readonly options: Record<string, unknown>;
}

export function readWorker(configPath: string): WorkerConfig {
  const { name = "worker" } = unstable_readConfig({ config: configPath }, { hideWarnings: true }) as { name?: string };
  const { main, workerOptions } = unstable_getMiniflareWorkerOptions(configPath) as {
    main?: string;
    workerOptions: Record<string, unknown> & {
      bindings?: Record<string, Json>;
      modulesRules?: WorkerConfig["moduleRules"];
    };
  };
  if (main === undefined) throw new Error(`${configPath} names no main module`);
  const { bindings = {}, modulesRules = [], connectHandlers: _connectHandlers, ...options } = workerOptions;
  return { name, main, bindings, moduleRules: modulesRules, options };
}
