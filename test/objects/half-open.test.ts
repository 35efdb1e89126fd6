/** The Worker's driver tells its isolate who is not known yet, and closes whom that turns away. */
import { expect, test, vi } from "vitest";
import { Strangers } from "../../src/core/strangers.ts";
import { brokerOf } from "../../src/edge/broker.ts";
import { Driver } from "../../src/edge/driver.ts";
import { encodeUtf8 } from "../../src/mqtt/utf8.ts";
import { env, until } from "./inside.ts";

/** CONNECT of MQTT 5 with an empty client id and Clean Start. */
const CONNECT = Uint8Array.of(0x10, 13, 0, 4, ...encodeUtf8("MQTT"), 5, 2, 0, 0, 0, 0, 0);
const ARRIVAL = { address: undefined, token: undefined, certificate: undefined, tenant: undefined };

test("HALF_OPEN_MAX: the oldest that has not connected is closed, and who has connected stays", async () => {
  vi.spyOn(console, "log").mockImplementation(() => {});
  const strangers = new Strangers({ halfOpenMax: 5, halfOpenBytesMax: 1_000_000 });
  const broker = { ...brokerOf(env), strangers };
  const codes = new Map<number, number>();
  let connacks = 0;
  const open = (name: number): Driver =>
    new Driver(broker, ARRIVAL, {
      send: () => (connacks += 1),
      close: (code) => codes.set(name, codes.get(name) ?? code),
      bufferedBytes: 0,
    });
  const client = open(0);
  client.bytes(CONNECT.slice());
  await until("the client has CONNACK", () => connacks === 1);
  const drivers = Array.from({ length: 20 }, (_, at) => open(at + 1));
  expect(strangers.size).toBe(5);
  expect([...codes.keys()]).toEqual(Array.from({ length: 15 }, (_, at) => at + 1));
  expect(new Set(codes.values())).toEqual(new Set([1013]));
  for (const driver of [client, ...drivers]) driver.closed();
  await Promise.all([client, ...drivers].map(({ done }) => done));
  expect(strangers.size).toBe(0);
});
