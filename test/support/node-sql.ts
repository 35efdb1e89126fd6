/**
 * {@link Sql} over `node:sqlite`, for tests and simulation. It keeps the contract of a Durable Object's SQLite
 * (`src/objects/sql.ts`), and where Node would let something pass that production refuses, it refuses it as well: the
 * platform's limits, a wrong number of parameters (Node binds NULL for missing ones), several statements where only
 * the first would run, and transaction control in SQL.
 *
 * A crash between a write and its durability: set `held`, and `lose` what was written.
 */
import { DatabaseSync, type StatementSync } from "node:sqlite";
import type { Sql, SqlRow, SqlValue } from "../../src/core/ports.ts";

export interface NodeSql extends Sql {
  /**
   * Makes writes fail, before they change anything, with {@link StorageFailure}: all of them, or those for whose SQL it
   * returns true. Writes are every `run`, every `rows` with a statement that is not a query, and `wipe`.
   */
  failWrites: boolean | ((query: string) => boolean);
  /** Writes that have been made, successful or not. */
  readonly writes: number;
  /**
   * What is written stays in a transaction, across any number of turns, until {@link save} or {@link lose}. To be changed
   * between transactions only, and set to false after one of these.
   */
  held: boolean;
  /** Keeps what was written while {@link held}. */
  save(): void;
  /** Undoes what was written while {@link held}, as a crash before it was durable does. */
  lose(): void;
  close(): void;
}

/** What a write throws under {@link NodeSql.failWrites}. */
export class StorageFailure extends Error {
  override readonly name = "StorageFailure";
}

/** Limits of SQLite in Durable Objects: 2 MB for a value or a row, 100 parameters, 100 columns, 100 KB of SQL. */
const LIMITS = {
  length: 2_000_000,
  sqlLength: 100_000,
  column: 100,
  exprDepth: 100,
  compoundSelect: 5,
  functionArg: 32,
  likePatternLength: 50,
  variableNumber: 100,
};

/** A query, whatever database it is for. */
interface Shape {
  readonly statements: number;
  readonly parameters: number;
  readonly writes: boolean;
}

const shapes = new Map<string, Shape>();

interface Prepared {
  /** `undefined` for a query of several statements, which is run as a whole. */
  readonly statement: StatementSync | undefined;
  readonly parameters: number;
  readonly writes: boolean;
}

