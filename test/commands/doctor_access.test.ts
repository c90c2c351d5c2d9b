import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import type { CommandContext } from "../../lib/command.ts";
import { checkAccess } from "../../lib/commands/doctor/access_check.ts";
import { Examined } from "../../lib/commands/doctor/examined.ts";
import { NeedError, type Outcome } from "../../lib/commands/doctor/finding.ts";
import { knownConfiguration } from "../../lib/commands/doctor/known_configuration.ts";
import { TestIssuer } from "../support/issuer.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { TlsAuthority, validFor } from "../support/tls_pki.ts";

const directory = temporaryDirectory();
const authority = await TlsAuthority.create();
const issuer = await TestIssuer.start();
after(() => issuer.stop());

const DAY_MS = 86_400_000;
const inDays = (days: number): string => new Date(Date.now() + days * DAY_MS).toISOString();
const MINIMUM = { HSM_MODULE: "/", HSM_PIN: "1234", HSM_KEY_LABEL: "seal,stamp" };

async function outcomes(settings: Readonly<Record<string, string>>): Promise<readonly Outcome[]> {
  const context: CommandContext = {
    environment: { ...MINIMUM, ...settings },
    sources: {
      fileExists: existsSync,
      readFile: (path) => readFileSync(path, "utf8"),
      distinguishedNameFault: () => undefined,
    },
    now: () => new Date(),
    print: () => {},
    tell: () => {},
  };
  const examined = new Examined(context, knownConfiguration(context, {}), () => {});
  const found: Outcome[] = [];
  for await (const outcome of checkAccess(examined)) found.push(outcome);
  return found;
}

function file(name: string, ...lines: readonly object[]): string {
  const path = join(directory, name);
  writeFileSync(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
  return path;
}

const token = (name: string, more: object = {}): object => ({
  name,
  sha256: Buffer.from(name.padEnd(32)).toString("hex"),
  ...more,
});

const tls = async (until: number): Promise<Record<string, string>> => {
  const { certificateFile, keyFile } = await authority.server({ days: validFor(-1, until) });
  return { TLS_CERT_FILE: certificateFile, TLS_KEY_FILE: keyFile };
};

const statuses = (found: readonly Outcome[]): readonly string[] => found.map(({ status }) => status);

describe("access", () => {
  test("is ok on loopback although nobody is authenticated, and a warning where that is wider", async () => {
    const [narrow, ...others] = await outcomes({});
    assert.equal(narrow?.found, "nobody is authenticated; only this machine reaches 127.0.0.1");
    assert.deepEqual(others, []);
    const wide = await outcomes({ HOST: "10.1.2.3", ALLOW_UNAUTHENTICATED_NETWORK: "true" });
    assert.deepEqual(statuses(wide), ["warning"]);
    assert.match(wide[0]?.found ?? "", /^whoever reaches 10\.1\.2\.3 can sign/);
  });

  test("names every way in", async () => {
    const names = file("names", { name: "a", certificate: "CN:a" }, { name: "b", certificate: "DNS:b" });
    const found = await outcomes({
      ...(await tls(60)),
      AUTH_TOKENS_FILE: file("tokens", token("billing")),
      AUTH_JWT_ISSUER: issuer.url,
      AUTH_JWT_AUDIENCE: "hsm-signer",
      TLS_CLIENT_CA_FILE: authority.file,
      AUTH_TLS_NAMES_FILE: names,
    });
    assert.deepEqual(found, [
      {
        status: "ok",
        found: `bearer tokens: 1; JWTs of ${issuer.url}; client certificates: 2, over TLS`,
      },
    ]);
  });

  test("warns of what ended, ends soon, is for nothing that is served, and of a file of nobody", async () => {
    const tokens = file(
      "ending",
      token("gone", { expires: inDays(-1) }),
      token("going", { expires: inDays(3) }),
      token("staying", { expires: inDays(300) }),
      token("lost", { credentials: ["seal", "other"] }),
    );
    const found = await outcomes({ AUTH_TOKENS_FILE: tokens });
    assert.deepEqual(statuses(found), ["ok", "warning", "warning", "warning"]);
    assert.match(found[1]?.found ?? "", /^"gone" in AUTH_TOKENS_FILE ended at 20/);
    assert.match(found[2]?.found ?? "", /^"going" in AUTH_TOKENS_FILE ends at 20/);
    assert.match(found[3]?.found ?? "", /^"lost" .* not served: other$/);
    const empty = await outcomes({ AUTH_TOKENS_FILE: file("empty") });
    assert.deepEqual(statuses(empty), ["ok", "warning"]);
    assert.equal(empty[1]?.found, "AUTH_TOKENS_FILE lets nobody in");
  });

  test("warns where the issuer does not answer, and where tokens come over plain HTTP", async () => {
    const away = await TestIssuer.start();
    await away.stop();
    const settings = { AUTH_JWT_ISSUER: away.url, AUTH_JWT_AUDIENCE: "hsm-signer", HOST: "10.1.2.3" };
    const found = await outcomes(settings);
    assert.deepEqual(statuses(found), ["ok", "warning", "warning"]);
    assert.match(found[1]?.found ?? "", /^nobody comes in with a JWT: .*openid-configuration/);
    assert.match(found[2]?.found ?? "", /plain HTTP to 10\.1\.2\.3/);
  });

  test("warns of a certificate of TLS that ends soon, and fails with files that do not fit", async () => {
    const soon = await outcomes(await tls(3));
    assert.deepEqual(statuses(soon), ["ok", "warning"]);
    assert.match(soon[1]?.found ?? "", /^a certificate in TLS_CERT_FILE ends at/);
    const { TLS_CERT_FILE = "" } = await tls(60);
    const wrong = await outcomes({ ...(await tls(60)), TLS_CERT_FILE });
    assert.deepEqual(statuses(wrong), ["ok", "failure"]);
    assert.match(wrong[1]?.found ?? "", /^TLS_KEY_FILE is not the key/);
  });

  test("is not checked where its settings have mistakes", async () => {
    await assert.rejects(outcomes({ AUTH_TOKENS_FILE: join(directory, "missing") }), NeedError);
    await assert.rejects(outcomes({ HOST: "nowhere" }), NeedError);
    assert.deepEqual(statuses(await outcomes({ PORT: "http" })), ["ok"]);
  });

  test("shows nothing of a token", async () => {
    const found = await outcomes({ AUTH_TOKENS_FILE: file("tokens", token("billing")) });
    assert.ok(!JSON.stringify(found).includes(Buffer.from("billing".padEnd(32)).toString("hex")));
  });
});
