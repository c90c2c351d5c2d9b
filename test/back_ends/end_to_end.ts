import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { embedSignature, preparePdf } from "../../dev/sample_pdf.ts";
import { type ServiceProcess, startServiceProcess } from "../../dev/service_process.ts";
import { type HashAlgorithm, type SignatureAlgorithm, signatureAlgorithm } from "../../lib/algorithms.ts";
import { EXIT } from "../../lib/exit_codes.ts";
import type { BackEnd } from "../support/back_ends.ts";
import { complaintOf } from "../support/complaint.ts";
import { at, isSorted, readDer } from "../support/der_reader.ts";
import { judgePdf, judgeSignedData } from "../support/judges.ts";
import { temporaryDirectory } from "../support/temporary.ts";

const prepared = await preparePdf({ paddingBytes: 100_000 });
const RSA = signatureAlgorithm("RSA-2048", "SHA-256");

/** The request forms, as a client makes them. */
const FORMS: Readonly<Record<string, (hash: HashAlgorithm) => { type: string; body: string | Buffer }>> = {
  "{ encodedContents }": () => json({ encodedContents: prepared.signedBytes.toString("base64") }),
  "{ encodedContents, hash }": (hash) =>
    json({
      encodedContents: prepared.signedBytes.toString("base64"),
      hash: digestHex(hash).toUpperCase(),
    }),
  "{ hash }": (hash) => json({ hash: digestHex(hash) }),
  "application/pdf": () => ({ type: "application/pdf", body: prepared.signedBytes }),
  "application/octet-stream": () => ({ type: "application/octet-stream", body: prepared.signedBytes }),
};

function json(value: object): { type: string; body: string } {
  return { type: "application/json", body: JSON.stringify(value) };
}

function digestHex({ nodeName }: HashAlgorithm): string {
  return createHash(nodeName).update(prepared.signedBytes).digest("hex");
}

async function requestSignature(
  url: string,
  type: string,
  body: string | Buffer,
  accept?: string,
): Promise<Buffer> {
  const response = await fetch(`${url}/sign`, {
    method: "POST",
    headers: { "content-type": type, ...(accept ? { accept } : {}) },
    body: body as BodyInit,
  });
  assert.equal(response.status, 200, await response.clone().text());
  assert.equal(response.headers.get("content-type"), accept ?? "application/json");
  if (accept !== undefined) return Buffer.from(await response.arrayBuffer());
  const { p7 } = (await response.json()) as { p7: string };
  assert.match(p7, /^[\w+/]+={0,2}$/);
  return Buffer.from(p7, "base64");
}

/** The strict reader checks lengths and the order of every SET OF; those under IMPLICIT tags are looked at here. */
function assertIsDer(p7: Buffer): void {
  const signedData = at(readDer(p7), 1, 0);
  assert.ok(isSorted(at(signedData, 3)), "certificates");
  assert.ok(isSorted(at(signedData, 4, 0, 3)), "signed attributes");
}

function assertAllAgree(verdicts: ReturnType<typeof judgeSignedData>): void {
  for (const { judge, valid, text } of verdicts) assert.ok(valid, `${judge}: ${text}`);
}

