/**
 * The production Worker, and a back door through which the torture breaks it: `POST /torture/<fault>?...`. The objects
 * are the production classes; what is added is only how they fail.
 */
import type { Env } from "../../../src/env.ts";
import production from "../../../src/index.ts";
import { sessionName, shardName } from "../../../src/names.ts";
import { SessionObject } from "../../../src/objects/session-object.ts";
import { ShardObject } from "../../../src/objects/shard-object.ts";
import type { DiskFault } from "../../trial/disk-fault.ts";
import { breakDisk, mendDisk, withBreakableDisk } from "./disk.ts";
import { evict } from "./eviction.ts";
import { killWorkers, Lines } from "./lines.ts";

class BreakableShard extends ShardObject {
  constructor(ctx: DurableObjectState, env: Env) {
    super(withBreakableDisk(ctx), env);
  }

  abortNow(): void {
    this.ctx.abort("the torture");
  }

  cutLinks(share: number): number {
    return cutLinks(this.ctx, share);
  }
}

class BreakableSession extends SessionObject {
  constructor(ctx: DurableObjectState, env: Env) {
    super(withBreakableDisk(ctx), env);
  }

  abortNow(): void {
    this.ctx.abort("the torture");
  }

  cutLinks(share: number): number {
    return cutLinks(this.ctx, share);
  }
}

export { DirectoryObject } from "../../../src/objects/directory-object.ts";
export { BreakableSession as SessionObject, BreakableShard as ShardObject };

/** Closes some of an object's links from inside, and leaves the object alone. */
function cutLinks(ctx: DurableObjectState, share: number): number {
  const links = ctx.getWebSockets().filter(() => Math.random() < share);
  for (const link of links) link.close(1012, "the torture");
  return links.length;
}

interface Breakable {
  abortNow(): Promise<void>;
  cutLinks(share: number): Promise<number>;
}

/** `shard=<number>` or `session=<client id>`. */
function objectOf(query: URLSearchParams, env: Env): { name: string; object: Breakable } {
  const shard = query.get("shard");
  const session = query.get("session");
  const name = shard === null ? sessionName("main", session!) : shardName("main", Number(shard));
  const objects = shard === null ? env.SESSIONS : env.TOPIC_SHARDS;
  return { name, object: objects.getByName(name) as unknown as Breakable };
}

async function injure(fault: string, query: URLSearchParams, env: Env): Promise<unknown> {
  switch (fault) {
    case "abort":
      return objectOf(query, env).object.abortNow();
    case "cut":
      return objectOf(query, env).object.cutLinks(Number(query.get("share") ?? 1));
    case "evict":
      return evict(objectOf(query, env).object);
    case "disk":
      return breakDisk(objectOf(query, env).name, query.get("fault") as DiskFault);
    case "mend":
      return mendDisk(query.size === 0 ? undefined : objectOf(query, env).name);
    case "worker":
      return killWorkers(query.get("client") ?? undefined);
    default:
      throw new Error(`the torture knows no ${fault}`);
  }
}

export default {
  async fetch(request, env, ctx) {
    const url = new URL(request.url);
    if (!url.pathname.startsWith("/torture/")) return serve(request, env, ctx);
    try {
      return Response.json({ done: (await injure(url.pathname.slice(9), url.searchParams, env)) ?? null });
    } catch (error) {
      return Response.json({ failed: String(error) }, { status: 500 });
    }
  },

  async connect(socket, env) {
    const lines = new Lines(env);
    await production.connect(socket, lines.env);
    lines.over();
  },
} satisfies ExportedHandler<Env>;

function serve(request: Request, env: Env, ctx: ExecutionContext): Response | Promise<Response> {
  const lines = new Lines(env);
  // What production waits for is that the client has left.
  const waitUntil = (left: Promise<unknown>): void => ctx.waitUntil(left.finally(() => lines.over()));
  return production.fetch(request as never, lines.env, { waitUntil } as ExecutionContext);
}
