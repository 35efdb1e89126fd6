/** Who a client says that it is, by what, and who it turned out to be. */

import type { Reason } from "../../mqtt/reason.ts";
import type { Rule } from "../authorization/rule.ts";

/** What was known of a client before it said anything in MQTT. */
export interface Arrival {
  /** Of its network, as the platform says it; undefined on this machine, or where there is none. */
  readonly address: string | undefined;
  /** What it brought at the upgrade: `Authorization: Bearer …`, or `?token=…`. */
  readonly token: string | undefined;
  /** Its TLS certificate, if the platform has verified one. */
  readonly certificate: Certificate | undefined;
  /** The tenant that the path or the host names which it came to; undefined: they name none. */
  readonly tenant: string | undefined;
}

export interface Certificate {
  /** CN of its subject; undefined if there is not exactly one. */
  readonly commonName: string | undefined;
  /** SHA-256 of the whole, 64 hexadecimal digits in lower case. */
  readonly fingerprint: string;
  /** In milliseconds since 1970. */
  readonly expiresAt: number;
}

/** What a client without an Authentication Method is judged by. */
export interface Credentials {
  readonly arrival: Arrival;
  /** As in CONNECT, or as it is assigned to a client that has none. */
  readonly clientId: string;
  readonly username: string | undefined;
  readonly password: Uint8Array | undefined;
}

/** Who a client is, and what is known of it by how it proved that. */
export interface Identity {
  /** As SASLprep leaves it, and without a colon; undefined: nobody in particular. */
  readonly user: string | undefined;
  /** When it stops being so, in milliseconds since 1970; undefined: it does not. */
  readonly expiresAt: number | undefined;
  /** The only client id that it may have; undefined: any. */
  readonly clientId: string | undefined;
  /** Whose name space it is in; undefined: of the tenant that it came to. */
  readonly tenant: string | undefined;
  /** What it may besides what rules for all allow; where there are none for all, all that it may. */
  readonly rules: readonly Rule[];
  /** What its token says of it, as text: for filters of rules. */
  readonly claims: ReadonlyMap<string, string>;
  /** The version of the directory of which this is known to be true; absent: the directory does not know the client. */
  readonly asOf?: number;
}

export type Verdict =
  | { readonly type: "accepted"; readonly identity: Identity }
  /** It is not who it says it is. `detail` is for the log, and has no secret in it. */
  | { readonly type: "refused"; readonly reason: Reason; readonly detail: string }
  /** It brought nothing of this kind: somebody else may know it. */
  | { readonly type: "passed" };
