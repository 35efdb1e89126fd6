/** `USERS`: what an operator writes of each user, and how it is read. `npm run user` writes it. */

import * as z from "zod/mini";
import { decodeBase64, encodeBase64 } from "./core/authentication/base64.ts";
import { saslprep } from "./core/authentication/saslprep.ts";
import { SALT_BYTES_MAX } from "./core/authentication/users.ts";
import type { Verifier } from "./core/authentication/verifier.ts";
import { utf8Length } from "./mqtt/utf8.ts";

/** The platform's PBKDF2 does no more. RFC 7677 asks for at least {@link ITERATIONS_MIN}. */
const ITERATIONS_MAX = 100_000;
const ITERATIONS_MIN = 4_096;
const SALT_BYTES_MIN = 8;
const KEY_BYTES = 32;
/** An object's name has room for this, and for a client id of CLIENT_ID_BYTES_MAX. */
const NAME_BYTES_MAX = 100;

/** Why this cannot be the name of a user; undefined if it can. */
export function wrongName(name: string): string | undefined {
  if (name === "" || utf8Length(name) > NAME_BYTES_MAX) return `must have 1 to ${NAME_BYTES_MAX} bytes`;
  if (name.includes(":")) return "must not contain a colon";
  return saslprep(name) === name ? undefined : "must be written as SASLprep (RFC 4013) leaves it";
}

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

const ITERATIONS_WRONG = `must be a whole number from ${ITERATIONS_MIN} to ${ITERATIONS_MAX}`;

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
  const right = Number.isInteger(value) && (value as number) >= ITERATIONS_MIN && (value as number) <= ITERATIONS_MAX;
  return right ? undefined : ITERATIONS_WRONG;
}

/** The last value that was right. Each object of an isolate reads the settings, and this one takes half a millisecond. */
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
