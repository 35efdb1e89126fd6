/**
 * The users, rules and bans of a tenant that are kept and not configured: what is asked of them when a client connects, what has
 * changed since somebody asked last, and what admins change.
 *
 * - The *version* of the directory rises with every change. Whoever knows the directory as of one version learns by it what
 *   to forget: rules and bans, if they are not the same, and the names of users whose password changed or who went. Only the
 *   latest {@link CHANGES_MAX} versions are remembered; who asks with an older one has to forget all users.
 * - Nothing is kept in memory: what is stored is all that there is, and a change is all or nothing.
 * - A name that nobody has is like one of the users (`users.ts`): the first at or behind a place in a circle that the name
 *   and the directory's secret give. A user who comes or goes changes what few such names are like, and finding one takes a
 *   look into an index, as finding a user does.
 */

import { type Candidate, inventVerifier, lotOf } from "../authentication/candidate.ts";
import { LIKE_ANY, type User } from "../authentication/users.ts";
import type { Verifier } from "../authentication/verifier.ts";
import type { Rule } from "../authorization/rule.ts";
import type { Ban } from "../bans/bans.ts";
import type { Cryptography } from "../ports.ts";
import type { AuditEntry, Change, Outcome } from "./change.ts";
import type { ChangedUser, DirectoryStore, KeptBan, KeptRule, KeptUser } from "./store.ts";

/** How many versions back it is known which users changed. */
export const CHANGES_MAX = 1_000;
/** Every Worker isolate has all of them in memory. */
export const RULES_MAX = 5_000;
/** The same holds for them. */
export const BANS_MAX = 5_000;
/** The newest that are kept. */
export const AUDIT_MAX = 10_000;

/** What it takes to find out whether a client is the user of a name. */
export interface Found extends Candidate {
  /** For SCRAM: the user's, or one made up. Its salt is for whatever password the user of this name gets. */
  readonly verifier: Verifier;
  /** The verifier is the user's own, so that it can be satisfied. */
  readonly provable: boolean;
  /** The version of the directory that this is true of. */
  readonly version: number;
  /** The version with which the user's password was set. */
  readonly passwordVersion: number;
}

/** What has changed since a version. */
export interface News {
  readonly version: number;
  /** All rules; undefined: they are the same. */
  readonly rules: readonly KeptRule[] | undefined;
  /** All bans, also those that are over; undefined: they are the same. */
  readonly bans: readonly Ban[] | undefined;
  /** Users whose password changed, or who went; undefined: it may be any. */
  readonly users: readonly ChangedUser[] | undefined;
}

export class Directory {
  readonly #store: DirectoryStore;
  readonly #cryptography: Cryptography;

  constructor(store: DirectoryStore, cryptography: Cryptography) {
    this.#store = store;
    this.#cryptography = cryptography;
  }

