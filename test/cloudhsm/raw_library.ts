import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createHash, createPublicKey, type KeyObject, verify } from "node:crypto";
import pkcs11 from "pkcs11js";
import { scriptCommand } from "../support/module_command.ts";
import type { TestToken } from "../support/token.ts";
import { constant } from "./constants.ts";
import type { SimulatorSettings } from "./settings.ts";
import type { Simulator } from "./simulator.ts";

export const READ_WRITE: number = pkcs11.CKF_SERIAL_SESSION | pkcs11.CKF_RW_SESSION;
export const EXPONENT: Buffer = Buffer.from([1, 0, 1]);
/** CKA_EC_PARAMS. */
export const CURVES = {
  "P-224": "06052b81040021",
  "P-256": "06082a8648ce3d030107",
  "P-384": "06052b81040022",
  "P-521": "06052b81040023",
  secp256k1: "06052b8104000a",
  brainpoolP256r1: "06092b2403030208010107",
  "P-192": "06082a8648ce3d030101",
} as const;

/** What a test has while it is inside: an initialized library, its slot, and a session. */
export interface Inside {
  readonly slot: Buffer;
  readonly session: Buffer;
}

export type Kind = "EC" | "RSA";
export type Attributes = Readonly<Record<string, NonNullable<pkcs11.Attribute["value"]>>>;

export const template = (attributes: Attributes): pkcs11.Template =>
  Object.entries(attributes).map(([name, value]) => ({ type: constant(`CKA_${name}`), value }));
export const names = (...attributes: string[]): pkcs11.Template =>
  attributes.map((name) => ({ type: constant(`CKA_${name}`) }));

export const MANDATORY: Readonly<Record<Kind, Attributes>> = {
  EC: { EC_PARAMS: Buffer.from(CURVES["P-256"], "hex") },
  RSA: { MODULUS_BITS: 2048, PUBLIC_EXPONENT: EXPONENT },
};
export const GENERATION: Readonly<Record<Kind, number>> = {
  EC: pkcs11.CKM_EC_KEY_PAIR_GEN,
  RSA: pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN,
};

/** A PKCS#11 library in this process, used without anything of the service in between. */
export class RawLibrary {
  readonly library: pkcs11.PKCS11 = new pkcs11.PKCS11();
  readonly #token: TestToken & Partial<Pick<Simulator, "configure">>;

  constructor(token: TestToken & Partial<Pick<Simulator, "configure">>) {
    this.#token = token;
    this.library.load(token.modulePath);
  }

