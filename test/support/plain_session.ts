import { randomBytes } from "node:crypto";
import * as graphene from "graphene-pk11";
import { login, openSession, Pkcs11Module } from "../../lib/hsm/module.ts";
import { Secret } from "../../lib/secret.ts";
import type { TestToken } from "./token.ts";

/** Works on a token that is open in this process, as an operator would with a tool of his own. */
export function withPlainSession<T>(token: TestToken, use: (session: graphene.Session) => T): T {
  const session = openSession(Pkcs11Module.open(token.modulePath).slotOfToken(token.label));
  try {
    // Of this process, or of this loading of the library: libraries differ in that.
    login(session, new Secret(token.pin, "the test"));
    return use(session);
  } finally {
    session.close();
  }
}

/** A P-256 pair on the token as somebody else might make it: with a template of his own for the private half. */
export function generateP256(
  session: graphene.Session,
  names: { readonly label: string },
  privateHalf: graphene.ITemplate = {},
): graphene.IKeyPair {
  const common = { token: true, id: randomBytes(16), ...names };
  const paramsEC = Buffer.from("06082a8648ce3d030107", "hex");
  return session.generateKeyPair(
    graphene.KeyGenMechanism.EC,
    { ...common, verify: true, paramsEC },
    { ...common, sign: true, ...privateHalf },
  );
}
