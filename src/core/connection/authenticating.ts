/**
 * A connection's enhanced authentication [MQTT §4.12]: the exchange that its CONNECT began, and those by which the client
 * proves later that it still is who it was [MQTT §4.12.1].
 */

import type { Auth } from "../../mqtt/codec.ts";
import { MqttError, Reason } from "../../mqtt/reason.ts";
import type { Exchange, Mechanism } from "../authentication/mechanism.ts";

export class Authenticating {
  readonly #mechanism: Mechanism;
  #exchange: Exchange | undefined;
  #user: string | undefined;

  constructor(mechanism: Mechanism) {
    this.#mechanism = mechanism;
  }

  get method(): string {
    return this.#mechanism.method;
  }

  /** Who the client is; undefined until its first exchange is over. */
  get user(): string | undefined {
    return this.#user;
  }

  /**
   * CONNECT named the method.
   *
   * @throws MqttError when authentication failed
   */
  connect(data: Uint8Array | undefined): Auth {
    this.#exchange = this.#mechanism.begin();
    return this.#step(this.#exchange, data);
  }

  /**
   * Returns the answer: ContinueAuthentication, or Success, which before CONNACK is said there and not in an AUTH.
   *
   * @throws MqttError when authentication failed, or the packet is not one that may come now
   */
  auth({ reason, method, data }: Auth): Auth {
    if (method !== this.method) throw protocolError("AUTH with another method than CONNECT"); // [MQTT-4.12.0-5]
    if (reason === Reason.ReAuthenticate) {
      if (this.#exchange) throw protocolError("re-authentication during an exchange");
      this.#exchange = this.#mechanism.begin(); // [MQTT-4.12.1-1]
    }
    if (!this.#exchange) throw protocolError("AUTH outside an exchange");
    return this.#step(this.#exchange, data);
  }

  #step(exchange: Exchange, data: Uint8Array | undefined): Auth {
    const step = exchange.step(data);
    if (step.type === "continue") {
      return { reason: Reason.ContinueAuthentication, method: this.method, data: step.data }; // [MQTT-4.12.0-2]
    }
    if (this.#user !== undefined && this.#user !== step.user) {
      // The session, and what it may, are the first one's.
      throw new MqttError(Reason.NotAuthorized, "re-authentication as another user");
    }
    this.#user = step.user;
    this.#exchange = undefined;
    return { reason: Reason.Success, method: this.method, data: step.data };
  }
}

function protocolError(what: string): MqttError {
  return new MqttError(Reason.ProtocolError, what);
}
