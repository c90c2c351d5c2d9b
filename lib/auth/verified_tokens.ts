import { hash } from "node:crypto";
import type { Caller } from "../caller.ts";
import type { KeySet } from "./key_set.ts";

interface VerifiedToken {
  readonly caller: Caller;
  /** In milliseconds since 1970. */
  readonly until: number;
}

const MAX_TOKENS = 1_000;

/**
 * Tokens that were verified with the present keys: one that comes again costs a hash and no signature. With other
 * keys each is verified anew. Nothing is kept of a token but its hash.
 */
export class VerifiedTokens {
  readonly #tokens = new Map<string, VerifiedToken>();
  #keys: KeySet | undefined;

  /** Who it is that shows a token, where that was found out with these keys and still holds. */
  find(token: string, keys: KeySet, now: Date): Caller | undefined {
    if (keys !== this.#keys) return undefined;
    const known = this.#tokens.get(hash("sha256", token));
    return known !== undefined && now.getTime() < known.until ? known.caller : undefined;
  }

  /** @param until when the token ends, in milliseconds since 1970 */
  add(token: string, keys: KeySet, caller: Caller, until: number): void {
    if (keys !== this.#keys) this.#tokens.clear();
    this.#keys = keys;
    // The one that was added first: the order of a Map is that of insertion.
    const [first] = this.#tokens.keys();
    if (this.#tokens.size >= MAX_TOKENS && first !== undefined) this.#tokens.delete(first);
    this.#tokens.set(hash("sha256", token), { caller, until });
  }
}
