/**
 * What a directory stores, and how: users, rules, bans, which users changed lately, what admins did, and one row with its version
 * and its secret. Tables are made with the first use of the object, which stays for good.
 */

import { readPasswordHash, writePasswordHash } from "../authentication/password-hash.ts";
import type { User } from "../authentication/users.ts";
import type { Verifier } from "../authentication/verifier.ts";
import type { Rule } from "../authorization/rule.ts";
import { type Ban, banKey } from "../bans/bans.ts";
import type { Sql, SqlRow } from "../ports.ts";
import { SCHEMA_VERSION, schemaVersion } from "../schema.ts";
import type { AuditEntry } from "./change.ts";

const SCHEMA = [
  // One row. The secret is what names are made up from that nobody has, and never changes.
  `CREATE TABLE directory ( -- schema ${SCHEMA_VERSION}
    one INTEGER PRIMARY KEY,
    secret BLOB NOT NULL,
    version INTEGER NOT NULL,
    rules_version INTEGER NOT NULL,
    last_rule INTEGER NOT NULL
  )`,
  // A verifier, a hash as mosquitto_passwd writes it, or both. The place is drawn once, by chance.
  `CREATE TABLE user ( -- schema ${SCHEMA_VERSION}
    name TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    salt BLOB,
    iterations INTEGER,
    stored_key BLOB,
    server_key BLOB,
    hash TEXT,
    place INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
  ) WITHOUT ROWID`,
  "CREATE INDEX user_place ON user (place)",
  "CREATE INDEX user_verifier_place ON user (place) WHERE salt IS NOT NULL",
  `CREATE TABLE rule ( -- schema ${SCHEMA_VERSION}
    id INTEGER PRIMARY KEY,
    rule TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
  )`,
  `CREATE TABLE change ( -- schema ${SCHEMA_VERSION}
    version INTEGER PRIMARY KEY,
    user TEXT NOT NULL
  )`,
  `CREATE TABLE audit ( -- schema ${SCHEMA_VERSION}
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    object TEXT NOT NULL
  )`,
];

/** A directory that was made before there were bans gets them when it starts. A release from then leaves them alone. */
const BAN_SCHEMA = [
  "ALTER TABLE directory ADD COLUMN bans_version INTEGER NOT NULL DEFAULT 0",
  "ALTER TABLE directory ADD COLUMN last_ban INTEGER NOT NULL DEFAULT 0",
  `CREATE TABLE ban ( -- schema ${SCHEMA_VERSION}
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    type TEXT NOT NULL,
    value TEXT NOT NULL,
    until INTEGER,
    why TEXT,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
  )`,
];

export interface Versions {
  /** Rises with every change of a user, a rule or a ban. */
  readonly version: number;
  /** The version with which the rules changed last. */
  readonly rulesVersion: number;
  /** The highest id that a rule ever had. */
  readonly lastRule: number;
  /** The same of bans. */
  readonly bansVersion: number;
  readonly lastBan: number;
}

export interface KeptUser {
  readonly name: string;
  /** The version of the directory with which the password was set last. */
  readonly version: number;
  readonly user: User;
  /** In milliseconds since 1970, as the next one. */
  readonly createdAt: number;
  readonly changedAt: number;
}

/** A user whose password changed, or who went, and with which version last. */
export interface ChangedUser {
  readonly name: string;
  readonly version: number;
}

export interface KeptRule {
  readonly id: number;
  readonly rule: Rule;
  readonly createdAt: number;
  readonly changedAt: number;
}

export interface KeptBan {
  readonly id: number;
  readonly ban: Ban;
  readonly createdAt: number;
  readonly changedAt: number;
}

export class DirectoryStore {
  readonly #sql: Sql;

  /** @param secret for a directory that has none yet */
  constructor(sql: Sql, secret: () => Uint8Array) {
    this.#sql = sql;
    const isNew = schemaVersion(sql) === undefined;
    if (!isNew && sql.rows("SELECT 1 FROM sqlite_master WHERE name = 'ban'").length > 0) return;
    sql.transaction(() => {
      if (isNew) {
        for (const statement of SCHEMA) sql.run(statement);
        sql.run(
          "INSERT INTO directory (one, secret, version, rules_version, last_rule) VALUES (1, ?, 0, 0, 0)",
          secret(),
        );
      }
      for (const statement of BAN_SCHEMA) sql.run(statement);
    });
  }

