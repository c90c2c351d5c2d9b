import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { compileLibrary } from "../../test/support/compile.ts";
import type { BenchToken } from "../bench.ts";

/** A token whose library adds up the CPU time that it takes of the service: see token_share.c. */
export interface CountedToken extends BenchToken {
  /** The file with the sums, for `readTokenShare`. */
  readonly sums: string;
}

/** What C_SignInit and C_Sign took so far. */
export interface TokenShare {
  /** CPU time of the threads that called them, user and system. */
  readonly micros: number;
  readonly signatures: number;
}

/** Compiles the library that goes before the token's. */
export function counted(token: BenchToken, directory: string): CountedToken {
  const [modulePath, sums] = [join(directory, "token_share.so"), join(directory, "token_share")];
  compileLibrary(["bench/token_share.c"], modulePath);
  return {
    ...token,
    modulePath,
    environment: { ...token.environment, TOKEN_SHARE_MODULE: token.modulePath, TOKEN_SHARE_SUMS: sums },
    sums,
  };
}

/** Nothing, before the token was asked for anything. */
export function readTokenShare(sums: string): TokenShare {
  if (!existsSync(sums)) return { micros: 0, signatures: 0 };
  const bytes = readFileSync(sums);
  return { micros: Number(bytes.readBigUInt64LE(0)) / 1_000, signatures: Number(bytes.readBigUInt64LE(8)) };
}
