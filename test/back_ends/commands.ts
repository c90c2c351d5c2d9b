import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { EXIT } from "../../lib/exit_codes.ts";
import type { BackEnd } from "../support/back_ends.ts";
import { type CommandResult, runCommand } from "../support/command.ts";
import { OpensslAuthority } from "../support/openssl_authority.ts";
import { printed } from "../support/programs.ts";
import { reloadableServiceOn } from "../support/service_on.ts";
import { temporaryDirectory } from "../support/temporary.ts";

interface Listed {
  readonly label: string;
  readonly isConfigured: boolean;
  readonly keys: readonly { readonly id: string; readonly algorithm: string }[];
  readonly chain?: { readonly certificates: readonly { readonly subject: string }[] };
  readonly proof: string;
}

/** A credential's life by commands, each run as a user runs it. */
export function commandSuite(backEnd: BackEnd): void {
  describe("By commands,", () => {
    const directory = temporaryDirectory();
    const certificates = join(directory, "certs");
    const settings = { ...backEnd.settings, CERT_DIR: certificates };
    const first = `${backEnd.keyLabel("by command")}:P-256`;
    const label = backEnd.keyLabel("by command");
    const authority = new OpensslAuthority();

    const run = (...args: readonly string[]): Promise<CommandResult> => runCommand(args, settings);

    async function succeeds(...args: readonly string[]): Promise<CommandResult> {
      const result = await run(...args);
      assert.equal(result.code, EXIT.ok, result.stderr);
      // Identifiers and serial numbers are chance, and may have the digits of a short PIN.
      const output = (result.stdout + result.stderr).replaceAll(/\b[0-9a-f]{20,}\b/gi, "");
      assert.ok(!output.includes(backEnd.pin), "the PIN is in the output");
      return result;
    }

    async function jsonOf<T>(...args: readonly string[]): Promise<T> {
      const { stdout } = await succeeds(...args, "--json");
      return JSON.parse(stdout) as T;
    }

    async function listed(wanted: string): Promise<Listed | undefined> {
      const { credentials } = await jsonOf<{ credentials: Listed[] }>("list");
      return credentials.find((credential) => credential.label === wanted);
    }

    test("request says that the key is to be made first", async () => {
      const { code, stderr, stdout } = await run("request", "--key-label", first, "--subject", "CN=A");
      assert.deepEqual([code, stdout], [EXIT.failed, ""]);
      assert.match(stderr, /Cannot find the key pair ".*" on the token: make it with hsm-signer provision/);
    });

    test("provision makes the pair and its certificate, says so while it works, and finds them afterwards", async () => {
      const made = await succeeds("provision", "--key-label", first, "--subject", "CN=Made, O=Tests");
      assert.match(made.stdout, /^Key pair +".*", P-256, CKA_ID \w{40}, made$/m);
      assert.match(made.stdout, /^ +CN=Made, O=Tests, until 20/m);
      assert.match(made.stderr, /The token generates the P-256 key pair/);
      const chain = readFileSync(join(certificates, `${label}.pem`));
      const again = await jsonOf<Record<string, string>>("provision", "--key-label", first);
      assert.deepEqual([again["key"], again["certificate"]], ["found", "found"]);
      assert.deepEqual(readFileSync(join(certificates, `${label}.pem`)), chain);
      assert.equal((await listed(label))?.proof, "proven");
    });

    test("two provisions at once end with the same pair, and leave no other", async () => {
      const racing = backEnd.keyLabel("racing");
      const results = await Promise.all(
        [1, 2].map((machine) =>
          runCommand(["provision", "--key-label", `${racing}:P-256`, "--json"], {
            ...settings,
            CERT_DIR: join(directory, `machine ${machine}`),
          }),
        ),
      );
      for (const { code, stderr } of results) assert.equal(code, EXIT.ok, stderr);
      const ids = results.map(({ stdout }) => (JSON.parse(stdout) as Record<string, string>)["keyId"]);
      assert.equal(ids[0], ids[1]);
      assert.deepEqual(
        (await listed(racing))?.keys.map(({ id }) => id),
        [ids[0]],
      );
    });

    test("request makes what OpenSSL and GnuTLS accept, on standard output or in a file that was not there", async () => {
      const args = ["--key-label", first, "--subject", "CN=Desk, O=Example, C=DE"];
      const more = [
        "--extended-key-usage",
        "documentSigning",
        "--subject-alt-name",
        "email:desk@example.com",
      ];
      const { stdout } = await succeeds("request", ...args, ...more);
      assert.match(stdout, /^-----BEGIN CERTIFICATE REQUEST-----\n/);
      const text = printed(stdout, "openssl", "req", "-in", "FILE", "-noout", "-verify", "-text");
      assert.match(text, /Certificate request self-signature verify OK/);
      assert.match(text, /Subject: C = DE, O = Example, CN = Desk/);
      assert.match(text, /Digital Signature, Non Repudiation/);
      assert.match(text, /email:desk@example\.com/);
      assert.match(printed(stdout, "certtool", "--crq-info", "--infile", "FILE"), /Self signature: verified/);
      const path = join(directory, "request.pem");
      const told = await succeeds("request", ...args, "--out", path);
      assert.match(told.stdout, /is in .*request\.pem/);
      assert.match(readFileSync(path, "utf8"), /BEGIN CERTIFICATE REQUEST/);
      const again = await run("request", ...args, "--out", path);
      assert.equal(again.code, EXIT.usage);
      assert.match(again.stderr, /--out.*EEXIST/);
    });

    test("request wants a subject, and names what is wrong with what it is told", async () => {
      for (const [args, pattern] of [
        [[], /CERT_SUBJECT \(or --subject\) must say whom/],
        [["--subject", "Example"], /CERT_SUBJECT must be a distinguished name/],
        [["--subject", "CN=A", "--extended-key-usage", "signing"], /extendedKeyUsage "signing"/],
        [["--subject", "CN=A", "--subject-alt-name", "a@b"], /subjectAltName "a@b"/],
      ] as const) {
        const { code, stderr } = await run("request", "--key-label", first, ...args);
        assert.notEqual(code, EXIT.ok);
        assert.match(stderr, pattern);
      }
    });

    test("import takes what the CA answers, keeps the former chain, and a running service takes it on SIGHUP", async () => {
      const service = await reloadableServiceOn(backEnd, { HSM_KEY_LABEL: first, CERT_DIR: certificates });
      const request = await succeeds("request", "--key-label", first, "--subject", "CN=Certified, O=Tests");
      const answer = join(directory, "answer.p7b");
      writeFileSync(answer, authority.answer(request.stdout));
      const { stdout } = await succeeds("import", answer, "--key-label", first);
      assert.match(
        stdout,
        /^1 {2}CN=Certified, O=Tests, until .*\n2 {2}CN=OpenSSL CA, O=Tests.*\n3 {2}CN=OpenSSL Root/,
      );
      assert.match(stdout, /the former one is .*\.pem\.\d{8}T\d{6}Z/);
      const former = readdirSync(certificates).filter((name) => name.startsWith(`${label}.pem.`));
      assert.equal(former.length, 1);
      assert.match(readFileSync(join(certificates, former[0] ?? ""), "utf8"), /BEGIN CERTIFICATE/);

      const before = await (await fetch(`${service.url}/certificate`)).text();
      const settled = { HSM_KEY_LABEL: first, CERT_DIR: certificates };
      assert.equal((await service.reload(settled))["event"], "reloaded");
      const after = await (await fetch(`${service.url}/certificate`)).text();
      assert.notEqual(after, before);
      assert.equal(after.match(/BEGIN CERTIFICATE/g)?.length, 3);
      await service.stop();

      const again = await jsonOf<Record<string, unknown>>("import", answer, "--key-label", first);
      assert.equal(again["isChanged"], false);
      assert.equal((await listed(label))?.chain?.certificates[0]?.subject, "CN=Certified, O=Tests");
    });

    test("import refuses what is for another key or no certificate, and changes nothing", async () => {
      const path = join(certificates, `${label}.pem`);
      const chain = readFileSync(path);
      const other = join(directory, "other.pem");
      writeFileSync(other, readFileSync(join(directory, "machine 1", `${backEnd.keyLabel("racing")}.pem`)));
      const request = join(directory, "request.pem");
      for (const [file, pattern] of [
        [other, /Cannot find a certificate that is for the key: there are only "CN=Self-signed/],
        [request, /it holds the request for a certificate/],
        [join(directory, "nothing"), /Cannot read .*nothing: ENOENT/],
        [directory, /EISDIR/],
      ] as const) {
        const { code, stderr, stdout } = await run("import", file, "--key-label", first);
        assert.notEqual(code, EXIT.ok);
        assert.equal(stdout, "");
        assert.match(stderr, pattern);
      }
      assert.deepEqual(readFileSync(path), chain);
      assert.equal(readdirSync(certificates).filter((name) => name.startsWith(`${label}.pem.`)).length, 1);
    });

    test("list shows keys without chains, chains without keys, and chains of other keys", async () => {
      const keyless = backEnd.keyLabel("keyless");
      const foreign = backEnd.keyLabel("racing");
      for (const name of [keyless, foreign]) {
        writeFileSync(join(certificates, `${name}.pem`), readFileSync(join(certificates, `${label}.pem`)));
      }
      assert.equal((await listed(keyless))?.proof, "no key on the token");
      assert.match((await listed(foreign))?.proof ?? "", /it is not for the key pair/);
      const { stdout } = await succeeds("list");
      assert.match(stdout, /^ +label +key +CKA_ID +certificate +expires +days +proof$/m);
      assert.match(stdout, /^\* +hsm-signer +– .*neither key nor chain$/m);
      assert.ok(existsSync(certificates));
    });
  });
}
