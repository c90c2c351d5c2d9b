import { hash, randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";

/** Secret scanners and people know it by this. */
const PREFIX = "hsms_";
const RANDOM_LENGTH = 32;
const CHECKSUM_LENGTH = 4;
/** In base64url, without padding. */
const TEXT_LENGTH = ((RANDOM_LENGTH + CHECKSUM_LENGTH) * 4) / 3;
const TOKEN: RegExp = new RegExp(`^${PREFIX}[\\w-]{${TEXT_LENGTH}}$`);

/** A new bearer token: 256 random bits, and a checksum that shows what was cut or mistyped. */
export function newBearerToken(): string {
  const random = randomBytes(RANDOM_LENGTH);
  return PREFIX + Buffer.concat([random, checksumOf(random)]).toString("base64url");
}

/** Whether a token looks like one of ours, whole or not. */
export function isBearerToken(token: string): boolean {
  return token.startsWith(PREFIX);
}

/** Whether it was made by `newBearerToken`, and is whole. */
export function isWholeBearerToken(token: string): boolean {
  if (!TOKEN.test(token)) return false;
  const bytes = Buffer.from(token.slice(PREFIX.length), "base64url");
  const random = bytes.subarray(0, RANDOM_LENGTH);
  return checksumOf(random).equals(bytes.subarray(RANDOM_LENGTH));
}

/**
 * What is kept of a token. A hash without salt and stretching, as passwords need them, will do: nobody guesses or
 * finds in a table what has 256 random bits.
 */
export function hashOfBearerToken(token: string): Buffer {
  return hash("sha256", token, "buffer");
}

function checksumOf(random: Buffer): Buffer {
  const checksum = Buffer.alloc(CHECKSUM_LENGTH);
  checksum.writeUInt32BE(crc32(random));
  return checksum;
}
