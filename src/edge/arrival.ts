/** What the platform knows of a client before it says anything in MQTT. */

import type { Arrival } from "../core/authentication/identity.ts";
import { certificateOf, type TlsClientAuth } from "./certificate.ts";

/** Of a client that comes over TCP nothing is known. */
export const UNKNOWN_ARRIVAL: Arrival = {
  address: undefined,
  token: undefined,
  certificate: undefined,
  tenant: undefined,
};

/** Of the network that a request came from. */
export function addressOf(request: Request): string | undefined {
  return request.headers.get("CF-Connecting-IP") ?? undefined;
}

/** Of a client that asks for a WebSocket. A header says more than the URL, which is written down in many places. */
export function arrivalOf(request: Request, tenant: string | undefined): Arrival {
  const bearer = /^Bearer +(\S+)$/i.exec(request.headers.get("Authorization") ?? "")?.[1];
  return {
    address: addressOf(request),
    token: bearer ?? new URL(request.url).searchParams.get("token") ?? undefined,
    certificate: certificateOf(request.cf?.["tlsClientAuth"] as TlsClientAuth | undefined),
    tenant,
  };
}
