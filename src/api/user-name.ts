/** A user's name in what is asked for: one that a user can have, whoever knows the user. */

import * as z from "zod/mini";
import { saslprep } from "../core/authentication/saslprep.ts";

export const userName = z
  .string("must be a string")
  .check(
    z.refine(
      (name) => saslprep(name) === name && name !== "" && !name.includes(":"),
      "must be a name that a user can have",
    ),
  );
