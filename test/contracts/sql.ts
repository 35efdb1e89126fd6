/**
 * The contract of {@link Sql}, run against each implementation. It says what the stores of the shards and sessions may
 * rely on, so a test that passes over Node's SQLite means something for a Durable Object's.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Sql, SqlValue } from "../../src/core/ports.ts";

/**
 * Calls `body` once with an empty database of its own. It is a callback, and not a function that returns a database,
 * because a Durable Object's storage can only be used from inside the object.
 */
export type WithSql = (body: (sql: Sql) => void) => void | Promise<void>;

export function sqlContract(name: string, withSql: WithSql): void {
  describe(`Sql: ${name}`, () => {
    const check = (claim: string, body: (sql: Sql) => void): void => {
      test(claim, () => withSql(body));
    };

    describe("values", () => {
      check("of every kind are returned as they were stored", (sql) => {
        sql.run("CREATE TABLE kept (id INTEGER PRIMARY KEY, value)");
        const values: SqlValue[] = [
          null,
          0,
          1,
          -1,
          1.5,
          2 ** 31,
          2 ** 53 - 1,
          -(2 ** 53 - 1),
          "",
          "a",
          "é ü ß",
          "日本語",
          "😀 and 👩‍👩‍👧",
          "\uffff",
          "\ufeffstarts with a byte order mark",
          'it\'s "quoted"; -- not a comment',
          new Uint8Array(0),
          new Uint8Array([0]),
          new Uint8Array([0, 255, 128, 0]),
        ];
        values.forEach((value, id) => sql.run("INSERT INTO kept (id, value) VALUES (?, ?)", id, value));
        expect(sql.rows("SELECT value FROM kept ORDER BY id").map((row) => row["value"])).toEqual(values);
      });

      check("are also returned unchanged when nobody thought of them", (sql) => {
        const value = fc.oneof(
          fc.maxSafeInteger(),
          fc.string({ unit: "binary", maxLength: 50 }),
          fc.uint8Array({ maxLength: 64 }),
          fc.constant(null),
        );
        sql.run("CREATE TABLE kept (id INTEGER PRIMARY KEY, value)");
        fc.assert(
          fc.property(fc.array(value, { maxLength: 20 }), (values) => {
            sql.run("DELETE FROM kept");
            values.forEach((one, id) => sql.run("INSERT INTO kept VALUES (?, ?)", id, one));
            expect(sql.rows("SELECT value FROM kept ORDER BY id").map((row) => row["value"])).toEqual(values);
          }),
          { numRuns: 20 },
        );
      });

      check("that are blobs come back as Uint8Array, and an empty blob is not NULL", (sql) => {
        const [row] = sql.rows("SELECT ? AS empty, ? AS full, x'' AS made", new Uint8Array(0), new Uint8Array([7]));
        expect(row!["empty"]).toBeInstanceOf(Uint8Array);
        expect(row!["full"]).toBeInstanceOf(Uint8Array);
        expect(row!["made"]).toBeInstanceOf(Uint8Array);
        expect(sql.rows("SELECT typeof(?) AS type", new Uint8Array(0))).toEqual([{ type: "blob" }]);
      });

      check("that are views into a larger buffer are stored as the view's bytes alone", (sql) => {
        const buffer = Uint8Array.from({ length: 100 }, (_, i) => i);
        sql.run("CREATE TABLE kept (value BLOB)");
        sql.run("INSERT INTO kept VALUES (?)", buffer.subarray(10, 13));
        sql.run("INSERT INTO kept VALUES (?)", buffer.subarray(50, 50));
        sql.run("INSERT INTO kept VALUES (?)", buffer.subarray(98));
        expect(sql.rows("SELECT value, typeof(value) AS type, length(value) AS length FROM kept")).toEqual([
          { value: new Uint8Array([10, 11, 12]), type: "blob", length: 3 },
          { value: new Uint8Array(0), type: "blob", length: 0 },
          { value: new Uint8Array([98, 99]), type: "blob", length: 2 },
        ]);
      });

      check("that are stored stay as they were when the caller's bytes change, and the reverse", (sql) => {
        const bytes = new Uint8Array([1, 2, 3]);
        sql.run("CREATE TABLE kept (value BLOB)");
        sql.run("INSERT INTO kept VALUES (?)", bytes);
        bytes.fill(9);
        const [first] = sql.rows("SELECT value FROM kept");
        expect(first).toEqual({ value: new Uint8Array([1, 2, 3]) });
        (first!["value"] as Uint8Array).fill(8);
        expect(sql.rows("SELECT value FROM kept")).toEqual([{ value: new Uint8Array([1, 2, 3]) }]);
      });

      check("that are whole numbers are integers in INTEGER columns, and are compared and ordered exactly", (sql) => {
        const top = 2 ** 53 - 1;
        sql.run("CREATE TABLE kept (number INTEGER PRIMARY KEY)");
        for (const number of [top, top - 1, -top, 0, top - 2]) sql.run("INSERT INTO kept VALUES (?)", number);
        expect(sql.rows("SELECT DISTINCT typeof(number) AS type FROM kept")).toEqual([{ type: "integer" }]);
        expect(sql.rows("SELECT number FROM kept WHERE number > ? ORDER BY number", top - 2)).toEqual([
          { number: top - 1 },
          { number: top },
        ]);
        expect(sql.rows("SELECT number FROM kept WHERE number = ?", -top)).toEqual([{ number: -top }]);
      });

      check("of 1.9 MB, the size of a full log batch, fit into a row", (sql) => {
        const batch = new Uint8Array(1_900_000);
        for (let i = 0; i < batch.length; i++) batch[i] = (i * 31) & 0xff;
        sql.run("CREATE TABLE kept (id INTEGER PRIMARY KEY, batch BLOB NOT NULL)");
        sql.run("INSERT INTO kept VALUES (?, ?)", 1, batch);
        const value = sql.rows("SELECT batch FROM kept WHERE id = ?", 1)[0]!["batch"] as Uint8Array;
        expect(value.length).toBe(batch.length);
        expect(value.every((byte, i) => byte === batch[i])).toBe(true);
      });
    });

    describe("statements", () => {
      check("see the writes before them, and no rows are an empty list", (sql) => {
        sql.run("CREATE TABLE kept (id INTEGER PRIMARY KEY, name TEXT)");
        expect(sql.rows("SELECT * FROM kept")).toEqual([]);
        sql.run("INSERT INTO kept VALUES (?, ?)", 1, "one");
        sql.run("UPDATE kept SET name = ? WHERE id = ?", "uno", 1);
        expect(sql.rows("SELECT * FROM kept")).toEqual([{ id: 1, name: "uno" }]);
        sql.run("DELETE FROM kept WHERE id = ?", 1);
        expect(sql.rows("SELECT count(*) AS count FROM kept")).toEqual([{ count: 0 }]);
      });

      check("may be repeated with other parameters, also after the table was made anew", (sql) => {
        const insert = "INSERT INTO kept VALUES (?)";
        const select = "SELECT value FROM kept";
        for (const type of ["INTEGER", "TEXT"]) {
          sql.run(`CREATE TABLE kept (value ${type})`);
          sql.run(insert, 1);
          sql.run(insert, 2);
          expect(sql.rows(select)).toHaveLength(2);
          sql.run("DROP TABLE kept");
        }
      });

      check("with RETURNING run to their end, also through run", (sql) => {
        sql.run("CREATE TABLE kept (id INTEGER PRIMARY KEY)");
        expect(sql.rows("INSERT INTO kept VALUES (1), (2) RETURNING id")).toEqual([{ id: 1 }, { id: 2 }]);
        sql.run("INSERT INTO kept VALUES (3), (4), (5) RETURNING id");
        sql.run("SELECT id FROM kept");
        expect(sql.rows("SELECT count(*) AS count FROM kept")).toEqual([{ count: 5 }]);
      });

      check("replace what has the same key", (sql) => {
        sql.run("CREATE TABLE kept (a TEXT, b INTEGER, value INTEGER, PRIMARY KEY (a, b)) WITHOUT ROWID");
        const upsert = "INSERT INTO kept VALUES (?, ?, ?) ON CONFLICT (a, b) DO UPDATE SET value = excluded.value";
        sql.run(upsert, "x", 1, 10);
        sql.run(upsert, "x", 1, 20);
        sql.run("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", "y", 1, 30);
        expect(sql.rows("SELECT value FROM kept ORDER BY a")).toEqual([{ value: 20 }, { value: 30 }]);
      });

      check("return many rows in the order asked for", (sql) => {
        const count = 3_000;
        sql.run("CREATE TABLE kept (id INTEGER PRIMARY KEY, name TEXT NOT NULL)");
        sql.transaction(() => {
          // 7 and 3000 have no common factor, so every id occurs once, in a scrambled order.
          for (let i = 0; i < count; i++) sql.run("INSERT INTO kept VALUES (?, ?)", (i * 7) % count, `name ${i}`);
        });
        const ids = Array.from({ length: count }, (_, i) => i);
        expect(sql.rows("SELECT id FROM kept ORDER BY id").map((row) => row["id"])).toEqual(ids);
        expect(sql.rows("SELECT id FROM kept ORDER BY id DESC").map((row) => row["id"])).toEqual(ids.toReversed());
        expect(sql.rows("SELECT id FROM kept WHERE id >= ? ORDER BY id LIMIT ?", 2_990, 3)).toEqual([
          { id: 2_990 },
          { id: 2_991 },
          { id: 2_992 },
        ]);
      });

      check("order text by its UTF-8 bytes", (sql) => {
        sql.run("CREATE TABLE kept (name TEXT PRIMARY KEY) WITHOUT ROWID");
        for (const name of ["b", "a/b", "a", "a!", "A", "é", "\uffff", "😀"])
          sql.run("INSERT INTO kept VALUES (?)", name);
        expect(sql.rows("SELECT name FROM kept ORDER BY name").map((row) => row["name"])).toEqual([
          "A",
          "a",
          "a!",
          "a/b",
          "b",
          "é",
          "\uffff",
          "😀",
        ]);
      });

      check("may be several when they have no parameters, as a schema does", (sql) => {
        sql.run(`
          -- A comment; with a semicolon.
          CREATE TABLE one (id INTEGER PRIMARY KEY); /* and another; */
          CREATE TABLE two (id INTEGER PRIMARY KEY, text TEXT DEFAULT 'a;b?');
          CREATE INDEX two_by_text ON two (text);
        `);
        sql.run("INSERT INTO two (id) VALUES (?)", 1);
        expect(sql.rows("SELECT text FROM two")).toEqual([{ text: "a;b?" }]);
      });

      check("take up to 100 parameters, and exactly as many as they have", (sql) => {
        const query = (count: number): string => `SELECT 1 AS one WHERE 1 IN (${Array(count).fill("?").join(", ")})`;
        const ones = (count: number): number[] => Array<number>(count).fill(1);
        expect(sql.rows(query(100), ...ones(100))).toEqual([{ one: 1 }]);
        expect(() => sql.rows(query(101), ...ones(101))).toThrow();
        expect(() => sql.rows(query(2), 1)).toThrow();
        expect(() => sql.rows(query(2), 1, 2, 3)).toThrow();
      });

      check("that are wrong throw and change nothing", (sql) => {
        sql.run("CREATE TABLE kept (id INTEGER PRIMARY KEY, name TEXT NOT NULL)");
        sql.run("INSERT INTO kept VALUES (1, 'one')");
        expect(() => sql.run("INSERT INTO kept VALUES (?, ?)", 1, "again")).toThrow();
        expect(() => sql.run("INSERT INTO kept VALUES (2, 'two'), (1, 'again')")).toThrow();
        expect(() => sql.run("INSERT INTO kept VALUES (?, ?)", 3, null)).toThrow();
        expect(() => sql.run("INSERT INTO nowhere VALUES (1)")).toThrow();
        expect(() => sql.rows("SELEC 1")).toThrow();
        expect(() => sql.run("")).toThrow();
        expect(sql.rows("SELECT * FROM kept")).toEqual([{ id: 1, name: "one" }]);
      });
    });

    describe("a transaction", () => {
      const ids = (sql: Sql): SqlValue[] => sql.rows("SELECT id FROM kept ORDER BY id").map((row) => row["id"]!);
      const insert = (sql: Sql, id: number): void => sql.run("INSERT INTO kept VALUES (?)", id);
      const checkKept = (claim: string, body: (sql: Sql) => void): void => {
        check(claim, (sql) => {
          sql.run("CREATE TABLE kept (id INTEGER PRIMARY KEY)");
          body(sql);
        });
      };

      checkKept("keeps all of its writes and returns what its body returns", (sql) => {
        const answer = sql.transaction(() => {
          insert(sql, 1);
          insert(sql, 2);
          return ids(sql);
        });
        expect(answer).toEqual([1, 2]);
        expect(ids(sql)).toEqual([1, 2]);
      });

      checkKept("keeps none of its writes when its body throws, and throws the very same thing", (sql) => {
        const mine = new RangeError("mine");
        insert(sql, 1);
        let thrown: unknown;
        try {
          sql.transaction(() => {
            insert(sql, 2);
            sql.run("DELETE FROM kept WHERE id = 1");
            throw mine;
          });
        } catch (error) {
          thrown = error;
        }
        expect(thrown).toBe(mine);
        expect(ids(sql)).toEqual([1]);
      });

      checkKept("is undone by a failed statement that is not caught, and not by one that is", (sql) => {
        insert(sql, 1);
        expect(() =>
          sql.transaction(() => {
            insert(sql, 2);
            insert(sql, 1);
          }),
        ).toThrow();
        expect(ids(sql)).toEqual([1]);
        sql.transaction(() => {
          insert(sql, 3);
          expect(() => insert(sql, 1)).toThrow();
          insert(sql, 4);
        });
        expect(ids(sql)).toEqual([1, 3, 4]);
      });

      checkKept("inside another one is undone alone when only it throws", (sql) => {
        sql.transaction(() => {
          insert(sql, 1);
          expect(() =>
            sql.transaction(() => {
              insert(sql, 2);
              sql.transaction(() => insert(sql, 3));
              throw new Error("inner");
            }),
          ).toThrow("inner");
          insert(sql, 4);
          sql.transaction(() => insert(sql, 5));
        });
        expect(ids(sql)).toEqual([1, 4, 5]);
      });

      checkKept("is undone with the finished ones inside it", (sql) => {
        expect(() =>
          sql.transaction(() => {
            sql.transaction(() => sql.transaction(() => insert(sql, 1)));
            throw new Error("outer");
          }),
        ).toThrow("outer");
        expect(ids(sql)).toEqual([]);
        sql.transaction(() => insert(sql, 2));
        expect(ids(sql)).toEqual([2]);
      });

      checkKept("covers tables as well as rows", (sql) => {
        insert(sql, 1);
        expect(() =>
          sql.transaction(() => {
            sql.run("DROP TABLE kept");
            sql.run("CREATE TABLE other (id INTEGER)");
            throw new Error("undo");
          }),
        ).toThrow("undo");
        expect(ids(sql)).toEqual([1]);
        expect(() => sql.rows("SELECT * FROM other")).toThrow();
      });

      checkKept("cannot be made in SQL", (sql) => {
        expect(() => sql.run("BEGIN")).toThrow();
        expect(() => sql.run("SAVEPOINT mine")).toThrow();
        insert(sql, 1);
        expect(ids(sql)).toEqual([1]);
      });
    });

    describe("wipe", () => {
      const SCHEMA = `
        CREATE TABLE counted (id INTEGER PRIMARY KEY AUTOINCREMENT, value BLOB);
        CREATE TABLE named (name TEXT PRIMARY KEY, value INTEGER) WITHOUT ROWID;
        CREATE INDEX named_by_value ON named (value);
        CREATE TABLE "odd ""name" (id INTEGER REFERENCES counted (id));
        CREATE VIEW seen AS SELECT name FROM named;
        CREATE TRIGGER noticed AFTER DELETE ON named BEGIN DELETE FROM counted; END;
      `;
      const fill = (sql: Sql): void => {
        sql.run(SCHEMA);
        for (let i = 1; i <= 10; i++) {
          sql.run("INSERT INTO counted (value) VALUES (?)", new Uint8Array([i]));
          sql.run("INSERT INTO named VALUES (?, ?)", `name ${i}`, i);
          sql.run('INSERT INTO "odd ""name" VALUES (?)', i);
        }
      };
      const isEmpty = (sql: Sql): void => {
        for (const table of ["counted", "named", '"odd ""name"', "seen"]) {
          expect(() => sql.rows(`SELECT * FROM ${table}`)).toThrow();
        }
      };

      check("of an empty database does nothing", (sql) => {
        sql.wipe();
        sql.wipe();
      });

      check("removes every table, index, view and trigger, and leaves a database as new", (sql) => {
        fill(sql);
        sql.wipe();
        isEmpty(sql);
        fill(sql);
        expect(sql.rows("SELECT max(id) AS top, count(*) AS count FROM counted")).toEqual([{ top: 10, count: 10 }]);
        expect(sql.rows("SELECT name FROM seen WHERE name = ?", "name 3")).toEqual([{ name: "name 3" }]);
      });

      check("in a transaction is undone with it", (sql) => {
        fill(sql);
        expect(() =>
          sql.transaction(() => {
            sql.wipe();
            isEmpty(sql);
            sql.run("CREATE TABLE named (other INTEGER)");
            throw new Error("undo");
          }),
        ).toThrow("undo");
        expect(sql.rows("SELECT count(*) AS count FROM named")).toEqual([{ count: 10 }]);
      });

      check("and what is stored after it are kept together", (sql) => {
        fill(sql);
        sql.transaction(() => {
          sql.wipe();
          sql.run("CREATE TABLE named (name TEXT)");
          sql.run("INSERT INTO named VALUES (?)", "new");
        });
        expect(sql.rows("SELECT * FROM named")).toEqual([{ name: "new" }]);
        expect(() => sql.rows("SELECT * FROM counted")).toThrow();
      });
    });
  });
}
