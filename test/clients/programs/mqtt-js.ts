/** MQTT.js in Node. */
import { type EventEmitter, once } from "node:events";
import mqtt, { type IClientOptions, type IConnackPacket, type IPublishPacket, type MqttClient } from "mqtt";
import { afterEach, expect } from "vitest";
import type { Broker } from "../../../scripts/broker.ts";
import { PATIENCE_MS, type Version, versionName } from "../../broker/support/client.ts";
import type { Transport } from "../../broker/support/wire.ts";
import { freshClientId, Inbox, type Program, type Qos, type Subscriber } from "./program.ts";

export interface MqttJs {
  program(transport: Transport, version: Version): Program;
  /** A client that is connected, for what a program of the matrix does not do; it does not reconnect unless told to. */
  connect(transport: Transport, version: Version, options?: IClientOptions): Promise<MqttClient>;
  /** The same, with what arrives from the first packet on. */
  receive(
    transport: Transport,
    version: Version,
    options?: IClientOptions,
  ): Promise<{ client: MqttClient; inbox: Inbox; connack: IConnackPacket }>;
}

/** Every client is gone after its test. */
export function useMqttJs(use: { readonly broker: Broker }): MqttJs {
  const opened = new Set<MqttClient>();
  afterEach(() => {
    for (const client of opened) client.end(true);
    opened.clear();
  });

  const receive: MqttJs["receive"] = async (transport, version, options = {}) => {
    const client = mqtt.connect(transport === "ws" ? use.broker.wsUrl : use.broker.tcpUrl, {
      protocolVersion: version,
      protocolId: version === 3 ? "MQIsdp" : "MQTT",
      reconnectPeriod: 0,
      connectTimeout: PATIENCE_MS,
      ...options,
    });
    opened.add(client);
    const inbox = new Inbox();
    client.on("message", (topic, payload, { qos, retain, properties }) =>
      inbox.put({ topic, payload: payload.toString(), qos, retain, expirySeconds: properties?.messageExpiryInterval }),
    );
    const [connack] = (await once(client as unknown as EventEmitter, "connect")) as [IConnackPacket];
    return { client, inbox, connack };
  };

  const connect: MqttJs["connect"] = async (...order) => (await receive(...order)).client;

  const program: MqttJs["program"] = (transport, version) => {
    const subscriber = ({ client, inbox }: { client: MqttClient; inbox: Inbox }): Subscriber => ({
      next: () => inbox.next(),
      end: () => client.endAsync(),
    });
    return {
      name: `MQTT.js ${versionName(version)} over ${transport}`,
      version,
      async subscribe(filters, qos, clientId) {
        const received = await receive(transport, version, sessionOptions(version, clientId));
        expect(received.connack.sessionPresent).toBe(false);
        const granted = await received.client.subscribeAsync([filters].flat(), { qos });
        for (const one of granted) expect(one.qos).toBe(qos);
        return subscriber(received);
      },
      async resume(_filters, _qos, clientId) {
        const received = await receive(transport, version, sessionOptions(version, clientId));
        // MQTT 3.1 has no flag for it.
        if (version > 3) expect(received.connack.sessionPresent).toBe(true);
        return subscriber(received);
      },
      async publish({ topic, payload, qos, retain = false, expirySeconds }) {
        const client = await connect(transport, version);
        const properties = expirySeconds === undefined ? {} : { messageExpiryInterval: expirySeconds };
        await client.publishAsync(topic, payload, { qos, retain, properties });
        await client.endAsync();
      },
      async vanish({ topic, payload }) {
        const will = { topic, payload: Buffer.from(payload), qos: 1 as Qos, retain: false };
        const client = await connect(transport, version, { will });
        client.stream.destroy();
      },
    };
  };
  return { program, connect, receive };
}

/** Of a session that goes on, if it has a client id to go on with. */
export function sessionOptions(version: Version, clientId: string | undefined): IClientOptions {
  if (clientId === undefined) return { clientId: freshClientId() };
  return { clientId, clean: false, ...(version === 5 && { properties: { sessionExpiryInterval: 600 } }) };
}

/** The next message to a client. */
export function arrival(client: MqttClient): Promise<[topic: string, payload: Buffer, packet: IPublishPacket]> {
  return once(client as unknown as EventEmitter, "message") as Promise<[string, Buffer, IPublishPacket]>;
}
