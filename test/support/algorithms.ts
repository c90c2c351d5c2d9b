import { type SignatureAlgorithm, signatureAlgorithm } from "../../lib/algorithms.ts";

/** Every way to sign that the configuration offers, by one row for each key and hash that belong together. */
export const ALL_ALGORITHMS: readonly SignatureAlgorithm[] = [
  signatureAlgorithm("RSA-2048", "SHA-256", "PKCS1"),
  signatureAlgorithm("RSA-2048", "SHA-256", "PSS"),
  signatureAlgorithm("RSA-3072", "SHA-384", "PKCS1"),
  signatureAlgorithm("RSA-3072", "SHA-384", "PSS"),
  signatureAlgorithm("RSA-4096", "SHA-512", "PKCS1"),
  signatureAlgorithm("RSA-4096", "SHA-512", "PSS"),
  signatureAlgorithm("P-256", "SHA-256"),
  signatureAlgorithm("P-384", "SHA-384"),
  signatureAlgorithm("P-521", "SHA-512"),
  signatureAlgorithm("P-521", "SHA-256"),
];
