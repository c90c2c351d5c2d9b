import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { SignatureAlgorithm } from "../../lib/algorithms.ts";
import { temporaryDirectory } from "./temporary.ts";

/** A program that is not ours and says what it thinks of a signature. */
export interface Verdict {
  readonly judge: string;
  readonly valid: boolean;
  /** What the program printed, for the message of a failed test. */
  readonly text: string;
}

/**
 * OpenSSL and GnuTLS on a detached SignedData. OpenSSL reads what is not sorted; GnuTLS insists on DER.
 *
 * GnuTLS 3.7 takes every RSASSA-PSS in a SignedData for one with SHA-256, whatever its parameters say; of the
 * others it is not asked, and poppler's NSS is the second judge.
 *
 * @param content the signed bytes
 * @param trustedPem certificates that end the chain
 */
export function judgeSignedData(
  signedData: Uint8Array,
  content: Uint8Array,
  trustedPem: string,
  algorithm: SignatureAlgorithm,
): Verdict[] {
  const directory = temporaryDirectory();
  const path = (name: string, bytes: Uint8Array | string): string => {
    writeFileSync(join(directory, name), bytes);
    return join(directory, name);
  };
  const [der, data, trusted] = [
    path("p7.der", signedData),
    path("content", content),
    path("ca.pem", trustedPem),
  ];
  const openssl = [
    "cms",
    "-verify",
    "-binary",
    "-inform",
    "DER",
    "-in",
    der,
    "-content",
    data,
    "-CAfile",
    trusted,
  ];
  const purpose = ["-purpose", "any", "-out", "/dev/null"];
  const gnuTls = [
    "--p7-verify",
    "--inder",
    "--load-data",
    data,
    "--infile",
    der,
    "--load-ca-certificate",
    trusted,
  ];
  return [
    run("openssl cms", "openssl", [...openssl, ...purpose], /CMS Verification successful/),
    run("openssl cms -cades", "openssl", [...openssl, "-cades", ...purpose], /CAdES Verification successful/),
    ...(algorithm.scheme === "PSS" && algorithm.hash.name !== "SHA-256"
      ? []
      : [run("certtool", "certtool", gnuTls, /Signature status: ok/)]),
  ];
}

/** poppler's pdfsig on a signed PDF. It exits 0 on invalid signatures: only its text counts. */
export function judgePdf(pdf: Uint8Array): Verdict {
  const path = join(temporaryDirectory(), "signed.pdf");
  writeFileSync(path, pdf);
  const verdict = run("pdfsig", "pdfsig", ["-nocert", path], /Signature is Valid\./);
  return { ...verdict, valid: verdict.valid && /Total document signed/.test(verdict.text) };
}

/**
 * What else judges a signed PDF: mupdf, which has a reader and a CMS of its own, and qpdf, which knows nothing of
 * signatures and complains about structure. Of mupdf, only what it says of the last signature counts.
 */
export function judgeStructure(pdf: Uint8Array): Verdict[] {
  const path = join(temporaryDirectory(), "signed.pdf");
  writeFileSync(path, pdf);
  return [
    run("mutool sign", "mutool", ["sign", "-v", path], /The document is unchanged since signing\.\s*$/),
    run("qpdf", "qpdf", ["--check", path], /No syntax or stream encoding errors found/),
  ];
}

function run(judge: string, command: string, args: readonly string[], success: RegExp): Verdict {
  const { stdout, stderr, status, error } = spawnSync(command, args, {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });
  if (error) throw error;
  const text = `${stdout}${stderr}`;
  return { judge, valid: status === 0 && success.test(text), text };
}