  /** @param name as SASLprep leaves it */
  find(name: string): Found {
    const { secret } = this.#store;
    const { version } = this.#store.versions;
    const lot = lotOf(name, secret, this.#cryptography);
    const like = this.#store.userAt(placeIn(lot, 0));
    const another = this.#store.verifierAt(placeIn(lot, 6));
    const kept = this.#store.user(name);
    const user = kept?.user ?? like;
    const invented = inventVerifier(name, secret, user?.verifier ?? another ?? LIKE_ANY, this.#cryptography);
    const own = kept?.user.verifier;
    return {
      name,
      user: user ?? { verifier: invented },
      known: kept !== undefined,
      verifier: own ?? invented,
      provable: own !== undefined,
      version,
      passwordVersion: kept?.version ?? 0,
    };
  }

  /** @param version undefined: nothing is known */
  since(version: number | undefined): News {
    const { version: present, rulesVersion, bansVersion } = this.#store.versions;
    // A version that is still to come is of a directory that was set back.
    const known = version === undefined || version > present ? undefined : version;
    return {
      version: present,
      rules: known !== undefined && known >= rulesVersion ? undefined : this.#store.rules(0, RULES_MAX),
      bans:
        known !== undefined && known >= bansVersion
          ? undefined
          : this.#store.bans(0, BANS_MAX, -Infinity).map(({ ban }) => ban),
      users: known === undefined || known < present - CHANGES_MAX ? undefined : this.#store.changedSince(known),
    };
  }

  /**
   * Keeps more of a password that has just turned out to be right: it is the same password, so nobody has to hear of it.
   * Returns false if the user has got another one meanwhile, or is gone.
   *
   * @param passwordVersion as {@link find} gave it
   */
  learn(name: string, passwordVersion: number, user: User): boolean {
    const kept = this.#store.user(name);
    if (kept?.version !== passwordVersion) return false;
    this.#store.putUser({ ...kept, user }, 0);
    return true;
  }

  // What admins see.

  user(name: string): KeptUser | undefined {
    return this.#store.user(name);
  }

  /** In the order of their names, of those after one. */
  users(after: string, most: number): KeptUser[] {
    return this.#store.users(after, most);
  }

  rule(id: number): KeptRule | undefined {
    return this.#store.rule(id);
  }

  /** In the order of their ids, of those after one. */
  rules(after: number, most: number): KeptRule[] {
    return this.#store.rules(after, most);
  }

  /** Undefined: there is none, or it is over. */
  ban(id: number, now: number): KeptBan | undefined {
    return this.#store.bans(id - 1, 1, now).find((kept) => kept.id === id);
  }

  /** In the order of their ids, of those after one that are not over. */
  bans(after: number, most: number, now: number): KeptBan[] {
    return this.#store.bans(after, most, now);
  }

  /** The newest first, of those before one. */
  audit(before: number, most: number): AuditEntry[] {
    return this.#store.audit(before, most);
  }

  // What admins do.

  /**
   * Changes something, or leaves all as it is.
   *
   * @param who fingerprint of the admin's token
   * @param now in milliseconds since 1970
   */
  change(change: Change, who: string, now: number): Outcome {
    return this.#store.transaction(() => {
      const [outcome, on] = this.#apply(change, now);
      if (outcome.type === "done") this.#remember(change.type, on, who, now);
      return outcome;
    });
  }

  #apply(change: Change, now: number): [outcome: Outcome, on: string] {
    const store = this.#store;
    switch (change.type) {
      case "putUser": {
        const { name, user, only } = change;
        const isThere = store.user(name) !== undefined;
        if (isThere && only === "create") return [{ type: "present" }, ""];
        if (!isThere && only === "replace") return [{ type: "absent" }, ""];
        return [this.#putUsers([[name, user]], now), name];
      }
      case "importUsers":
        return [this.#putUsers(change.users, now), `${change.users.length} users`];
      case "deleteUser": {
        if (!store.user(change.name)) return [{ type: "absent" }, ""];
        store.deleteUser(change.name);
        this.#raise([change.name]);
        return [done(0, 0), change.name];
      }
      case "addRule": {
        const [outcome, id] = this.#addRules([change.rule], now);
        return [outcome, `rule ${id}`];
      }
      case "importRules": {
        const replaced = change.replacing ? store.ruleCount : 0;
        if (change.rules.length > RULES_MAX) return [{ type: "full", most: RULES_MAX }, ""];
        if (change.replacing) store.deleteRules();
        const [outcome] = this.#addRules(change.rules, now);
        return [
          outcome.type === "done" ? { ...outcome, replaced, id: undefined } : outcome,
          `${change.rules.length} rules`,
        ];
      }
      case "putRule": {
        const kept = store.rule(change.id);
        if (!kept) return [{ type: "absent" }, ""];
        store.putRule({ ...kept, rule: change.rule, changedAt: now });
        this.#raiseRules(store.versions.lastRule);
        return [done(0, 1), `rule ${change.id}`];
      }
      case "deleteRule": {
        if (!store.rule(change.id)) return [{ type: "absent" }, ""];
        store.deleteRule(change.id);
        this.#raiseRules(store.versions.lastRule);
        return [done(0, 0), `rule ${change.id}`];
      }
      case "addBan":
      case "putBan":
      case "deleteBan":
        // What is over is as if it had never been: it is in nobody's place, and does not count.
        store.deleteBansOver(now);
        return this.#applyToBans(change, now);
    }
  }

  #applyToBans(
    change: Extract<Change, { type: "addBan" | "putBan" | "deleteBan" }>,
    now: number,
  ): [outcome: Outcome, on: string] {
    const store = this.#store;
    const { lastBan } = store.versions;
    if (change.type === "addBan") {
      if (store.banLike(change.ban)) return [{ type: "present" }, ""];
      if (store.banCount >= BANS_MAX) return [{ type: "full", most: BANS_MAX }, ""];
      const id = lastBan + 1;
      store.putBan({ id, ban: change.ban, createdAt: now, changedAt: now });
      this.#raiseBans(id);
      return [{ ...done(1, 0), id }, `ban ${id}`];
    }
    const { type, id } = change;
    const kept = store.ban(id);
    if (!kept) return [{ type: "absent" }, ""];
    if (type === "putBan") {
      if ((store.banLike(change.ban)?.id ?? id) !== id) return [{ type: "present" }, ""];
      store.putBan({ ...kept, ban: change.ban, changedAt: now });
    } else store.deleteBan(id);
    this.#raiseBans(lastBan);
    return [done(0, type === "putBan" ? 1 : 0), `ban ${id}`];
  }

