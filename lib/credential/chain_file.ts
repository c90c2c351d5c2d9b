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
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { messageOf, SignerError } from "../errors.ts";
import { PemConverter } from "./x509.ts";

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
    const blocks = this.#decode(this.#readText());
    if (blocks.length === 0) throw this.#malformed("it holds no certificate");
    for (const { type } of blocks) {
      if (/PRIVATE KEY/.test(type))
        throw this.#malformed("it holds a private key, which belongs on the token alone");
      if (type !== "CERTIFICATE") throw this.#malformed(`it holds a ${type}`);
    }
    return blocks.map((block) => new Uint8Array(block.rawData));
  }

  /** The chain as it is served: PEM, one block a certificate. */
  static toPem(chain: readonly Uint8Array[]): string {
    return chain
      .map((der) => `${PemConverter.encode(der as Uint8Array<ArrayBuffer>, "CERTIFICATE")}\n`)
      .join("");
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
      const file = openSync(temporary, "wx", 0o644);
      writeSync(file, ChainFile.toPem(chain));
      fsyncSync(file);
      closeSync(file);
      linkSync(temporary, this.path);
      return true;
    } catch (error) {
      if (isAlreadyThere(error)) return false;
      throw new SignerError(
        "ERR_CERTIFICATE_NOT_FOUND",
        `Cannot keep the certificate in ${this.path} (CERT_DIR): ${messageOf(error)}`,
        { cause: error },
      );
    } finally {
      rmSync(temporary, { force: true });
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

  #decode(text: string): { type: string; rawData: ArrayBuffer }[] {
    try {
      return PemConverter.decodeWithHeaders(text);
    } catch (error) {
      throw this.#malformed("it is not PEM", error);
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

function isAlreadyThere(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "EEXIST";
}
