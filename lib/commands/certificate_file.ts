import { readFileSync } from "node:fs";
import { readCertificates } from "../credential/received_certificates.ts";
import { messageOf, SignerError } from "../errors.ts";

const STANDARD_INPUT = 0;

/**
 * The certificates in a file, in whatever form; `-` for standard input.
 *
 * @returns DER
 * @throws SignerError that names the file
 */
export function readCertificateFile(path: string): Uint8Array[] {
  const name = path === "-" ? "standard input" : path;
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path === "-" ? STANDARD_INPUT : path);
  } catch (error) {
    throw new SignerError("ERR_CONFIGURATION", `Cannot read ${name}: ${messageOf(error)}`, { cause: error });
  }
  try {
    return readCertificates(bytes);
  } catch (error) {
    throw new SignerError("ERR_CERTIFICATE_MALFORMED", `${messageOf(error)} (in ${name})`, { cause: error });
  }
}
