/**
 * What this broker promises in CONNACK, and therefore what it checks: one value for both, so that they cannot differ.
 */
export interface Capabilities {
  /** A PUBLISH above it is refused with 0x9B [MQTT-3.2.2-11]; a SUBSCRIBE above it is granted this [MQTT-3.2.2-9]. */
  readonly maximumQos: 0 | 1 | 2;
  /** Topic aliases that a client may use towards us. */
  readonly topicAliasMaximum: number;
}

export const CAPABILITIES: Capabilities = Object.freeze({
  maximumQos: 2,
  topicAliasMaximum: 32,
});
