/** Topic aliases of one connection, from the client to us. They die with the connection [MQTT-3.3.2-7]. */

import { MqttError, Reason } from "../../mqtt/reason.ts";

export class Aliases {
  readonly #maximum: number;
  readonly #topics = new Map<number, string>();

  constructor(maximum: number) {
    this.#maximum = maximum;
  }

  /**
   * The topic that a PUBLISH means, and remembers it when the packet says so [MQTT-3.3.2-12].
   *
   * @param topic as in the packet, "" when only the alias is given
   * @param alias as in the packet, 0 for none
   */
  resolve(topic: string, alias: number): string {
    if (alias === 0) return topic;
    if (alias > this.#maximum)
      throw new MqttError(Reason.TopicAliasInvalid, `topic alias ${alias} above ${this.#maximum}`);
    if (topic !== "") {
      this.#topics.set(alias, topic);
      return topic;
    }
    const known = this.#topics.get(alias);
    if (known === undefined) throw new MqttError(Reason.ProtocolError, `topic alias ${alias} is not set`);
    return known;
  }
}
