/** `USERS` and `PASSWORD_FILE`: what an operator writes of each user, and how it is read. `npm run user` writes both. */

import * as z from "zod/mini";
import { decodeBase64, encodeBase64 } from "../core/authentication/base64.ts";
import { readPasswordFile } from "../core/authentication/password-file.ts";
import { type PasswordHash, PBKDF2_ITERATIONS_MAX } from "../core/authentication/password-hash.ts";
import { wrongName } from "../core/authentication/user-name.ts";
import { SALT_BYTES_MAX, type User } from "../core/authentication/users.ts";
import type { Verifier } from "../core/authentication/verifier.ts";

/** As RFC 7677 asks for at least. */
const ITERATIONS_MIN = 4_096;
const SALT_BYTES_MIN = 8;
const KEY_BYTES = 32;

function bytes(from: number, to: number) {
  const wrong = from === to ? `must be ${from} bytes in base 64` : `must be ${from} to ${to} bytes in base 64`;
  return z.pipe(
    z.pipe(
      z.string("must be a string"),
      z.transform((text: string) => decodeBase64(text)),
    ),
    z.custom<Uint8Array>((read) => read instanceof Uint8Array && read.length >= from && read.length <= to, wrong),
  );
}

const ITERATIONS_WRONG = `must be a whole number from ${ITERATIONS_MIN} to ${PBKDF2_ITERATIONS_MAX}`;

const Stored = z.object(
  {
    salt: bytes(SALT_BYTES_MIN, SALT_BYTES_MAX),
    iterations: z.custom<number>((read) => wrongIterations(read) === undefined, ITERATIONS_WRONG),
    storedKey: bytes(KEY_BYTES, KEY_BYTES),
    serverKey: bytes(KEY_BYTES, KEY_BYTES),
  },
  "must be an object",
);

/** Why this cannot be a number of iterations; undefined if it can. */
export function wrongIterations(value: unknown): string | undefined {
  const right =
    Number.isInteger(value) && (value as number) >= ITERATIONS_MIN && (value as number) <= PBKDF2_ITERATIONS_MAX;
  return right ? undefined : ITERATIONS_WRONG;
}

/**
 * The last values that were right. Each object of an isolate reads the settings, and of as many users as a setting holds that
 * takes half a millisecond and a quarter of one.
 */
let latestFile: { readonly text: string; readonly users: ReadonlyMap<string, PasswordHash> } | undefined;
let latest: { readonly text: string; readonly users: ReadonlyMap<string, Verifier> } | undefined;

/** Users by name. An error names the entry by its number: whoever reaches the broker reads the message. */
export const UsersSetting = z.pipe(
  z.string("must be a string of JSON"),
  z.transform((text: string, context): ReadonlyMap<string, Verifier> => {
    if (latest?.text === text) return latest.users;
    const users = new Map<string, Verifier>();
    const wrong = (message: string) => context.issues.push({ code: "custom", message, input: text });
    const written = json(text);
    if (typeof written !== "object" || written === null || Array.isArray(written)) {
      wrong("must be a JSON object");
      return users;
    }
    for (const [at, [name, value]] of Object.entries(written).entries()) {
      const problem = wrongName(name);
      if (problem !== undefined) wrong(`has an error in its entry ${at + 1}: the name ${problem}`);
      const stored = Stored.safeParse(value);
      if (stored.success) {
        users.set(name, stored.data);
      } else {
        const { path, message } = stored.error.issues[0]!;
        wrong(`has an error in its entry ${at + 1}: ${path.length > 0 ? String(path[0]) : "it"} ${message}`);
      }
    }
    if (users.size === 0) wrong("must have at least one user");
    if (context.issues.length === 0) latest = { text, users };
    return users;
  }),
);

/** Users by name, from Mosquitto's `password_file`. An error names the line by its number. */
export const PasswordFileSetting = z.pipe(
  z.string("must be the text of a password_file"),
  z.transform((text: string, context): ReadonlyMap<string, PasswordHash> => {
    const wrong = (message: string) => {
      context.issues.push({ code: "custom", message, input: text });
      return new Map<string, PasswordHash>();
    };
    try {
      if (latestFile?.text === text) return latestFile.users;
      const users = readPasswordFile(text);
      if (users.size === 0) return wrong("must have at least one user");
      latestFile = { text, users };
      return users;
    } catch (error) {
      return wrong((error as RangeError).message);
    }
  }),
);

/**
 * All users, by name.
 *
 * @throws RangeError when one is in both; it names the entry by its number
 */
export function allUsers(
  verifiers: ReadonlyMap<string, Verifier>,
  hashes: ReadonlyMap<string, PasswordHash>,
): ReadonlyMap<string, User> {
  const users = new Map<string, User>([...verifiers].map(([name, verifier]) => [name, { verifier }]));
  for (const [at, [name, hash]] of [...hashes].entries()) {
    if (users.has(name)) throw new RangeError(`has a user in its entry ${at + 1} that USERS has too`);
    users.set(name, { hash });
  }
  return users;
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** As it is written in `USERS`. */
export function writtenUser({ salt, iterations, storedKey, serverKey }: Verifier): Record<string, string | number> {
  return {
    salt: encodeBase64(salt),
    iterations,
    storedKey: encodeBase64(storedKey),
    serverKey: encodeBase64(serverKey),
  };
}
