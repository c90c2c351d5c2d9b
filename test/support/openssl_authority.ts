import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "./temporary.ts";

/** The ways in which OpenSSL issues a certificate. */
export const ISSUING_COMMANDS = ["openssl x509 -req", "openssl ca"] as const;
export type IssuingCommand = (typeof ISSUING_COMMANDS)[number];

/**
 * A certification authority that is nothing but OpenSSL: a root and an intermediate, which issues from requests.
 * Its keys are gone with the process.
 */
export class OpensslAuthority {
  readonly #directory: string = temporaryDirectory();

  constructor() {
    const caExtensions =
      "[ca]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n";
    const policy = "[any]\ncountryName=optional\norganizationName=optional\ncommonName=supplied\n";
    const database =
      "[issuing]\ndatabase=index\nserial=serial\nnew_certs_dir=issued\ndefault_md=sha256\ndefault_days=90\n" +
      "policy=any\ncopy_extensions=copyall\nunique_subject=no\n";
    this.#write("ca.cnf", `[req]\ndistinguished_name=dn\n[dn]\n${caExtensions}${database}${policy}`);
    this.#write("index", "");
    this.#write("serial", "1000\n");
    mkdirSync(this.#place("issued"));
    const config = ["-config", "ca.cnf"];
    const newKey = (name: string): string[] => ["-newkey", "rsa:2048", "-noenc", "-keyout", `${name}.key`];
    const root = [
      "-subj",
      "/O=Tests/CN=OpenSSL Root",
      "-extensions",
      "ca",
      "-days",
      "365",
      "-out",
      "root.pem",
    ];
    this.#openssl("req", "-x509", ...config, ...newKey("root"), ...root);
    this.#openssl(
      "req",
      "-new",
      ...config,
      ...newKey("ca"),
      "-subj",
      "/O=Tests/CN=OpenSSL CA",
      "-out",
      "ca.csr",
    );
    const issuer = ["-CA", "root.pem", "-CAkey", "root.key", "-days", "180", "-out", "ca.pem"];
    this.#openssl("x509", "-req", "-in", "ca.csr", ...issuer, "-extfile", "ca.cnf", "-extensions", "ca");
  }

  /** The file with the root's certificate, PEM. */
  get rootPath(): string {
    return this.#place("root.pem");
  }

  /**
   * Issues from a request.
   *
   * @returns what the authority sends: its root first, as a PKCS#7, DER
   * @throws Error with what OpenSSL said, as `stderr`
   */
  answer(requestPem: string, command: IssuingCommand = "openssl ca", days = 90): Buffer {
    this.#write("request.pem", requestPem);
    const issued = ["-in", "request.pem", "-days", String(days), "-out", "leaf.pem"];
    if (command === "openssl ca") {
      const authority = ["-config", "ca.cnf", "-name", "issuing", "-cert", "ca.pem", "-keyfile", "ca.key"];
      this.#openssl("ca", "-batch", "-preserveDN", ...authority, ...issued);
    } else {
      const authority = ["-CA", "ca.pem", "-CAkey", "ca.key", "-copy_extensions", "copyall"];
      this.#openssl("x509", "-req", ...authority, ...issued);
    }
    const files = ["root.pem", "leaf.pem", "ca.pem"].flatMap((name) => ["-certfile", name]);
    this.#openssl("crl2pkcs7", "-nocrl", ...files, "-outform", "DER", "-out", "answer.p7b");
    return readFileSync(this.#place("answer.p7b"));
  }

  #place(name: string): string {
    return join(this.#directory, name);
  }

  #write(name: string, text: string): void {
    writeFileSync(this.#place(name), text);
  }

  #openssl(...args: readonly string[]): void {
    execFileSync("openssl", args, {
      cwd: this.#directory,
      encoding: "utf8",
      stdio: ["ignore", "ignore", "pipe"],
    });
  }
}
