/**
 * Who the client of a connection is, and what it may: asked when it has sent CONNECT, before anything is stored or opened
 * on its behalf, and again when it re-authenticates [MQTT §4.12.1].
 *
 * And in which tenant it is. Where the path or the host names one, it is that, and who turns out to be another's may not come
 * in; where they name none, it is the one that its identity says, and the main one if it says none.
 */

import type { Auth, Connect } from "../../mqtt/codec.ts";
import { MqttError, Reason } from "../../mqtt/reason.ts";
import { type Access, sessionOf } from "../authentication/access.ts";
import type { Question, Recognition } from "../authentication/asking.ts";
import type { Arrival, Identity } from "../authentication/identity.ts";
import type { Policy } from "../authorization/policy.ts";
import { NOTHING, type Permissions } from "../authorization/permissions.ts";
import { checkBans, type Door } from "../bans/door.ts";
import { Authenticating } from "./authenticating.ts";

export interface AdmissionConfig {
  /** Of the tenant below. */
  readonly access: Access;
  readonly arrival: Arrival;
  /** Undefined: nobody is turned away. */
  readonly door?: Door | undefined;
  /** Of a client that came to no other, and whose identity does not say another one. */
  readonly tenant: string;
}

export class Admission {
  readonly #config: AdmissionConfig;
  /** Of the tenant, as far as it is known. */
  #access: Access;
  #connect: Connect | undefined;
  #clientId = "";
  /** Only if CONNECT named a method. */
  #authenticating: Authenticating | undefined;
  #identity: Identity | undefined;
  /** What the permissions were made by. */
  #policy: Policy | undefined;
  #permissions: Permissions | undefined;
  #asked = false;

  constructor(config: AdmissionConfig) {
    this.#config = config;
    this.#access = config.access.of(this.tenant);
  }

  /** Whose name space the client is in; until it is admitted, as far as what it came to says. */
  get tenant(): string {
    return this.#tenantOf(this.#identity);
  }

  /** Who may connect to the tenant, and what they may. */
  get access(): Access {
    return this.#access;
  }

  /** A question is not answered yet. */
  get asked(): boolean {
    return this.#asked;
  }

  /** CONNECT named a method, so that AUTH goes to and fro. */
  get isExchange(): boolean {
    return this.#authenticating !== undefined;
  }

  /** When the client stops being who it is, unless it renews that. */
  get deadline(): number | undefined {
    return this.#identity?.expiresAt;
  }

  /** Who the client is, once it is admitted. */
  get identity(): Identity | undefined {
    return this.#identity;
  }

  /** What it may, once it is admitted. */
  get permissions(): Permissions {
    return this.#permissions!;
  }

  /** What it is called; of one that has said nothing, how it would be called. */
  get clientId(): string {
    return this.#clientId;
  }

  /**
   * The client has sent CONNECT.
   *
   * @param assigned the id of a client that brings none
   * @throws MqttError Banned, BadAuthenticationMethod [MQTT-4.12.0-1]
   */
  connect(connect: Connect, assigned: string, now: number): Question {
    this.#connect = connect;
    this.#clientId = connect.clientId === "" ? assigned : connect.clientId;
    const { arrival, door } = this.#config;
    door?.check({ tenant: arrival.tenant, clientId: this.#clientId, address: arrival.address }, now);
    // Only by what is fresh: who is turned away here has nobody asked whether its ban has been lifted since.
    if (now < this.#access.freshUntil) this.#checkBans(undefined, now);
    this.#asked = true;
    const { authenticationMethod: method, authenticationData, username, password } = connect;
    if (method === undefined) {
      return {
        type: "identify",
        credentials: { arrival, clientId: this.#clientId, username, password },
      };
    }
    const mechanism = this.#access.mechanism(method);
    if (!mechanism) throw new MqttError(Reason.BadAuthenticationMethod, "the authentication method is not supported");
    this.#authenticating = new Authenticating(mechanism);
    return this.#authenticating.connect(authenticationData);
  }

  /**
   * The client has sent AUTH.
   *
   * @throws MqttError when it may not
   */
  auth(auth: Auth): Question {
    if (!this.#authenticating) throw new MqttError(Reason.ProtocolError, "AUTH without a method"); // [MQTT-4.12.0-7]
    if (this.#asked) throw new MqttError(Reason.ProtocolError, "AUTH before the last one was answered");
    const question = this.#authenticating.auth(auth);
    this.#asked = true;
    return question;
  }

  /**
   * Returns the answer to a method's exchange: ContinueAuthentication, or Success, with which the client is admitted.
   * Without a method it is admitted with undefined.
   *
   * @throws MqttError when it is not
   */
  answered(answer: Recognition, now: number): Auth | undefined {
    this.#asked = false;
    if (answer.type === "refused") throw new MqttError(answer.reason, answer.detail);
    if (answer.type === "accepted") this.#admit(answer.identity, now);
    return this.#authenticating?.answered(answer);
  }

  #admit(identity: Identity, now: number): void {
    const { user, claims, rules, clientId } = identity;
    const { arrival, door } = this.#config;
    const tenant = this.#tenantOf(identity);
    if (arrival.tenant !== undefined && tenant !== arrival.tenant) throw refused("this is another tenant's");
    const known = this.#identity;
    // The session is the first one's.
    if (known && (known.user !== user || this.tenant !== tenant)) throw refused("re-authentication as another user");
    if (clientId !== undefined && clientId !== this.#clientId) {
      if (known || this.#connect!.clientId !== "") throw refused("this client id is not the user's");
      this.#clientId = clientId;
    }
    this.#access = this.#access.of(tenant);
    door?.check({ tenant, clientId: this.#clientId, user }, now);
    this.#checkBans(user, now);
    if (!known) door?.enter(`${tenant}/${sessionOf(user, this.#clientId, this.#access)}`, now);
    const { policy } = this.#access;
    this.#identity = identity;
    this.#policy = policy;
    this.#permissions = policy.of({ user, clientId: this.#clientId, claims, rules });
  }

  #tenantOf(identity: Identity | undefined): string {
    return identity?.tenant ?? this.#config.arrival.tenant ?? this.#config.tenant;
  }

  /**
   * What is known by now of who the client is; undefined: it is not that user any more. Returns true when it may something else
   * than before.
   *
   * @throws MqttError NotAuthorized, AdministrativeAction when it is banned by now; then it may nothing, not even have a will
   */
  confirmed(identity: Identity | undefined, now: number): boolean {
    const permissions = this.#permissions;
    this.#permissions = NOTHING;
    if (!identity) throw refused("the user is gone, or has another password");
    this.#checkBans(identity.user, now);
    this.#permissions = permissions;
    this.#identity = identity;
    const { policy } = this.#access;
    if (policy === this.#policy) return false;
    const { user, claims, rules } = identity;
    this.#policy = policy;
    this.#permissions = policy.of({ user, clientId: this.#clientId, claims, rules });
    return true;
  }

  /** Those of the access: its own the door knows. */
  #checkBans(user: string | undefined, now: number): void {
    const { bans } = this.#access;
    if (!bans) return;
    const reason = this.#identity ? Reason.AdministrativeAction : Reason.Banned;
    checkBans(bans, { clientId: this.#clientId, user, address: this.#config.arrival.address }, reason, now);
  }
}

function refused(what: string): MqttError {
  return new MqttError(Reason.NotAuthorized, what);
}
