/** How tenants and objects are named. A tenant has no slash in its name, so no session can have another tenant's name. */

/** The tenant of who comes to no other. The users of the settings are its own. */
export const MAIN = "main";

const TENANT = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

export function isTenantName(text: string): boolean {
  return TENANT.test(text);
}

/** How the log says in which tenant something was: of the main one nothing is said. */
export function noted(tenant: string): string | undefined {
  return tenant === MAIN ? undefined : tenant;
}

export function shardName(tenant: string, shard: number): string {
  return `${tenant}/shard/${shard}`;
}

export function sessionName(tenant: string, session: string): string {
  return `${tenant}/session/${session}`;
}

/** Of the users and rules that a tenant keeps. */
export function directoryName(tenant: string): string {
  return `${tenant}/directory`;
}

/** Which shard an object is, by its name. */
export function parseShardName(name: string): { tenant: string; shard: number } {
  const [tenant, kind, shard] = name.split("/");
  if (!tenant || kind !== "shard" || !/^\d+$/.test(shard ?? "")) throw new Error(`not the name of a shard: ${name}`);
  return { tenant, shard: Number(shard) };
}

/** Which session an object is, by its name. */
export function parseSessionName(name: string): { tenant: string; session: string } {
  const match = /^([^/]+)\/session\/(.*)$/s.exec(name);
  if (!match) throw new Error(`not the name of a session: ${name}`);
  return { tenant: match[1]!, session: match[2]! };
}
