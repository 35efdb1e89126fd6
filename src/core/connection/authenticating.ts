/**
 * A connection's enhanced authentication [MQTT §4.12]: the exchange that its CONNECT began, and those by which the client
 * proves later that it still is who it was [MQTT §4.12.1].
 */

import type { Auth } from "../../mqtt/codec.ts";
import { MqttError, Reason } from "../../mqtt/reason.ts";
import type { Question } from "../authentication/asking.ts";
import type { Exchange, Mechanism, Step } from "../authentication/mechanism.ts";

export class Authenticating {
  readonly #mechanism: Mechanism;
  #exchange: Exchange | undefined;

  constructor(mechanism: Mechanism) {
    this.#mechanism = mechanism;
  }

  /** CONNECT named the method. */
  connect(data: Uint8Array | undefined): Question {
    this.#exchange = this.#mechanism.begin();
    return { type: "step", exchange: this.#exchange, data };
  }

  /** @throws MqttError when the packet is not one that may come now */
  auth({ reason, method, data }: Auth): Question {
    if (method !== this.#mechanism.method) throw protocolError("AUTH with another method than CONNECT"); // [MQTT-4.12.0-5]
    if (reason === Reason.ReAuthenticate) {
      if (this.#exchange) throw protocolError("re-authentication during an exchange");
      this.#exchange = this.#mechanism.begin(); // [MQTT-4.12.1-1]
    }
    if (!this.#exchange) throw protocolError("AUTH outside an exchange");
    return { type: "step", exchange: this.#exchange, data };
  }

  /** What is sent: ContinueAuthentication, or Success, which before CONNACK is said there and not in an AUTH. */
  answered({ type, data }: Step): Auth {
    const { method } = this.#mechanism;
    if (type === "continue") return { reason: Reason.ContinueAuthentication, method, data }; // [MQTT-4.12.0-2]
    this.#exchange = undefined;
    return { reason: Reason.Success, method, data };
  }
}

function protocolError(what: string): MqttError {
  return new MqttError(Reason.ProtocolError, what);
}
