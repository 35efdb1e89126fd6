/**
 * The directory of a tenant as a Durable Object: each call is one turn of its core. A call resolves when what it changed is
 * stored.
 */

import { DurableObject } from "cloudflare:workers";
import type { User } from "../core/authentication/users.ts";
import type { AuditEntry, Change, Outcome } from "../core/directory/change.ts";
import { Directory, type Found, type News } from "../core/directory/directory.ts";
import { DirectoryStore, type KeptBan, type KeptRule, type KeptUser } from "../core/directory/store.ts";
import { cryptography } from "../edge/cryptography.ts";
import type { Env } from "../env.ts";
import { objectSql } from "./sql.ts";

/** As many bytes as the hash that it is the key of. */
const SECRET_BYTES = 32;

export class DirectoryObject extends DurableObject<Env> {
  readonly #directory: Directory;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const store = new DirectoryStore(objectSql(ctx.storage), () => cryptography.randomBytes(SECRET_BYTES));
    this.#directory = new Directory(store, cryptography);
  }

  find(name: string): Found {
    return this.#directory.find(name);
  }

  since(version: number | undefined): News {
    return this.#directory.since(version);
  }

  learn(name: string, passwordVersion: number, user: User): boolean {
    return this.#directory.learn(name, passwordVersion, user);
  }

  user(name: string): KeptUser | undefined {
    return this.#directory.user(name);
  }

  users(after: string, most: number): KeptUser[] {
    return this.#directory.users(after, most);
  }

  rule(id: number): KeptRule | undefined {
    return this.#directory.rule(id);
  }

  rules(after: number, most: number): KeptRule[] {
    return this.#directory.rules(after, most);
  }

  ban(id: number): KeptBan | undefined {
    return this.#directory.ban(id, Date.now());
  }

  bans(after: number, most: number): KeptBan[] {
    return this.#directory.bans(after, most, Date.now());
  }

  audit(before: number, most: number): AuditEntry[] {
    return this.#directory.audit(before, most);
  }

  change(change: Change, who: string): Outcome {
    return this.#directory.change(change, who, Date.now());
  }
}
