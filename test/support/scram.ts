/** The client's side of SCRAM-SHA-256 (RFC 5802 §3), written from the RFC and not from the broker's code. */
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";

export class ScramClient {
  readonly first: Buffer;
  readonly #header: string;
  readonly #bare: string;
  readonly #password: string;
  #signature = "";

  /** @param name as it is written on the wire, with `=2C` for a comma */
  constructor(name: string, password: string, { header = "n,,", nonce = "rOprNGfwEbeRWgbNEkqO" } = {}) {
    this.#header = header;
    this.#password = password;
    this.#bare = `n=${name},r=${nonce}`;
    this.first = Buffer.from(header + this.#bare);
  }

  /** The client-final message that answers a server-first one. */
  final(serverFirst: Uint8Array, changes: { header?: string; nonce?: string } = {}): Buffer {
    const said = Buffer.from(serverFirst).toString();
    const [, nonce = "", salt = "", iterations = ""] = /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(said)!;
    const salted = pbkdf2Sync(this.#password, Buffer.from(salt, "base64"), Number(iterations), 32, "sha256");
    const clientKey = hmac(salted, "Client Key");
    const binding = Buffer.from(changes.header ?? this.#header).toString("base64");
    const unproven = `c=${binding},r=${changes.nonce ?? nonce}`;
    const signed = `${this.#bare},${said},${unproven}`;
    const signature = hmac(createHash("sha256").update(clientKey).digest(), signed);
    const proof = Buffer.from(clientKey.map((byte, at) => byte ^ signature[at]!));
    this.#signature = `v=${hmac(hmac(salted, "Server Key"), signed).toString("base64")}`;
    return Buffer.from(`${unproven},p=${proof.toString("base64")}`);
  }

  /** What the broker has to end with, if it knows the user too. */
  get signature(): string {
    return this.#signature;
  }
}

function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}
