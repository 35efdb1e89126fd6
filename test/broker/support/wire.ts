/** One socket to the broker, WebSocket or TCP, with no idea of packets. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import WebSocket from "ws";
import type { Broker } from "../../../scripts/broker.ts";

export type Transport = "ws" | "tcp";
export const TRANSPORTS: readonly Transport[] = ["ws", "tcp"];

export interface Wire {
  /** On a WebSocket, one binary frame. */
  send(bytes: Uint8Array): void;
  /** Ends the socket in its own orderly way, which in MQTT's eyes is a broken network all the same. */
  end(): void;
  /** Drops the socket without a word. */
  cut(): void;
  /** Reads no more until `resume`. */
  pause(): void;
  resume(): void;
}

export interface WireEvents {
  bytes(chunk: Buffer): void;
  /** `code` is the WebSocket close code; TCP has none. */
  closed(code: number | undefined): void;
}

/** @param headers of the WebSocket's upgrade */
export async function openWire(
  broker: Broker,
  transport: Transport,
  events: WireEvents,
  headers?: Record<string, string>,
): Promise<Wire> {
  return transport === "ws"
    ? (await openWebSocket(broker.wsUrl, events, "mqtt", headers)).wire
    : openTcp(broker.tcpPort, events);
}

/**
 * @param subprotocols what is offered; undefined offers nothing
 * @param headers of the upgrade
 */
export async function openWebSocket(
  url: string,
  events: WireEvents,
  subprotocols: string | string[] | undefined = "mqtt",
  headers: Record<string, string> = {},
): Promise<{ wire: Wire; socket: WebSocket }> {
  const socket = new WebSocket(url, subprotocols, { perMessageDeflate: false, headers });
  socket.on("message", (frame) => events.bytes(frame as Buffer));
  socket.on("close", (code) => events.closed(code));
  await once(socket, "open");
  socket.on("error", () => {});
  const wire: Wire = {
    send: (bytes) => socket.send(bytes),
    end: () => socket.close(1000),
    cut: () => socket.terminate(),
    pause: () => socket.pause(),
    resume: () => socket.resume(),
  };
  return { wire, socket };
}

async function openTcp(port: number, events: WireEvents): Promise<Wire> {
  const socket: Socket = connect({ port, host: "127.0.0.1", noDelay: true });
  socket.on("data", (chunk) => events.bytes(chunk));
  socket.on("close", () => events.closed(undefined));
  await once(socket, "connect");
  socket.on("error", () => {});
  return {
    send: (bytes) => void socket.write(bytes),
    end: () => void socket.end(),
    cut: () => void socket.destroy(),
    pause: () => void socket.pause(),
    resume: () => void socket.resume(),
  };
}
