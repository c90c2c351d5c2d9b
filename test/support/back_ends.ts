import { softHsmToken } from "../../dev/softhsm.ts";
import type { SignatureAlgorithm } from "../../lib/algorithms.ts";
import type { TokenKeyPair } from "../../lib/hsm/key_pairs.ts";
import type { Token } from "../../lib/hsm/token.ts";
import type { SimulatorSettings } from "../cloudhsm/settings.ts";
import { cloudHsmSimulator, type Simulator } from "../cloudhsm/simulator.ts";
import { ALL_ALGORITHMS } from "./algorithms.ts";
import { temporaryDirectory } from "./temporary.ts";
import type { TestToken } from "./token.ts";

/**
 * A token that the suites of test/back_ends run on. One process has one: SoftHSM2 and the simulator, which is
 * above it, would share its library and the variable that names its tokens.
 */
export interface BackEnd extends TestToken {
  readonly name: string;
  /** What a process that loads the library has to have in its environment; this one has it already. */
  readonly environment: Readonly<Record<string, string>>;
  /** The settings of a service on it, with that environment. */
  readonly settings: Readonly<Record<string, string>>;
  /** What it can sign with. */
  readonly algorithms: readonly SignatureAlgorithm[];
  /** The label on the token of a key that the tests call so. */
  keyLabel(name: string): string;
}

/** A token of SoftHSM2 that was never used. */
export function softHsmBackEnd(): BackEnd {
  const token = softHsmToken(temporaryDirectory(), "test");
  Object.assign(process.env, token.environment);
  return { ...ownToken(token), name: "SoftHSM2" };
}

export interface CloudHsmBackEnd extends BackEnd {
  readonly simulator: Simulator;
}

/** A CloudHSM that was never used. */
export function cloudHsmBackEnd(settings: SimulatorSettings = {}): CloudHsmBackEnd {
  const simulator = cloudHsmSimulator(settings);
  return { ...ownToken(simulator), name: "CloudHSM simulator", simulator };
}

type OwnToken = TestToken & Pick<BackEnd, "environment">;

function ownToken({ modulePath, label, pin, environment }: OwnToken): Omit<BackEnd, "name"> {
  const settings = { ...environment, HSM_MODULE: modulePath, HSM_PIN: pin };
  return {
    modulePath,
    label,
    pin,
    environment,
    settings,
    algorithms: ALL_ALGORITHMS,
    keyLabel: (name) => name,
  };
}

/** The pair on the token for a row; one is made for all rows with the same kind of key. */
export async function keyPairFor(
  token: Token,
  backEnd: BackEnd,
  algorithm: SignatureAlgorithm,
): Promise<TokenKeyPair> {
  const label = backEnd.keyLabel(algorithm.key.name);
  return token.findKeyPair(label, algorithm) ?? (await token.generateKeyPair(label, algorithm));
}
