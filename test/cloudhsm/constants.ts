import pkcs11 from "pkcs11js";

/** The name of a return value. */
export type ReturnValue = `CKR_${string}`;

/** Of PKCS#11 v2.40, and not of pkcs11js. */
const MISSING_CONSTANTS: ReadonlyMap<string, number> = new Map([["CKR_CURVE_NOT_SUPPORTED", 0x140]]);

/** The number of a constant of PKCS#11. */
export function constant(name: string): number {
  const value: unknown = Reflect.get(pkcs11, name) ?? MISSING_CONSTANTS.get(name);
  if (typeof value !== "number") throw new TypeError(`${name} is not a constant of pkcs11js`);
  return value;
}

/** The name of a return value; in hexadecimal where it has none. */
export function returnValueName(code: number): string {
  const known = Object.entries(pkcs11).find(
    ([name, value]) => name.startsWith("CKR_") && value === code,
  )?.[0];
  const missing = [...MISSING_CONSTANTS].find(([, value]) => value === code)?.[0];
  return known ?? missing ?? `0x${code.toString(16)}`;
}
