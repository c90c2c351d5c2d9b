import { createPrivateKey } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import * as x509 from "../../lib/credential/x509.ts";
import {
  certificate,
  PKI_NOW,
  pemOf,
  rootCa,
  type TestCertificate,
  type TestCertificateOptions,
} from "./pki.ts";
import { softwareCrypto } from "./software.ts";
import { temporaryDirectory } from "./temporary.ts";

const DAY_MS = 86_400_000;
/** The tests' other certificates live in another time; a TLS handshake looks at the clock of the machine. */
const TODAY = (Date.now() - PKI_NOW.getTime()) / DAY_MS;

/** In days from today. */
export const validFor = (from: number, until: number): readonly [number, number] => [
  TODAY + from,
  TODAY + until,
];

/** A certificate and its key, as programs want them. */
export interface TlsIdentity {
  readonly cert: string;
  readonly key: string;
  readonly certificateFile: string;
  readonly keyFile: string;
}

export interface TlsIdentityOptions extends Partial<TestCertificateOptions> {
  readonly names?: x509.JsonGeneralNames;
}

/** An authority whose certificates are valid today. */
export class TlsAuthority {
  readonly root: TestCertificate;
  readonly pem: string;
  readonly file: string;
  readonly #directory: string;
  #count = 0;

  private constructor(root: TestCertificate) {
    this.root = root;
    this.pem = pemOf(root);
    this.#directory = temporaryDirectory();
    this.file = this.#write("ca.pem", this.pem);
  }

  static async create(subject = "CN=TLS root"): Promise<TlsAuthority> {
    return new TlsAuthority(await rootCa({ subject, days: validFor(-10, 100) }));
  }

  /** For 127.0.0.1. */
  server(options: TlsIdentityOptions = {}): Promise<TlsIdentity> {
    return this.issue({ subject: "CN=server", names: [{ type: "ip", value: "127.0.0.1" }], ...options });
  }

  async issue({ names, extensions = [], ...options }: TlsIdentityOptions): Promise<TlsIdentity> {
    const issued = await certificate({
      subject: "CN=client",
      issuer: this.root,
      days: validFor(-1, 30),
      ...options,
      extensions: [...extensions, ...(names ? [new x509.SubjectAlternativeNameExtension(names)] : [])],
    });
    const pkcs8 = Buffer.from(await softwareCrypto.subtle.exportKey("pkcs8", issued.keys.privateKey));
    const cert = pemOf(issued);
    const key = createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" })
      .export({ format: "pem", type: "pkcs8" })
      .toString();
    this.#count += 1;
    const certificateFile = this.#write(`${this.#count}.pem`, cert);
    return { cert, key, certificateFile, keyFile: this.#write(`${this.#count}.key`, key) };
  }

  #write(name: string, text: string): string {
    const path = join(this.#directory, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }
}
