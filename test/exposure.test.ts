import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseConfig } from "../lib/config/config.ts";
import { requireProtected, warnOfPlainHttp } from "../lib/exposure.ts";
import { fails } from "./support/fails.ts";
import { recordingLog } from "./support/recording_log.ts";

const ISSUER = { AUTH_JWT_ISSUER: "https://login.example.com", AUTH_JWT_AUDIENCE: "hsm-signer" };
const TLS = { TLS_CERT_FILE: "/a", TLS_KEY_FILE: "/b" };
const CERTIFICATES = { ...TLS, TLS_CLIENT_CA_FILE: "/c", AUTH_TLS_NAMES_FILE: "/d" };
const WIDE = ["0.0.0.0", "10.1.2.3", "::", "2001:db8::1", "::ffff:10.1.2.3"];
const NARROW = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", undefined];

const parse = (settings: Record<string, string>) =>
  parseConfig(
    { HSM_MODULE: "/module.so", HSM_PIN: "1234", ...settings },
    { fileExists: () => true, readFile: () => "", distinguishedNameFault: () => undefined },
  );

describe("Where nobody is authenticated,", () => {
  for (const address of WIDE) {
    it(`${address} is not listened on, and the settings that help are named.`, () => {
      assert.throws(
        () => requireProtected(address, parse({}).http),
        fails("ERR_CONFIGURATION", /^Cannot listen on .*HOST, ListenStream.*AUTH_TOKENS_FILE.*ALLOW_/),
      );
    });

    it(`${address} is, when somebody is authenticated there or accepts the risk.`, () => {
      for (const settings of [ISSUER, CERTIFICATES, { ALLOW_UNAUTHENTICATED_NETWORK: "true" }]) {
        requireProtected(address, parse(settings).http);
      }
    });
  }

  it("loopback and Unix sockets are.", () => {
    for (const address of NARROW) requireProtected(address, parse({}).http);
  });
});

describe("A token that is sent over a network without TLS", () => {
  const warnings = (address: string | undefined, settings: Record<string, string>): number => {
    const { log, events } = recordingLog();
    warnOfPlainHttp(address, parse(settings), log);
    return events.filter(({ event, level }) => event === "http.plain" && level === "warning").length;
  };

  it("is a warning.", () => {
    for (const address of WIDE) assert.equal(warnings(address, ISSUER), 1, address);
  });

  it("is none with TLS, behind a proxy that is known, on loopback, and where there is no token.", () => {
    assert.equal(warnings("10.1.2.3", { ...ISSUER, ...TLS }), 0);
    assert.equal(warnings("10.1.2.3", { ...ISSUER, TRUSTED_PROXIES: "10.0.0.1" }), 0);
    assert.equal(warnings("10.1.2.3", { ALLOW_UNAUTHENTICATED_NETWORK: "true" }), 0);
    assert.equal(warnings("10.1.2.3", CERTIFICATES), 0);
    for (const address of NARROW) assert.equal(warnings(address, ISSUER), 0, address);
  });
});
