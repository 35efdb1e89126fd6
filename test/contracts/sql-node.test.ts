import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { nodeSql, StorageFailure } from "../support/node-sql.ts";
import { sqlContract } from "./sql.ts";

sqlContract("node:sqlite", (body) => {
  const sql = nodeSql();
  try {
    body(sql);
  } finally {
    sql.close();
  }
});

describe("nodeSql", () => {
  test("keeps a file's rows when it is opened again, and loses an unfinished transaction", () => {
    const folder = mkdtempSync(join(tmpdir(), "node-sql-"));
    try {
      const first = nodeSql(join(folder, "db"));
      first.run("CREATE TABLE kept (id INTEGER)");
      first.run("INSERT INTO kept VALUES (1)");
      first.transaction(() => {
        first.run("INSERT INTO kept VALUES (2)");
        first.close();
        // COMMIT on a closed database: the transaction fails as it would when the process is gone.
      });
    } catch {
      const second = nodeSql(join(folder, "db"));
      expect(second.rows("SELECT id FROM kept")).toEqual([{ id: 1 }]);
      second.close();
    } finally {
      rmSync(folder, { recursive: true });
    }
    expect.assertions(1);
  });

  test("keeps what was written while it holds across transactions, or undoes it: tables, rows and statements", () => {
    const sql = nodeSql();
    const kept = (): unknown[] => sql.rows("SELECT id FROM kept ORDER BY id").map((row) => row["id"]);
    sql.run("CREATE TABLE kept (id INTEGER)");
    sql.held = true;
    sql.transaction(() => sql.run("INSERT INTO kept VALUES (?)", 1));
    sql.run("INSERT INTO kept VALUES (?)", 2);
    expect(() =>
      sql.transaction(() => {
        sql.run("INSERT INTO kept VALUES (?)", 3);
        throw new Error("undo");
      }),
    ).toThrow("undo");
    expect(kept()).toEqual([1, 2]);
    sql.save();
    sql.lose();
    expect(kept()).toEqual([1, 2]);
    const { writes } = sql;
    sql.wipe();
    sql.transaction(() => sql.run("CREATE TABLE kept (id INTEGER, name TEXT)"));
    expect(kept()).toEqual([]);
    expect(sql.writes).toBe(writes + 2);
    sql.lose();
    expect(kept()).toEqual([1, 2]);
    sql.held = false;
    sql.transaction(() => sql.run("INSERT INTO kept VALUES (?)", 4));
    sql.lose();
    expect(kept()).toEqual([1, 2, 4]);
    sql.close();
  });

  test("fails all writes, and no reads, when told to", () => {
    const sql = nodeSql();
    sql.run("CREATE TABLE kept (id INTEGER)");
    sql.failWrites = true;
    expect(() => sql.run("INSERT INTO kept VALUES (?)", 1)).toThrow(StorageFailure);
    expect(() => sql.rows("INSERT INTO kept VALUES (?) RETURNING id", 1)).toThrow(StorageFailure);
    expect(() => sql.wipe()).toThrow(StorageFailure);
    expect(sql.rows("SELECT * FROM kept")).toEqual([]);
    sql.failWrites = false;
    sql.run("INSERT INTO kept VALUES (?)", 1);
    expect(sql.rows("SELECT * FROM kept")).toEqual([{ id: 1 }]);
    sql.close();
  });

  test("fails the writes it is told to, and the transaction around them", () => {
    const sql = nodeSql();
    sql.run("CREATE TABLE kept (id INTEGER); CREATE TABLE other (id INTEGER)");
    sql.failWrites = (query) => query.includes("other");
    expect(() =>
      sql.transaction(() => {
        sql.run("INSERT INTO kept VALUES (1)");
        sql.run("INSERT INTO other VALUES (1)");
      }),
    ).toThrow(StorageFailure);
    expect(sql.rows("SELECT * FROM kept")).toEqual([]);
    sql.close();
  });

  test("refuses what a Durable Object would refuse or understand differently", () => {
    const sql = nodeSql();
    expect(() => sql.run("CREATE TABLE kept (id INTEGER); -- and nothing more")).toThrow();
    expect(() => sql.run("CREATE TABLE kept (id INTEGER);;")).toThrow();
    expect(() => sql.rows("SELECT 1; SELECT 2")).toThrow();
    expect(() => sql.rows("SELECT ? AS big", new Uint8Array(2_000_001))).toThrow();
    expect(() => sql.rows("SELECT ? AS missing", undefined as never)).toThrow();
    sql.close();
  });
});
