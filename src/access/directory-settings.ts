/** Whether users and rules are kept, and how old what is known of them may be. */

import * as z from "zod/mini";
import { whole } from "../whole.ts";

export interface DirectorySettings {
  /** What was heard of the directory longer ago is asked again before anything goes by it. */
  readonly freshSeconds: number;
}

/** Nobody guesses one of so many characters, and who has to make it up does not choose a word. */
const TOKEN_CHARACTERS_MIN = 32;

const TOKEN_WRONG = `must have at least ${TOKEN_CHARACTERS_MIN} characters, all of them of ASCII, and no blanks`;

/** For the shape of all settings. */
export const DIRECTORY_VARIABLES = {
  ADMIN_TOKEN: z.optional(
    z.string(TOKEN_WRONG).check(z.regex(new RegExp(`^[!-~]{${TOKEN_CHARACTERS_MIN},4096}$`), TOKEN_WRONG)),
  ),
  DIRECTORY: z.optional(z.enum(["true", "false"], 'must be "true" or "false"')),
  POLICY_SECONDS: whole(1, 3600, 30),
};

const Variables = z.object(DIRECTORY_VARIABLES);

/** Undefined: the directory is not asked. Where somebody can change it, it is, unless the settings say otherwise. */
export function readDirectorySettings(v: z.infer<typeof Variables>): DirectorySettings | undefined {
  const isAsked = v.DIRECTORY === undefined ? v.ADMIN_TOKEN !== undefined : v.DIRECTORY === "true";
  return isAsked ? { freshSeconds: v.POLICY_SECONDS } : undefined;
}
