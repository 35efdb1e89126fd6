/**
 * A token as Authentication Data: what a password brings, and a way to bring another one before that has expired, with AUTH
 * 0x19 [MQTT §4.12.1]. It is over with the first step.
 */

import type { Exchange, Mechanism } from "../core/authentication/mechanism.ts";
import { MqttError, Reason } from "../mqtt/reason.ts";
import type { TokenAuthenticator } from "./token-authenticator.ts";

const NOTHING = { address: undefined, token: undefined, certificate: undefined, tenant: undefined };

export class TokenMechanism implements Mechanism {
  readonly method = "JWT";
  readonly #authenticator: TokenAuthenticator;

  constructor(authenticator: TokenAuthenticator) {
    this.#authenticator = authenticator;
  }

  begin(): Exchange {
    return {
      step: async (password, now) => {
        const credentials = { arrival: NOTHING, clientId: "", username: undefined, password };
        const verdict = await this.#authenticator.authenticate(credentials, now);
        if (verdict.type === "accepted") return verdict;
        if (verdict.type === "refused") throw new MqttError(verdict.reason, verdict.detail);
        throw new MqttError(Reason.NotAuthorized, "it is not a signed token");
      },
    };
  }
}