  #putUsers(users: readonly (readonly [name: string, user: User])[], now: number): Outcome {
    const first = this.#raise(users.map(([name]) => name));
    let replaced = 0;
    for (const [at, [name, user]] of users.entries()) {
      const kept = this.#store.user(name);
      if (kept) replaced += 1;
      const place = placeIn(this.#cryptography.randomBytes(6), 0);
      this.#store.putUser(
        { name, user, version: first + at, createdAt: kept?.createdAt ?? now, changedAt: now },
        place,
      );
    }
    return done(users.length - replaced, replaced);
  }

  /** Adds rules, and returns the id of the last one. */
  #addRules(rules: readonly Rule[], now: number): [outcome: Outcome, id: number] {
    const { lastRule } = this.#store.versions;
    if (this.#store.ruleCount + rules.length > RULES_MAX) return [{ type: "full", most: RULES_MAX }, lastRule];
    let id = lastRule;
    for (const rule of rules) this.#store.putRule({ id: ++id, rule, createdAt: now, changedAt: now });
    this.#raiseRules(id);
    return [{ ...done(rules.length, 0), id }, id];
  }

  /** These users are not what they were. Returns the version of the first; each has one of its own. */
  #raise(users: readonly string[]): number {
    const versions = this.#store.versions;
    const version = versions.version + users.length;
    this.#store.putVersions({ ...versions, version });
    this.#store.deleteChanges(version - CHANGES_MAX);
    for (const [at, user] of users.entries()) {
      const its = versions.version + 1 + at;
      if (its > version - CHANGES_MAX) this.#store.putChange(its, user);
    }
    return versions.version + 1;
  }

  #raiseRules(lastRule: number): void {
    const versions = this.#store.versions;
    const version = versions.version + 1;
    this.#store.putVersions({ ...versions, version, rulesVersion: version, lastRule });
  }

  #raiseBans(lastBan: number): void {
    const versions = this.#store.versions;
    const version = versions.version + 1;
    this.#store.putVersions({ ...versions, version, bansVersion: version, lastBan });
  }

  #remember(what: Change["type"], on: string, who: string, at: number): void {
    const number = (this.#store.audit(Number.MAX_SAFE_INTEGER, 1)[0]?.number ?? 0) + 1;
    this.#store.putAudit({ number, at, who, what, on });
    this.#store.deleteAudit(number - AUDIT_MAX);
  }
}

function done(created: number, replaced: number): Extract<Outcome, { type: "done" }> {
  return { type: "done", created, replaced, id: undefined };
}

/** Six of these bytes as a number. */
function placeIn(bytes: Uint8Array, at: number): number {
  return bytes.subarray(at, at + 6).reduce((place, byte) => place * 256 + byte, 0);
}
