/**
 * Receives the clients of a tenant: asks those who may know, in their order, who each is, and says what everybody may do.
 *
 * Whom nobody knows and who says nothing of itself is let in as nobody in particular, if that is allowed; whoever says
 * something that nobody can confirm is not.
 */

import type { Access } from "../core/authentication/access.ts";
import {
  type Answer,
  type Decide,
  type Decided,
  type Doubt,
  identityOf,
  type Question,
  type Recognition,
} from "../core/authentication/asking.ts";
import type { Credentials } from "../core/authentication/identity.ts";
import type { Mechanism } from "../core/authentication/mechanism.ts";
import { describeUser } from "../core/authentication/users.ts";
import { AskingPolicy, OPEN_POLICY, type Policy } from "../core/authorization/policy.ts";
import type { Bans } from "../core/bans/bans.ts";
import { MqttError, Reason } from "../mqtt/reason.ts";
import type { Authorizer } from "./authorizer.ts";
import type { Authenticator } from "./authenticator.ts";
import type { Directory } from "./directory.ts";

export interface ReceptionConfig {
  /** In the order in which they are asked. */
  readonly authenticators: readonly Authenticator[];
  readonly mechanisms: readonly Mechanism[];
  readonly policy: Policy;
  /** Says what everybody may in the place of the policy, and who is still who it was; undefined: nothing of it changes. */
  readonly directory?: Directory | undefined;
  /** Says what everybody may do of what the policy says nothing of; undefined: they may not. */
  readonly authorizer?: Authorizer | undefined;
  /** Whether a client may connect that says nothing of itself. */
  readonly allowAnonymous: boolean;
  readonly clientIdsPerUser: boolean;
  /** Somebody is known, though perhaps only in another tenant: what clients say of themselves is looked at. */
  readonly knowsSomebody?: boolean;
  /** Who receives the clients of another tenant; undefined: the same. */
  readonly ofTenant?: (tenant: string) => Reception;
}

/** Of a broker whose owner has not said who may connect. */
export const CLOSED =
  "Nobody may connect, because nobody is configured who may: set USERS, PASSWORD_FILE, TOKEN_…, CERTIFICATE_USERS, ADMIN_TOKEN or HOOK_URL, or ALLOW_ANONYMOUS.";

export class Reception implements Access {
  readonly clientIdsPerUser: boolean;
  readonly #policy: Policy;
  readonly #directory: Directory | undefined;
  readonly #authenticators: readonly Authenticator[];
  readonly #mechanisms: ReadonlyMap<string, Mechanism>;
  readonly #authorizer: Authorizer | undefined;
  #asking: AskingPolicy | undefined;
  readonly #allowAnonymous: boolean;
  readonly #knowsSomebody: boolean;
  readonly #ofTenant: ((tenant: string) => Reception) | undefined;

  constructor(config: ReceptionConfig) {
    const { authenticators, mechanisms, policy, directory, authorizer, allowAnonymous, clientIdsPerUser } = config;
    this.clientIdsPerUser = clientIdsPerUser;
    this.#knowsSomebody = config.knowsSomebody ?? authenticators.length + mechanisms.length > 0;
    this.#ofTenant = config.ofTenant;
    this.#policy = policy;
    this.#directory = directory;
    this.#authorizer = authorizer;
    this.#authenticators = authenticators;
    this.#mechanisms = new Map(mechanisms.map((mechanism) => [mechanism.method, mechanism]));
    this.#allowAnonymous = allowAnonymous;
  }

