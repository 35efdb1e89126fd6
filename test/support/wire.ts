/** The bytes that a client is sent, a packet each, for rules that a decoded packet no longer shows. */

import { FrameReader } from "../../src/mqtt/frame.ts";
import type { Client } from "../sim/world/client.ts";

/** Every packet that the client is sent from now on, as hex. */
export function wire(client: Client): string[] {
  const packets: string[] = [];
  const reader = new FrameReader(2 ** 28);
  const deliver = client.deliver.bind(client);
  client.deliver = (bytes) => {
    reader.push(new Uint8Array(bytes));
    while (reader.next()) packets.push(Buffer.from(reader.bytes.subarray(reader.start, reader.end)).toString("hex"));
    deliver(bytes);
  };
  return packets;
}
