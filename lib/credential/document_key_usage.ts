import * as x509 from "./x509.ts";

/**
 * What a key that signs documents is for: digitalSignature and nonRepudiation, critical (RFC 5280 §4.2.1.3).
 * Readers ask for the one or for the other.
 */
export function documentKeyUsage(): x509.KeyUsagesExtension {
  const { digitalSignature, nonRepudiation } = x509.KeyUsageFlags;
  return new x509.KeyUsagesExtension(digitalSignature | nonRepudiation, true);
}
