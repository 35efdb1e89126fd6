/** `/users`: who may connect with a password. A password goes in, and neither it nor what is kept of it ever comes out. */

import type { Hono } from "hono";
import * as z from "zod/mini";
import { readPasswordFile } from "../core/authentication/password-file.ts";
import { readPasswordHash } from "../core/authentication/password-hash.ts";
import { saslprep } from "../core/authentication/saslprep.ts";
import { wrongName } from "../core/authentication/user-name.ts";
import type { User } from "../core/authentication/users.ts";
import { keep } from "../core/directory/keeping.ts";
import type { KeptUser } from "../core/directory/store.ts";
import type { Broker } from "../edge/broker.ts";
import { cryptography } from "../edge/cryptography.ts";
import { encodeUtf8 } from "../mqtt/utf8.ts";
import { fileBody, jsonBody } from "./body.ts";
import { limitOf, pageOf } from "./page.ts";
import { Refusal } from "./refusal.ts";
import { absent, type ApiContext, change, directoryOf, locate, route, written } from "./routes.ts";

const name = z.string("must be a string").check(says(wrongUserName));
const password = z.string("must be a string").check(says(wrongPassword));
const hash = z.string("must be a string").check(says(wrongHash));

const secrets = { password: z.optional(password), hash: z.optional(hash) };
const Secrets = z.strictObject(secrets, "must be an object");
const NewUser = z.strictObject({ name, ...secrets }, "must be an object");

export function users(api: Hono<{ Bindings: Broker }>): void {
  route(api, "/users", {
    async GET(c) {
      const limit = limitOf(c);
      const found = await directoryOf(c).users(c.req.query("after") ?? "", limit + 1);
      const { entries, next } = pageOf(found, limit, (last) => last.name);
      return c.json({ users: entries.map(shown), next });
    },
    async POST(c) {
      const body = await jsonBody(c, NewUser);
      await change(c, { type: "putUser", name: body.name, user: await userOf(c, body.name, body), only: "create" });
      return await created(c, body.name);
    },
  });

  // Every other method of this path is about a user who is called so.
  api.post("/users/import", async (c) => {
    const outcome = await change(c, { type: "importUsers", users: usersIn(await fileBody(c)) });
    return c.json({ created: outcome.created, replaced: outcome.replaced });
  });

  route(api, "/users/:name", {
    async GET(c) {
      const user = await directoryOf(c).user(nameIn(c));
      if (!user) throw absent();
      return c.json(shown(user));
    },
    async PUT(c) {
      const user = nameIn(c);
      const outcome = await change(c, {
        type: "putUser",
        name: user,
        user: await userOf(c, user, await jsonBody(c, Secrets)),
      });
      return outcome.created > 0 ? await created(c, user) : c.json(await present(c, user));
    },
    async PATCH(c) {
      const user = nameIn(c);
      await change(c, {
        type: "putUser",
        name: user,
        user: await userOf(c, user, await jsonBody(c, Secrets)),
        only: "replace",
      });
      return c.json(await present(c, user));
    },
    async DELETE(c) {
      await change(c, { type: "deleteUser", name: nameIn(c) });
      return c.body(null, 204);
    },
  });
}

async function created(c: ApiContext, user: string): Promise<Response> {
  locate(c, `/users/${encodeURIComponent(user)}`);
  return c.json(await present(c, user), 201);
}

async function present(c: ApiContext, user: string) {
  const kept = await directoryOf(c).user(user);
  // Somebody else may have deleted it meanwhile.
  if (!kept) throw absent();
  return shown(kept);
}

function shown({ name: user, user: { verifier, hash: kept }, createdAt, changedAt }: KeptUser) {
  return {
    name: user,
    scram: verifier !== undefined,
    hash: kept?.type ?? null,
    createdAt: written(createdAt),
    changedAt: written(changedAt),
  };
}

/** The user that a path is about. */
function nameIn(c: ApiContext): string {
  const user = c.req.param("name") ?? "";
  const problem = wrongUserName(user);
  if (problem !== undefined) throw new Refusal(400, problem, "name");
  return user;
}

async function userOf(c: ApiContext, user: string, secret: z.infer<typeof Secrets>): Promise<User> {
  if ((secret.password === undefined) === (secret.hash === undefined)) {
    throw new Refusal(400, "there has to be a password or a hash, and not both", "password");
  }
  if (secret.hash !== undefined) return { hash: readPasswordHash(secret.hash) };
  const { verifier } = await directoryOf(c).find(user);
  return keep(encodeUtf8(secret.password!), verifier.salt, cryptography);
}

function usersIn(text: string): [name: string, user: User][] {
  let read: ReturnType<typeof readPasswordFile>;
  try {
    read = readPasswordFile(text);
  } catch (error) {
    throw new Refusal(400, `the file ${(error as RangeError).message}`);
  }
  const all = [...read];
  if (all.length === 0) throw new Refusal(400, "the file has no user");
  if (all.some(([user]) => isSegment(user))) throw new Refusal(400, "the file has a user who is called . or ..");
  return all.map(([user, kept]) => [user, { hash: kept }]);
}

function wrongUserName(user: string): string | undefined {
  return isSegment(user) ? "must not be . or .." : wrongName(user);
}

/** No URL could name the user. */
function isSegment(user: string): boolean {
  return user === "." || user === "..";
}

function wrongPassword(text: string): string | undefined {
  if (text === "") return "must not be empty";
  return saslprep(text) ? undefined : "must not contain control characters and their like";
}

function wrongHash(text: string): string | undefined {
  try {
    void readPasswordHash(text);
    return undefined;
  } catch (error) {
    return (error as RangeError).message;
  }
}

/** A check that says what is wrong. */
function says(wrong: (text: string) => string | undefined) {
  return z.check<string>((context) => {
    const message = wrong(context.value);
    if (message !== undefined) context.issues.push({ code: "custom", message, input: "" });
  });
}
