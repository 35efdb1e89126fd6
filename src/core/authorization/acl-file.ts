/**
 * Mosquitto's `acl_file` (mosquitto.conf(5), 2.x) as rules.
 *
 *     # Of anybody who did not say who they are, before the first `user`:
 *     topic read news/#
 *
 *     user roger
 *     topic readwrite rooms/#
 *     topic deny rooms/attic
 *
 *     # Of everybody, wherever it stands:
 *     pattern write devices/%c/state
 *
 * Lines are read as Mosquitto reads them: words are divided by spaces and not by tabs, a comment begins at the very first
 * character, white space at both ends of a topic or a name is not a part of it, and a topic with a space in it needs the
 * access before it. Any line that Mosquitto refuses is an error here.
 *
 * `read` is to subscribe; `write` is to publish, with RETAIN and as a will too; `deny` denies all of it. Rules do not mean
 * quite what Mosquitto does with the same lines:
 *
 * - Mosquitto lets everybody subscribe to everything and drops what a client may not read. Here a SUBSCRIBE is refused
 *   unless all that it can bring is allowed and nothing of it denied.
 * - A `pattern deny` holds for users whose own `topic` lines allow the topic, too.
 * - A name with `+`, `#` or `/` gets nothing from a `pattern` that names it, and what others get from any other. Mosquitto
 *   gives nothing by any `pattern` to a name with `+` or `#`, and takes one with `/` for several levels.
 * - `%c` and `%u` have to be all of their level, which the manual demands. Elsewhere they are an error: in Mosquitto it
 *   depends on the version whether they are names or text. `$share/…`, which it takes and never matches, is one too.
 * - A user is whoever has proven to be, by the name that SASLprep leaves.
 */

import { saslprep } from "../authentication/saslprep.ts";
import { ACTIONS, type Action, type Rule } from "./rule.ts";
import { RuleFilter } from "./rule-filter.ts";

/** The message is for operators. It shows nothing of the file: whoever reaches the broker may read it. */
export class AclFileError extends Error {
  override readonly name = "AclFileError";
  /** From 1. */
  readonly line: number;
  /** What is wrong, in words that follow "the line". */
  readonly problem: string;

  constructor(line: number, problem: string) {
    super(`line ${line} ${problem}`);
    this.line = line;
    this.problem = problem;
  }
}

type Access = Pick<Rule, "effect" | "actions">;

const WRITING: readonly Action[] = ["publish", "retain", "will"];
const ACCESSES: ReadonlyMap<string, Access> = new Map<string, Access>([
  ["read", { effect: "allow", actions: ["subscribe"] }],
  ["write", { effect: "allow", actions: WRITING }],
  ["readwrite", { effect: "allow", actions: ACTIONS }],
  ["deny", { effect: "deny", actions: ACTIONS }],
]);

/** What C calls white space. */
const SPACE_AROUND = /^[ \t\v\f\r]+|[ \t\v\f\r]+$/gu;
const SPACE_AFTER = /[ \t\v\f\r]+$/u;
/** A word, and what follows it after one space; spaces before it do not count. */
const WORD = /^ *([^ ]+)(?: (.*))?$/su;

/** @throws AclFileError for the first line that is wrong */
export function readAclFile(text: string): Rule[] {
  const rules: Rule[] = [];
  let whose: Pick<Rule, "user" | "anonymous"> = { anonymous: true };
  for (const [at, line] of text.split("\n").entries()) {
    const wrong = (problem: string): AclFileError => new AclFileError(at + 1, problem);
    const [word, rest] = wordOf(line.replace(SPACE_AFTER, ""));
    if (word === "" || line.startsWith("#")) continue;
    if (word === "user") {
      whose = { user: userOf(rest, wrong) };
    } else if (word === "topic" || word === "pattern") {
      const [access, filter] = accessOf(rest, wrong);
      rules.push(
        word === "topic"
          ? { ...access, filter: filterOf(filter.replaceAll("%", "%%"), wrong), ...whose }
          : { ...access, filter: filterOf(patternOf(filter, wrong), wrong) },
      );
    } else {
      throw wrong("begins with none of topic, pattern, user and #");
    }
  }
  return rules;
}

type Wrong = (problem: string) => AclFileError;

function wordOf(text: string): [word: string, rest: string | undefined] {
  const found = WORD.exec(text);
  return found ? [found[1]!, found[2]] : ["", undefined];
}

function userOf(rest: string | undefined, wrong: Wrong): string {
  if (rest === undefined) throw wrong("names no user");
  const user = saslprep(rest.replace(SPACE_AROUND, ""));
  // A rule for a user that cannot be would be a deny rule that never holds.
  if (!user || user.includes(":")) throw wrong("has a name that no user can have");
  return user;
}

function accessOf(rest: string | undefined, wrong: Wrong): [access: Access, filter: string] {
  const [first, second] = wordOf(rest ?? "");
  if (first === "") throw wrong("names no topic");
  if (second === undefined) return [ACCESSES.get("readwrite")!, first];
  const access = ACCESSES.get(first);
  if (!access) throw wrong("has an access that is none of read, write, readwrite and deny");
  return [access, second.replace(SPACE_AROUND, "")];
}

/** The filter of a rule, in which a % is written twice. */
function patternOf(pattern: string, wrong: Wrong): string {
  const levels = pattern.split("/").map((level) => {
    if (level === "%c" || level === "%u") return level;
    if (level.includes("%c") || level.includes("%u")) throw wrong("has %c or %u beside other text in a level");
    return level.replaceAll("%", "%%");
  });
  return levels.join("/");
}

function filterOf(filter: string, wrong: Wrong): string {
  try {
    void new RuleFilter(filter);
  } catch (error) {
    throw wrong(`has a topic that ${(error as Error).message}`);
  }
  return filter;
}
