/**
 * `npm run -s user -- <name> [--iterations <n>] [--format mosquitto]`: prints a value of `USERS`, or with the format a value
 * of `PASSWORD_FILE`, in which the user has the password that comes on standard input, its first line. Who is in `USERS` or
 * `PASSWORD_FILE` already stays there.
 *
 *     npm run -s user -- meter-7 < password                       # one user
 *     USERS=$(cat users.json) npm run -s user -- meter-8          # one more, or a new password
 *     npm run -s user -- meter-7 --format mosquitto >> passwd     # one more line of a password_file
 *
 * The password itself is not in what is printed (docs/authentication.md).
 */
import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { parseArgs } from "node:util";
import type * as z from "zod/mini";
import { writePasswordFile } from "../src/core/authentication/password-file.ts";
import { hashPassword, ITERATIONS } from "../src/core/authentication/password-hash.ts";
import { wrongName } from "../src/core/authentication/user-name.ts";
import { verifierOf } from "../src/core/authentication/verifier.ts";
import { cryptography } from "../src/edge/cryptography.ts";
import { PasswordFileSetting, UsersSetting, writtenUser, wrongIterations } from "../src/access/users-settings.ts";

const SALT_BYTES = 16;

const FORMATS: Record<string, (name: string, iterations: number) => Promise<string>> = {
  users: usersWith,
  mosquitto: passwordFileWith,
};

try {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      iterations: { type: "string", default: String(ITERATIONS) },
      format: { type: "string", default: "users" },
    },
  });
  const [name] = positionals;
  if (name === undefined || positionals.length > 1) throw new Error("Usage: npm run -s user -- <name>");
  const problem = wrongName(name);
  if (problem !== undefined) throw new Error(`The name ${problem}.`);
  const iterations = Number(values.iterations);
  const wrong = wrongIterations(iterations);
  if (wrong !== undefined) throw new Error(`iterations ${wrong}.`);
  const format = FORMATS[values.format];
  if (!format) throw new Error(`format must be one of ${Object.keys(FORMATS).join(", ")}.`);
  process.stdout.write(await format(name, iterations));
} catch (error) {
  console.error((error as Error).message);
  process.exit(1);
}

async function usersWith(name: string, iterations: number): Promise<string> {
  const users = new Map(read("USERS", UsersSetting));
  users.set(name, verifierOf(await readPassword(), cryptography.randomBytes(SALT_BYTES), iterations, cryptography));
  const written = [...users].map(([user, verifier]) => [user, writtenUser(verifier)] as const);
  return `${JSON.stringify(Object.fromEntries(written))}\n`;
}

async function passwordFileWith(name: string, iterations: number): Promise<string> {
  const users = new Map(read("PASSWORD_FILE", PasswordFileSetting));
  users.set(name, hashPassword(Buffer.from(await readPassword()), cryptography, iterations));
  return writePasswordFile(users);
}

/** The first line of standard input; at a terminal it is asked for and not shown. */
async function readPassword(): Promise<string> {
  const terminal = process.stdin.isTTY;
  if (terminal) process.stderr.write("Password: ");
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const input = createInterface({ input: process.stdin, output: nowhere, terminal });
  try {
    for await (const line of input) {
      // What stands for bytes that are not UTF-8 would be the password instead of them.
      if (line.includes("\ufffd")) throw new Error("The password is not UTF-8.");
      if (line !== "") return line;
      break;
    }
    throw new Error("The password is empty.");
  } finally {
    input.close();
    if (terminal) process.stderr.write("\n");
  }
}

/** Who is in the environment already. */
function read<Kept>(setting: string, type: z.ZodMiniType<ReadonlyMap<string, Kept>>): ReadonlyMap<string, Kept> {
  const text = process.env[setting];
  if (!text) return new Map();
  const users = type.safeParse(text);
  if (!users.success) throw new Error(`${setting} ${users.error.issues[0]!.message}.`);
  return users.data;
}