  get policy(): Policy {
    const rules = this.#directory?.policy ?? this.#policy;
    if (!this.#authorizer) return rules;
    // The same one for the same rules: by that a connection knows that they have not changed.
    if (this.#asking?.rules !== rules) this.#asking = new AskingPolicy(rules);
    return this.#asking;
  }

  get bans(): Bans | undefined {
    return this.#directory?.bans;
  }

  get freshUntil(): number {
    return this.#directory?.freshUntil ?? Infinity;
  }

  /** True when nobody can be let in, whatever it says. */
  get isClosed(): boolean {
    return !this.#allowAnonymous && !this.#knowsSomebody;
  }

  of(tenant: string): Reception {
    return this.#ofTenant?.(tenant) ?? this;
  }

  mechanism(method: string): Mechanism | undefined {
    return this.#mechanisms.get(method);
  }

  /**
   * Answers a connection's question. Does not throw: what cannot be found out is refused.
   *
   * @param now in milliseconds since 1970
   */
  answer(question: Question, now: number): Answer | Promise<Answer> {
    if (question.type === "decide") return this.#decide(question);
    try {
      if (question.type === "current") return this.#resolve(question, now);
      const answer =
        question.type === "identify"
          ? this.#identify(question.credentials, now, 0)
          : question.exchange.step(question.data, now);
      if (this.#directory) return this.#ready(answer, now).catch(refusalOf);
      return answer instanceof Promise ? answer.catch(refusalOf) : answer;
    } catch (error) {
      return refusalOf(error);
    }
  }

  /** Whoever is let in is judged by rules and bans that are known, its tenant's. Who is not has them known for its next attempt. */
  async #ready(answer: Recognition | Promise<Recognition>, now: number): Promise<Recognition> {
    const given = await answer;
    if (given.type === "accepted") {
      const { tenant } = given.identity;
      await (tenant === undefined ? this : this.of(tenant)).#directory?.ready(now);
    } else if (given.type === "refused") void this.#directory?.ready(now).catch(() => undefined);
    return given;
  }

  async #resolve(doubt: Doubt, now: number): Promise<Answer> {
    const { identity } = doubt;
    return {
      type: "current",
      doubt,
      identity: this.#directory ? await this.#directory.current(identity, now) : identity,
    };
  }

  #decide(question: Decide): Decided | Promise<Decided> {
    if (this.#authorizer) return this.#authorizer.authorize(question);
    return { type: "decided", allowed: [], seconds: 0, problem: "there is nobody to ask" };
  }

  #identify(credentials: Credentials, now: number, first: number): Recognition | Promise<Recognition> {
    for (let at = first; at < this.#authenticators.length; at++) {
      const verdict = this.#authenticators[at]!.authenticate(credentials, now);
      if (verdict instanceof Promise) {
        return verdict.then((later) => (later.type === "passed" ? this.#identify(credentials, now, at + 1) : later));
      }
      if (verdict.type !== "passed") return verdict;
    }
    return this.#unknown(credentials);
  }

  #unknown({ username, password, arrival }: Credentials): Recognition {
    const isSilent = username === undefined && password === undefined && arrival.token === undefined;
    if (this.isClosed) return refusal(Reason.NotAuthorized, CLOSED);
    // Where nobody is known, what clients say of themselves is not looked at.
    if (this.#allowAnonymous && (isSilent || !this.#knowsSomebody)) {
      return { type: "accepted", identity: identityOf(undefined) };
    }
    if (isSilent) return refusal(Reason.NotAuthorized, "anonymous clients are not allowed");
    return refusal(Reason.BadUserNameOrPassword, `${describeUser(username ?? "")}: not known, or a wrong password`);
  }
}

function refusal(reason: Reason, detail: string): Recognition {
  return { type: "refused", reason, detail };
}

function refusalOf(error: unknown): Recognition {
  if (error instanceof MqttError) return refusal(error.reason, error.message);
  return refusal(Reason.UnspecifiedError, error instanceof Error ? (error.stack ?? error.message) : String(error));
}

/** Everybody may connect and do everything. */
export const OPEN_RECEPTION = new Reception({
  authenticators: [],
  mechanisms: [],
  policy: OPEN_POLICY,
  allowAnonymous: true,
  clientIdsPerUser: false,
});
