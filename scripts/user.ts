/**
 * `npm run -s user -- <name> [--iterations <n>]`: prints a value of `USERS` in which the user has the password that comes on
 * standard input, its first line. Who is in `USERS` already stays there.
 *
 *     npm run -s user -- meter-7 < password                       # one user
 *     USERS=$(cat users.json) npm run -s user -- meter-8          # one more, or a new password
 *
 * The password itself is not in what is printed (docs/authentication.md).
 */
import { createInterface } from "node:readline/promises";
import { Writable } from "node:stream";
import { parseArgs } from "node:util";
import { wrongName } from "../src/core/authentication/user-name.ts";
import { type Verifier, verifierOf } from "../src/core/authentication/verifier.ts";
import { cryptography } from "../src/edge/cryptography.ts";
import { UsersSetting, writtenUser, wrongIterations } from "../src/users.ts";

/** Some milliseconds of the Worker's CPU for each password that is checked. */
const ITERATIONS = "10000";
const SALT_BYTES = 16;

try {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { iterations: { type: "string", default: ITERATIONS } },
  });
  const [name] = positionals;
  if (name === undefined || positionals.length > 1) throw new Error("Usage: npm run -s user -- <name>");
  const problem = wrongName(name);
  if (problem !== undefined) throw new Error(`The name ${problem}.`);
  const iterations = Number(values.iterations);
  const wrong = wrongIterations(iterations);
  if (wrong !== undefined) throw new Error(`iterations ${wrong}.`);
  const users = new Map(process.env["USERS"] ? readUsers(process.env["USERS"]) : []);
  const password = await readPassword();
  if (password === "") throw new Error("The password is empty.");
  users.set(name, verifierOf(password, cryptography.randomBytes(SALT_BYTES), iterations, cryptography));
  console.log(JSON.stringify(Object.fromEntries([...users].map(([user, verifier]) => [user, writtenUser(verifier)]))));
} catch (error) {
  console.error((error as Error).message);
  process.exit(1);
}

/** The first line of standard input; at a terminal it is asked for and not shown. */
async function readPassword(): Promise<string> {
  const terminal = process.stdin.isTTY;
  if (terminal) process.stderr.write("Password: ");
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const input = createInterface({ input: process.stdin, output: nowhere, terminal });
  try {
    for await (const line of input) return line;
    return "";
  } finally {
    input.close();
    if (terminal) process.stderr.write("\n");
  }
}

function readUsers(text: string): ReadonlyMap<string, Verifier> {
  const read = UsersSetting.safeParse(text);
  if (!read.success) throw new Error(`USERS ${read.error.issues[0]!.message}.`);
  return read.data;
}
