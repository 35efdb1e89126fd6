/** What the Worker serves over HTTP. */

import { Hono } from "hono";
import { NONCE, secureHeaders } from "hono/secure-headers";
import { api } from "./api/api.ts";
import type { Broker } from "./edge/broker.ts";
import { isReached } from "./edge/hosts.ts";
import { acceptWebSocket } from "./edge/websocket.ts";
import { line } from "./line.ts";
import { page } from "./page.ts";

export const app = new Hono<{ Bindings: Broker; Variables: { secureHeadersNonce?: string } }>();

/** What every answer says to a browser: load nothing but this, be framed by nobody, and pass on no URL, which may have a token in it. */
function guarding(strictTransportSecurity: string | false) {
  return secureHeaders({
    contentSecurityPolicy: {
      defaultSrc: ["'none'"],
      styleSrc: [NONCE],
      imgSrc: ["data:"],
      frameAncestors: ["'none'"],
      baseUri: ["'none'"],
      formAction: ["'none'"],
    },
    permissionsPolicy: { camera: [], geolocation: [], microphone: [], payment: [], usb: [] },
    strictTransportSecurity,
    xFrameOptions: "DENY",
    // Of browsers that are no more.
    xDnsPrefetchControl: false,
    xDownloadOptions: false,
    xPermittedCrossDomainPolicies: false,
    xXssProtection: false,
  });
}

/** Half a year, and not for subdomains, which are somebody else's affair. */
const overTls = guarding("max-age=15552000");
const inPlain = guarding(false);

app.use((c, next) => (c.req.url.startsWith("https:") ? overTls : inPlain)(c, next));

app.use(async (c, next) => {
  const { url } = c.req;
  if (isReached(url, c.env.config.hosts)) return await next();
  const detail = "The broker is not reached by this host: HOSTS does not name it.";
  c.env.refusals.count("refused", "HTTP 421");
  console.log(line({ event: "refused", status: 421, host: new URL(url).host, detail }));
  return c.text(`${detail}\n`, 421);
});

app.get("/mqtt/:tenant?", (c) =>
  acceptWebSocket(c.req.raw, c.req.param("tenant"), c.env, c.executionCtx as ExecutionContext),
);

app.get("/health", (c) => c.json({ status: "ok" }));

app.route("/api", api);

app.get("/", (c) => {
  const url = new URL(c.req.url);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  url.pathname = "/mqtt";
  // Whatever a client has put there is nobody's to read.
  url.search = "";
  return c.html(page(url.href, c.env, c.var.secureHeadersNonce));
});
