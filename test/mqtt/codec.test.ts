import { describe, expect, it } from "vitest";
import {
  connectVersionHint,
  decodeConnect,
  decodeSubscribe,
  encodeAuth,
  encodeConnack,
  encodeSuback,
  type Connack,
} from "../../src/mqtt/codec.ts";
import { FrameReader } from "../../src/mqtt/frame.ts";
import { Reason } from "../../src/mqtt/reason.ts";
import { limits } from "./corpus-case.ts";
import { hex, packet, shown } from "./notation.ts";

function frameOf(bytes: Uint8Array): FrameReader {
  const reader = new FrameReader(100_000);
  reader.push(bytes);
  expect(reader.next()).toBe(true);
  return reader;
}

describe("a CONNECT that is refused", () => {
  it.each([
    ["10 ( 'MQTT' 05 03 0000 )", 5],
    ["10 ( 'MQTT' 04 )", 4],
    ["10 ( 'MQIsdp' 03 01 )", 3],
    ["10 ( 'MQIsdp' 09 )", 3],
    ["10 ( 'MQTT' 02 )", 4],
    ["10 ( 'MQTT' 06 )", 5],
    ["10 ( 'MQTT' 84 )", 4],
    ["10 ( 'MQTT' )", undefined],
    ["10 ( 'HTTP' 04 )", undefined],
    ["10 ( 00 )", undefined],
    ["10 ( )", undefined],
    ["10 ( ffff 'MQTT' )", undefined],
  ] as const)("[MQTT-3.1.2-2] %s is answered in the form of version %s", (notation, version) => {
    expect(connectVersionHint(frameOf(packet(notation)))).toBe(version);
  });

  it("[v3 MQTT-3.1.4-1] is told so in 5.0, and just closed in 3.1.1", () => {
    const refusal: Connack = { sessionPresent: false, reason: Reason.MalformedPacket };
    expect(encodeConnack(refusal, 4)).toBeUndefined();
    expect(hex(encodeConnack(refusal, 5)!)).toBe("2003008100");
  });

  it("[MQTT-3.1.2-24] is not told what it could not take", () => {
    expect(encodeConnack({ sessionPresent: false, reason: Reason.Banned }, 5, 4)).toBeUndefined();
  });
});

describe("what is decoded", () => {
  it("from a CONNECT is a copy, as it outlives the frame", () => {
    const bytes = packet(
      "10 ( 'MQTT' 05 c6 0000 ( 15 'm' 16 [ 0102 ] ) 'c' ( 26 'k' 'v' ) 'w' [ 0304 ] 'u' [ 0506 ] )",
    );
    const connect = decodeConnect(frameOf(bytes), limits);
    const before = JSON.stringify(shown(connect));
    bytes.fill(0);
    expect(JSON.stringify(shown(connect))).toBe(before);
    for (const field of [
      connect.password,
      connect.authenticationData,
      connect.will?.payload,
      connect.will?.properties,
    ]) {
      expect(field?.constructor).toBe(Uint8Array);
      expect(field?.buffer.byteLength).toBe(field?.length);
    }
  });

  it("does not depend on what lies around the frame", () => {
    const one = packet("82 ( 0001 ( 0b 07 ) 'a' 01 )");
    const reader = new FrameReader(100);
    reader.push(Uint8Array.of(0xc0, 0, ...one, 0xe0, 2, 0x8e));
    reader.next();
    reader.next();
    expect(decodeSubscribe(reader, 5)).toMatchObject({
      packetId: 1,
      subscriptionId: 7,
      subscriptions: [{ filter: "a", qos: 1 }],
    });
  });

  it("a user property named like a member of every object does no harm", () => {
    const bytes = packet("10 ( 'MQTT' 05 02 0000 ( 26 '__proto__' 'v' 26 'constructor' 'w' ) 'c' )");
    expect(decodeConnect(frameOf(bytes), limits).clientId).toBe("c");
  });
});

describe("what is encoded", () => {
  it("[MQTT-3.15.2-2] [MQTT-3.15.2-3] AUTH is its method and its data, with nothing that could be left out", () => {
    const auth = encodeAuth({ reason: Reason.ContinueAuthentication, method: "m", data: Uint8Array.of(9) });
    expect(hex(auth)).toBe(hex(packet("f0 ( 18 ( 15 'm' 16 [ 09 ] ) )")));
  });

  it("[MQTT-3.8.4-6] a SUBACK holds any number of codes", () => {
    const codes = Array.from({ length: 300 }, (_, index) => index % 3);
    expect(hex(encodeSuback(1, codes, 4))).toBe(hex(packet(`90 ( 0001 ${codes.map((code) => `0${code}`).join("")} )`)));
  });
});
