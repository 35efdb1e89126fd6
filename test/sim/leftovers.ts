/** What is still there when every session has ended, all clients have gone and days have passed. */

import type { World } from "./world/world.ts";

/** Shards keep retained messages and what they were set up with. */
const KEPT = ["meta", "retained"];

export function leftovers(world: World): string[] {
  return [...inShards(world), ...inSessions(world), ...inWorkers(world)];
}

function inShards({ shards }: World): string[] {
  return shards.flatMap(({ shard, sql, core, sockets, alarmAt }) => {
    const tables = sql.rows("SELECT name FROM sqlite_master WHERE type = 'table'").map(({ name }) => String(name));
    const left = tables.flatMap((table) => {
      if (KEPT.some((kept) => table.startsWith(kept))) return [];
      const count = sql.rows(`SELECT count(*) AS n FROM ${table}`)[0]!["n"] as number;
      return count === 0 ? [] : [`shard ${shard} has ${count} rows in ${table}`];
    });
    if (core?.deadline !== undefined) left.push(`shard ${shard} has a timer, and cannot sleep`);
    if (alarmAt !== undefined) left.push(`shard ${shard} has an alarm`);
    if (sockets.size > 0) left.push(`shard ${shard} has ${sockets.size} links`);
    return left;
  });
}

function inSessions({ sessions }: World): string[] {
  return [...sessions].flatMap(([client, { sql, sockets, alarmAt }]) => {
    const left: string[] = [];
    if (sql.rows("SELECT name FROM sqlite_master").length > 0) left.push(`session ${client} has tables`);
    if (sockets.size > 0) left.push(`session ${client} has ${sockets.size} links`);
    if (alarmAt !== undefined) left.push(`session ${client} has an alarm`);
    return left;
  });
}

/** The connections that there were are all over. */
function inWorkers({ clients }: World): string[] {
  const living = clients.filter(({ driver }) => !driver.done);
  return living.map(({ id }) => `a connection of ${id} is not over`);
}
