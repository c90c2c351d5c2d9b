import { randomUUID } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { messageOf, SignerError } from "../errors.ts";
import { holdsPrivateKey, pemBlocks, pemBytes, pemText } from "./pem.ts";

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
    this.path = join(directory, `${label}.pem`);
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
        "ERR_CERTIFICATE_NOT_FOUND",
        `Cannot keep the certificate in ${this.path} (CERT_DIR): ${messageOf(error)}`,
        { cause: error },
      );
    } finally {
      removeQuietly(temporary);
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

function writeDurably(path: string, text: string): void {
  const file = openSync(path, "wx", 0o644);
  try {
    writeFileSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** `force` forgives a missing file, but not a missing or closed directory; what went wrong there was said. */
function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {}
}

/** A link, unlike a renaming, never takes the place of what is there. */
function linkIfAbsent(file: string, path: string): boolean {
  try {
    linkSync(file, path);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "EEXIST") return false;
    throw error;
  }
}
