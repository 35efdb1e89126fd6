/** What a user may be called. */

import { utf8Length } from "../../mqtt/utf8.ts";
import { saslprep } from "./saslprep.ts";

/** An object's name has room for this, and for a client id of CLIENT_ID_BYTES_MAX. */
const NAME_BYTES_MAX = 100;

/** Why this cannot be the name of a user; undefined if it can. */
export function wrongName(name: string): string | undefined {
  if (name === "" || utf8Length(name) > NAME_BYTES_MAX) return `must have 1 to ${NAME_BYTES_MAX} bytes`;
  if (name.includes(":")) return "must not contain a colon";
  return saslprep(name) === name ? undefined : "must be written as SASLprep (RFC 4013) leaves it";
}