/** The whole service in a process of its own, judged by programs that are not ours. */
export function endToEndSuite(backEnd: BackEnd): void {
  const directory = temporaryDirectory();
  const base = { ...backEnd.settings, CERT_DIR: directory, PORT: "0" };

  const settingsFor = ({ key, scheme, hash }: SignatureAlgorithm): Record<string, string> => ({
    ...base,
    HSM_KEY_LABEL: backEnd.keyLabel(key.name),
    HSM_KEY_ALGORITHM: key.name,
    DIGEST: hash.name,
    ...(scheme === "ECDSA" ? {} : { SIGNATURE_SCHEME: scheme }),
  });

  for (const algorithm of backEnd.algorithms) {
    describe(`${algorithm.key.name} ${algorithm.scheme} ${algorithm.hash.name}`, () => {
      let service: ServiceProcess | undefined;
      let certificatePem = "";
      let maxContainerBytes = 0;

      before(async () => {
        service = await startServiceProcess({
          environment: { ...settingsFor(algorithm), HSM_AUTO_PROVISION: "true" },
        });
        certificatePem = await (await fetch(`${service.url}/certificate`)).text();
        const facts = (await (await fetch(`${service.url}/readyz`)).json()) as { maxContainerBytes: number };
        maxContainerBytes = facts.maxContainerBytes;
      });
      after(async () => void (await service?.stop()));

      for (const [form, make] of Object.entries(FORMS)) {
        test(`${form}: OpenSSL, GnuTLS and poppler accept the container`, async () => {
          const { type, body } = make(algorithm.hash);
          const p7 = await requestSignature(service?.url ?? "", type, body);
          assertAllAgree(judgeSignedData(p7, prepared.signedBytes, certificatePem, algorithm));
          assertAllAgree([judgePdf(embedSignature(prepared, p7))]);
          assertIsDer(p7);
          assert.ok(p7.length <= maxContainerBytes && maxContainerBytes < 16_384);
          for (const accept of ["application/pkcs7-signature", "application/cms"]) {
            const der = await requestSignature(service?.url ?? "", type, body, accept);
            assertAllAgree(judgeSignedData(der, prepared.signedBytes, certificatePem, algorithm));
          }
        });
      }

      test("the judges refuse the container over other bytes", async () => {
        const p7 = await requestSignature(service?.url ?? "", "application/pdf", randomBytes(100));
        for (const { judge, valid } of judgeSignedData(p7, prepared.signedBytes, certificatePem, algorithm)) {
          assert.ok(!valid, `${judge} accepts it`);
        }
        assert.ok(!judgePdf(embedSignature(prepared, p7)).valid, "pdfsig accepts it");
      });
    });
  }

  test("a second start presents the same certificate, byte for byte, and needs no permission to make one", async () => {
    const path = join(directory, `${backEnd.keyLabel(RSA.key.name)}.pem`);
    const before = readFileSync(path);
    const again = await startServiceProcess({ environment: settingsFor(RSA) });
    assert.equal(await (await fetch(`${again.url}/certificate`)).text(), before.toString());
    assert.deepEqual(readFileSync(path), before);
    assert.equal(statSync(path).mode & 0o777, 0o644);
    await again.stop();
  });

  test("200 requests at once over 16 sessions: each gets a valid container over its own bytes", async () => {
    const service = await startServiceProcess({ environment: settingsFor(RSA) });
    const certificatePem = await (await fetch(`${service.url}/certificate`)).text();
    const documents = Array.from({ length: 200 }, () => randomBytes(1_000));
    const containers = await Promise.all(
      documents.map((document) => requestSignature(service.url, "application/pdf", document)),
    );
    for (const [index, document] of documents.entries()) {
      const [openssl] = judgeSignedData(containers[index] ?? Buffer.alloc(0), document, certificatePem, RSA);
      assert.ok(openssl?.valid, `request ${index}: ${openssl?.text}`);
    }
    const { code } = await service.stop();
    assert.equal(code, 0);
  });

  test("SIGTERM lets what is in flight end, logs out, and exits with 0", async () => {
    const lines: string[] = [];
    const service = await startServiceProcess({
      environment: settingsFor(RSA),
      onLine: (line) => lines.push(line),
    });
    const requests = Array.from({ length: 50 }, () =>
      requestSignature(service.url, "application/pdf", randomBytes(1_000)).catch((error: unknown) => error),
    );
    // The first answers are there, the others on their way.
    await requests[0];
    const { code, complaint } = await service.stop();
    assert.deepEqual([code, complaint], [0, ""]);
    const results = await Promise.all(requests);
    const answered = results.filter((result) => result instanceof Buffer).length;
    assert.ok(answered > 0);
    assert.equal(JSON.parse(lines.at(-1) ?? "{}").event, "stopped");
  });

  test("a key that is missing stops the start, and the sentence names what to do", async () => {
    const complaint = await complaintOf({ ...base, HSM_KEY_LABEL: backEnd.keyLabel("nobody") }, EXIT.failed);
    assert.match(complaint, /nobody" .*there are .*".*hsm-signer provision/);
  });

  test("a port that is taken is named with its setting", async () => {
    const first = await startServiceProcess({ environment: settingsFor(RSA) });
    const { port } = new URL(first.url);
    const complaint = await complaintOf({ ...settingsFor(RSA), PORT: port }, EXIT.usage);
    assert.match(
      complaint,
      new RegExp(`Cannot listen on 127\\.0\\.0\\.1, port ${port} \\(HOST, PORT\\): .*EADDRINUSE`),
    );
    await first.stop();
  });
}
