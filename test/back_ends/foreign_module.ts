import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import pkcs11 from "pkcs11js";
import type { SignatureAlgorithm } from "../../lib/algorithms.ts";
import { messageOf } from "../../lib/errors.ts";
import { Pkcs11Module } from "../../lib/hsm/module.ts";
import { RawLibrary, template } from "../cloudhsm/raw_library.ts";
import { ALL_ALGORITHMS } from "../support/algorithms.ts";
import type { BackEnd } from "../support/back_ends.ts";

/** What the environment has to say, by the names of the variables. */
const VARIABLES: Readonly<Record<string, string>> = {
  HSM_TEST_MODULE: "the PKCS#11 library",
  HSM_TEST_PIN_FILE: "a file with nothing but the PIN of a user who may make and destroy keys",
};

/** What the service reads, and the module does not. */
const SERVICE_VARIABLE =
  /^(HSM_|NODE_|npm_|CERT_|CONFIG_FILE$|PIN$|HOST$|PORT$|DIGEST$|SIGNATURE_SCHEME$|CORS_|MAX_BODY_)/;

/** A module that was not made to be tested, on a token with keys of other people. */
export interface ForeignModule {
  readonly backEnd: BackEnd;
  /** Every key that the tests make has a label that begins like this. */
  readonly prefix: string;
  /** Destroys what the tests made, and nothing else. */
  destroyKeys(): number;
}

/**
 * The module that the environment names.
 *
 * @throws Error with one sentence when it does not, or not well enough
 */
export function foreignModule(environment: NodeJS.ProcessEnv): ForeignModule {
  const missing = Object.keys(VARIABLES).filter((name) => !environment[name]);
  if (missing.length > 0) {
    const wanted = missing.map((name) => `${name} (${VARIABLES[name]})`).join(" and ");
    throw new Error(`Set ${wanted}, and HSM_TEST_TOKEN_LABEL where there are several tokens.`);
  }
  const { HSM_TEST_MODULE = "", HSM_TEST_PIN_FILE = "", HSM_TEST_TOKEN_LABEL } = environment;
  const [modulePath, pinFile] = [resolve(HSM_TEST_MODULE), resolve(HSM_TEST_PIN_FILE)];
  const pin = readPin(pinFile);
  const token = { modulePath, ...describeToken(modulePath, HSM_TEST_TOKEN_LABEL) };
  const prefix = `hsm-signer-test-${randomBytes(16).toString("hex")}-`;
  const labels = new Set<string>();
  const own = Object.entries(environment).filter(([name]) => !SERVICE_VARIABLE.test(name));
  const moduleEnvironment = Object.fromEntries(own.map(([name, value]) => [name, value ?? ""]));
  const backEnd: BackEnd = {
    ...token,
    name: modulePath,
    pin,
    environment: moduleEnvironment,
    settings: {
      ...moduleEnvironment,
      HSM_MODULE: modulePath,
      HSM_PIN_FILE: pinFile,
      HSM_TOKEN_LABEL: token.label,
    },
    keyLabel(name) {
      labels.add(`${prefix}${name}`);
      return `${prefix}${name}`;
    },
  };
  return { backEnd, prefix, destroyKeys: () => destroyKeys(backEnd, labels) };
}

function readPin(path: string): string {
  try {
    return readFileSync(path, "utf8").replace(/\r?\n$/, "");
  } catch (error) {
    throw new Error(`Cannot read HSM_TEST_PIN_FILE: ${messageOf(error)}`);
  }
}

function describeToken(
  modulePath: string,
  wanted: string | undefined,
): Pick<BackEnd, "label" | "algorithms"> {
  const module = Pkcs11Module.open(modulePath);
  try {
    const slot = module.slotOfToken(wanted);
    const sizes = new Map<number, { minKeySize: number; maxKeySize: number }>();
    const mechanisms = slot.getMechanisms();
    for (let index = 0; index < mechanisms.length; index += 1) {
      const { type, minKeySize, maxKeySize } = mechanisms.items(index);
      sizes.set(type, { minKeySize, maxKeySize });
    }
    const has = ({ key, mechanism }: SignatureAlgorithm): boolean => {
      const bits = Number(/\d+/.exec(key.name)?.[0]);
      const generation = key.kind === "RSA" ? pkcs11.CKM_RSA_PKCS_KEY_PAIR_GEN : pkcs11.CKM_EC_KEY_PAIR_GEN;
      const fits = sizes.get(generation);
      return sizes.has(mechanism.mechanism) && fits !== undefined && bits <= fits.maxKeySize;
    };
    return {
      label: slot.getToken().label.replace(/[\s\0]+$/, ""),
      algorithms: ALL_ALGORITHMS.filter(has),
    };
  } finally {
    module.close();
  }
}

function destroyKeys(backEnd: BackEnd, labels: ReadonlySet<string>): number {
  const raw = new RawLibrary(backEnd);
  const { library } = raw;
  return raw.loggedIn({}, ({ session }) => {
    const objects = [...labels].flatMap((label) =>
      [pkcs11.CKO_PRIVATE_KEY, pkcs11.CKO_PUBLIC_KEY].flatMap((CLASS) => {
        library.C_FindObjectsInit(session, template({ LABEL: label, CLASS }));
        const found = library.C_FindObjects(session, 100);
        library.C_FindObjectsFinal(session);
        return found;
      }),
    );
    for (const object of objects) library.C_DestroyObject(session, object);
    return objects.length;
  });
}
