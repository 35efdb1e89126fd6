/** How objects are named. A tenant has no slash in its name, so no client id can name another tenant's object. */

export function shardName(tenant: string, shard: number): string {
  return `${tenant}/shard/${shard}`;
}

export function sessionName(tenant: string, clientId: string): string {
  return `${tenant}/session/${clientId}`;
}

/** Which shard an object is, by its name. */
export function parseShardName(name: string): { tenant: string; shard: number } {
  const [tenant, kind, shard] = name.split("/");
  if (!tenant || kind !== "shard" || !/^\d+$/.test(shard ?? "")) throw new Error(`not the name of a shard: ${name}`);
  return { tenant, shard: Number(shard) };
}

/** Which session an object is, by its name. */
export function parseSessionName(name: string): { tenant: string; clientId: string } {
  const match = /^([^/]+)\/session\/(.*)$/s.exec(name);
  if (!match) throw new Error(`not the name of a session: ${name}`);
  return { tenant: match[1]!, clientId: match[2]! };
}
