/** Users whose passwords a test knows. */
import { Users } from "../../src/core/authentication/users.ts";
import { verifierOf } from "../../src/core/authentication/verifier.ts";
import { cryptography } from "../../src/edge/cryptography.ts";
import { writtenUser } from "../../src/access/users-settings.ts";

/** As in the example of RFC 7677 §3. */
const SALT = new Uint8Array(Buffer.from("W22ZaJ0SNY7soEsUEjb6gQ==", "base64"));
export const ITERATIONS = 4096;

function verifiers(passwords: Record<string, string>, iterations = ITERATIONS) {
  return Object.entries(passwords).map(
    ([name, password]) => [name, verifierOf(password, SALT, iterations, cryptography)] as const,
  );
}

export function usersWith(passwords: Record<string, string>): Users {
  return new Users(new Map(verifiers(passwords).map(([name, verifier]) => [name, { verifier }])), cryptography);
}

/** What `USERS` says of them. */
export function usersSetting(passwords: Record<string, string>, iterations = ITERATIONS): string {
  return JSON.stringify(
    Object.fromEntries(verifiers(passwords, iterations).map(([name, verifier]) => [name, writtenUser(verifier)])),
  );
}