/** Opens the database in the file `path`, by default a new one in memory. */
export function nodeSql(path = ":memory:"): NodeSql {
  const database = new DatabaseSync(path, { limits: LIMITS });
  // A killed process loses nothing without fsync; only a killed machine would, and no test kills one.
  if (path !== ":memory:") database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF");
  const cache = new Map<string, Prepared>();
  const control = new Map<string, StatementSync>();
  let writes = 0;
  /** Transactions that are under way, and how many of them SQLite knows of: it is told when the first write comes. */
  let depth = 0;
  let begun = 0;
  /** SQLite has a transaction around all of them, for what is held. */
  let holding = false;

  /** Statements that the broker may not use itself. */
  function does(query: string): StatementSync {
    let statement = control.get(query);
    if (statement === undefined) control.set(query, (statement = database.prepare(query)));
    return statement;
  }

  function prepare(query: string): Prepared {
    let prepared = cache.get(query);
    if (prepared === undefined) {
      const { statements, parameters, writes } = shapeOf(query);
      if (/\b(BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE)\b/i.test(query.trimStart().split(/\s/, 1)[0]!)) {
        throw new Error("transactions are made with transaction(), not in SQL");
      }
      prepared = {
        statement: statements === 1 ? database.prepare(query) : undefined,
        parameters,
        writes,
      };
      cache.set(query, prepared);
    }
    return prepared;
  }

  function bound(query: string, parameters: readonly SqlValue[]): Prepared {
    const prepared = prepare(query);
    if (prepared.parameters !== parameters.length) {
      throw new Error(`wrong number of parameters (${parameters.length}, not ${prepared.parameters}): ${query}`);
    }
    return prepared;
  }

  function beforeWrite(query: string): void {
    const { failWrites } = self;
    if (typeof failWrites === "function" ? failWrites(query) : failWrites) {
      throw new StorageFailure(`storage failed: ${query}`);
    }
    writes++;
    if (self.held && !holding) {
      does("BEGIN").run();
      holding = true;
    }
    for (; begun < depth; begun++) does(begun === 0 && !holding ? "BEGIN" : `SAVEPOINT level_${begun}`).run();
  }

  function end(how: "COMMIT" | "ROLLBACK"): void {
    // SQLite may have rolled it back by itself (a full disk).
    if (holding && database.isTransaction) does(how).run();
    holding = false;
  }

  const self: NodeSql = {
    failWrites: false,
    held: false,

    get writes(): number {
      return writes;
    },

    save: () => end("COMMIT"),
    lose: () => end("ROLLBACK"),

    /** Without free pages, as workerd counts. */
    get bytes(): number {
      const { page_count: all } = does("PRAGMA page_count").get() as { page_count: number };
      const { freelist_count: free } = does("PRAGMA freelist_count").get() as { freelist_count: number };
      const { page_size: bytes } = does("PRAGMA page_size").get() as { page_size: number };
      return (all - free) * bytes;
    },

    rows(query: string, ...parameters: SqlValue[]): SqlRow[] {
      const { statement, writes } = bound(query, parameters);
      if (statement === undefined) throw new Error(`rows() takes one statement: ${query}`);
      if (writes) beforeWrite(query);
      return statement.all(...parameters) as SqlRow[];
    },

    run(query: string, ...parameters: SqlValue[]): void {
      const { statement } = bound(query, parameters);
      beforeWrite(query);
      if (statement !== undefined) statement.run(...parameters);
      else if (parameters.length === 0) database.exec(query);
      else throw new Error(`several statements take no parameters: ${query}`);
    },

    transaction<T>(body: () => T): T {
      const level = depth++;
      try {
        const result = body();
        if (begun > level) does(level === 0 && !holding ? "COMMIT" : `RELEASE level_${level}`).run();
        return result;
      } catch (error) {
        // SQLite may have rolled the whole transaction back by itself (a full disk); there is nothing left to undo then.
        if (begun > level && database.isTransaction) {
          database.exec(level === 0 && !holding ? "ROLLBACK" : `ROLLBACK TO level_${level}; RELEASE level_${level}`);
        }
        throw error;
      } finally {
        depth = level;
        begun = Math.min(begun, level);
      }
    },

    wipe(): void {
      beforeWrite("wipe");
      self.transaction(() => {
        const found = database
          .prepare(
            `SELECT type, name FROM sqlite_master
             WHERE type IN ('table', 'view') AND name NOT GLOB 'sqlite_*' ORDER BY rowid DESC`,
          )
          .all();
        for (const { type, name } of found) {
          database.exec(`DROP ${String(type)} "${String(name).replaceAll('"', '""')}"`);
        }
      });
    },

    close(): void {
      cache.clear();
      control.clear();
      database.close();
    },
  };
  return self;
}

/**
 * Counts statements and `?` parameters, outside of literals and comments. Like the platform it refuses a `;` or a
 * comment with no statement of its own after the last one.
 */
function shapeOf(query: string): Shape {
  let shape = shapes.get(query);
  if (shape === undefined) shapes.set(query, (shape = readShape(query)));
  return shape;
}

function readShape(query: string): Shape {
  const token = /\s+|--[^\n]*|\/\*[^]*?\*\/|'[^']*'|"[^"]*"|`[^`]*`|\[[^\]]*\]|[^]/g;
  let statements = 0;
  let parameters = 0;
  let inStatement = false;
  let onlySpace = true;
  for (const [text] of query.matchAll(token)) {
    if (/^\s/.test(text)) continue;
    onlySpace = false;
    if (text.startsWith("--") || text.startsWith("/*")) continue;
    if (text === ";") {
      if (!inStatement) throw new Error(`SQL without a statement: ${query}`);
      inStatement = false;
      onlySpace = true;
      continue;
    }
    if (!inStatement) statements++;
    inStatement = true;
    if (text === "?") parameters++;
  }
  if (statements === 0 || (!inStatement && !onlySpace)) throw new Error(`SQL without a statement: ${query}`);
  const writes = /\b(INSERT|REPLACE|UPDATE|DELETE|CREATE|DROP|ALTER)\b/i.test(query);
  return { statements, parameters, writes };
}
