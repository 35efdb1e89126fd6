/** The process that hosts aedes: over WebSocket by `ws`, as aedes' own documentation does it, and over TCP. */

import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import { type AddressInfo, type Server, createServer } from "node:net";
import { Aedes } from "aedes";
import { WebSocketServer, createWebSocketStream } from "ws";
import type { Listening } from "./target.ts";

const aedes = await Aedes.createBroker({
  // How many messages may be under way at once (100 by default): more than a scenario ever owes, so that it never waits.
  concurrency: 5_000,
});

const tcp = createServer({ noDelay: true }, (socket) => void aedes.handle(socket));
const http = createHttpServer();
const webSockets = new WebSocketServer({ server: http, perMessageDeflate: false });
webSockets.on("connection", (socket, request) => {
  const stream = createWebSocketStream(socket);
  stream.on("error", () => {}); // A client that leaves without a close frame.
  void aedes.handle(stream, request);
});

async function listen(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

process.on("SIGTERM", () => process.exit(0));
process.on("disconnect", () => process.exit(0));

const listening: Listening = { wsUrl: `ws://127.0.0.1:${await listen(http)}/mqtt`, tcpPort: await listen(tcp) };
process.send?.(listening);
