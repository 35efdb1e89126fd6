/** `CERTIFICATE_USERS`: which user a client's certificate stands for, and how it is read. */

import * as z from "zod/mini";
import { wrongName } from "../core/authentication/user-name.ts";

/** Users by the SHA-256 of their certificate, in 64 hexadecimal digits of lower case; or each is called as its subject is. */
export type CertificateUsers = "common-name" | ReadonlyMap<string, string>;

/** The last value that was right: each object of an isolate reads the settings. */
let latest: { readonly text: string; readonly users: ReadonlyMap<string, string> } | undefined;

/** An error names the entry by its number: whoever reaches the broker reads the message. */
export const CertificateUsersSetting = z.pipe(
  z.string('must be "common-name" or a string of JSON'),
  z.transform((text: string, context): CertificateUsers => {
    if (text === "common-name") return text;
    if (latest?.text === text) return latest.users;
    const users = new Map<string, string>();
    const wrong = (message: string) => context.issues.push({ code: "custom", message, input: text });
    const written = json(text);
    if (typeof written !== "object" || written === null || Array.isArray(written)) {
      wrong('must be "common-name" or a JSON object');
      return users;
    }
    for (const [at, [key, user]] of Object.entries(written).entries()) {
      const fingerprint = fingerprintOf(key);
      const problem = typeof user === "string" ? wrongName(user) : "must be a string";
      const entry = `has an error in its entry ${at + 1}:`;
      if (fingerprint === undefined) wrong(`${entry} the fingerprint must be a SHA-256 of 64 hexadecimal digits`);
      else if (users.has(fingerprint)) wrong(`${entry} an earlier one has the same fingerprint`);
      else if (problem !== undefined) wrong(`${entry} the user ${problem}`);
      else users.set(fingerprint, user as string);
    }
    if (users.size === 0) wrong("must have at least one certificate");
    if (context.issues.length === 0) latest = { text, users };
    return users;
  }),
);

/** `openssl x509 -fingerprint` writes capitals, with a colon after each byte. */
function fingerprintOf(key: string): string | undefined {
  if (!/^[0-9a-f]{64}$|^[0-9a-f]{2}(:[0-9a-f]{2}){31}$/i.test(key)) return undefined;
  return key.replaceAll(":", "").toLowerCase();
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
