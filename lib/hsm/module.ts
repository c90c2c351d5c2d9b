import * as graphene from "graphene-pk11";
import pkcs11 from "pkcs11js";
import { messageOf, SignerError } from "../errors.ts";
import { addonPath } from "../native/addon.ts";
import type { Secret } from "../secret.ts";
import { NativeSign } from "./native_sign.ts";
import { CKR_USER_ALREADY_LOGGED_IN, dispositionOf, returnCodeOf, tokenError } from "./return_codes.ts";

/** What a library says of itself. */
export interface LibraryInfo {
  readonly manufacturer: string;
  readonly description: string;
  readonly version: string;
}

/**
 * A PKCS#11 library: the one owner of C_Initialize and C_Finalize (PKCS#11 v2.40 §5.4).
 */
export class Pkcs11Module {
  readonly #path: string;
  readonly #module: graphene.Module;
  /** Signs and verifies on threads; good for as long as the library is loaded, which is for ever. */
  readonly signatures: NativeSign;

  private constructor(path: string, module: graphene.Module, signatures: NativeSign) {
    this.#path = path;
    this.#module = module;
    this.signatures = signatures;
  }

  /** Loads the library and initializes it; see `load`. */
  static open(path: string): Pkcs11Module {
    const module = Pkcs11Module.load(path);
    module.initialize();
    return module;
  }

  /**
   * Loads the library; nothing but `initialize` can be done with it then.
   *
   * @param verifiesOnThread whether signatures may be verified on the threads that make them; see `NativeSign`
   * @throws SignerError `ERR_MODULE_UNUSABLE` with what dlopen says
   */
  static load(path: string, verifiesOnThread?: boolean): Pkcs11Module {
    try {
      const signatures = new NativeSign(path, verifiesOnThread);
      return new Pkcs11Module(path, graphene.Module.load(addonPath()), signatures);
    } catch (error) {
      if (error instanceof SignerError) throw error;
      throw new SignerError(
        "ERR_MODULE_UNUSABLE",
        `Cannot load the PKCS#11 library ${path}: ${messageOf(error)}`,
        {
          cause: error,
        },
      );
    }
  }

  /**
   * Initializes the library for use by several threads. Without CKF_OS_LOCKING_OK it is promised a single one,
   * while C_Sign runs on others: SoftHSM2 then dies of heap corruption.
   *
   * @returns what it says of itself, which it does not before
   */
  initialize(): LibraryInfo {
    try {
      this.#module.initialize({ flags: pkcs11.CKF_OS_LOCKING_OK });
    } catch (error) {
      throw tokenError(`initialize the PKCS#11 library ${this.#path}`, error);
    }
    const { manufacturerID, libraryDescription, libraryVersion } = this.#module;
    return {
      manufacturer: unpadded(manufacturerID),
      description: unpadded(libraryDescription),
      version: `${libraryVersion.major}.${libraryVersion.minor}`,
    };
  }

  /**
   * The slot of the token with this label, or of the only token there is. Slot ids are not a way to name
   * one: SoftHSM2 makes them up anew, CloudHSM's does not fit into a JavaScript number.
   *
   * @throws SignerError `ERR_TOKEN_NOT_FOUND` that lists the tokens when it is not exactly one
   */
  slotOfToken(label: string | undefined): graphene.Slot {
    const tokens = this.#tokens();
    const matching =
      label === undefined ? initialized(tokens) : tokens.filter((token) => token.label === label);
    const [match] = matching;
    if (match !== undefined && matching.length === 1) return match.slot;
    const present =
      initialized(tokens)
        .map((token) => `"${token.label}"`)
        .join(", ") || "none";
    const state =
      label === undefined
        ? `there are ${matching.length}, and HSM_TOKEN_LABEL does not say which`
        : `${matching.length} are labelled "${label}" (HSM_TOKEN_LABEL)`;
    throw new SignerError("ERR_TOKEN_NOT_FOUND", `Cannot choose a token: ${state}; present: ${present}`);
  }

  /** The labels of the tokens that are there. */
  tokenLabels(): readonly string[] {
    return initialized(this.#tokens()).map(({ label }) => label);
  }

  /** C_Finalize. The library stays loaded: unloading one that has threads of its own ends in a crash. */
  close(): void {
    this.#module.finalize();
  }

  #tokens(): TokenInSlot[] {
    try {
      const slots = this.#module.getSlots(true);
      return Array.from({ length: slots.length }, (_, index) => describe(slots.items(index)));
    } catch (error) {
      throw tokenError("list the tokens", error);
    }
  }
}

interface TokenInSlot {
  readonly slot: graphene.Slot;
  readonly label: string;
  readonly isInitialized: boolean;
}

function describe(slot: graphene.Slot): TokenInSlot {
  const token = slot.getToken();
  return {
    slot,
    label: unpadded(token.label),
    isInitialized: (token.flags & graphene.TokenFlag.TOKEN_INITIALIZED) !== 0,
  };
}

/** PKCS#11 fills its texts up with blanks; some libraries do with zeros. */
export function unpadded(text: string): string {
  return text.replace(/[\s\0]+$/, "");
}

/** SoftHSM2 always shows one more token, to be initialized; a library that sets no such flag is taken as it is. */
function initialized(tokens: TokenInSlot[]): TokenInSlot[] {
  const some = tokens.filter((token) => token.isInitialized);
  return some.length > 0 ? some : tokens;
}

/** A read-write session: CloudHSM knows no other kind. */
export function openSession(slot: graphene.Slot): graphene.Session {
  return slot.open(graphene.SessionFlag.SERIAL_SESSION | graphene.SessionFlag.RW_SESSION);
}

/** C_Login as CKU_USER; one login serves all sessions of the process (PKCS#11 v2.40 §5.6). */
export function login(session: graphene.Session, pin: Secret): void {
  try {
    session.login(pin.reveal(), graphene.UserType.USER);
  } catch (error) {
    if (returnCodeOf(error) === CKR_USER_ALREADY_LOGGED_IN) return;
    const action = `log in to the token with the PIN of ${pin.origin}`;
    // Nobody knows whether an answer that means nothing to us counted as a refusal: the PIN is not sent again.
    if (dispositionOf(error) === "unknown") {
      throw new SignerError("ERR_PIN_REJECTED", tokenError(action, error).message, { cause: error });
    }
    throw tokenError(action, error);
  }
}
