/** What {@link runMutated} starts: a thread that loads the mutated files instead of those on the disk. */
import { enableCompileCache, registerHooks } from "node:module";
import { resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parentPort, workerData } from "node:worker_threads";

export interface Task {
  /** The text of each mutated file, by its path. */
  readonly files: ReadonlyMap<string, string>;
  readonly module: string;
  readonly exportName: string;
  readonly args: readonly unknown[];
}

/** What was thrown, as far as it can leave the thread. */
export interface Thrown {
  readonly name: string;
  readonly message: string;
  readonly stack: string;
}

export type Report =
  | { readonly type: "value"; readonly value: unknown }
  | { readonly type: "thrown"; readonly error: Thrown }
  /** Nothing can be said of the mutations: they were not loaded, or cannot be. */
  | { readonly type: "unfit"; readonly why: string };

const { files, module, exportName, args } = workerData as Task;
const loaded = new Set<string>();

// What is not mutated is the same in every thread: compiled once, loading takes half the time. It goes by content.
enableCompileCache(resolve(import.meta.dirname, "../../../node_modules/.cache/mutation"));
registerHooks({
  load(url, context, nextLoad) {
    const path = url.startsWith("file:") ? fileURLToPath(url) : undefined;
    const source = path === undefined ? undefined : files.get(path);
    if (path === undefined || source === undefined) return nextLoad(url, context);
    loaded.add(path);
    return { format: "module-typescript", source, shortCircuit: true };
  },
});

parentPort!.postMessage(await run());

async function run(): Promise<Report> {
  let exported: unknown;
  try {
    exported = ((await import(pathToFileURL(module).href)) as Record<string, unknown>)[exportName];
  } catch (error) {
    return { type: "unfit", why: `${module} cannot be loaded: ${thrown(error).stack}` };
  }
  if (typeof exported !== "function") return { type: "unfit", why: `${module} exports no function ${exportName}` };
  for (const path of files.keys())
    if (!loaded.has(path)) return { type: "unfit", why: `${module} does not load ${path}` };
  try {
    return { type: "value", value: await (exported as (...all: unknown[]) => unknown)(...args) };
  } catch (error) {
    return { type: "thrown", error: thrown(error) };
  }
}

function thrown(error: unknown): Thrown {
  if (!(error instanceof Error)) return { name: "", message: String(error), stack: "" };
  return { name: error.name, message: error.message, stack: error.stack ?? "" };
}
