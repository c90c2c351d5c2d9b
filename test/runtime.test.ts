import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { createPrivateKey, createPublicKey, sign, verify, X509Certificate } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { proveChain } from "../lib/credential/chain.ts";
import { DENO_LACKS, lacks } from "../lib/runtime.ts";
import { moduleCommand } from "./support/module_command.ts";
import { temporaryDirectory } from "./support/temporary.ts";

/** A certificate that signed itself, of OpenSSL's making, in PEM, and its key. */
function selfSigned(
  algorithm: readonly string[],
  ...options: readonly string[]
): { pem: string; key: string } {
  const directory = temporaryDirectory();
  const [key, certificate] = [join(directory, "key"), join(directory, "certificate")];
  const subject = ["-subj", "/CN=Test", "-addext", "keyUsage=digitalSignature,keyCertSign"];
  execFileSync("openssl", ["genpkey", ...algorithm, "-out", key], { stdio: "ignore" });
  const request = ["req", "-x509", "-new", "-key", key, ...subject, ...options, "-out", certificate];
  execFileSync("openssl", request, { stdio: "ignore" });
  return { pem: readFileSync(certificate, "utf8"), key: readFileSync(key, "utf8") };
}

const curve = (name: string): string[] => ["-algorithm", "EC", "-pkeyopt", `ec_paramgen_curve:${name}`];

// What the list in lib/runtime.ts says has to be so: what a runtime learns, the code need not make up for.

test("of all that a runtime may lack, tests say what becomes of it", () => {
  const names = readdirSync(import.meta.dirname, { recursive: true, encoding: "utf8" });
  const sources = names.filter((name) => name.endsWith(".ts"));
  const text = sources.map((name) => readFileSync(join(import.meta.dirname, name), "utf8")).join("");
  const silent = Object.keys(DENO_LACKS).filter((name) => !text.includes(`lacks("${name}")`));
  assert.deepEqual(silent, []);
});

test("ECDSA with P-521 over SHA-256 is what the runtime lacks, or does not lack", () => {
  const { key } = selfSigned(curve("P-521"));
  const data = Buffer.from("data");
  const verifies = (): boolean =>
    verify("sha256", data, createPublicKey(key), sign("sha256", data, createPrivateKey(key)));
  assert.equal(isTrue(verifies), !lacks("ECDSA over short digests"));
});

test("certificates whose signature is with P-521 or PSS are what the runtime lacks, or does not lack", () => {
  const pss = ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"];
  for (const { pem } of [selfSigned(curve("P-521"), "-sha512"), selfSigned(["-algorithm", "RSA"], ...pss)]) {
    const certificate = new X509Certificate(pem);
    assert.equal(
      isTrue(() => certificate.verify(certificate.publicKey)),
      !lacks("X.509"),
    );
  }
});

test("a chain whose signatures are with Ed448 or a curve that few have is proven, or refused with the reason", async () => {
  for (const algorithm of [["-algorithm", "ed448"], curve("secp256k1"), curve("brainpoolP256r1")]) {
    const base64 = selfSigned(algorithm).pem.replaceAll(/-----.*-----|\s/g, "");
    const proof = proveChain([new Uint8Array(Buffer.from(base64, "base64"))], new Date());
    if (!lacks("rare curves")) assert.ok((await proof).isSelfSigned);
    else {
      await assert.rejects(proof, {
        code: "ERR_CERTIFICATE_MALFORMED",
        message: /^Cannot read certificate 1 of the chain: .*(Ed448|secp256k1|curve)/,
      });
    }
  }
});

for (const [what, script] of [
  ["an error that nobody catches", 'setTimeout(() => { throw new Error("nobody"); });'],
  ["a rejection that nobody catches", 'Promise.reject(new Error("nobody"));'],
] as const) {
  test(`${what} ends the process with an exit event, or without one where the runtime has none`, () => {
    const { stdout, status } = runAlone(`process.on("exit", () => console.log("exit")); ${script}`);
    assert.equal(status, 1);
    assert.equal(stdout, lacks("exit event after errors") ? "" : "exit\n");
  });
}

test("a file that may not grow is an error to who writes to it, or the end where the runtime lets it be", () => {
  const { stdout, signal } = runAlone(`
    const { execFileSync } = await import("node:child_process");
    const { writeFileSync } = await import("node:fs");
    execFileSync("prlimit", ["--pid=" + process.pid, "--fsize=10:unlimited"]);
    try { writeFileSync(${JSON.stringify(join(temporaryDirectory(), "file"))}, "x".repeat(20)); }
    catch { console.log("an error"); }`);
  assert.deepEqual([stdout, signal], lacks("immunity to SIGXFSZ") ? ["", "SIGXFSZ"] : ["an error\n", null]);
});

function runAlone(text: string): { stdout: string; status: number | null; signal: string | null } {
  const { program, args } = moduleCommand(text);
  return spawnSync(program, args, { encoding: "utf8" });
}

function isTrue(verdict: () => boolean): boolean {
  try {
    return verdict();
  } catch {
    return false;
  }
}
