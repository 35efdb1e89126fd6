/**
 * How a client of MQTT 5 proves who it is, when that takes more than a password [MQTT §4.12].
 *
 * A mechanism is a name, which clients give as Authentication Method, and a conversation. What it has to say leaves as
 * Authentication Data. `docs/authentication.md` says how to add one.
 */

import type { Identity } from "./identity.ts";

export interface Mechanism {
  /** The Authentication Method that clients name, compared byte for byte. */
  readonly method: string;
  /** A conversation from its beginning: with a CONNECT, and once more with each re-authentication. */
  begin(): Exchange;
}

/** One client's conversation. It is asked no more once it has succeeded or thrown. */
export interface Exchange {
  /**
   * Takes what the client said and answers.
   *
   * @param data Authentication Data: of CONNECT or AUTH 0x19 first, then of each AUTH 0x18; undefined if there was none
   * @param now in milliseconds since 1970
   * @throws MqttError when the client is not who it says it is, or says what the mechanism does not know. The reason is
   * what the client is told, in CONNACK; in a DISCONNECT it is narrowed to what that may say
   */
  step(data: Uint8Array | undefined, now: number): Step | Promise<Step>;
}

export type Step =
  /** AUTH 0x18 goes to the client. */
  | { readonly type: "continue"; readonly data: Uint8Array | undefined }
  /** It is known. The data go with CONNACK, or with AUTH 0x00 after a re-authentication. */
  | { readonly type: "accepted"; readonly identity: Identity; readonly data?: Uint8Array | undefined };
