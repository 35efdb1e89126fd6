/**
 * What a connection cannot find out by itself, because whoever knows may have to be asked over the network: who its client
 * is, whether it still is, and, where rules do not say, what it may. It asks one thing of each kind at a time, and goes on with
 * the answer.
 */

import type { Need } from "../authorization/permissions.ts";
import type { Subject } from "../authorization/rule-filter.ts";

import type { Credentials, Identity, Verdict } from "./identity.ts";
import type { Exchange, Step } from "./mechanism.ts";

export type Question =
  /** Who is it that brings these? */
  | { readonly type: "identify"; readonly credentials: Credentials }
  /** What does the mechanism say to that? */
  | { readonly type: "step"; readonly exchange: Exchange; readonly data: Uint8Array | undefined }
  | Doubt
  | Decide;

/** Is this client still who it was, and what may it now? The answer is {@link Current}. */
export interface Doubt {
  readonly type: "current";
  readonly identity: Identity;
}

/** The access knows by now what everybody may. */
export interface Current {
  readonly type: "current";
  readonly doubt: Doubt;
  /** Undefined: the client is not that user any more. */
  readonly identity: Identity | undefined;
}

/** May the client do each of these? The answer is {@link Decided}, whatever happens. */
export interface Decide {
  readonly type: "decide";
  readonly tenant: string;
  readonly client: Subject;
  readonly needs: readonly Need[];
}

export interface Decided {
  readonly type: "decided";
  /** In the order of the needs. */
  readonly allowed: readonly boolean[];
  /** For how long that may be remembered. */
  readonly seconds: number;
  /** Why it could not be found out, for the log: then nothing is allowed. */
  readonly problem?: string;
}

/** Who the client is, or how the exchange goes on. */
export type Recognition = Exclude<Verdict, { readonly type: "passed" }> | Step;

export type Answer = Recognition | Current | Decided;

/** A user of whom nothing more is known than the name; undefined: nobody in particular. */
export function identityOf(user: string | undefined): Identity {
  return { user, expiresAt: undefined, clientId: undefined, tenant: undefined, rules: [], claims: new Map() };
}
