/** Who is this client? By user name and password, or by what a mechanism of MQTT 5 finds out. */

import type { Connect } from "../../mqtt/codec.ts";
import { MqttError, Reason } from "../../mqtt/reason.ts";
import type { Mechanism } from "./mechanism.ts";
import { saslprep } from "./saslprep.ts";
import { describeUser, type Users } from "./users.ts";

export class Authentication {
  readonly #users: Users | undefined;
  readonly #allowAnonymous: boolean;
  readonly #mechanisms: ReadonlyMap<string, Mechanism>;

  /**
   * @param users undefined: whoever comes may connect, and what it says of itself is not looked at
   * @param allowAnonymous whether a client may connect that gives neither user name nor password
   */
  constructor(users: Users | undefined, allowAnonymous: boolean, mechanisms: readonly Mechanism[]) {
    this.#users = users;
    this.#allowAnonymous = allowAnonymous;
    this.#mechanisms = new Map(mechanisms.map((mechanism) => [mechanism.method, mechanism]));
  }

  /**
   * Who sends a CONNECT without an Authentication Method; undefined is nobody in particular.
   *
   * @throws MqttError NotAuthorized for a client that should have said who it is, BadUserNameOrPassword
   */
  identify({ username, password }: Pick<Connect, "username" | "password">): string | undefined {
    if (!this.#users) return undefined;
    if (username === undefined && password === undefined) {
      if (this.#allowAnonymous) return undefined;
      throw new MqttError(Reason.NotAuthorized, "anonymous clients are not allowed");
    }
    const user = saslprep(username ?? "");
    if (!user || !password || !this.#users.accepts(user, password)) {
      throw new MqttError(Reason.BadUserNameOrPassword, `${describeUser(username ?? "")}: wrong password`);
    }
    return user;
  }

  /** @throws MqttError BadAuthenticationMethod [MQTT-4.12.0-1] */
  mechanism(method: string): Mechanism {
    const mechanism = this.#mechanisms.get(method);
    if (!mechanism) throw new MqttError(Reason.BadAuthenticationMethod, "the authentication method is not supported");
    return mechanism;
  }

  /**
   * What the session is called that a client of this user has under this id. Where there are users each has client ids of
   * its own, so no id leads to the session of another; a user has no colon in its name, and nobody has no name.
   */
  session(user: string | undefined, clientId: string): string {
    return this.#users ? `${user ?? ""}:${clientId}` : clientId;
  }
}

/** Everybody may connect. */
export const NO_AUTHENTICATION = new Authentication(undefined, true, []);
