import { type Dirent, readdirSync } from "node:fs";
import { messageOf, SignerError } from "../errors.ts";
import { CHAIN_EXTENSION } from "./chain_file.ts";

/**
 * The labels whose chains are in a directory: no former chains, and none that are still being written.
 *
 * @returns in order; none where there is no such directory
 * @throws SignerError `ERR_CERTIFICATE_NOT_FOUND` when it cannot be read
 */
export function chainFilesIn(directory: string): string[] {
  return entriesOf(directory)
    .filter((entry) => entry.isFile() || entry.isSymbolicLink())
    .filter(({ name }) => name.endsWith(CHAIN_EXTENSION) && !name.startsWith("."))
    .map(({ name }) => name.slice(0, -CHAIN_EXTENSION.length))
    .toSorted();
}

function entriesOf(directory: string): Dirent[] {
  try {
    return readdirSync(directory, { withFileTypes: true });
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw new SignerError(
      "ERR_CERTIFICATE_NOT_FOUND",
      `Cannot list the certificate chains in ${directory} (CERT_DIR): ${messageOf(error)}`,
      { cause: error },
    );
  }
}
