/**
 * Which version of its schema is a database of? Every table says so in a comment of its definition, which SQLite keeps:
 * `-- schema 1`. So the version costs no row, not even for an object that stores one will for an hour. A database whose
 * tables say nothing is of version 0, from before there were versions.
 */

import type { Sql } from "./ports.ts";

/** The version that this release writes, of both kinds of objects. */
export const SCHEMA_VERSION = 1;

/** What is stored was written by a later release. Nothing is read or changed. */
class SchemaTooNewError extends Error {
  override readonly name = "SchemaTooNewError";
}

/**
 * The version of what is stored; undefined when nothing is.
 *
 * @throws SchemaTooNewError when a later release wrote it
 */
export function schemaVersion(sql: Sql): number | undefined {
  const tables = sql.rows(
    "SELECT sql FROM sqlite_master WHERE type = 'table' AND name NOT GLOB '_cf_*' AND name NOT GLOB 'sqlite_*'",
  );
  if (tables.length === 0) return undefined;
  const versions = tables.map((table) => Number(/-- schema (\d+)/.exec(String(table["sql"]))?.[1] ?? 0));
  const version = Math.max(...versions);
  if (version > SCHEMA_VERSION) {
    throw new SchemaTooNewError(
      `what is stored has schema ${version}, and this release knows ${SCHEMA_VERSION} at most: run a release that is as new`,
    );
  }
  return version;
}
