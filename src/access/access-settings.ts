/** What an operator says of who may connect and what they may do, and how it is read. */

import * as z from "zod/mini";
import { ConfigError } from "../config-error.ts";
import { AclFileError, readAclFile } from "../core/authorization/acl-file.ts";
import type { Rule } from "../core/authorization/rule.ts";
import { type CertificateUsers, CertificateUsersSetting } from "./certificate-settings.ts";
import { HOOK_SECRETS, HOOK_VARIABLES, type HookSettings, readHookSettings } from "./hook-settings.ts";
import { DIRECTORY_VARIABLES, type DirectorySettings, readDirectorySettings } from "./directory-settings.ts";
import { readTokenSettings, TOKEN_SECRETS, TOKEN_VARIABLES, type TokenSettings } from "./token-settings.ts";
import { allUsers, PasswordFileSetting, UsersSetting } from "./users-settings.ts";

export interface AccessSettings {
  /** Undefined: none are configured. */
  readonly users: ReturnType<typeof allUsers> | undefined;
  /** Undefined: clients do not come with tokens. */
  readonly tokens: TokenSettings | undefined;
  /** Undefined: certificates are not looked at. */
  readonly certificates: CertificateUsers | undefined;
  /** Undefined: nobody else is asked. */
  readonly hook: HookSettings | undefined;
  /** Undefined: no rules are configured. */
  readonly rules: readonly Rule[] | undefined;
  /** Undefined: only who is configured is known, and only rules that are count. */
  readonly directory: DirectorySettings | undefined;
  /** Whoever has it may change the directory; undefined: nobody may. */
  readonly adminToken: string | undefined;
  readonly allowAnonymous: boolean;
  /** Undefined: where users are known. */
  readonly clientIdsPerUser: boolean | undefined;
}

/** The last file that was right: each object of an isolate reads the settings. */
let latest: { readonly text: string; readonly rules: readonly Rule[] } | undefined;

const flag = z.optional(z.enum(["true", "false"], 'must be "true" or "false"'));

/** For the shape of all settings. */
export const ACCESS_VARIABLES = {
  USERS: z.optional(UsersSetting),
  PASSWORD_FILE: z.optional(PasswordFileSetting),
  ALLOW_ANONYMOUS: flag,
  CLIENT_IDS_PER_USER: flag,
  ACL: z.optional(
    z.pipe(
      z.string("must be the text of an acl_file"),
      z.transform((text: string, context): readonly Rule[] => {
        try {
          if (latest?.text !== text) latest = { text, rules: readAclFile(text) };
          return latest.rules;
        } catch (error) {
          if (!(error instanceof AclFileError)) throw error;
          context.issues.push({ code: "custom", message: `has an error in its ${error.message}`, input: text });
          return [];
        }
      }),
    ),
  ),
  CERTIFICATE_USERS: z.optional(CertificateUsersSetting),
  ...TOKEN_VARIABLES,
  ...DIRECTORY_VARIABLES,
  ...HOOK_VARIABLES,
};

/** Settings each of which says of somebody that it may connect, or of anybody. */
export const WHO_MAY_CONNECT: readonly string[] = [
  "ALLOW_ANONYMOUS",
  "USERS",
  "PASSWORD_FILE",
  "TOKEN_SECRET",
  "TOKEN_PUBLIC_KEY",
  "TOKEN_JWKS_URL",
  "CERTIFICATE_USERS",
  "DIRECTORY",
  "ADMIN_TOKEN",
  "HOOK",
  "HOOK_URL",
];

/** Settings that nobody is shown, not even when they are wrong. */
export const ACCESS_SECRETS: readonly string[] = [
  "USERS",
  "PASSWORD_FILE",
  "CERTIFICATE_USERS",
  "ACL",
  "ADMIN_TOKEN",
  ...TOKEN_SECRETS,
  ...HOOK_SECRETS,
];

const Variables = z.object(ACCESS_VARIABLES);

/** @throws ConfigError when settings contradict each other */
export function readAccessSettings(v: z.infer<typeof Variables>): AccessSettings {
  const { USERS, PASSWORD_FILE, ALLOW_ANONYMOUS, CLIENT_IDS_PER_USER, ACL } = v;
  return {
    users: USERS || PASSWORD_FILE ? usersOf(USERS ?? new Map(), PASSWORD_FILE ?? new Map()) : undefined,
    tokens: readTokenSettings(v),
    certificates: v.CERTIFICATE_USERS,
    hook: readHookSettings(v),
    rules: ACL,
    directory: readDirectorySettings(v),
    adminToken: v.ADMIN_TOKEN,
    allowAnonymous: ALLOW_ANONYMOUS === "true",
    clientIdsPerUser: CLIENT_IDS_PER_USER === undefined ? undefined : CLIENT_IDS_PER_USER === "true",
  };
}

function usersOf(...from: Parameters<typeof allUsers>): ReturnType<typeof allUsers> {
  try {
    return allUsers(...from);
  } catch (error) {
    throw new ConfigError(`PASSWORD_FILE is wrong: it ${(error as RangeError).message}`);
  }
}
