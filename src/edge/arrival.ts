/** What the platform knows of a client before it says anything in MQTT. */

import type { Arrival, Certificate } from "../core/authentication/identity.ts";

type TlsClientAuth = IncomingRequestCfProperties["tlsClientAuth"];

/** Of a client that comes over TCP nothing is known. */
export const UNKNOWN_ARRIVAL: Arrival = { address: undefined, token: undefined, certificate: undefined };

/** Of a client that asks for a WebSocket. A header says more than the URL, which is written down in many places. */
export function arrivalOf(request: Request): Arrival {
  const bearer = /^Bearer +(\S+)$/i.exec(request.headers.get("Authorization") ?? "")?.[1];
  return {
    address: request.headers.get("CF-Connecting-IP") ?? undefined,
    token: bearer ?? new URL(request.url).searchParams.get("token") ?? undefined,
    certificate: certificateOf(request.cf?.["tlsClientAuth"] as TlsClientAuth | undefined),
  };
}

/** Only of a certificate that the platform has verified, and that is not revoked. */
function certificateOf(tls: TlsClientAuth | undefined): Certificate | undefined {
  if (!tls || tls.certPresented !== "1" || tls.certVerified !== "SUCCESS" || tls.certRevoked === "1") return undefined;
  const expiresAt = Date.parse(tls.certNotAfter);
  return {
    commonName: commonName(tls.certSubjectDN),
    fingerprint: tls.certFingerprintSHA256.toLowerCase(),
    expiresAt: Number.isNaN(expiresAt) ? undefined : expiresAt,
  };
}

/** CN of a subject as RFC 2253 writes it; undefined if there is none, or more than one. */
function commonName(subject: string): string | undefined {
  const names = [...subject.matchAll(/(?:^|[,+])\s*CN=((?:\\.|[^\\,+"])*)(?=$|[,+])/gi)];
  return names.length === 1 ? names[0]![1]!.replace(/\\(.)/g, "$1") : undefined;
}
