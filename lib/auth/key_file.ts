import { readFileSync } from "node:fs";
import { messageOf, SignerError } from "../errors.ts";
import type { KeySource } from "./issuer_keys.ts";
import { readKeySet } from "./key_set.ts";

/**
 * The keys of an issuer from a file, as they are now.
 *
 * @throws SignerError `ERR_CONFIGURATION`
 */
export async function openKeyFile(path: string): Promise<KeySource> {
  try {
    const keys = await readKeySet(parse(readFileSync(path, "utf8")));
    if (keys.size === 0) throw new Error("there is no key to verify with");
    return {
      current: () => keys,
      refresh: async () => false,
      facts: () => ({ keys: keys.size }),
      close: () => {},
    };
  } catch (error) {
    throw new SignerError(
      "ERR_CONFIGURATION",
      `Cannot use the keys in ${path} (AUTH_JWKS_FILE): ${messageOf(error)}`,
    );
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error("it is not JSON");
  }
}
