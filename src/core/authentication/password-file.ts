/**
 * Mosquitto's `password_file`: users, and what is kept of their passwords.
 *
 *     # a comment
 *     meter-7:$7$10000$…$…
 *
 * As Mosquitto reads it: a comment begins its line, blanks around a name and a hash do not count. Stricter, because a user
 * who is quietly left out cannot connect and is not told why: what Mosquitto skips (a line without a colon) or, depending
 * on its version, ignores or refuses (a name that comes twice) is an error.
 */

import { type PasswordHash, readPasswordHash, writePasswordHash } from "./password-hash.ts";
import { wrongName } from "./user-name.ts";

/** What C calls space: not what Unicode does. */
const BLANKS = /^[ \t\n\v\f\r]+|[ \t\n\v\f\r]+$/g;

/**
 * Users by name, in the order of the lines.
 *
 * @throws RangeError which names the first wrong line by its number, and shows nothing of it
 */
export function readPasswordFile(text: string): ReadonlyMap<string, PasswordHash> {
  const users = new Map<string, PasswordHash>();
  for (const [at, line] of text.split("\n").entries()) {
    const entry = trimmed(line);
    if (line.startsWith("#") || entry === "") continue;
    const wrong = (what: string) => new RangeError(`has an error in its line ${at + 1}: ${what}`);
    const colon = entry.indexOf(":");
    if (colon === -1) throw wrong("it must be a name, a colon and a hash");
    const name = trimmed(entry.slice(0, colon));
    const problem = wrongName(name);
    if (problem !== undefined) throw wrong(`the name ${problem}`);
    if (users.has(name)) throw wrong("an earlier line has the same name");
    try {
      users.set(name, readPasswordHash(trimmed(entry.slice(colon + 1))));
    } catch (error) {
      throw wrong(`the password ${(error as RangeError).message}`);
    }
  }
  return users;
}

/**
 * As {@link readPasswordFile} and Mosquitto read it.
 *
 * @throws RangeError for a name that a line of the file cannot have
 */
export function writePasswordFile(users: ReadonlyMap<string, PasswordHash>): string {
  return [...users].map(([name, hash]) => `${writableName(name)}:${writePasswordHash(hash)}\n`).join("");
}

function writableName(name: string): string {
  const problem = wrongName(name);
  if (problem !== undefined) throw new RangeError(`the name ${problem}`);
  if (name.startsWith("#")) throw new RangeError("the name must not begin like a comment");
  if (trimmed(name) !== name) throw new RangeError("the name must not begin or end with a space");
  return name;
}

function trimmed(text: string): string {
  return text.replace(BLANKS, "");
}
