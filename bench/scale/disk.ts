/** Databases as files: their bytes are what a Durable Object's would be, and a second opening finds nothing in memory. */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type NodeSql, nodeSql } from "../../test/support/node-sql.ts";

export class Disk {
  readonly #directory = mkdtempSync(join(tmpdir(), "dormouse-scale-"));
  readonly #open = new Map<string, NodeSql>();

  /** Opens a database, made if it is not there, and closes it first if it is open. */
  open(name: string): NodeSql {
    this.#open.get(name)?.close();
    const sql = nodeSql(join(this.#directory, `${name}.sqlite`));
    this.#open.set(name, sql);
    return sql;
  }

  /** Closes and removes all of them. */
  remove(): void {
    for (const sql of this.#open.values()) sql.close();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** Rows inserted, replaced or deleted so far. The platform counts an entry of an index besides. */
export function rowsChanged(sql: NodeSql): number {
  return sql.rows("SELECT total_changes() AS rows")[0]!["rows"] as number;
}
