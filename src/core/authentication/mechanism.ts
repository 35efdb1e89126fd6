/**
 * How a client of MQTT 5 proves who it is, when that takes more than a password [MQTT §4.12].
 *
 * A mechanism is a name, which clients give as Authentication Method, and a conversation. It is computation only: no
 * clock, no I/O, no promise. What it has to know it is given when it is made; what it has to say leaves as Authentication
 * Data. `docs/authentication.md` says how to add one.
 */

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
   * @throws MqttError when the client is not who it says it is, or says what the mechanism does not know. The reason is
   * what the client is told, in CONNACK; in a DISCONNECT it is narrowed to what that may say
   */
  step(data: Uint8Array | undefined): Step;
}

export type Step =
  /** AUTH 0x18 goes to the client. */
  | { readonly type: "continue"; readonly data: Uint8Array | undefined }
  /** It is `user`. The data go with CONNACK, or with AUTH 0x00 after a re-authentication. */
  | { readonly type: "success"; readonly user: string; readonly data: Uint8Array | undefined };
