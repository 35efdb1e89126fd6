/**
 * SCRAM-SHA-256 (RFC 5802, RFC 7677), the server's side: client and broker prove to each other that they know the
 * password, or what was derived from it, and nobody who listens learns either.
 *
 *     client-first   n,,n=user,r=…          CONNECT, or AUTH 0x19
 *     server-first   r=…,s=salt,i=4096      AUTH 0x18
 *     client-final   c=biws,r=…,p=proof     AUTH 0x18
 *     server-final   v=signature            CONNACK, or AUTH 0x00
 *
 * There is no channel binding, because the Worker does not see the TLS connection. The error messages of SCRAM (`e=…`)
 * are not sent: the reason code says as much.
 */

import { MqttError, Reason } from "../../mqtt/reason.ts";
import { decodeUtf8, encodeUtf8 } from "../../mqtt/utf8.ts";
import type { Cryptography } from "../ports.ts";
import { identityOf } from "./asking.ts";
import { decodeBase64, encodeBase64 } from "./base64.ts";
import type { Exchange, Mechanism, Step } from "./mechanism.ts";
import { saslprep } from "./saslprep.ts";
import { describeUser } from "./users.ts";
import type { Verifier } from "./verifier.ts";

/** Longer than any name and nonce of a client that means well. */
const MESSAGE_BYTES_MAX = 2_048;
/** 24 characters, as many random bits as RFC 5802's own examples have and more. */
const NONCE_BYTES = 18;

/** `a` is who the client wants to be, `n` who it is, `r` its nonce. */
const CLIENT_FIRST =
  /^(?<header>[ny],(?:a=(?<a>[^,]+))?,)(?<bare>n=(?<n>[^,]+),r=(?<r>[\x21-\x2b\x2d-\x7e]+)(?:,[A-Za-z]=[^,]+)*)$/u;
/** `c` is the header of before, `r` both nonces, `p` the proof. */
const CLIENT_FINAL = /^(?<unproven>c=(?<c>[^,]+),r=(?<r>[^,]+)(?:,[A-Za-z]=[^,]+)*),p=(?<p>[^,]+)$/u;

/** Who knows the users. */
export interface Verifiers {
  /** A user's verifier, or one made up. Nothing that a peer sees may depend on `known` before its proof is wrong. */
  find(name: string): { readonly verifier: Verifier; readonly known: boolean };
}

export class ScramSha256 implements Mechanism {
  readonly method = "SCRAM-SHA-256";
  readonly #users: Verifiers;
  readonly #cryptography: Cryptography;
  readonly #nonce: () => string;

  /** @param nonce the broker's part of the nonce: printable ASCII without a comma, never the same twice */
  constructor(
    users: Verifiers,
    cryptography: Cryptography,
    nonce = () => encodeBase64(cryptography.randomBytes(NONCE_BYTES)),
  ) {
    this.#users = users;
    this.#cryptography = cryptography;
    this.#nonce = nonce;
  }

  begin(): Conversation {
    let asked = false;
    let challenge: Challenge | undefined;
    return {
      step: (data) => {
        if (data === undefined && !asked && !challenge) {
          // It named the method alone; the client speaks first, so it is asked to.
          asked = true;
          return { type: "continue", data: undefined };
        }
        const message = text(data);
        if (challenge) return this.#finish(challenge, message);
        challenge = this.#challenge(message);
        return { type: "continue", data: encodeUtf8(challenge.serverFirst) };
      },
    };
  }

  #challenge(clientFirst: string): Challenge {
    if (clientFirst.startsWith("p=")) throw refused("channel binding is not supported");
    if (/^[ny],[^,]*,m=/.test(clientFirst)) throw refused("a mandatory extension is not supported");
    const parts = CLIENT_FIRST.exec(clientFirst)?.groups;
    if (!parts) throw refused("not a client-first message");
    const { header = "", bare = "", a, n = "", r = "" } = parts;
    const user = name(n);
    if (a !== undefined && name(a) !== user) throw refused("a user may only be itself");
    const nonce = r + this.#nonce();
    const { salt, iterations } = this.#users.find(user).verifier;
    return { user, header, bare, nonce, serverFirst: `r=${nonce},s=${encodeBase64(salt)},i=${iterations}` };
  }

  #finish({ user, header, bare, nonce, serverFirst }: Challenge, clientFinal: string): Step {
    const { sha256, hmacSha256, equal } = this.#cryptography;
    const parts = CLIENT_FINAL.exec(clientFinal)?.groups;
    if (!parts) throw refused("not a client-final message");
    if (parts["c"] !== encodeBase64(encodeUtf8(header))) throw refused("another header than at first");
    if (parts["r"] !== nonce) throw refused("another nonce than was given");
    const { verifier, known } = this.#users.find(user);
    const proof = decodeBase64(parts["p"]!);
    if (proof?.length !== verifier.storedKey.length) throw refused("not a proof");

    const signed = encodeUtf8(`${bare},${serverFirst},${parts["unproven"]}`);
    const clientKey = hmacSha256(verifier.storedKey, signed).map((byte, at) => byte ^ proof[at]!);
    if (!equal(sha256(clientKey), verifier.storedKey) || !known) {
      throw new MqttError(Reason.BadUserNameOrPassword, `${describeUser(user)}: wrong proof`);
    }
    const signature = hmacSha256(verifier.serverKey, signed);
    return { type: "accepted", identity: identityOf(user), data: encodeUtf8(`v=${encodeBase64(signature)}`) };
  }
}

/** Who a client-first message says that its client is; undefined for anything else. */
export function claimedUser(data: Uint8Array | undefined): string | undefined {
  try {
    const n = CLIENT_FIRST.exec(text(data))?.groups?.["n"];
    return n === undefined ? undefined : name(n);
  } catch {
    return undefined;
  }
}

/** It needs nobody else and no clock. */
interface Conversation extends Exchange {
  step(data: Uint8Array | undefined): Step;
}

/** What was said, and what the proof has to be about. */
interface Challenge {
  readonly user: string;
  /** The GS2 header: channel binding and authorisation identity. */
  readonly header: string;
  /** The client-first message without it. */
  readonly bare: string;
  readonly nonce: string;
  readonly serverFirst: string;
}

function text(data: Uint8Array | undefined): string {
  if (data === undefined) throw refused("no Authentication Data");
  if (data.length > MESSAGE_BYTES_MAX) throw refused(`a message of ${data.length} bytes`);
  try {
    return decodeUtf8(data, 0, data.length);
  } catch {
    throw refused("not UTF-8");
  }
}

/** A name in which `=2C` is a comma and `=3D` an equals sign. */
function name(escaped: string): string {
  if (/=(?!2C|3D)/.test(escaped)) throw refused("a name with an equals sign");
  const prepared = saslprep(escaped.replaceAll("=2C", ",").replaceAll("=3D", "="));
  if (!prepared) throw refused("a name that may not be one");
  return prepared;
}

function refused(what: string): MqttError {
  return new MqttError(Reason.NotAuthorized, `SCRAM: ${what}`);
}
