/** What an operator says of who may connect and what they may do, and how it is read. */

import * as z from "zod/mini";
import { ConfigError } from "../config-error.ts";
import { Users } from "../core/authentication/users.ts";
import type { Mechanism } from "../core/authentication/mechanism.ts";
import { ScramSha256 } from "../core/authentication/scram.ts";
import { AclFileError, readAclFile } from "../core/authorization/acl-file.ts";
import { OPEN_POLICY, RuledPolicy } from "../core/authorization/policy.ts";
import type { Rule } from "../core/authorization/rule.ts";
import { cryptography } from "../edge/cryptography.ts";
import type { Authenticator } from "./authenticator.ts";
import { CertificateAuthenticator } from "./certificate-authenticator.ts";
import { type CertificateUsers, CertificateUsersSetting } from "./certificate-settings.ts";
import { Hook } from "./hook.ts";
import { HookAuthenticator } from "./hook-authenticator.ts";
import { HookAuthorizer } from "./hook-authorizer.ts";
import { HOOK_SECRETS, HOOK_VARIABLES, type HookSettings, readHookSettings } from "./hook-settings.ts";
import type { Network } from "./network.ts";
import { Directory, type DirectorySource } from "./directory.ts";
import { DirectoryAuthenticator } from "./directory-authenticator.ts";
import { DirectoryScram } from "./directory-scram.ts";
import { DIRECTORY_VARIABLES, type DirectorySettings, readDirectorySettings } from "./directory-settings.ts";
import { PasswordAuthenticator } from "./password-authenticator.ts";
import { Reception } from "./reception.ts";
import { TokenAuthenticator } from "./token-authenticator.ts";
import { TokenMechanism } from "./token-mechanism.ts";
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

/**
 * Who receives clients as these settings say. It remembers keys that it fetched, and what it heard of the directory, so one is
 * enough for an isolate.
 *
 * @param source asked only if the settings say so
 */
export function receptionOf(settings: AccessSettings, network: Network, source: DirectorySource): Reception {
  const { tokens, certificates, hook, rules, allowAnonymous, clientIdsPerUser } = settings;
  const users = settings.users && new Users(settings.users, cryptography);
  const directory = settings.directory && new Directory(source, settings.directory, network, rules ?? []);
  const authenticators: Authenticator[] = [];
  const mechanisms: Mechanism[] = [];
  if (tokens) {
    const byToken = new TokenAuthenticator(tokens, network);
    // First, because a token comes in the place of a password.
    authenticators.push(byToken);
    if (tokens.places.includes("password")) mechanisms.push(new TokenMechanism(byToken));
  }
  if (certificates) authenticators.push(new CertificateAuthenticator(certificates));
  if (directory) {
    authenticators.push(new DirectoryAuthenticator(directory, users));
    mechanisms.push(new DirectoryScram(directory, users));
  } else if (users) {
    authenticators.push(new PasswordAuthenticator(users));
    mechanisms.push(new ScramSha256(users, cryptography));
  }
  // Last, as it is the only one that takes time: whom others know it is not asked about.
  const asked = hook && new Hook(hook, network);
  if (asked) authenticators.push(new HookAuthenticator(asked));
  const authorizer = asked && hook.authorizes ? new HookAuthorizer(asked, hook.cacheSeconds) : undefined;
  const knowsSomebody = authenticators.length > 0;
  return new Reception({
    authenticators,
    mechanisms,
    // Who has to say who they are gets nothing that nobody gave them.
    policy: rules || knowsSomebody ? new RuledPolicy(rules ?? []) : OPEN_POLICY,
    directory,
    authorizer,
    allowAnonymous,
    clientIdsPerUser: clientIdsPerUser ?? knowsSomebody,
  });
}
