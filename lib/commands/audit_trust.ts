import { proveChain } from "../credential/chain.ts";
import { candidate, issuingPath } from "../credential/issuing_path.ts";
import { messageOf } from "../errors.ts";

export interface AuditTrust {
  /** DER of those that may have signed; all, where there are none. */
  readonly signers: readonly Uint8Array[];
  /** DER of those that a signer's chain has to lead to; nobody, where there are none. */
  readonly authorities: readonly Uint8Array[];
}

/**
 * What speaks against certificates with which somebody signed at a time.
 *
 * @param certificates DER, leaf first
 * @returns `undefined` when nothing does
 */
export async function distrust(
  { signers, authorities }: AuditTrust,
  certificates: readonly Uint8Array[],
  time: Date,
): Promise<string | undefined> {
  const [leaf, ...others] = certificates;
  if (leaf === undefined) return "there is none";
  if (signers.length > 0 && !isAmong(leaf, signers)) return "it is none of those of --certificate";
  if (authorities.length === 0) return undefined;
  try {
    const candidates = await Promise.all([...others, ...authorities].map(candidate));
    const path = await issuingPath(await candidate(leaf), candidates, time);
    const ders = path.map(({ der }) => der);
    const top = ders.findIndex((der) => isAmong(der, authorities));
    if (top === -1) return "no certificate of --ca is above it";
    await proveChain(ders.slice(0, top + 1), time);
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}

function isAmong(der: Uint8Array, others: readonly Uint8Array[]): boolean {
  return others.some((other) => Buffer.from(other).equals(der));
}
