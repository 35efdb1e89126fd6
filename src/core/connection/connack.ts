/** May this client connect, and what does CONNACK tell it? */

import type { Auth, Connack, Connect } from "../../mqtt/codec.ts";
import { MqttError, Reason } from "../../mqtt/reason.ts";
import { isUtf8 } from "../../mqtt/utf8.ts";
import { CAPABILITIES } from "../capabilities.ts";
import type { Limits, Settings } from "../limits.ts";
import { effectiveKeepAlive } from "./keepalive.ts";

/**
 * Refuses what a well-formed CONNECT asks for and may not have.
 *
 * @throws MqttError with the reason of the refusal
 */
export function admit(connect: Connect, { serverReference, payloadFormatCheck }: Settings): void {
  if (serverReference !== "") throw new MqttError(Reason.ServerMoved, `clients are to go to ${serverReference}`);
  if (connect.clientId === "" && !connect.cleanStart && connect.version < 5) {
    throw new MqttError(Reason.ClientIdentifierNotValid, "an empty client id needs a clean session"); // [MQTT-3.1.3-8]
  }
  if (connect.clientId === "" && connect.version === 3) {
    throw new MqttError(Reason.ClientIdentifierNotValid, "MQTT 3.1 needs a client id");
  }
  if (connect.will && connect.will.qos > CAPABILITIES.maximumQos) {
    throw new MqttError(Reason.QosNotSupported, `will above Maximum QoS ${CAPABILITIES.maximumQos}`); // [MQTT-3.2.2-12]
  }
  if (payloadFormatCheck && connect.will?.text && !isUtf8(connect.will.payload)) {
    throw new MqttError(Reason.PayloadFormatInvalid, "the will is said to be UTF-8 and is not");
  }
  if (connect.will?.topic.startsWith("$SYS/")) {
    throw new MqttError(Reason.NotAuthorized, "a will may not be published to the server's own topics");
  }
}

/**
 * How long the session outlives the connection, in seconds. Before MQTT 5 a client cannot say: a session that is not
 * clean is kept for as long as the broker keeps any.
 *
 * @param wantedSeconds Session Expiry Interval of CONNECT or DISCONNECT
 */
export function sessionExpiry(connect: Connect, wantedSeconds: number | undefined, secondsMax: number): number {
  if (connect.version < 5) return connect.cleanStart ? 0 : secondsMax;
  return Math.min(wantedSeconds ?? 0, secondsMax);
}

/**
 * The CONNACK of an accepted CONNECT. What equals a default of the specification is left out [MQTT §3.2.2.3].
 *
 * @param authenticated how enhanced authentication ended, if there was any
 */
export function acceptance(
  connect: Connect,
  sessionPresent: boolean,
  assignedClientId: string,
  limits: Limits,
  settings: Settings,
  authenticated: Auth | undefined,
): Connack {
  if (connect.version < 5) return { sessionPresent, reason: Reason.Success };
  const keepAliveSeconds = effectiveKeepAlive(connect.keepAliveSeconds, settings.keepAliveSecondsMax);
  const wantedExpiry = connect.sessionExpirySeconds ?? 0;
  const expirySeconds = sessionExpiry(connect, wantedExpiry, limits.sessionExpirySecondsMax);
  return {
    sessionPresent,
    reason: Reason.Success,
    properties: {
      receiveMaximum: limits.receiveMaximum,
      maximumPacketSize: limits.packetBytesMax,
      topicAliasMaximum: CAPABILITIES.topicAliasMaximum,
      ...(CAPABILITIES.maximumQos < 2 && { maximumQos: CAPABILITIES.maximumQos as 0 | 1 }),
      ...(limits.wildcardSubscriptionsMax === 0 && { wildcardSubscriptionAvailable: false }),
      ...(limits.sharedSubscriptionsMax === 0 && { sharedSubscriptionAvailable: false }),
      ...(connect.clientId === "" && { assignedClientId }), // [MQTT-3.2.2-16]
      ...(keepAliveSeconds !== connect.keepAliveSeconds && { serverKeepAliveSeconds: keepAliveSeconds }), // [MQTT-3.2.2-21]
      ...(expirySeconds !== wantedExpiry && { sessionExpirySeconds: expirySeconds }), // [MQTT §3.2.2.3.2]
      ...(authenticated && {
        authenticationMethod: authenticated.method, // [MQTT-4.12.0-5]
        ...(authenticated.data && { authenticationData: authenticated.data }),
      }),
    },
  };
}
