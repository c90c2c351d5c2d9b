import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import { softHsmBackEnd } from "../support/back_ends.ts";
import { runCommand } from "../support/command.ts";
import { isSignatureOver } from "../support/container.ts";
import { type ReloadableService, reloadableServiceOn } from "../support/service_on.ts";
import { hasLogged, SignClient } from "../support/sign_client.ts";
import { SteadyLoad } from "../support/steady_load.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const p256 = signatureAlgorithm("P-256", "SHA-256");
const backEnd = softHsmBackEnd();
const client = new SignClient();
const KEYS = { HSM_KEY_ALGORITHM: "P-256", HSM_AUTO_PROVISION: "true", HSM_KEY_LABEL: "invoices, seal" };

describe("Bearer tokens of a running service", () => {
  const file = join(temporaryDirectory(), "tokens");
  const settings = { ...KEYS, AUTH_TOKENS_FILE: file };
  let service: ReloadableService;
  const tokens: string[] = [];
  before(async () => {
    writeFileSync(file, "# nobody yet\n");
    service = await reloadableServiceOn(backEnd, settings);
  });
  after(() => service.stop());

  const create = async (name: string, ...words: string[]): Promise<string> => {
    const { stdout, stderr } = await runCommand(["token", "create", "--name", name, ...words], {
      AUTH_TOKENS_FILE: file,
    });
    assert.notEqual(stdout, "", stderr);
    tokens.push(stdout.trim());
    return `Bearer ${stdout.trim()}`;
  };

  test("let nobody in before one is made and the service has read it", async () => {
    assert.equal((await client.ask(service.url)).code, "ERR_UNAUTHENTICATED");
    assert.deepEqual(service.events("access.nobody").length, 1);
    const billing = await create("billing");
    assert.equal((await client.ask(service.url, billing)).code, "ERR_UNAUTHENTICATED");
    assert.equal((await service.reload(settings))["event"], "reloaded");
    const hash = randomBytes(32);
    const { status, body } = await client.ask(service.url, billing, { hash: hash.toString("hex") });
    assert.equal(status, 200);
    const { p7 }: { p7: string } = JSON.parse(body);
    assert.ok(isSignatureOver(hash, Buffer.from(p7, "base64"), p256));
    await hasLogged(service, { caller: "token:billing", address: "127.0.0.1", status: 200 });
  });

  test("are for the credentials that they name, and for no other", async () => {
    const [seal, all, standard] = [
      await create("sealer", "--credential", "seal"),
      await create("all", "--credential", "*"),
      `Bearer ${tokens[0]}`,
    ];
    await service.reload(settings);
    const codes = async (authorization: string): Promise<(string | number)[]> =>
      Promise.all(
        ["", "?credential=invoices", "?credential=seal", "?credential=none"].map(async (query) => {
          const { code, status } = await client.ask(service.url, authorization, { query });
          return code ?? status;
        }),
      );
    assert.deepEqual(await codes(standard), [200, 200, "ERR_FORBIDDEN", "ERR_FORBIDDEN"]);
    assert.deepEqual(await codes(seal), ["ERR_FORBIDDEN", "ERR_FORBIDDEN", 200, "ERR_FORBIDDEN"]);
    assert.deepEqual(await codes(all), [200, 200, 200, "ERR_CREDENTIAL_UNKNOWN"]);
  });

  test("are as they were when the new file has a mistake, which is named", async () => {
    const good = readFileSync(file, "utf8");
    writeFileSync(file, `${good}{"name":"x"}\n`);
    const outcome = await service.reload(settings);
    assert.equal(outcome["event"], "reload.failed");
    assert.match(
      JSON.stringify(outcome["mistakes"]),
      /AUTH_TOKENS_FILE has a mistake: .*, line \d, has no sha256/,
    );
    assert.equal((await client.ask(service.url, `Bearer ${tokens[0]}`)).status, 200);
    writeFileSync(file, good);
  });

  test("end with the reload after they are revoked, and nobody else's request is lost", async () => {
    const load = new SteadyLoad({
      url: service.url,
      algorithm: p256,
      concurrency: 4,
      query: "?credential=invoices",
      authorization: `Bearer ${tokens[2]}`,
    });
    await load.answers(10);
    await runCommand(["token", "revoke", "billing"], { AUTH_TOKENS_FILE: file });
    assert.equal((await service.reload(settings))["event"], "reloaded");
    assert.equal((await client.ask(service.url, `Bearer ${tokens[0]}`)).code, "ERR_UNAUTHENTICATED");
    await load.answers(10);
    const tally = await load.stop();
    assert.deepEqual([tally.signed, tally.others], [tally.sent, []]);
  });

  test("are neither in the log nor in an answer", async () => {
    const everything = client.told + JSON.stringify(service.events());
    for (const token of tokens) assert.ok(!everything.includes(token.slice(8, 24)));
    assert.ok(everything.includes("token:sealer"));
  });
});
