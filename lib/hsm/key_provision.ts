import { SignerError } from "../errors.ts";

/** Key pairs with one label, as far as making one has to do with them. CKA_IDs are hexadecimal digits. */
export interface KeyShelf {
  /** CKA_IDs of the private keys that are there now. */
  ids(): readonly string[];
  /** Generates a pair and gives its CKA_ID. */
  generate(): Promise<string>;
  /** Destroys one pair. */
  destroy(id: string): void;
}

export interface KeyProvisionOptions {
  readonly shelf: KeyShelf;
  readonly label: string;
  /** Waits so many milliseconds; handed in, so that tests need no time. */
  wait(milliseconds: number): Promise<unknown>;
  /** A number from 0 up to 1. */
  random(): number;
}

export interface ProvisionedKey {
  readonly id: string;
  readonly wasMade: boolean;
}

/** Until a new pair can be seen by everybody: a cluster's HSMs learn of it one after the other. */
const SETTLE_MS = 1_000;
/** How many looks the pair with the lowest CKA_ID waits for the others to go. */
const PATIENCE = 4;
const MAX_ROUNDS = 20;

/**
 * The one pair with a label, made where there is none, however many machines do so at once: PKCS#11 has no way
 * to make an object only if there is none like it, so each makes its own, looks, and takes it back when it sees
 * another one. Who sees nobody else keeps his pair, and everybody who looks later sees it. The pair with the lowest
 * CKA_ID stays for a few looks, so that of several at once one remains.
 *
 * Nobody destroys what he did not make.
 *
 * @throws SignerError `ERR_KEY_AMBIGUOUS` when several pairs stay there, and what the shelf throws
 */
export async function provisionKey(options: KeyProvisionOptions): Promise<ProvisionedKey> {
  const { shelf } = options;
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const present = shelf.ids();
    const [id] = present;
    if (id === undefined) {
      const made = await makeUnlessOthersDo(options);
      if (made !== undefined) return { id: made, wasMade: true };
    } else {
      // Somebody may be about to take it back.
      await settle(options);
      const still = shelf.ids();
      if (still.length === 1 && still[0] === id && present.length === 1) return { id, wasMade: false };
    }
  }
  throw new SignerError(
    "ERR_KEY_AMBIGUOUS",
    `Cannot choose the key pair "${options.label}": the private keys with this label do not come down to one ` +
      `(CKA_ID ${shelf.ids().join(", ") || "none"})`,
  );
}

/** @returns the CKA_ID of a pair that is here to stay, or `undefined` when it was taken back */
async function makeUnlessOthersDo(options: KeyProvisionOptions): Promise<string | undefined> {
  const { shelf } = options;
  const own = await shelf.generate();
  for (let look = 0; ; look += 1) {
    await settle(options);
    const others = shelf.ids().filter((id) => id !== own);
    if (others.length === 0) return own;
    if (look === PATIENCE || others.some((id) => id < own)) {
      shelf.destroy(own);
      return undefined;
    }
  }
}

function settle({ wait, random }: KeyProvisionOptions): Promise<unknown> {
  return wait(SETTLE_MS * (1 + random()));
}
