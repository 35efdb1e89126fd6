/**
 * Clients that the hook knows. It is asked about each by itself, and its answers are not kept: a password is not remembered
 * anywhere, and one that has been changed counts from then on.
 *
 * What it says has to have the documented form to the last member: a broker that left out `expires`, because it only knows
 * `expiresAt`, would let a client stay for ever.
 */

import * as z from "zod/mini";
import { identityOf } from "../core/authentication/asking.ts";
import { encodeBase64 } from "../core/authentication/base64.ts";
import type { Credentials, Identity, Verdict } from "../core/authentication/identity.ts";
import { saslprep } from "../core/authentication/saslprep.ts";
import { wrongName } from "../core/authentication/user-name.ts";
import { Reason } from "../mqtt/reason.ts";
import type { Authenticator } from "./authenticator.ts";
import { type Hook, HookUnavailable } from "./hook.ts";
import { claims, clientId, DATE_SECONDS_MAX, user } from "./token-identity.ts";
import { tokenRules, WrongClaim } from "./token-rules.ts";

/** A hundred rules of a usual length, some times over. */
const ANSWER_BYTES_MAX = 64 * 1024;
const SHOWN_CHARACTERS_MAX = 200;

const Said = z.discriminatedUnion("result", [
  z.strictObject({
    result: z.literal("allow"),
    user: z.optional(z.string()),
    clientId: z.optional(z.string()),
    expiresAt: z.optional(z.number().check(z.gte(0), z.lte(DATE_SECONDS_MAX * 1000))),
    rules: z.optional(z.unknown()),
    claims: z.optional(z.record(z.string(), z.union([z.string(), z.number(), z.boolean()]))),
  }),
  z.strictObject({ result: z.literal("deny"), reason: z.optional(z.string()) }),
  z.strictObject({ result: z.literal("ignore") }),
]);
type Allowing = Extract<z.infer<typeof Said>, { readonly result: "allow" }>;

export class HookAuthenticator implements Authenticator {
  readonly name = "hook";
  readonly #hook: Hook;
  readonly #tenant: string;

  constructor(hook: Hook, tenant: string) {
    this.#hook = hook;
    this.#tenant = tenant;
  }

  async authenticate(credentials: Credentials, now: number): Promise<Verdict> {
    try {
      const said = Said.safeParse(
        await this.#hook.ask("authenticate", { tenant: this.#tenant, ...asked(credentials) }, ANSWER_BYTES_MAX),
      );
      if (!said.success) {
        const { path, message } = said.error.issues[0]!;
        return unavailable(`its answer is wrong: ${[path.join("."), message].filter(Boolean).join(": ")}`);
      }
      switch (said.data.result) {
        case "ignore":
          return { type: "passed" };
        case "deny":
          return refused(denial(credentials), `denied${shown(said.data.reason)}`);
        case "allow": {
          const identity = identityIn(said.data, credentials);
          const isOver = identity.expiresAt !== undefined && identity.expiresAt <= now;
          return isOver ? refused(Reason.NotAuthorized, "it has expired") : { type: "accepted", identity };
        }
      }
    } catch (error) {
      if (error instanceof HookUnavailable) return unavailable(error.message);
      if (error instanceof WrongClaim) return unavailable(`its answer is wrong: ${error.message}`);
      throw error;
    }
  }
}

/** Each member is always there. A password is bytes, so it is in base 64. */
function asked({ arrival, clientId: id, username, password }: Credentials): object {
  const { address, token, certificate } = arrival;
  return {
    username: username ?? null,
    password: password === undefined ? null : encodeBase64(password),
    clientId: id,
    address: address ?? null,
    token: token ?? null,
    certificate: certificate
      ? {
          commonName: certificate.commonName ?? null,
          fingerprint: certificate.fingerprint,
          expiresAt: certificate.expiresAt,
        }
      : null,
  };
}

/** Without a user it is who it calls itself. */
function identityIn(said: Allowing, { username }: Credentials): Identity {
  return {
    ...identityOf(said.user === undefined ? called(username) : named("user", () => user(said.user))),
    expiresAt: said.expiresAt,
    clientId: named("clientId", () => clientId(said.clientId)),
    rules: named("rules", () => tokenRules(said.rules)),
    claims: claims(said.claims ?? {}),
  };
}

function called(username: string | undefined): string | undefined {
  if (!username) return undefined;
  const name = saslprep(username);
  if (name === undefined || wrongName(name) !== undefined) {
    throw new WrongClaim("it has no user, and the client's own name cannot be one");
  }
  return name;
}

function named<T>(member: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw error instanceof WrongClaim ? new WrongClaim(`${member} ${error.message}`) : error;
  }
}

/** A client that gave no password is not told that its password was wrong. */
function denial({ password }: Credentials): Reason {
  return password === undefined ? Reason.NotAuthorized : Reason.BadUserNameOrPassword;
}

function shown(reason: string | undefined): string {
  return reason === undefined ? "" : `: ${JSON.stringify(reason.slice(0, SHOWN_CHARACTERS_MAX))}`;
}

function unavailable(detail: string): Verdict {
  return refused(Reason.ServerUnavailable, detail);
}

function refused(reason: Reason, detail: string): Verdict {
  return { type: "refused", reason, detail: `hook: ${detail}` };
}
