/** MQTT over TCP: the Worker's `connect` handler, and the socket as the driver's transport. */

import { UNKNOWN_ARRIVAL } from "./arrival.ts";
import type { Broker } from "./broker.ts";
import { Driver, type Transport } from "./driver.ts";

/** Serves one TCP client until it is gone; the platform ends the socket when this resolves. */
export async function serveTcp(client: Socket, broker: Broker): Promise<void> {
  const driver = new Driver(broker, UNKNOWN_ARRIVAL, tcpTransport(client));
  const reader = (client.readable as ReadableStream<Uint8Array>).getReader();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      driver.bytes(value);
      await driver.room();
    }
  } catch {
    // The client's network failed, or we closed the socket.
  }
  driver.closed();
  await driver.done;
}

function tcpTransport(client: Socket): Transport {
  const writer = (client.writable as WritableStream<Uint8Array>).getWriter();
  let bufferedBytes = 0;
  let closing = false;
  return {
    send(bytes) {
      if (closing) return;
      bufferedBytes += bytes.length;
      const written = (): void => {
        bufferedBytes -= bytes.length;
      };
      writer.write(bytes).then(written, written);
    },
    close() {
      if (closing) return;
      closing = true;
      const closed = (): void => {
        void client.close().catch(() => {});
      };
      writer.close().then(closed, closed);
    },
    get bufferedBytes() {
      return bufferedBytes;
    },
  };
}
