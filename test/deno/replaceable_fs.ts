import fs from "node:fs";

/**
 * Stands for node:fs in the modules whose single steps are replaced in test/credential/chain_file_replace.test.ts. Node
 * lets imports by name follow what the default import becomes (`syncBuiltinESMExports`); Deno does not.
 */
type Name = {
  [K in keyof typeof fs]: (typeof fs)[K] extends (...args: never[]) => unknown ? K : never;
}[keyof typeof fs];

function late<N extends Name>(name: N): (typeof fs)[N] {
  const call = (...args: unknown[]): unknown => Reflect.apply(fs[name], fs, args);
  return call as (typeof fs)[N];
}

export const closeSync: typeof fs.closeSync = late("closeSync");
export const existsSync: typeof fs.existsSync = late("existsSync");
export const fchmodSync: typeof fs.fchmodSync = late("fchmodSync");
export const fsyncSync: typeof fs.fsyncSync = late("fsyncSync");
export const linkSync: typeof fs.linkSync = late("linkSync");
export const mkdirSync: typeof fs.mkdirSync = late("mkdirSync");
export const openSync: typeof fs.openSync = late("openSync");
export const readFileSync: typeof fs.readFileSync = late("readFileSync");
export const renameSync: typeof fs.renameSync = late("renameSync");
export const rmSync: typeof fs.rmSync = late("rmSync");
export const writeFileSync: typeof fs.writeFileSync = late("writeFileSync");
