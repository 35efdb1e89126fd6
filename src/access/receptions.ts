/**
 * Who receives clients as the settings say, one for each tenant, made when its first client comes.
 *
 * - Users and certificates of the settings are the main tenant's: whoever has the same name elsewhere is somebody else. A tenant
 *   of `TENANTS` has a directory of its own.
 * - A token is good for a tenant that it names, so without `TOKEN_TENANT_CLAIM` for the main one alone.
 * - The hook is asked for every tenant, `ALLOW_ANONYMOUS` and the rules of `ACL` hold in every one.
 * - A tenant that only tokens name has nothing of its own. There may be any number of those, and one receives for all of them.
 *
 * Keys that were fetched and what was heard of a directory are remembered, so one of each is enough for an isolate.
 */

import type { Mechanism } from "../core/authentication/mechanism.ts";
import { ScramSha256 } from "../core/authentication/scram.ts";
import { Users } from "../core/authentication/users.ts";
import { OPEN_POLICY, RuledPolicy } from "../core/authorization/policy.ts";
import { cryptography } from "../edge/cryptography.ts";
import { MAIN, noted } from "../names.ts";
import type { AccessSettings } from "./access-settings.ts";
import type { Authenticator } from "./authenticator.ts";
import { CertificateAuthenticator } from "./certificate-authenticator.ts";
import { Directory, type DirectorySource, KEPT_MAX } from "./directory.ts";
import { DirectoryAuthenticator } from "./directory-authenticator.ts";
import { DirectoryScram } from "./directory-scram.ts";
import { Hook } from "./hook.ts";
import { HookAuthenticator } from "./hook-authenticator.ts";
import { HookAuthorizer } from "./hook-authorizer.ts";
import type { Network } from "./network.ts";
import { PasswordAuthenticator } from "./password-authenticator.ts";
import { Reception } from "./reception.ts";
import { TokenAuthenticator } from "./token-authenticator.ts";
import { TokenMechanism } from "./token-mechanism.ts";

/** All directories of an isolate share its memory; in a small share the users of one office still fit. */
const KEPT_MIN = 100;

/** Stands for all tenants that only tokens name. No tenant is called so. */
const ELSEWHERE = "";

/**
 * Who receives the clients of the main tenant, and by {@link Reception.of} those of the others.
 *
 * @param sourceOf where a tenant's users and rules are kept; asked only if the settings say so
 * @param tenants those of the settings, besides the main one
 */
export function receptionOf(
  settings: AccessSettings,
  network: Network,
  sourceOf: (tenant: string) => DirectorySource,
  tenants: ReadonlySet<string> = new Set(),
): Reception {
  const { tokens, certificates, hook, allowAnonymous, clientIdsPerUser } = settings;
  const rules = settings.rules ?? [];
  const mainUsers = settings.users && new Users(settings.users, cryptography);
  const byToken = tokens && new TokenAuthenticator(tokens, network);
  const asked = hook && new Hook(hook, network);
  const authorizer = asked && hook.authorizes ? new HookAuthorizer(asked, hook.cacheSeconds) : undefined;
  const knowsSomebody = Boolean(mainUsers ?? tokens ?? certificates ?? hook ?? settings.directory);
  const keptMax = Math.max(KEPT_MIN, Math.floor(KEPT_MAX / (tenants.size + 1)));
  const receptions = new Map<string, Reception>();

  function ofTenant(tenant: string): Reception {
    const name = tenant === MAIN || tenants.has(tenant) ? tenant : ELSEWHERE;
    let reception = receptions.get(name);
    if (!reception) receptions.set(name, (reception = made(name)));
    return reception;
  }

  function made(tenant: string): Reception {
    const isMain = tenant === MAIN;
    const users = isMain ? mainUsers : undefined;
    const authenticators: Authenticator[] = [];
    const mechanisms: Mechanism[] = [];
    if (byToken && (isMain || tokens.tenantClaim !== undefined)) {
      // First, because a token comes in the place of a password.
      authenticators.push(byToken);
      if (tokens.places.includes("password")) mechanisms.push(new TokenMechanism(byToken));
    }
    if (isMain && certificates) authenticators.push(new CertificateAuthenticator(certificates));
    const directory =
      settings.directory && tenant !== ELSEWHERE
        ? new Directory(sourceOf(tenant), { ...settings.directory, tenant: noted(tenant), keptMax }, network, rules)
        : undefined;
    if (directory) {
      authenticators.push(new DirectoryAuthenticator(directory, users));
      mechanisms.push(new DirectoryScram(directory, users));
    } else if (users) {
      authenticators.push(new PasswordAuthenticator(users));
      mechanisms.push(new ScramSha256(users, cryptography));
    }
    // Last, as it is the only one that takes time: whom others know it is not asked about.
    if (asked) authenticators.push(new HookAuthenticator(asked, tenant));
    return new Reception({
      authenticators,
      mechanisms,
      // Who has to say who they are gets nothing that nobody gave them.
      policy: settings.rules || knowsSomebody ? new RuledPolicy(rules) : OPEN_POLICY,
      directory,
      authorizer,
      allowAnonymous,
      clientIdsPerUser: clientIdsPerUser ?? knowsSomebody,
      knowsSomebody,
      ofTenant,
    });
  }

  return ofTenant(MAIN);
}
