import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { lacks } from "../../lib/runtime.ts";
import { softHsmBackEnd } from "../support/back_ends.ts";
import { type ReloadableService, reloadableServiceOn } from "../support/service_on.ts";
import { hasLogged } from "../support/sign_client.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { TlsAuthority, type TlsIdentity, validFor } from "../support/tls_pki.ts";
import { requestOverTls } from "../support/tls_request.ts";

const backEnd = softHsmBackEnd();
const KEYS = { HSM_KEY_ALGORITHM: "P-256", HSM_AUTO_PROVISION: "true", HSM_KEY_LABEL: "invoices, seal" };

describe("TLS and client certificates of a running service", () => {
  let authority: TlsAuthority;
  let service: ReloadableService;
  let settings: Record<string, string>;
  const names = join(temporaryDirectory(), "names");
  before(async () => {
    authority = await TlsAuthority.create();
    const { certificateFile, keyFile } = await authority.server({ subject: "CN=first" });
    writeFileSync(names, '{"name":"billing","certificate":"CN:billing client"}\n');
    settings = {
      ...KEYS,
      TLS_CERT_FILE: certificateFile,
      TLS_KEY_FILE: keyFile,
      TLS_CLIENT_CA_FILE: authority.file,
      AUTH_TLS_NAMES_FILE: names,
    };
    service = await reloadableServiceOn(backEnd, settings);
  });
  after(() => service.stop());

  async function ask(client: Partial<TlsIdentity> = {}) {
    const { cert, key } = client;
    const { status, serverName, headers } = await requestOverTls(service.url, {
      ca: authority.pem,
      ...(cert === undefined || key === undefined ? {} : { cert, key }),
    });
    return { status, server: serverName, challenge: headers["www-authenticate"] };
  }

  test("let in whoever has a certificate and a line", async () => {
    const client = await authority.issue({ subject: "CN=billing client" });
    assert.deepEqual(await ask(client), { status: 200, server: "first", challenge: undefined });
    await hasLogged(service, { caller: "tls:billing", status: 200 });
    const challenge = 'ClientCertificate realm="hsm-signer"';
    assert.deepEqual(await ask(), { status: 401, server: "first", challenge });
    for (const other of [
      await authority.issue({ subject: "CN=other" }),
      await authority.issue({ subject: "O=without a CN" }),
      await authority.issue({ subject: "CN=billing client", days: validFor(-9, -1) }),
      await (await TlsAuthority.create()).issue({ subject: "CN=billing client" }),
    ])
      assert.equal((await ask(other)).status, 401);
    const reason = lacks("reasons from TLS") ? "UNABLE_TO_VERIFY_LEAF_SIGNATURE" : "CERT_HAS_EXPIRED";
    const refusal = `Cannot authenticate: the client certificate is not valid (${reason})`;
    await hasLogged(service, { refusal, status: 401 });
  });

  test("take new files on SIGHUP, and keep the old ones where the new have a mistake", async () => {
    const next = await authority.server({ subject: "CN=second" });
    const renewed = { ...settings, TLS_CERT_FILE: next.certificateFile, TLS_KEY_FILE: next.keyFile };
    const outcome = await service.reload({ ...settings, TLS_CERT_FILE: next.certificateFile });
    assert.equal(outcome["event"], "reload.failed");
    assert.match(JSON.stringify(outcome["mistakes"]), /TLS_KEY_FILE is not the key/);
    assert.equal((await ask()).server, "first");
    assert.equal((await service.reload(renewed))["event"], "reloaded");
    assert.equal((await ask()).server, "second");
    settings = renewed;
  });

  test("forget who is not in the file any more", async () => {
    const client = await authority.issue({ subject: "CN=billing client" });
    writeFileSync(names, "# nobody\n");
    await service.reload(settings);
    assert.equal((await ask(client)).status, 401);
  });

  test("are not taken back before a restart: the log says so, and nobody is let in", async () => {
    const { TLS_CERT_FILE, TLS_KEY_FILE, TLS_CLIENT_CA_FILE, AUTH_TLS_NAMES_FILE, ...plain } = settings;
    const tokens = join(temporaryDirectory(), "tokens");
    writeFileSync(tokens, "");
    for (let count = 1; count <= 2; count += 1) {
      assert.equal((await service.reload({ ...plain, AUTH_TOKENS_FILE: tokens }))["event"], "reloaded");
      const said = service.events("reload.needs_restart");
      assert.equal(said.length, count);
      assert.deepEqual(said.at(-1)?.["settings"], ["TLS_CERT_FILE", "TLS_CLIENT_CA_FILE"]);
      assert.deepEqual(await ask(), {
        status: 401,
        server: "second",
        challenge: 'Bearer realm="hsm-signer"',
      });
    }
  });
});
