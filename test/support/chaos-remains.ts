/** What may be left when every client has gone and time has passed: retained messages, and for a day notes of wills. */

import type { World } from "../sim/world/world.ts";

const DAY_MS = 24 * 3600 * 1000;

export function checkNothingLeft(world: World): void {
  checkObjects(world);
  // The longest alarm is the one for messages that are too old; it may be set although they went long before.
  world.advance(world.limits.queueSecondsMax * 1000 + 3 * DAY_MS);
  checkObjects(world);
  for (const { shard, sql, alarmAt } of world.shards) {
    if (alarmAt !== undefined) throw new Error(`shard ${shard} has an alarm in ${alarmAt - world.now} ms`);
    if (!tables(sql).includes("will_done")) continue;
    const notes = sql.rows("SELECT count(*) AS n FROM will_done")[0]!["n"];
    if (notes !== 0) throw new Error(`shard ${shard} keeps ${String(notes)} notes of wills`);
  }
}

function checkObjects(world: World): void {
  for (const { driver, id } of world.clients) if (!driver.done) throw new Error(`a connection of ${id} is not done`);
  for (const [id, { sql, sockets, alarmAt }] of world.sessions) {
    if (sockets.size > 0) throw new Error(`session ${id} has ${sockets.size} links`);
    if (tables(sql).length > 0) throw new Error(`session ${id} is not wiped`);
    if (alarmAt !== undefined) throw new Error(`session ${id} has an alarm in ${alarmAt - world.now} ms`);
  }
  for (const { shard, sql, sockets, deadline } of world.shards) {
    if (sockets.size > 0) throw new Error(`shard ${shard} has ${sockets.size} links`);
    if (deadline !== undefined) throw new Error(`shard ${shard} has a timer`);
    if (!tables(sql).includes("log")) continue;
    const rows = sql.rows("SELECT count(*) AS n FROM log")[0]!["n"];
    if (rows !== 0) throw new Error(`shard ${shard} has ${String(rows)} rows in its log`);
    const presence = sql.rows("SELECT value FROM meta WHERE key = 'presence'")[0]?.["value"] ?? 0;
    if (presence !== 0) throw new Error(`shard ${shard} waits for somebody: presence ${String(presence)}`);
  }
}

function tables(sql: World["shards"][number]["sql"]): unknown[] {
  return sql.rows("SELECT name FROM sqlite_master WHERE type = 'table'").map(({ name }) => name);
}
