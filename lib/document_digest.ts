import { createHash, type Hash } from "node:crypto";
import type { HashAlgorithm } from "./algorithms.ts";
import { deferred } from "./deferred.ts";
import type { Addon } from "./native/addon.ts";

/** The digest of one document, which comes piece by piece. */
export interface DocumentDigest {
  /**
   * Takes bytes, which may change afterwards.
   *
   * @returns a promise where so much is queued that no more should come before it resolves
   */
  write(bytes: Buffer): void | Promise<void>;
  /** @returns `hash.length` bytes; to be called once, when all was written */
  digest(): Buffer | Promise<Buffer>;
  /** Frees at once what is queued: nobody wants the digest any more. Nothing after `digest`. */
  abandon(): void;
}

export type BeginDigest = (hash: HashAlgorithm) => DocumentDigest;

/**
 * Documents hashed on the addon's threads once they are large, so that whoever else is there need not wait for them; by
 * `node:crypto` where the runtime has no OpenSSL for addons.
 */
export function documentDigests(addon: Addon): BeginDigest {
  return ({ nodeName }) => {
    const digest = addon.digest(nodeName);
    return digest === undefined ? new HashOnTheSpot(nodeName) : new HashOnThreads(addon, digest);
  };
}

class HashOnTheSpot implements DocumentDigest {
  readonly #hash: Hash;

  constructor(name: string) {
    this.#hash = createHash(name);
  }

  write(bytes: Buffer): void {
    this.#hash.update(bytes);
  }

  digest(): Buffer {
    return this.#hash.digest();
  }

  abandon(): void {}
}

class HashOnThreads implements DocumentDigest {
  readonly #addon: Addon;
  readonly #digest: object;
  /** Pending until much of what is queued was hashed. */
  #room: Promise<void> | undefined;

  constructor(addon: Addon, digest: object) {
    this.#addon = addon;
    this.#digest = digest;
  }

  write(bytes: Buffer): void | Promise<void> {
    const queued = this.#addon.update(this.#digest, bytes);
    if (queued > 0 && this.#room === undefined) this.#room = this.#makeRoom(queued);
    return this.#room;
  }

  digest(): Buffer | Promise<Buffer> {
    return this.#addon.final(this.#digest) ?? this.#digestOfQueued();
  }

  abandon(): void {
    this.#addon.abandon(this.#digest);
  }

  async #digestOfQueued(): Promise<Buffer> {
    await this.#room;
    await this.#settle(0);
    const digest = this.#addon.final(this.#digest);
    if (digest === undefined) throw new Error("Cannot hash: bytes came after the end of their document");
    return digest;
  }

  /** Half of it: so the threads have something to do until more has come. */
  async #makeRoom(queued: number): Promise<void> {
    await this.#settle(queued / 2);
    this.#room = undefined;
  }

  #settle(atMost: number): Promise<void> {
    const { promise, resolve } = deferred<void>();
    this.#addon.settle(this.#digest, atMost, resolve);
    return promise;
  }
}
