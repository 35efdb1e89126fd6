/** The corpus: SUBSCRIBE and UNSUBSCRIBE. */
import { accept, refuse, type InboundCase } from "./corpus-case.ts";

const plain = { noLocal: false, retainAsPublished: false, retainHandling: 0 };

export function subscribeCases(): InboundCase[] {
  return [
    accept(3, "MQTT-3.8.3-2", "one filter, MQTT 3.1", "82 ( 0001 'a/b' 01 )", {
      packetId: 1,
      subscriptionId: undefined,
      subscriptions: [{ filter: "a/b", qos: 1, ...plain }],
    }),
    accept(4, "MQTT-3.8.4-5", "three filters in order", "82 ( 000a 'a' 00 '#' 01 '+/b' 02 )", {
      subscriptions: [
        { filter: "a", qos: 0, ...plain },
        { filter: "#", qos: 1, ...plain },
        { filter: "+/b", qos: 2, ...plain },
      ],
    }),
    accept(4, "MQTT-3.8.4-5", "the same filter twice", "82 ( 000a 'a' 00 'a' 01 )", {
      subscriptions: [
        { filter: "a", qos: 0 },
        { filter: "a", qos: 1 },
      ],
    }),
    accept(4, "MQTT-4.7.1-1", "a bad filter is answered, not refused", "82 ( 0001 'a#' 00 )", {
      subscriptions: [{ filter: "a#" }],
    }),
    accept(4, "MQTT-4.7.3-1", "so is an empty one", "82 ( 0001 '' 00 )", { subscriptions: [{ filter: "" }] }),
    accept(4, "MQTT-1.5.4-3", "a filter that begins with a BOM", '82 ( 0001 [ efbbbf "a" ] 00 )', {
      subscriptions: [{ filter: "\ufeffa" }],
    }),
    accept(5, "§3.8.3.1", "every option", "82 ( ffff ( ) 'a' 2e )", {
      packetId: 65535,
      subscriptions: [{ filter: "a", qos: 2, noLocal: true, retainAsPublished: true, retainHandling: 2 }],
    }),
    accept(5, "§3.8.3.1", "retain handling 1", "82 ( 0001 ( ) 'a' 10 )", {
      subscriptions: [{ retainHandling: 1, qos: 0 }],
    }),
    accept(5, "§3.8.2.1.2", "the least subscription identifier", "82 ( 0001 ( 0b 01 ) 'a' 00 )", { subscriptionId: 1 }),
    accept(5, "§3.8.2.1.2", "the greatest subscription identifier", "82 ( 0001 ( 0b ffffff7f ) 'a' 00 )", {
      subscriptionId: 268435455,
    }),
    accept(5, "§3.8.2.1.3", "user properties", "82 ( 0001 ( 26 'k' 'v' 26 'k' 'w' ) 'a' 00 )", {
      subscriptionId: undefined,
    }),
    accept(5, "MQTT-4.8.2-1", "a shared subscription", "82 ( 0001 ( ) '$share/g/a/#' 01 )", {
      subscriptions: [{ filter: "$share/g/a/#" }],
    }),

    refuse(4, "MQTT-3.8.1-1", "flags 0000", "80 ( 0001 'a' 00 )", "MalformedPacket"),
    refuse(4, "MQTT-3.8.1-1", "flags 0011", "83 ( 0001 'a' 00 )", "MalformedPacket"),
    refuse(4, "MQTT-2.2.1-3", "packet identifier 0", "82 ( 0000 'a' 00 )", "ProtocolError"),
    refuse(4, "MQTT-3.8.3-2", "no filter", "82 ( 0001 )", "ProtocolError"),
    refuse(5, "MQTT-3.8.3-2", "no filter behind the properties", "82 ( 0001 ( ) )", "ProtocolError"),
    refuse(4, "§2.1.4", "nothing at all", "82 ( )", "MalformedPacket"),
    refuse(4, "§2.1.4", "a filter without options", "82 ( 0001 'a' )", "MalformedPacket"),
    refuse(4, "§2.1.4", "a second filter that overruns the packet", "82 ( 0001 'a' 00 0005 61 )", "MalformedPacket"),
    refuse(4, "§2.1.4", "one byte behind the last filter", "82 ( 0001 'a' 00 00 )", "MalformedPacket"),
    refuse(4, "MQTT-3.8.3-1", "a filter that is not UTF-8", "82 ( 0001 [ c1bf ] 00 )", "MalformedPacket"),
    refuse(4, "MQTT-1.5.4-2", "U+0000 in a filter", "82 ( 0001 [ 6100 ] 00 )", "MalformedPacket"),
    refuse(5, "MQTT-1.5.7-1", "a user property cut off", "82 ( 0001 ( 26 'k' ) 'a' 00 )", "MalformedPacket"),
    refuse(4, "v3 MQTT-3.8.3-4", "QoS 3", "82 ( 0001 'a' 03 )", "MalformedPacket"),
    refuse(4, "v3 MQTT-3.8.3-4", "an option of 5.0 in 3.1.1", "82 ( 0001 'a' 04 )", "MalformedPacket"),
    refuse(5, "MQTT-3.8.3-5", "QoS 3", "82 ( 0001 ( ) 'a' 03 )", "MalformedPacket"),
    refuse(5, "MQTT-3.8.3-5", "reserved option 6", "82 ( 0001 ( ) 'a' 40 )", "MalformedPacket"),
    refuse(5, "MQTT-3.8.3-5", "reserved option 7", "82 ( 0001 ( ) 'a' 80 )", "MalformedPacket"),
    refuse(5, "§3.8.3.1", "retain handling 3", "82 ( 0001 ( ) 'a' 30 )", "ProtocolError"),
    refuse(5, "MQTT-3.8.3-4", "No Local on a shared subscription", "82 ( 0001 ( ) '$share/g/a' 04 )", "ProtocolError"),
    refuse(5, "§3.8.2.1.2", "subscription identifier 0", "82 ( 0001 ( 0b 00 ) 'a' 00 )", "ProtocolError"),
    refuse(5, "§3.8.2.1.2", "two subscription identifiers", "82 ( 0001 ( 0b 01 0b 02 ) 'a' 00 )", "ProtocolError"),
    refuse(
      5,
      "MQTT-1.5.5-1",
      "a subscription identifier that is not minimal",
      "82 ( 0001 ( 0b 8100 ) 'a' 00 )",
      "MalformedPacket",
    ),
    refuse(5, "§2.2.2.2", "a reason string", "82 ( 0001 ( 1f 'r' ) 'a' 00 )", "MalformedPacket"),

    accept(3, "MQTT-3.10.3-2", "one filter, MQTT 3.1", "a2 ( 0001 'a' )", { packetId: 1, filters: ["a"] }),
    accept(4, "MQTT-3.10.4-6", "three filters in order", "a2 ( 0002 'b' 'a' 'b' )", { filters: ["b", "a", "b"] }),
    accept(5, "MQTT-3.10.4-1", "a shared subscription", "a2 ( 0003 ( ) '$share/g/a' )", { filters: ["$share/g/a"] }),
    accept(5, "§3.10.2.1.2", "user properties", "a2 ( 0003 ( 26 'k' 'v' ) 'a' )", { filters: ["a"] }),
    accept(5, "MQTT-3.10.4-5", "filters that nobody can have subscribed", "a2 ( 0003 ( ) '' 'a#' )", {
      filters: ["", "a#"],
    }),
    refuse(4, "MQTT-3.10.1-1", "flags 0000", "a0 ( 0001 'a' )", "MalformedPacket"),
    refuse(4, "MQTT-2.2.1-3", "packet identifier 0", "a2 ( 0000 'a' )", "ProtocolError"),
    refuse(4, "MQTT-3.10.3-2", "no filter", "a2 ( 0001 )", "ProtocolError"),
    refuse(5, "MQTT-3.10.3-2", "no filter behind the properties", "a2 ( 0001 ( ) )", "ProtocolError"),
    refuse(4, "MQTT-3.10.3-1", "a filter that is not UTF-8", "a2 ( 0001 [ f8 ] )", "MalformedPacket"),
    refuse(4, "§2.1.4", "a filter that overruns the packet", "a2 ( 0001 0002 61 )", "MalformedPacket"),
    refuse(5, "§2.2.2.2", "a subscription identifier", "a2 ( 0001 ( 0b 01 ) 'a' )", "MalformedPacket"),
  ];
}
