/**
 * Clients that bring a JSON Web Token (RFC 7519), signed by somebody whom the operator trusts.
 *
 * What is checked, in this order: size and shape, then the signature with a key of the operator's, then times, issuer and
 * audience, then what the token is about. Nothing of a token's payload is looked at before its signature is right.
 *
 * What is wrong is said in the log: in words of this file, with the token's algorithm, key id, subject and issuer, which are
 * no secrets, each in quotes and cut to {@link SHOWN_CHARACTERS_MAX}.
 */

import { decodeProtectedHeader, errors, jwtVerify, type JWTPayload, type JWTVerifyOptions } from "jose";
import type { Credentials, Verdict } from "../core/authentication/identity.ts";
import { Reason } from "../mqtt/reason.ts";
import type { Authenticator } from "./authenticator.ts";
import { KeysUnavailable } from "./jwks.ts";
import type { Network } from "./network.ts";
import { isCalled, tokenIdentity } from "./token-identity.ts";
import { TokenKeys } from "./token-keys.ts";
import { WrongClaim } from "./token-rules.ts";
import type { Place, TokenSettings } from "./token-settings.ts";

const SHOWN_CHARACTERS_MAX = 64;

/** Three parts of base64url, the first of which begins with `{`. An empty signature is a shape too, and never right. */
const SHAPE = /^e[w-z0-9_-][A-Za-z0-9_-]*\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]*$/;

// What is not UTF-8, or has a byte order mark, does not have the shape of a token.
const decoder = new TextDecoder("utf-8", { fatal: false, ignoreBOM: true });

/** A client that gave no password is not told that its password was wrong. */
const reasons = { upgrade: Reason.NotAuthorized, password: Reason.BadUserNameOrPassword } as const satisfies Record<
  Place,
  Reason
>;

export class TokenAuthenticator implements Authenticator {
  readonly name = "token";
  readonly #settings: TokenSettings;
  readonly #keys: TokenKeys;

  /** One for each isolate: it remembers the keys that it has fetched. */
  constructor(settings: TokenSettings, network: Network) {
    this.#settings = settings;
    this.#keys = new TokenKeys(settings, network);
  }

  /** A token at the upgrade comes before one that is the password. */
  async authenticate(credentials: Credentials, now: number): Promise<Verdict> {
    const { arrival, username, password } = credentials;
    const { places, tokenBytesMax } = this.#settings;
    if (places.includes("upgrade") && arrival.token !== undefined) {
      if (arrival.token.length > tokenBytesMax) return refused(reasons.upgrade, "it is longer than TOKEN_BYTES_MAX");
      if (!SHAPE.test(arrival.token)) return refused(reasons.upgrade, "it is not a signed token");
      return this.#judge("upgrade", arrival.token, username, now);
    }
    if (!places.includes("password") || password === undefined) return { type: "passed" };
    const token = decoder.decode(password);
    if (!SHAPE.test(token)) return { type: "passed" };
    if (token.length > tokenBytesMax) return refused(reasons.password, "it is longer than TOKEN_BYTES_MAX");
    return this.#judge("password", token, username, now);
  }

  async #judge(place: Place, token: string, username: string | undefined, now: number): Promise<Verdict> {
    let payload: JWTPayload | undefined;
    try {
      payload = await this.#verified(token, now);
      this.#check(payload, now);
      const identity = tokenIdentity(payload, this.#settings);
      if (identity.expiresAt !== undefined && identity.expiresAt <= now) throw new WrongToken("it has expired");
      if (username && this.#settings.usernameMatches && !isCalled(identity.user, username)) {
        throw new WrongToken("CONNECT has another user name");
      }
      return { type: "accepted", identity };
    } catch (error) {
      const claims = payload ?? (error as { payload?: JWTPayload }).payload;
      const detail = `${words(error)}${shown(token, claims)}`;
      if (error instanceof KeysUnavailable) return refused(Reason.ServerUnavailable, detail);
      return refused(error instanceof WrongClaim ? Reason.NotAuthorized : reasons[place], detail);
    }
  }

  async #verified(token: string, now: number): Promise<JWTPayload> {
    const { algorithms, issuers, audiences, leewaySeconds, expiryRequired } = this.#settings;
    const options: JWTVerifyOptions = {
      algorithms: [...algorithms],
      clockTolerance: leewaySeconds,
      currentDate: new Date(now),
      requiredClaims: expiryRequired ? ["exp"] : [],
      ...(issuers && { issuer: [...issuers] }),
      ...(audiences && { audience: [...audiences] }),
    };
    try {
      return (await jwtVerify(token, (header) => this.#keys.find(header, now), options)).payload;
    } catch (error) {
      if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error;
      for await (const key of error) {
        try {
          return (await jwtVerify(token, key, options)).payload;
        } catch (wrong) {
          // One that jose refuses to use is no reason not to try the next.
          if (wrong instanceof errors.JOSEError && !(wrong instanceof errors.JWSSignatureVerificationFailed))
            throw wrong;
        }
      }
      throw new errors.JWSSignatureVerificationFailed();
    }
  }

  /** What jose leaves to its user. */
  #check({ iat, aud }: JWTPayload, now: number): void {
    if (iat !== undefined && iat > now / 1000 + this.#settings.leewaySeconds)
      throw new WrongToken("it is from the future");
    // RFC 7519 §4.1.3: a token that says whom it is for is for nobody else.
    if (aud !== undefined && this.#settings.audiences === undefined) {
      throw new WrongToken("it is for an audience, and there is no TOKEN_AUDIENCE");
    }
  }
}

/** A token that is genuine, and no good. */
class WrongToken extends Error {}

function refused(reason: Reason, detail: string): Verdict {
  return { type: "refused", reason, detail: `token: ${detail}` };
}

/** jose's own messages are not shown: they have parts of the token in them. */
function words(error: unknown): string {
  if (error instanceof WrongToken || error instanceof WrongClaim || error instanceof KeysUnavailable)
    return error.message;
  if (error instanceof errors.JWTExpired) return "it has expired";
  if (error instanceof errors.JWTClaimValidationFailed) {
    return error.reason === "missing" ? `it has no ${error.claim}` : `its ${error.claim} is wrong`;
  }
  if (error instanceof errors.JOSEAlgNotAllowed) return "TOKEN_ALGORITHMS does not have its algorithm";
  if (error instanceof errors.JWSSignatureVerificationFailed) return "its signature is wrong";
  if (error instanceof errors.JWKSNoMatchingKey) return "there is no such key";
  if (error instanceof errors.JWSInvalid || error instanceof errors.JWTInvalid) return "it is not well-formed";
  if (error instanceof errors.JOSENotSupported) return "it asks for something that is not supported";
  return "its key cannot be used";
}

function shown(token: string, claims: JWTPayload | undefined): string {
  let header: { alg?: unknown; kid?: unknown } = {};
  try {
    header = decodeProtectedHeader(token);
  } catch {
    // Then there is nothing of it to show.
  }
  const parts = Object.entries({ alg: header.alg, kid: header.kid, sub: claims?.sub, iss: claims?.iss });
  return parts
    .filter(([, value]) => typeof value === "string")
    .map(([name, value]) => `, ${name} ${JSON.stringify((value as string).slice(0, SHOWN_CHARACTERS_MAX))}`)
    .join("");
}