  transaction<T>(body: () => T): T {
    return this.#sql.transaction(body);
  }

  get secret(): Uint8Array {
    return this.#sql.rows("SELECT secret FROM directory")[0]!["secret"] as Uint8Array;
  }

  get versions(): Versions {
    const row = this.#sql.rows("SELECT version, rules_version, last_rule, bans_version, last_ban FROM directory")[0]!;
    return {
      version: row["version"] as number,
      rulesVersion: row["rules_version"] as number,
      lastRule: row["last_rule"] as number,
      bansVersion: row["bans_version"] as number,
      lastBan: row["last_ban"] as number,
    };
  }

  putVersions({ version, rulesVersion, lastRule, bansVersion, lastBan }: Versions): void {
    this.#sql.run(
      "UPDATE directory SET version = ?, rules_version = ?, last_rule = ?, bans_version = ?, last_ban = ?",
      version,
      rulesVersion,
      lastRule,
      bansVersion,
      lastBan,
    );
  }

  // Users.

  user(name: string): KeptUser | undefined {
    return this.#users("WHERE name = ?", name)[0];
  }

  /** In the order of their names. */
  users(after: string, most: number): KeptUser[] {
    return this.#users("WHERE name > ? ORDER BY name LIMIT ?", after, most);
  }

  /** The first user at this place or behind it, in a circle; undefined if there is no user. */
  userAt(place: number): User | undefined {
    const found = this.#users("WHERE place >= ? ORDER BY place LIMIT 1", place);
    return (found[0] ?? this.#users("ORDER BY place LIMIT 1")[0])?.user;
  }

  /** The same of those who have a verifier. */
  verifierAt(place: number): Verifier | undefined {
    const having = "WHERE salt IS NOT NULL";
    const found = this.#users(`${having} AND place >= ? ORDER BY place LIMIT 1`, place);
    return (found[0] ?? this.#users(`${having} ORDER BY place LIMIT 1`)[0])?.user.verifier;
  }

  /** @param place for a user who has none yet */
  putUser({ name, version, user, createdAt, changedAt }: KeptUser, place: number): void {
    const { verifier, hash } = user;
    this.#sql.run(
      `INSERT INTO user (name, version, salt, iterations, stored_key, server_key, hash, place, created_at, changed_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
       ON CONFLICT (name) DO UPDATE SET version = excluded.version, salt = excluded.salt,
         iterations = excluded.iterations, stored_key = excluded.stored_key, server_key = excluded.server_key,
         hash = excluded.hash, created_at = excluded.created_at, changed_at = excluded.changed_at`,
      name,
      version,
      verifier?.salt ?? null,
      verifier?.iterations ?? null,
      verifier?.storedKey ?? null,
      verifier?.serverKey ?? null,
      hash ? writePasswordHash(hash) : null,
      place,
      createdAt,
      changedAt,
    );
  }

  deleteUser(name: string): void {
    this.#sql.run("DELETE FROM user WHERE name = ?", name);
  }

  #users(which: string, ...parameters: (string | number)[]): KeptUser[] {
    const columns = "name, version, salt, iterations, stored_key, server_key, hash, created_at, changed_at";
    return this.#sql.rows(`SELECT ${columns} FROM user ${which}`, ...parameters).map(readUser);
  }

  // Which users changed.

  /** The user changed, or went, with this version. */
  putChange(version: number, user: string): void {
    this.#sql.run("INSERT INTO change (version, user) VALUES (?, ?)", version, user);
  }

  /** Those who changed later than with this version, and with which one they did last. */
  changedSince(version: number): ChangedUser[] {
    return this.#sql
      .rows("SELECT user, max(version) AS latest FROM change WHERE version > ? GROUP BY user", version)
      .map((row) => ({ name: row["user"] as string, version: row["latest"] as number }));
  }

  deleteChanges(upTo: number): void {
    this.#sql.run("DELETE FROM change WHERE version <= ?", upTo);
  }

  // Rules.

  rule(id: number): KeptRule | undefined {
    return this.#sql.rows("SELECT * FROM rule WHERE id = ?", id).map(readRule)[0];
  }

  /** In the order of their ids. */
  rules(after: number, most: number): KeptRule[] {
    return this.#sql.rows("SELECT * FROM rule WHERE id > ? ORDER BY id LIMIT ?", after, most).map(readRule);
  }

  get ruleCount(): number {
    return this.#sql.rows("SELECT count(*) AS rules FROM rule")[0]!["rules"] as number;
  }

  putRule({ id, rule, createdAt, changedAt }: KeptRule): void {
    this.#sql.run(
      "INSERT OR REPLACE INTO rule (id, rule, created_at, changed_at) VALUES (?, ?, ?, ?)",
      id,
      JSON.stringify(rule),
      createdAt,
      changedAt,
    );
  }

  deleteRule(id: number): void {
    this.#sql.run("DELETE FROM rule WHERE id = ?", id);
  }

  deleteRules(): void {
    this.#sql.run("DELETE FROM rule");
  }

  // Bans.

  ban(id: number): KeptBan | undefined {
    return this.#sql.rows("SELECT * FROM ban WHERE id = ?", id).map(readBan)[0];
  }

  /** That of the same client id, user, address or network. */
  banLike(ban: Ban): KeptBan | undefined {
    return this.#sql.rows("SELECT * FROM ban WHERE key = ?", banKey(ban)).map(readBan)[0];
  }

  /** In the order of their ids, without those that are over at that time. */
  bans(after: number, most: number, now: number): KeptBan[] {
    return this.#sql
      .rows("SELECT * FROM ban WHERE id > ? AND (until IS NULL OR until > ?) ORDER BY id LIMIT ?", after, now, most)
      .map(readBan);
  }

  get banCount(): number {
    return this.#sql.rows("SELECT count(*) AS bans FROM ban")[0]!["bans"] as number;
  }

  putBan({ id, ban, createdAt, changedAt }: KeptBan): void {
    this.#sql.run(
      `INSERT OR REPLACE INTO ban (id, key, type, value, until, why, created_at, changed_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
      id,
      banKey(ban),
      ban.type,
      ban.value,
      ban.until ?? null,
      ban.why ?? null,
      createdAt,
      changedAt,
    );
  }

  deleteBan(id: number): void {
    this.#sql.run("DELETE FROM ban WHERE id = ?", id);
  }

  /** Those that are over at that time. */
  deleteBansOver(now: number): void {
    this.#sql.run("DELETE FROM ban WHERE until <= ?", now);
  }

  // What admins did.

  /** The newest first, of those before a number. */
  audit(before: number, most: number): AuditEntry[] {
    return this.#sql
      .rows("SELECT * FROM audit WHERE number < ? ORDER BY number DESC LIMIT ?", before, most)
      .map((row) => ({
        number: row["number"] as number,
        at: row["at"] as number,
        who: row["who"] as string,
        what: row["what"] as AuditEntry["what"],
        on: row["object"] as string,
      }));
  }

  putAudit({ number, at, who, what, on }: AuditEntry): void {
    this.#sql.run(
      "INSERT INTO audit (number, at, who, what, object) VALUES (?, ?, ?, ?, ?)",
      number,
      at,
      who,
      what,
      on,
    );
  }

  deleteAudit(upTo: number): void {
    this.#sql.run("DELETE FROM audit WHERE number <= ?", upTo);
  }
}

function readUser(row: SqlRow): KeptUser {
  const hash = row["hash"] === null ? undefined : readPasswordHash(row["hash"] as string);
  const verifier = row["salt"] === null ? undefined : readVerifier(row);
  return {
    name: row["name"] as string,
    version: row["version"] as number,
    // One of the two there is.
    user: (verifier ? { verifier, ...(hash && { hash }) } : { hash }) as User,
    createdAt: row["created_at"] as number,
    changedAt: row["changed_at"] as number,
  };
}

function readVerifier(row: SqlRow): Verifier {
  return {
    salt: row["salt"] as Uint8Array,
    iterations: row["iterations"] as number,
    storedKey: row["stored_key"] as Uint8Array,
    serverKey: row["server_key"] as Uint8Array,
  };
}

function readRule(row: SqlRow): KeptRule {
  return {
    id: row["id"] as number,
    rule: JSON.parse(row["rule"] as string) as Rule,
    createdAt: row["created_at"] as number,
    changedAt: row["changed_at"] as number,
  };
}

function readBan(row: SqlRow): KeptBan {
  return {
    id: row["id"] as number,
    ban: {
      type: row["type"] as Ban["type"],
      value: row["value"] as string,
      until: (row["until"] as number | null) ?? undefined,
      why: (row["why"] as string | null) ?? undefined,
    },
    createdAt: row["created_at"] as number,
    changedAt: row["changed_at"] as number,
  };
}
