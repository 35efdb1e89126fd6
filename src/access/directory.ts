/**
 * What a Worker's isolate knows of a tenant's directory.
 *
 * - *Fresh* is what was heard less than `freshSeconds` ago. What is not is asked again when somebody needs it, and never by
 *   itself: where nothing passes, nothing is asked.
 * - What has changed is one question for all connections of the isolate, in which rules and bans come only if they are
 *   others. One at a time, which all wait for, and none soon after one that failed.
 * - A user is looked up when a client says that it is that user, and kept until the directory says that the user changed, or
 *   is not fresh any more. So is a name that nobody has, so that the time does not tell. A password that is wrong by what is
 *   kept is looked up once more: who has just been made a user, or has just got another password, comes in.
 * - While the directory cannot be reached, clients that are there go on as they are, and new ones come in by what it said
 *   last, for {@link STALE_MS}. Of whom it has said nothing nobody comes in.
 */

import type { Identity } from "../core/authentication/identity.ts";
import type { User } from "../core/authentication/users.ts";
import { type Policy, RuledPolicy } from "../core/authorization/policy.ts";
import type { Rule } from "../core/authorization/rule.ts";
import { Bans } from "../core/bans/bans.ts";
import type { Found, News } from "../core/directory/directory.ts";
import { line } from "../line.ts";
import { MqttError, Reason } from "../mqtt/reason.ts";
import type { DirectorySettings } from "./directory-settings.ts";
import type { Network } from "./network.ts";

/** The directory itself, wherever it is. A call that fails rejects. */
export interface DirectorySource {
  find(name: string): Promise<Found>;
  since(version: number | undefined): Promise<News>;
  learn(name: string, passwordVersion: number, user: User): Promise<boolean>;
}

/** Longer than a directory takes that has to be started first, and less than a client's CONNECT may take. */
const ANSWER_MS_MAX = 2_000;
/** After a failure, where nothing is known and new clients are refused. */
const PAUSE_MS = 1_000;
/** After a failure, where things go on by what is known: each attempt may make them wait. */
const LONG_PAUSE_MS = 10_000;
const STALE_MS = 3_600_000;
/** Users that are kept, some 500 bytes each; and names of users that changed, beyond which it is asked again who did. */
export const KEPT_MAX = 10_000;

export interface DirectoryConfig extends DirectorySettings {
  /** For the log; undefined: the main one. */
  readonly tenant?: string | undefined;
  /** Users that are kept, and names of users that changed. */
  readonly keptMax?: number;
}

interface Attempt {
  /** In milliseconds since 1970. */
  readonly at: number;
  outcome: "under way" | "had" | "failed";
  /** Settles when the outcome is known, and never rejects. */
  over: Promise<void>;
}

interface Known {
  readonly version: number;
  readonly at: number;
}

export class Directory {
  readonly #source: DirectorySource;
  readonly #freshMs: number;
  readonly #network: Network;
  readonly #ownRules: readonly Rule[];
  readonly #tenant: string | undefined;
  readonly #keptMax: number;
  #policy: Policy;
  #bans: Bans | undefined;
  #known: Known | undefined;
  #attempt: Attempt | undefined;
  readonly #users = new Map<string, { readonly found: Found; readonly at: number }>();
  /** With which version a user changed last, of all versions after {@link #completeSince}. */
  readonly #changed = new Map<string, number>();
  #completeSince = 0;

  /** @param rules those of the settings, which hold besides those of the directory */
  constructor(source: DirectorySource, config: DirectoryConfig, network: Network, rules: readonly Rule[]) {
    this.#source = source;
    this.#freshMs = config.freshSeconds * 1000;
    this.#tenant = config.tenant;
    this.#keptMax = config.keptMax ?? KEPT_MAX;
    this.#network = network;
    this.#ownRules = rules;
    this.#policy = new RuledPolicy(rules);
  }

  /** Until when what is known is fresh, in milliseconds since 1970. */
  get freshUntil(): number {
    return this.#known ? this.#known.at + this.#freshMs : -Infinity;
  }

  /** By all rules that are known. Another object each time that they changed. */
  get policy(): Policy {
    return this.#policy;
  }

  /** All that are known; undefined: nothing is. */
  get bans(): Bans | undefined {
    return this.#bans;
  }

