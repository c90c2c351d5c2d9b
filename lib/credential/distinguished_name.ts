import { messageOf } from "../errors.ts";
import { Name } from "./x509.ts";

/** Says what is wrong with the text of a distinguished name (RFC 4514), or `undefined` if nothing is. */
export function distinguishedNameFault(text: string): string | undefined {
  try {
    const name = new Name(text);
    const parts = name.toJSON().flatMap((part) => Object.values(part).flat());
    if (parts.length === 0) return "it has no part";
    return parts.includes("") ? "one of its parts is empty" : undefined;
  } catch (error) {
    return messageOf(error).replace(/\.$/, "");
  }
}
