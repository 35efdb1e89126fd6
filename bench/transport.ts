/**
 * A byte stream to a broker, raw TCP or WebSocket, made cheap so that the generator is not what is measured: one read
 * buffer for all sockets of the process, no stream machinery on the inbound side, no copies of what arrives.
 */

import { connect, type Socket } from "node:net";
import { WebSocketReader, frame, frameOverheadBytes, openingHandshake } from "./websocket.ts";

export type TransportKind = "ws" | "tcp";

export interface Address {
  transport: TransportKind;
  wsUrl: string;
  tcpPort: number;
}

/** What a transport tells its owner. */
export interface TransportEvents {
  /** MQTT bytes, cut anywhere. `buffer` is overwritten after the call. */
  onBytes(buffer: Buffer, start: number, end: number): void;
  /** One read from the socket is done: the moment to answer everything that it brought at once. */
  onReadEnd(): void;
  /** The transport has ended, whoever ended it. */
  onClose(reason: string): void;
}

export interface Transport {
  readonly kind: TransportKind;
  /** Writes bytes that {@link wrap} (or a template made with it) has made ready for this kind of transport. */
  write(bytes: Buffer): void;
  /** Ends the connection at once and without ceremony. */
  destroy(): void;
}

// Shared by all sockets: libuv asks for a buffer, reads and calls back without anything in between.
const readBuffer = Buffer.allocUnsafeSlow(64 * 1024);

const OPEN_TIMEOUT_MS = 15_000;

/** Makes packets ready to be written: over WebSocket as one frame, over TCP as they are. */
export function wrap(kind: TransportKind, packets: Buffer): Buffer {
  return kind === "ws" ? frame(packets) : packets;
}

/** How many bytes {@link wrap} puts in front of packets of this length. */
export function wrapOverheadBytes(kind: TransportKind, packetBytes: number): number {
  return kind === "ws" ? frameOverheadBytes(packetBytes) : 0;
}

/** Connects; for WebSocket, resolves once the upgrade is accepted. Nothing is read before the events can take it. */
export function openTransport(address: Address, events: TransportEvents): Promise<Transport> {
  const { promise, resolve, reject } = Promise.withResolvers<Transport>();
  const url = new URL(address.wsUrl);
  const isWebSocket = address.transport === "ws";
  let failure = "closed by the broker";

  const reader = isWebSocket
    ? new WebSocketReader({
        onOpen: () => resolve(transport),
        onBytes: events.onBytes,
        onPong: (pong) => void socket.write(pong),
      })
    : null;

  const socket: Socket = connect({
    host: isWebSocket ? url.hostname : "127.0.0.1",
    port: isWebSocket ? Number(url.port) : address.tcpPort,
    noDelay: true,
    onread: {
      buffer: readBuffer,
      callback: (bytes: number): boolean => {
        try {
          if (reader) reader.push(readBuffer, 0, bytes);
          else events.onBytes(readBuffer, 0, bytes);
          events.onReadEnd();
        } catch (error) {
          failure = error instanceof Error ? error.message : String(error);
          socket.destroy();
        }
        return true;
      },
    },
  });
  const transport: Transport = {
    kind: address.transport,
    write: (bytes) => void socket.write(bytes),
    destroy: () => {
      failure = "closed by us";
      socket.destroy();
    },
  };

  const timeout = setTimeout(() => {
    failure = "no connection in time";
    socket.destroy();
  }, OPEN_TIMEOUT_MS);
  void promise.then(
    () => clearTimeout(timeout),
    () => clearTimeout(timeout),
  );
  socket.on("connect", () => {
    if (isWebSocket) socket.write(openingHandshake(url));
    else resolve(transport);
  });
  socket.on("error", (error) => {
    failure = error.message;
  });
  socket.on("end", () => socket.destroy());
  socket.on("close", () => {
    reject(new Error(failure)); // No effect once open.
    events.onClose(failure);
  });
  return promise;
}