  /**
   * Resolves when what is known is fresh, or as good as can be had.
   *
   * @throws MqttError ServerUnavailable when nothing is known
   */
  async ready(now: number): Promise<void> {
    await this.#refresh(now);
    if (!isYounger(this.#known, STALE_MS, now)) throw unavailable();
  }

  /** What was heard of the user of a name, or of a name that nobody has; undefined: nothing that is fresh. */
  known(name: string, now: number): Found | undefined {
    const kept = this.#users.get(name);
    return isYounger(kept, this.#freshMs, now) ? kept!.found : undefined;
  }

  /**
   * What it takes to check whether a client is this user, from the directory itself; from what it said last if it is away.
   *
   * @throws MqttError ServerUnavailable when that cannot be had
   */
  async find(name: string, now: number): Promise<Found> {
    let found: Found;
    try {
      found = await this.#before(this.#source.find(name));
    } catch (error) {
      const kept = this.#users.get(name);
      if (isYounger(kept, STALE_MS, now)) return kept!.found;
      this.#away(error);
      throw unavailable();
    }
    this.#keep(found, now);
    return found;
  }

  /** More can be kept of a password that was right; it is the same user still. */
  learn({ name, passwordVersion }: Found, user: User): void {
    const learned = this.#source.learn(name, passwordVersion, user).then(
      () => void this.#users.delete(name),
      // The next login tries it again.
      () => undefined,
    );
    this.#network.keep(learned);
  }

  /**
   * Who a client is that was known before; undefined if the user has another password by now, or is gone. Who cannot be asked
   * about is taken for who it was.
   */
  async current(identity: Identity, now: number): Promise<Identity | undefined> {
    await this.#refresh(now);
    const { user, asOf } = identity;
    const version = this.#known?.version;
    if (user === undefined || asOf === undefined || version === undefined) return identity;
    if ((this.#changed.get(user) ?? 0) > asOf) return undefined;
    if (asOf >= this.#completeSince) return { ...identity, asOf: Math.max(asOf, version) };
    try {
      const found = this.known(user, now) ?? (await this.find(user, now));
      if (!found.known || found.passwordVersion > asOf) return undefined;
      return { ...identity, asOf: found.version };
    } catch {
      return identity;
    }
  }

  #keep(found: Found, now: number): void {
    // What has changed since was heard of already, perhaps.
    if ((this.#changed.get(found.name) ?? 0) > found.version) return;
    this.#users.delete(found.name);
    if (this.#users.size >= this.#keptMax) this.#users.delete(this.#users.keys().next().value!);
    this.#users.set(found.name, { found, at: now });
  }

  /** Asks what has changed, if that is not known, and waits for an answer that is under way. */
  async #refresh(now: number): Promise<void> {
    if (isYounger(this.#known, this.#freshMs, now)) return;
    const last = this.#attempt;
    if (last === undefined || last.outcome === "had" || now - last.at >= this.#pauseAfter(last))
      await this.#begin(now).over;
    // Its own deadline is that of another connection, with which it may have ended.
    else if (last.outcome === "under way") await this.#before(last.over).catch(() => undefined);
  }

  #pauseAfter({ outcome }: Attempt): number {
    // One that has not ended by then has ended with its connection.
    if (outcome === "under way") return ANSWER_MS_MAX;
    return this.#known ? LONG_PAUSE_MS : PAUSE_MS;
  }

  #begin(now: number): Attempt {
    const attempt: Attempt = { at: now, outcome: "under way", over: Promise.resolve() };
    this.#attempt = attempt;
    attempt.over = this.#before(this.#source.since(this.#known?.version)).then(
      (news) => {
        attempt.outcome = "had";
        this.#learn(news, now);
      },
      (error: unknown) => {
        attempt.outcome = "failed";
        this.#away(error);
      },
    );
    this.#network.keep(attempt.over);
    return attempt;
  }

  #learn({ version, rules, bans, users }: News, now: number): void {
    // An answer that was overtaken says nothing new.
    if (this.#known && this.#known.at > now) return;
    if (rules) this.#policy = new RuledPolicy([...this.#ownRules, ...rules.map(({ rule }) => rule)]);
    if (bans) this.#bans = new Bans(bans);
    if (users === undefined || this.#changed.size + users.length > this.#keptMax) {
      this.#changed.clear();
      this.#users.clear();
      this.#completeSince = version;
    } else {
      for (const { name, version: changedWith } of users) {
        this.#changed.set(name, changedWith);
        // What was looked up later has the change in it.
        if ((this.#users.get(name)?.found.version ?? Infinity) < changedWith) this.#users.delete(name);
      }
    }
    this.#known = { version, at: now };
  }

  #away(error: unknown): void {
    console.warn(line({ event: "directory away", tenant: this.#tenant, detail: detailOf(error) }));
  }

  /** What the directory says, unless that takes too long. */
  #before<T>(work: Promise<T>): Promise<T> {
    const deadline = this.#network.deadline(ANSWER_MS_MAX);
    return new Promise((resolve, reject) => {
      const late = (): void => reject(new Error("no answer in time"));
      if (deadline.aborted) late();
      else deadline.addEventListener("abort", late, { once: true });
      work.then(resolve, reject);
    });
  }
}

function isYounger(what: { readonly at: number } | undefined, milliseconds: number, now: number): boolean {
  return what !== undefined && now - what.at < milliseconds;
}

function detailOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function unavailable(): MqttError {
  return new MqttError(Reason.ServerUnavailable, "the directory cannot be reached");
}