  /** @param settings of a simulator */
  initialized<T>(settings: SimulatorSettings, use: (inside: Inside) => T): T {
    const { library } = this;
    this.#token.configure?.(settings);
    library.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK });
    const end = (): void => library.C_Finalize();
    let result: T;
    try {
      const slot = this.#slot();
      result = use({ slot, session: library.C_OpenSession(slot, READ_WRITE) });
    } catch (error) {
      end();
      throw error;
    }
    if (result instanceof Promise) return result.finally(end) as T;
    end();
    return result;
  }

  #slot(): Buffer {
    const { label } = this.#token;
    const slot = this.library
      .C_GetSlotList(true)
      .find((each) => this.library.C_GetTokenInfo(each).label.replace(/[\s\0]+$/, "") === label);
    if (slot === undefined) throw new Error(`There is no token "${label}"`);
    return slot;
  }

  loggedIn<T>(settings: SimulatorSettings, use: (inside: Inside) => T): T {
    return this.initialized(settings, (inside) => {
      this.library.C_Login(inside.session, pkcs11.CKU_USER, this.#token.pin);
      return use(inside);
    });
  }

  /** Generates a pair with no more than these attributes; session objects, unless they say otherwise. */
  pair(
    session: Buffer,
    kind: Kind,
    publicHalf: Attributes = {},
    privateHalf: Attributes = {},
  ): pkcs11.KeyPair {
    return this.library.C_GenerateKeyPair(
      session,
      { mechanism: GENERATION[kind] },
      template({ ...MANDATORY[kind], ...publicHalf }),
      template(privateHalf),
    );
  }

  signingPair(session: Buffer, kind: Kind): pkcs11.KeyPair {
    return this.pair(session, kind, { VERIFY: true }, { SIGN: true });
  }

  read(session: Buffer, object: Buffer, name: string): Buffer {
    return this.library.C_GetAttributeValue(session, object, names(name))[0]?.value ?? Buffer.alloc(0);
  }

  /** The private key with this CKA_ID. */
  find(session: Buffer, id: Buffer): Buffer {
    this.library.C_FindObjectsInit(session, template({ ID: id, CLASS: pkcs11.CKO_PRIVATE_KEY }));
    const [key = Buffer.alloc(0)] = this.library.C_FindObjects(session, 10);
    this.library.C_FindObjectsFinal(session);
    return key;
  }

  /** The public key of a P-256 pair. */
  publicKey(session: Buffer, key: Buffer): KeyObject {
    const xy = this.read(session, key, "EC_POINT").subarray(-64);
    const [x, y] = [xy.subarray(0, 32).toString("base64url"), xy.subarray(32).toString("base64url")];
    return createPublicKey({ key: { kty: "EC", crv: "P-256", x, y }, format: "jwk" });
  }

  /** A signature with ECDSA and SHA-256. */
  sign(session: Buffer, key: Buffer, data: Buffer): Buffer {
    this.library.C_SignInit(session, { mechanism: pkcs11.CKM_ECDSA }, key);
    return this.library.C_Sign(session, sha256(data), Buffer.alloc(64));
  }

  /** The same, whose C_Sign does not block. */
  async signAsync(session: Buffer, key: Buffer, data: Buffer): Promise<Buffer> {
    this.library.C_SignInit(session, { mechanism: pkcs11.CKM_ECDSA }, key);
    const input = sha256(data);
    const signature = await this.library.C_SignAsync(session, input, Buffer.alloc(64));
    // pkcs11js does not keep it alive.
    void input;
    return signature;
  }
}

export const sha256 = (data: Buffer): Buffer => createHash("sha256").update(data).digest();

/** Whether it is one with ECDSA and SHA-256. */
export const isSignature = (publicKey: KeyObject, data: Buffer, signature: Buffer): boolean =>
  verify("sha256", data, { key: publicKey, dsaEncoding: "ieee-p1363" }, signature);

/** That a call is refused with the return value of this name. */
export function refused(code: string, call: () => unknown): void {
  assert.throws(call, isRefusal(code));
}

export const isRefusal =
  (code: string) =>
  (error: unknown): true => {
    assert.ok(error instanceof Error);
    // Errors of C_SetAttributeValue and C_CopyObject come as they are from pkcs11js: the number is in the text.
    const found = "code" in error ? error.code : Number(/^CKR_\w+:(\d+)/.exec(error.message)?.[1]);
    assert.equal(found, constant(code), `${error.message} where ${code} is due`);
    return true;
  };

/** The text of a process that uses the library: initialized, with a session, logged in. */
export function beginOn({ modulePath, pin }: Simulator): string {
  return `
    const { default: pkcs11 } = await import("pkcs11js");
    const library = new pkcs11.PKCS11();
    library.load(${JSON.stringify(modulePath)});
    library.C_Initialize({ flags: pkcs11.CKF_OS_LOCKING_OK });
    const session = library.C_OpenSession(library.C_GetSlotList(true)[0], ${READ_WRITE});
    library.C_Login(session, pkcs11.CKU_USER, ${JSON.stringify(pin)});`;
}

/** Runs a module of its own process, which may end as it must. */
export function run(
  script: string,
  environment: Readonly<Record<string, string>>,
): { stdout: string; stderr: string } {
  const { program, args } = scriptCommand(script);
  return spawnSync(program, args, {
    encoding: "utf8",
    env: { ...process.env, ...environment },
  });
}
