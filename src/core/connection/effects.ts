/** What a connection asks of the shell that drives it. */

import { Reason } from "../../mqtt/reason.ts";
import type { Question } from "../authentication/asking.ts";
import type { Action } from "../authorization/rule.ts";

/** A link by what is at its other end: the session object, or a shard by its number. */
export type LinkName = "session" | number;

export type Effect =
  /** Write finished MQTT bytes to the client. */
  | { readonly type: "send"; readonly bytes: Uint8Array }
  /**
   * Close the client's socket after what was sent, and answer the client if it has closed its end; the first one counts.
   * `code` is a WebSocket close code, which TCP ignores.
   */
  | { readonly type: "close"; readonly code: number; readonly reason: string }
  /** Open a link; report `linkOpened` or `linkClosed`. At most one socket is current per name: this replaces it. */
  | { readonly type: "openLink"; readonly link: LinkName }
  | { readonly type: "sendLink"; readonly link: LinkName; readonly frame: Uint8Array }
  /** Send the text ping that the platform answers without waking the object; report `linkPong`. */
  | { readonly type: "pingLink"; readonly link: LinkName }
  | { readonly type: "closeLink"; readonly link: LinkName }
  /** Find out what the connection asks; report `answered`. It asks one thing of each kind at a time. */
  | { readonly type: "ask"; readonly question: Question }
  /** The client was not allowed to do something with a topic or a filter, or not so often. */
  | { readonly type: "denied"; readonly action: Action; readonly filter: string; readonly reason: Reason }
  /** What the client may could not be found out, and so it may not. */
  | { readonly type: "undecided"; readonly detail: string }
  /** Something worth a log line: the client's CONNECT was refused or the client disconnected, and why. */
  | {
      readonly type: "report";
      readonly event: "refused" | "disconnected";
      readonly reason: Reason;
      readonly detail: string;
    }
  /**
   * Since the last time so many QoS 0 messages of the client were dropped, and so many QoS > 0 messages refused, because
   * they came faster than they may or than a shard takes them.
   */
  | { readonly type: "dropped"; readonly qos0: number; readonly refused: number }
  /** Nothing is left to do: every socket is closed and the connection may be forgotten. */
  | { readonly type: "done" };

/** WebSocket close codes (RFC 6455 §7.4.1 and the IANA registry). */
export const CloseCode = {
  Normal: 1000,
  ProtocolError: 1002,
  UnsupportedData: 1003,
  PolicyViolation: 1008,
  TooBig: 1009,
  InternalError: 1011,
  ServiceRestart: 1012,
  TryAgainLater: 1013,
} as const;

/** How a WebSocket is closed for a reason. */
export function closeCode(reason: Reason): number {
  switch (reason) {
    case Reason.MalformedPacket:
    case Reason.ProtocolError:
      return CloseCode.ProtocolError;
    case Reason.PacketTooLarge:
      return CloseCode.TooBig;
    case Reason.UnspecifiedError:
      return CloseCode.InternalError;
    case Reason.ServerShuttingDown:
      return CloseCode.ServiceRestart;
    case Reason.ServerBusy:
    case Reason.ServerUnavailable:
      return CloseCode.TryAgainLater;
    default:
      return CloseCode.PolicyViolation;
  }
}
