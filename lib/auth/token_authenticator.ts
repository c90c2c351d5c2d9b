import { timingSafeEqual } from "node:crypto";
import type { Caller } from "../caller.ts";
import type { Grant } from "../config/grants.ts";
import { type Authenticator, type Evidence, refuseBearer } from "./authenticator.ts";
import { hashOfBearerToken, isBearerToken, isWholeBearerToken } from "./bearer_token.ts";
import { grantedCredentials } from "./credential_grant.ts";

interface KnownToken {
  readonly hash: Buffer;
  readonly caller: Caller;
  readonly expires: number;
}

/** Compared with where there is no such token: as long as for one that there is. */
const NO_HASH = new Uint8Array(32);

/** Knows callers by tokens whose hashes stand in a file. */
export class TokenAuthenticator implements Authenticator {
  readonly #now: () => Date;
  /** By the beginning of the hash, which tells nobody anything of a token. */
  readonly #tokens: ReadonlyMap<number, readonly KnownToken[]>;

  constructor(grants: readonly Grant[], standard: string, now: () => Date) {
    this.#now = now;
    const tokens = new Map<number, KnownToken[]>();
    for (const { name, key, credentials, expires = Number.POSITIVE_INFINITY } of grants) {
      const hash = Buffer.from(key, "hex");
      const caller = Object.freeze({
        name: `token:${name}`,
        credentials: grantedCredentials(credentials, standard),
        digest: undefined,
      });
      const index = indexOf(hash);
      tokens.set(index, [...(tokens.get(index) ?? []), { hash, caller, expires }]);
    }
    this.#tokens = tokens;
  }

  authenticate({ bearer }: Evidence): Caller | undefined {
    if (bearer === undefined || !isBearerToken(bearer)) return undefined;
    if (!isWholeBearerToken(bearer)) throw refuseBearer("is not whole, or was mistyped");
    const hash = hashOfBearerToken(bearer);
    const candidates = this.#tokens.get(indexOf(hash));
    const found = candidates?.find((token) => timingSafeEqual(token.hash, hash));
    if (candidates === undefined) timingSafeEqual(NO_HASH, hash);
    if (found === undefined) throw refuseBearer("is not known");
    if (this.#now().getTime() >= found.expires) throw refuseBearer("has expired");
    return found.caller;
  }
}

function indexOf(hash: Buffer): number {
  return hash.readUIntBE(0, 6);
}
