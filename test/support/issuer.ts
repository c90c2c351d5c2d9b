import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import {
  base64url,
  exportJWK,
  type GenerateKeyPairResult,
  generateKeyPair,
  type JWTHeaderParameters,
  SignJWT,
} from "jose";

/** A key of an issuer. */
export interface IssuerKey {
  readonly kid: string;
  readonly alg: string;
  readonly pair: GenerateKeyPairResult;
}

export async function issuerKey(kid: string, alg = "ES256"): Promise<IssuerKey> {
  return { kid, alg, pair: await generateKeyPair(alg, { extractable: true }) };
}

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

/** An issuer of tokens that is there for real, on loopback: discovery, keys, and what can be wrong with them. */
export class TestIssuer {
  keys: IssuerKey[];
  /** Stands in for the answers of some paths. */
  readonly instead: Map<string, Answer> = new Map();
  /** Paths that were asked for. */
  readonly asked: string[] = [];
  readonly #server = createServer((request, response) => void this.#answer(request, response));
  #port = 0;

  private constructor(keys: IssuerKey[]) {
    this.keys = keys;
  }

  static async start(...keys: IssuerKey[]): Promise<TestIssuer> {
    const issuer = new TestIssuer(keys.length === 0 ? [await issuerKey("first")] : keys);
    await issuer.listen();
    return issuer;
  }

  /** As in `iss`. */
  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** Again where it was before. */
  async listen(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject).listen(this.#port, "127.0.0.1", resolve);
    });
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  /** Answers nobody any more. */
  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }

  /** How often the keys were asked for. */
  get lookedAt(): number {
    return this.asked.filter((path) => path === "/keys").length;
  }

  async jwks(): Promise<{ keys: object[] }> {
    const keys = this.keys.map(async ({ kid, alg, pair }) => ({
      ...(await exportJWK(pair.publicKey)),
      kid,
      alg,
      use: "sig",
    }));
    return { keys: await Promise.all(keys) };
  }

  /** A token that is good for the tests' service, but for what is said. */
  token(
    claims: Readonly<Record<string, unknown>> = {},
    { key = this.keys[0], header = {} }: { key?: IssuerKey | undefined; header?: object } = {},
  ): Promise<string> {
    if (key === undefined) throw new Error("The issuer has no key");
    const seconds = Math.floor(Date.now() / 1000);
    const { kid, alg } = key;
    const standard = { iss: this.url, aud: "hsm-signer", sub: "alice", iat: seconds, exp: seconds + 300 };
    const all = Object.entries({ ...standard, ...claims }).filter(([, value]) => value !== undefined);
    return new SignJWT(Object.fromEntries(all))
      .setProtectedHeader({ alg, kid, typ: "JWT", ...header } as JWTHeaderParameters)
      .sign(key.pair.privateKey);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { url: path = "" } = request;
    this.asked.push(path);
    const instead = this.instead.get(path);
    if (instead !== undefined) return instead(request, response);
    const discovery = { issuer: this.url, jwks_uri: `${this.url}/keys` };
    if (path === "/.well-known/openid-configuration") response.end(JSON.stringify(discovery));
    else if (path === "/keys") response.end(JSON.stringify(await this.jwks()));
    else response.writeHead(404).end();
  }
}

/** The parts of a compact JWS, put together without a look at them. */
export function compact(header: unknown, payload: unknown, signature: string | Uint8Array = ""): string {
  const part = (value: unknown): string =>
    base64url.encode(typeof value === "string" ? value : JSON.stringify(value));
  return `${part(header)}.${part(payload)}.${base64url.encode(signature)}`;
}
