import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, test } from "node:test";
import { Installation } from "../installation.ts";

const OPEN = { HOST: "0.0.0.0", AUTH_TOKENS_FILE: "/var/lib/hsm-signer/tokens" };

describe("An installation that other machines reach", () => {
  let installation: Installation;
  let token: string;

  before(async () => {
    installation = await Installation.make();
    await installation.configure(OPEN);
    token = (await installation.machine.run("hsm-signer", "token", "create", "--name", "front-end")).trim();
    await installation.systemctl("start", "hsm-signer");
  });
  after(() => installation.stop());

  const status = async (shown?: string): Promise<number> =>
    (await installation.sign(randomBytes(32), null, shown)).status;

  test("signs for whoever shows a token that its operator made, and warns of plain HTTP", async () => {
    assert.deepEqual([await status(token), await status(), await status(`${token}x`)], [200, 401, 401]);
    const journal = await installation.journal();
    assert.match(journal, /"event":"http\.plain"/);
    assert.ok(!journal.includes(token));
  });

  test("takes further tokens with a reload, and those that were revoked no more", async () => {
    const hsmSigner = (...words: string[]): Promise<string> =>
      installation.machine.run("hsm-signer", "token", ...words);
    const second = (await hsmSigner("create", "--name", "billing")).trim();
    await hsmSigner("revoke", "front-end");
    assert.deepEqual([await status(token), await status(second)], [200, 401]);
    await installation.systemctl("reload", "hsm-signer");
    assert.deepEqual([await status(token), await status(second)], [401, 200]);
    token = second;
  });

  test("does not become one that authenticates nobody by a reload", async () => {
    await installation.configure();
    const { code } = await installation.machine.try("systemctl", "reload", "hsm-signer");
    assert.notEqual(code, 0);
    assert.match(await installation.property("StatusText"), /changed nothing: .*nobody is authenticated/);
    assert.deepEqual([await status(token), await status()], [200, 401]);
  });
});
