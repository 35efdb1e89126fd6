/** What the tokens' settings use of Node's module, besides what `src/edge` declares of it. */
declare module "node:crypto" {
  export function createPublicKey(key: string | { key: object; format: "jwk" }): {
    readonly asymmetricKeyDetails?: { readonly modulusLength?: number };
    export(options: { format: "jwk" }): Record<string, unknown>;
  };
}
