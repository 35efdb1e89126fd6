/** Who lets clients in as settings say, asked as a connection asks. */
import { receptionOf } from "../../src/access/receptions.ts";
import type { DirectorySource } from "../../src/access/directory.ts";
import type { Network } from "../../src/access/network.ts";
import { Reception } from "../../src/access/reception.ts";
import { PasswordAuthenticator } from "../../src/access/password-authenticator.ts";
import { readConfig } from "../../src/config.ts";
import type { Recognition } from "../../src/core/authentication/asking.ts";
import type { Arrival } from "../../src/core/authentication/identity.ts";
import type { Mechanism } from "../../src/core/authentication/mechanism.ts";
import { ScramSha256 } from "../../src/core/authentication/scram.ts";
import type { Users } from "../../src/core/authentication/users.ts";
import { RuledPolicy } from "../../src/core/authorization/policy.ts";
import type { Rule } from "../../src/core/authorization/rule.ts";
import { cryptography } from "../../src/edge/cryptography.ts";
import { MqttError } from "../../src/mqtt/reason.ts";

export const NO_ARRIVAL: Arrival = { address: undefined, token: undefined, certificate: undefined, tenant: undefined };

export const NO_NETWORK: Network = {
  fetch: () => Promise.reject(new Error("there is no network")),
  deadline: () => new AbortController().signal,
  keep: () => {},
};

const away = () => Promise.reject(new Error("there is no directory"));
export const NO_DIRECTORY: DirectorySource = { find: away, since: away, learn: away };

/**
 * The user that the settings take a client for.
 *
 * @throws MqttError when they do not let it in
 */
export function identify(
  env: Readonly<Record<string, string>>,
  said: { readonly username: string | undefined; readonly password: Uint8Array | undefined },
): string | undefined {
  const reception = receptionOf(readConfig(env).access, NO_NETWORK, () => NO_DIRECTORY);
  const credentials = { arrival: NO_ARRIVAL, clientId: "client", ...said };
  const answer = reception.answer({ type: "identify", credentials }, 0) as Recognition;
  if (answer.type === "refused") throw new MqttError(answer.reason, answer.detail);
  if (answer.type !== "accepted") throw new Error("nothing is to be continued");
  return answer.identity.user;
}

const EVERYTHING: readonly Rule[] = [
  { effect: "allow", actions: ["publish", "subscribe", "retain", "will"], filter: "#" },
];

interface Choices {
  readonly allowAnonymous?: boolean;
  readonly mechanisms?: readonly Mechanism[];
  readonly rules?: readonly Rule[];
}

/** Lets these users in, with a password or by SCRAM unless there are other mechanisms; everybody may everything. */
export function receptionWith(users: Users, choices: Choices = {}): Reception {
  const { allowAnonymous = false, mechanisms, rules = EVERYTHING } = choices;
  return new Reception({
    authenticators: [new PasswordAuthenticator(users)],
    mechanisms: mechanisms ?? [new ScramSha256(users, cryptography)],
    policy: new RuledPolicy(rules),
    allowAnonymous,
    clientIdsPerUser: true,
  });
}
