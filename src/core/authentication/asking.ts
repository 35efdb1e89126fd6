/**
 * What a connection cannot find out by itself, because whoever knows may have to be asked over the network: who its client
 * is. It asks one thing at a time, and goes on with the answer; what it asks about a client that it has let in may come
 * between.
 */

import type { Credentials, Identity, Verdict } from "./identity.ts";
import type { Exchange, Step } from "./mechanism.ts";

export type Question =
  /** Who is it that brings these? */
  | { readonly type: "identify"; readonly credentials: Credentials }
  /** What does the mechanism say to that? */
  | { readonly type: "step"; readonly exchange: Exchange; readonly data: Uint8Array | undefined }
  | Doubt;

/** Is this client still who it was, and what may it now? */
export interface Doubt {
  readonly type: "current";
  readonly identity: Identity;
}

export type Answer =
  | Exclude<Verdict, { readonly type: "passed" }>
  | Step
  /** The access knows by now what everybody may. Undefined: the client is not that user any more. */
  | { readonly type: "current"; readonly doubt: Doubt; readonly identity: Identity | undefined };

/** A user of whom nothing more is known than the name; undefined: nobody in particular. */
export function identityOf(user: string | undefined): Identity {
  return { user, expiresAt: undefined, clientId: undefined, tenant: undefined, rules: [], claims: new Map() };
}
