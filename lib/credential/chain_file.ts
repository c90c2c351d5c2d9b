import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";
import { linkIfAbsent, removeQuietly, syncDirectory, writeDurably } from "../durable_file.ts";
import { messageOf, SignerError } from "../errors.ts";
import { holdsPrivateKey, pemBlocks, pemBytes, pemText } from "./pem.ts";

export const CHAIN_EXTENSION = ".pem";

/** What `replace` did. */
export interface Replacement {
  /** Whether it wrote anything: not when the very same chain was there. */
  readonly isChanged: boolean;
  /** The path of the former chain, where there was one. */
  readonly former?: string;
}

/**
 * Where the certificate chain of a key label is kept: `<directory>/<label>.pem`, leaf first.
 *
 * Certificates live in files, not on the token: CloudHSM holds 60 for a whole cluster.
 */
export class ChainFile {
  readonly path: string;
  readonly #directory: string;

  constructor(directory: string, label: string) {
    this.#directory = directory;
    this.path = join(directory, label + CHAIN_EXTENSION);
  }

  exists(): boolean {
    return existsSync(this.path);
  }

  /**
   * @returns the certificates, DER, in the order of the file
   * @throws SignerError `ERR_CERTIFICATE_NOT_FOUND`, `ERR_CERTIFICATE_MALFORMED`
   */
  read(): Uint8Array[] {
    const text = this.#readText();
    // Said before anything else that is wrong with the file.
    if (holdsPrivateKey(text))
      throw this.#malformed("it holds a private key, which belongs on the token alone");
    const blocks = this.#decode(() => pemBlocks(text));
    if (blocks.length === 0)
      throw this.#malformed("it holds no certificate in PEM (openssl x509 -inform DER converts one)");
    for (const { label } of blocks) {
      if (label !== "CERTIFICATE") throw this.#malformed(`it holds a ${label}`);
    }
    return this.#decode(() => blocks.map(pemBytes));
  }

  /** The chain as it is served: PEM, one block a certificate. */
  static toPem(chain: readonly Uint8Array[]): string {
    return chain.map((der) => pemText("CERTIFICATE", der)).join("");
  }

  /**
   * Writes the chain if there is none yet: whole or not at all, and never over another process's.
   *
   * @returns whether it was written
   */
  create(chain: readonly Uint8Array[]): boolean {
    const temporary = join(this.#directory, `.${randomUUID()}.tmp`);
    try {
      mkdirSync(this.#directory, { recursive: true });
      writeDurably(temporary, ChainFile.toPem(chain));
      return linkIfAbsent(temporary, this.path);
    } catch (error) {
      throw new SignerError(
        "ERR_CERTIFICATE_NOT_WRITTEN",
        `Cannot keep the certificate in ${this.path} (CERT_DIR): ${messageOf(error)}`,
        { cause: error },
      );
    } finally {
      removeQuietly(temporary);
    }
  }

  /**
   * Puts the chain in the place of the one that is there, or where there is none: whole or not at all, so that
   * there is a chain at every moment. The former one is kept beside it, under a name with the time.
   *
   * Of two processes that do this at once the later one wins, and the chain of the other may not be kept.
   *
   * @param now gives the former chain its name
   * @throws SignerError `ERR_CERTIFICATE_NOT_WRITTEN`
   */
  replace(chain: readonly Uint8Array[], now: Date): Replacement {
    const text = ChainFile.toPem(chain);
    const temporary = join(this.#directory, `.${randomUUID()}.tmp`);
    try {
      if (this.exists() && readFileSync(this.path).equals(Buffer.from(text))) return { isChanged: false };
      mkdirSync(this.#directory, { recursive: true });
      writeDurably(temporary, text);
      const former = this.#keepFormer(now);
      try {
        renameSync(temporary, this.path);
      } catch (error) {
        if (former !== undefined) removeQuietly(former);
        throw error;
      }
      syncDirectory(this.#directory);
      return former === undefined ? { isChanged: true } : { isChanged: true, former };
    } catch (error) {
      throw new SignerError(
        "ERR_CERTIFICATE_NOT_WRITTEN",
        `Cannot replace the certificate chain ${this.path} (CERT_DIR): ${messageOf(error)}`,
        { cause: error },
      );
    } finally {
      removeQuietly(temporary);
    }
  }

  /** A second name for the chain that is there: no moment passes without one in its place. */
  #keepFormer(now: Date): string | undefined {
    if (!this.exists()) return undefined;
    // The extension keeps it from being taken for the chain of a label.
    const stem = `${this.path}.${now.toISOString().replaceAll(/[-:]|\.\d+/g, "")}`;
    for (let attempt = 1; ; attempt += 1) {
      const former = attempt === 1 ? stem : `${stem}-${attempt}`;
      if (linkIfAbsent(this.path, former)) return former;
    }
  }

  #readText(): string {
    try {
      return readFileSync(this.path, "utf8");
    } catch (error) {
      throw new SignerError(
        "ERR_CERTIFICATE_NOT_FOUND",
        `Cannot read the certificate chain ${this.path} (CERT_DIR): ${messageOf(error)}`,
        { cause: error },
      );
    }
  }

  #decode<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      throw this.#malformed(`it is not PEM: ${messageOf(error)}`, error);
    }
  }

  #malformed(state: string, cause?: unknown): SignerError {
    return new SignerError(
      "ERR_CERTIFICATE_MALFORMED",
      `Cannot use the certificate chain ${this.path}: ${state}`,
      {
        cause,
      },
    );
  }
}
