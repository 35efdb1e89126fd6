/** When every session is over and days have passed, shards keep retained messages and what they were set up with. */

import { checkNothingLeft } from "../chaos-remains.ts";
import type { World } from "../../sim/world/world.ts";

const KEPT = ["meta", "retained"];

export function checkNoSessionLeft(world: World): void {
  checkNothingLeft(world);
  for (const { shard, sql } of world.shards) {
    for (const row of sql.rows("SELECT name FROM sqlite_master WHERE type = 'table'")) {
      const table = String(row["name"]);
      if (KEPT.some((kept) => table.startsWith(kept))) continue;
      const rows = sql.rows(`SELECT count(*) AS n FROM ${table}`)[0]!["n"];
      if (rows !== 0) throw new Error(`shard ${shard} has ${String(rows)} rows in ${table}`);
    }
  }
}
