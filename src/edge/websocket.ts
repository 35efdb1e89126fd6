/** MQTT over WebSocket: the upgrade, and the socket as the driver's transport. */

import { addressOf, arrivalOf } from "./arrival.ts";
import type { Broker } from "./broker.ts";
import { Driver, type Transport } from "./driver.ts";
import { type Fields, line } from "../line.ts";
import { mayOpen } from "./origins.ts";
import { tenantAt } from "./tenant.ts";

/** `mqtt` since 3.1.1; clients from before it offer `mqttv3.1` [MQTT-6.0.0-3]. */
const SUBPROTOCOLS = ["mqtt", "mqttv3.1"];

/**
 * Accepts a client's WebSocket. A client that offers no subprotocol is taken for one that forgot.
 *
 * @param path the tenant that the path names; undefined: none
 */
export async function acceptWebSocket(
  request: Request,
  path: string | undefined,
  broker: Broker,
  ctx: ExecutionContext,
): Promise<Response> {
  const at = tenantAt(request.url, path, broker.config.tenants);
  if (!at) return refusal(request, broker, 404, "There is no such tenant here.", { tenant: path });
  if (request.headers.get("Upgrade")?.toLowerCase() !== "websocket") {
    return refusal(request, broker, 426, "MQTT is spoken here over WebSocket, with subprotocol mqtt.");
  }
  const origin = request.headers.get("Origin");
  if (!mayOpen(origin, request.url, broker.config.origins)) {
    const detail = "Pages of this origin may not connect: ORIGINS does not name it.";
    return refusal(request, broker, 403, detail, { origin: origin ?? undefined });
  }
  const offered = (request.headers.get("Sec-WebSocket-Protocol") ?? "").split(",").map((name) => name.trim());
  const chosen = SUBPROTOCOLS.find((name) => offered.includes(name));
  if (!chosen && offered.some((name) => name !== "")) {
    return refusal(request, broker, 400, "The WebSocket subprotocol must be mqtt.");
  }
  const arrival = arrivalOf(request, at.tenant);
  if ((await broker.turnstile.address(arrival.address)) === false) {
    return refusal(request, broker, 429, "This address connects too often.");
  }
  const { 0: theirs, 1: socket } = new WebSocketPair();
  socket.binaryType = "arraybuffer";
  // The platform would answer a client's close at once; the answer says that how the client ended is stored.
  socket.accept({ allowHalfOpen: true });
  const driver = new Driver(broker, arrival, webSocketTransport(socket));
  socket.addEventListener("message", ({ data }) => {
    if (typeof data === "string") driver.textFrame();
    else driver.bytes(new Uint8Array(data as ArrayBuffer));
  });
  socket.addEventListener("close", () => driver.closed());
  socket.addEventListener("error", () => driver.closed());
  // The client's leaving has to be settled after its socket is gone.
  ctx.waitUntil(driver.done);
  return new Response(null, {
    status: 101,
    webSocket: theirs,
    headers: chosen ? { "Sec-WebSocket-Protocol": chosen } : {},
  });
}

/** What goes with a status. */
const REFUSED = {
  403: {},
  400: {},
  404: {},
  426: { Upgrade: "websocket" },
  429: { "Retry-After": "10" },
} as const;

/**
 * An upgrade that is refused, with a line of the log.
 *
 * @param more what the log says besides
 */
function refusal(
  request: Request,
  broker: Broker,
  status: keyof typeof REFUSED,
  detail: string,
  more: Fields = {},
): Response {
  broker.refusals.count("refused", `HTTP ${status}`);
  console.log(line({ event: "refused", status, ...more, address: addressOf(request), detail }));
  return new Response(`${detail}\n`, { status, headers: REFUSED[status] });
}

function webSocketTransport(socket: WebSocket): Transport {
  return {
    send(bytes) {
      try {
        socket.send(bytes);
      } catch {
        // It is closing; its close event follows.
      }
    },
    close(code, reason) {
      try {
        socket.close(code, reason);
      } catch {
        // It is closed already.
      }
    },
    get bufferedBytes() {
      return (socket as { bufferedAmount?: number }).bufferedAmount ?? 0;
    },
  };
}
