import { describe, expect, it } from "vitest";
import {
  connackReason,
  connackReturnCode,
  disconnectReason,
  isLegalReason,
  Reason,
  reasonName,
  subackReturnCode,
} from "../../src/mqtt/reason.ts";

describe("reasons", () => {
  it("have names for logs", () => {
    expect(reasonName(0)).toBe("success");
    expect(reasonName(Reason.PacketTooLarge)).toBe("packet too large");
    expect(reasonName(Reason.GrantedQos2)).toBe("granted qos 2");
    expect(reasonName(0x7f)).toBe("unknown reason 0x7f");
  });

  it("[v3 MQTT-3.2.2-6] become one of five CONNACK codes, or none", () => {
    expect(connackReturnCode(Reason.UnsupportedProtocolVersion)).toBe(1);
    expect(connackReturnCode(Reason.ClientIdentifierNotValid)).toBe(2);
    expect(connackReturnCode(Reason.ServerBusy)).toBe(3);
    expect(connackReturnCode(Reason.BadUserNameOrPassword)).toBe(4);
    expect(connackReturnCode(Reason.Banned)).toBe(5);
  });

  it("[v3 MQTT-3.1.4-1] a malformed CONNECT gets no CONNACK", () => {
    expect(connackReturnCode(Reason.MalformedPacket)).toBeUndefined();
    expect(connackReturnCode(Reason.ProtocolError)).toBeUndefined();
  });

  it("[MQTT-3.2.2-8] [MQTT-3.14.2-1] any reason has a form that CONNACK and DISCONNECT may carry", () => {
    for (const reason of Object.values(Reason)) {
      expect(isLegalReason("connack", connackReason(reason)), reasonName(reason)).toBe(true);
      expect(isLegalReason("serverDisconnect", disconnectReason(reason)), reasonName(reason)).toBe(true);
      if (reason >= 0x80) {
        expect(connackReason(reason)).toBeGreaterThanOrEqual(0x80);
        expect(disconnectReason(reason)).toBeGreaterThanOrEqual(0x80);
      }
    }
  });

  it("[v3 MQTT-3.9.3-2] SUBACK knows three grants and one failure", () => {
    expect([0, 1, 2, 0x80, 0x87, 0xa2].map(subackReturnCode)).toEqual([0, 1, 2, 0x80, 0x80, 0x80]);
  });

  it("[MQTT-3.9.3-2] 0x82 is not a SUBACK code", () => {
    expect(isLegalReason("suback", Reason.ProtocolError)).toBe(false);
  });
});
