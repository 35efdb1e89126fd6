/**
 * The production Worker, and `GET /rows-written`: the rows that the shards of this process have written so far, by
 * table. The objects are the production classes; what is added is only the counting.
 *
 * workerd runs a Worker and its objects in one isolate here, so the count lives in the module: asking wakes no object,
 * and an object that sleeps or restarts loses nothing of it.
 */

import type { Env } from "../../../src/env.ts";
import production, { DirectoryObject, SessionObject, ShardObject } from "../../../src/index.ts";

class CountedShard extends ShardObject {
  constructor(ctx: DurableObjectState, env: Env) {
    super(withCountedRows(ctx), env);
  }
}

export { DirectoryObject, SessionObject, CountedShard as ShardObject };

const written = new Map<string, number>();

/** The statement that runs, or ran last. How many rows it wrote is certain only when it has been read to its end. */
let statement: { readonly query: string; readonly cursor: { readonly rowsWritten: number } } | undefined;

/** Counts what an object writes from now on; to be called before it first uses its storage. */
function withCountedRows(ctx: DurableObjectState): DurableObjectState {
  const { storage } = ctx;
  const { sql } = storage;
  const exec = sql.exec.bind(sql);
  const counted = (query: string, ...parameters: unknown[]): SqlStorageCursor<Record<string, SqlStorageValue>> => {
    countStatement();
    const cursor = exec(query, ...parameters);
    statement = { query, cursor };
    return cursor;
  };
  Object.defineProperty(sql, "exec", { value: counted });
  const setAlarm = storage.setAlarm.bind(storage);
  storage.setAlarm = (...parameters) => {
    count("alarm", 1); // Setting one is billed as a row.
    return setAlarm(...parameters);
  };
  return ctx;
}

function countStatement(): void {
  if (statement && statement.cursor.rowsWritten > 0) count(tableOf(statement.query), statement.cursor.rowsWritten);
  statement = undefined;
}

function count(table: string, rows: number): void {
  written.set(table, (written.get(table) ?? 0) + rows);
}

function tableOf(query: string): string {
  return /\b(?:INTO|UPDATE|FROM)\s+"?(\w+)/i.exec(query)?.[1] ?? "schema";
}

export default {
  fetch(request, env, ctx) {
    if (new URL(request.url).pathname !== "/rows-written") return production.fetch(request, env, ctx);
    countStatement();
    return Response.json(Object.fromEntries(written));
  },

  connect(socket, env) {
    return production.connect(socket, env);
  },
} satisfies ExportedHandler<Env>;
