/**
 * A deliberate fault in production code, which has no switches for it: one piece of its text is replaced while it is
 * loaded ({@link runMutated}). A fault that needs several is several mutations that are run together.
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";

export interface Mutation {
  /** What is wrong with the broker then. */
  readonly name: string;
  /** From the root of the project: `src/core/…`. */
  readonly file: string;
  /** Occurs exactly once in the file. */
  readonly find: string;
  readonly replace: string;
}

const root = resolve(import.meta.dirname, "../../..");

export function pathOf({ file }: Mutation): string {
  return resolve(root, file);
}

/** @throws if `find` does not occur exactly once: the code has changed, and so must the mutation */
export function mutate(source: string, { name, file, find, replace }: Mutation): string {
  const parts = source.split(find);
  if (parts.length !== 2 || find === "" || find === replace)
    throw new Error(`mutation "${name}": its text is ${parts.length - 1} times in ${file}, not once`);
  return parts.join(replace);
}

/** The text of every file that the mutations change, by its path, as it is then. */
export function mutatedFiles(mutations: readonly Mutation[]): Map<string, string> {
  const files = new Map<string, string>();
  for (const mutation of mutations) {
    const path = pathOf(mutation);
    files.set(path, mutate(files.get(path) ?? readFileSync(path, "utf8"), mutation));
  }
  return files;
}
