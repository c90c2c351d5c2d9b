/**
 * The text with its invisible characters as RFC 4514 §2.4 writes them, a backslash and two digits for each
 * octet: what stands in somebody else's file must not steer the terminal that it is shown on.
 */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) =>
    Buffer.from(character).toString("hex").replaceAll(/../g, "\\$&"),
  );
}

/** A name as `X509Certificate` gives it, a line for each part, in the order of RFC 4514: `CN=…, O=…, C=…`. */
export function nameText(name: string | undefined): string {
  // A line end in a value is escaped by OpenSSL already.
  return (name ?? "").split("\n").toReversed().map(printable).join(", ");
}
