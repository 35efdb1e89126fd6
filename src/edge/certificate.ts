/** The TLS certificate of a client, as the platform hands it on. */

import type { Certificate } from "../core/authentication/identity.ts";
import { commonName } from "./distinguished-name.ts";

/** What is looked at of `request.cf.tlsClientAuth`. Without a certificate all of it is there too, and empty. */
export type TlsClientAuth = Readonly<
  Record<
    | "certPresented"
    | "certVerified"
    | "certRevoked"
    | "certSubjectDNRFC2253"
    | "certFingerprintSHA256"
    | "certNotAfter",
    string
  >
>;

/**
 * Only of a certificate that the platform has verified. One that is revoked counts as verified there: it is told apart by
 * `certRevoked` alone. When it ends has to be known, because the connection ends with it.
 */
export function certificateOf(tls: TlsClientAuth | undefined): Certificate | undefined {
  if (!tls || tls.certPresented !== "1" || tls.certVerified !== "SUCCESS" || tls.certRevoked !== "0") return undefined;
  const expiresAt = Date.parse(tls.certNotAfter);
  if (Number.isNaN(expiresAt)) return undefined;
  return {
    // The other two forms of it do not say where a value ends.
    commonName: commonName(tls.certSubjectDNRFC2253),
    fingerprint: tls.certFingerprintSHA256.toLowerCase(),
    expiresAt,
  };
}
