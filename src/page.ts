/** The page at `/`: what this is, and how to connect to it. */

import { html } from "hono/html";
import { CLOSED } from "./access/reception.ts";
import type { Broker } from "./edge/broker.ts";

/** @param nonce by which the Content-Security-Policy knows the style of this page */
export function page(mqttUrl: string, { config, reception }: Broker, nonce: string | undefined) {
  const { limits, placement } = config;
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>Dormouse</title>
        <link rel="icon" href="data:," />
        <style nonce="${nonce}">
          body {
            font:
              1rem/1.5 system-ui,
              sans-serif;
            max-width: 42rem;
            margin: 3rem auto;
            padding: 0 1rem;
            color: #222;
          }
          code,
          pre {
            font:
              0.9rem/1.5 ui-monospace,
              monospace;
            background: #f3f1ec;
            border-radius: 4px;
          }
          code {
            padding: 0.1em 0.3em;
          }
          pre {
            padding: 0.8rem 1rem;
            overflow-x: auto;
          }
          td {
            padding: 0 1.5rem 0 0;
          }
          @media (prefers-color-scheme: dark) {
            body {
              background: #1b1a18;
              color: #ddd;
            }
            code,
            pre {
              background: #2a2926;
            }
          }
        </style>
      </head>
      <body>
        <h1>Dormouse</h1>
        <p>An MQTT 3.1.1 and 5.0 broker is listening at <code>${mqttUrl}</code>.</p>
        <pre>
npx mqtt sub -t 'hello/#' -v -h ${new URL(mqttUrl).hostname} -p ${portOf(mqttUrl)} -l ${new URL(mqttUrl).protocol.slice(0, -1)} --path /mqtt</pre>
        ${
          reception.isClosed &&
          html`<p><strong>${CLOSED}</strong></p>
            <pre>
npm run -s user -- alice &gt; users.json
npx wrangler secret put USERS &lt; users.json
npx wrangler secret put ACL &lt;&lt;&lt; 'pattern readwrite #'</pre>`
        }
        <table>
          <tr>
            <td>Topic shards</td>
            <td>${placement.shards}, chosen by the first ${placement.depth} topic levels</td>
          </tr>
          <tr>
            <td>Largest packet</td>
            <td>${limits.packetBytesMax} bytes</td>
          </tr>
          <tr>
            <td>Receive Maximum</td>
            <td>${limits.receiveMaximum}</td>
          </tr>
          <tr>
            <td>Topic levels</td>
            <td>${limits.topicLevelsMax}</td>
          </tr>
        </table>
      </body>
    </html>`;
}

function portOf(url: string): string {
  const { port, protocol } = new URL(url);
  return port || (protocol === "wss:" ? "443" : "80");
}
