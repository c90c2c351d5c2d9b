import * as graphene from "graphene-pk11";
import { unpadded } from "./module.ts";

/** What a token says of itself (CK_TOKEN_INFO, PKCS#11 v2.40 §3.2). */
export interface TokenInfo {
  readonly label: string;
  readonly manufacturer: string;
  readonly model: string;
  /** Those that are set, of those that an operator should know of. */
  readonly flags: readonly TokenFlagName[];
  /** Its own clock, where it has one that shows a time. */
  readonly time: Date | undefined;
}

export type TokenFlagName =
  | "CKF_LOGIN_REQUIRED"
  | "CKF_CLOCK_ON_TOKEN"
  /** A wrong PIN was tried since the last login. */
  | "CKF_USER_PIN_COUNT_LOW"
  /** One more wrong PIN locks the user. */
  | "CKF_USER_PIN_FINAL_TRY"
  | "CKF_USER_PIN_LOCKED"
  | "CKF_USER_PIN_TO_BE_CHANGED";

const FLAGS: Readonly<Record<TokenFlagName, graphene.TokenFlag>> = {
  CKF_LOGIN_REQUIRED: graphene.TokenFlag.LOGIN_REQUIRED,
  CKF_CLOCK_ON_TOKEN: graphene.TokenFlag.CLOCK_ON_TOKEN,
  CKF_USER_PIN_COUNT_LOW: graphene.TokenFlag.USER_PIN_COUNT_LOW,
  CKF_USER_PIN_FINAL_TRY: graphene.TokenFlag.USER_PIN_FINAL_TRY,
  CKF_USER_PIN_LOCKED: graphene.TokenFlag.USER_PIN_LOCKED,
  CKF_USER_PIN_TO_BE_CHANGED: graphene.TokenFlag.USER_PIN_TO_BE_CHANGED,
};
const FLAG_NAMES = Object.keys(FLAGS) as readonly TokenFlagName[];

/** What a token says of a mechanism (CK_MECHANISM_INFO, §3.5). */
export interface MechanismInfo {
  /** As in `CKM_RSA_PKCS`. */
  readonly name: string;
  /** `undefined` where the token does not have it. */
  readonly uses: MechanismUses | undefined;
}

export interface MechanismUses {
  readonly canSign: boolean;
  /** In bits, for keys that sign; both 0 where the token does not say. */
  readonly minKeySize: number;
  readonly maxKeySize: number;
}

export function readToken(slot: graphene.Slot): TokenInfo {
  const { label, manufacturerID, model, flags, utcTime } = slot.lib.C_GetTokenInfo(slot.handle);
  return {
    label: unpadded(label),
    manufacturer: unpadded(manufacturerID),
    model: unpadded(model),
    flags: FLAG_NAMES.filter((name) => (flags & FLAGS[name]) !== 0),
    time: (flags & FLAGS.CKF_CLOCK_ON_TOKEN) === 0 ? undefined : readTime(utcTime),
  };
}

export function readMechanism(slot: graphene.Slot, type: number): MechanismInfo {
  const name = `CKM_${graphene.MechanismEnum[type] ?? type.toString(16)}`;
  if (!slot.lib.C_GetMechanismList(slot.handle).includes(type)) return { name, uses: undefined };
  const { flags, minKeySize, maxKeySize } = slot.lib.C_GetMechanismInfo(slot.handle, type);
  return { name, uses: { canSign: (flags & graphene.MechanismFlag.SIGN) !== 0, minKeySize, maxKeySize } };
}

/** `YYYYMMDDhhmmss00`, UTC. graphene takes it for the local time of the machine. */
function readTime(utcTime: string): Date | undefined {
  const iso = utcTime.replace(/^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d).*$/s, "$1-$2-$3T$4:$5:$6Z");
  return iso === utcTime || Number.isNaN(Date.parse(iso)) ? undefined : new Date(iso);
}
