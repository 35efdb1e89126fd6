/**
 * How an object's disk fails. An object learns of its disk in one place, `sql.exec`, and that is where it fails here:
 * what the production classes do with an error, an abort or a lie is their own affair.
 *
 * What fails is kept by the object's name and outside the object, because an object that restarts must find its disk
 * as broken as before.
 */

import type { DiskFault } from "../../trial/disk-fault.ts";

const broken = new Map<string, DiskFault>();

export function breakDisk(object: string, fault: DiskFault): void {
  broken.set(object, fault);
}

/** @param object undefined mends all */
export function mendDisk(object?: string): void {
  if (object === undefined) broken.clear();
  else broken.delete(object);
}

/** Stands between an object and its disk from now on; to be called before the object first uses it. */
export function withBreakableDisk(ctx: DurableObjectState): DurableObjectState {
  const { sql } = ctx.storage;
  const exec = sql.exec.bind(sql);
  const object = ctx.id.name!;
  const breakable = (query: string, ...parameters: unknown[]): SqlStorageCursor<Record<string, SqlStorageValue>> => {
    const fault = broken.get(object);
    if (fault === undefined || !isWrite(query)) return exec(query, ...parameters);
    switch (fault) {
      case "refuse":
        throw new Error("SQLITE_FULL: the torture refuses this write");
      case "forget":
        return exec("SELECT 1 WHERE 0");
      case "crash-before":
        broken.delete(object);
        return crash(ctx);
      case "crash-after":
        broken.delete(object);
        exec(query, ...parameters).toArray();
        return crash(ctx);
    }
  };
  Object.defineProperty(sql, "exec", { value: breakable });
  return ctx;
}

function crash(ctx: DurableObjectState): never {
  ctx.abort("the torture");
  throw new Error("the torture");
}

/** Tables and rows alike, but not the tables' making: an object that cannot make them has never been. */
function isWrite(query: string): boolean {
  return /^\s*(INSERT|UPDATE|DELETE|REPLACE|DROP)/i.test(query);
}
