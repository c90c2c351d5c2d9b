import assert from "node:assert/strict";
import { createWriteStream, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { Page } from "playwright-core";
import { samplePdf } from "../../dev/demo_page/sample_pdf.js";
import { startThrowawayService, type ThrowawayService } from "../../dev/throwaway_service.ts";
import { signatureAlgorithm } from "../../lib/algorithms.ts";
import { DocumentSigner } from "../../lib/document_signer.ts";
import { frontEnd } from "../../lib/http/front_end.ts";
import { type SoftwareService, startSoftwareService } from "../support/http_service.ts";
import { judgePdf, judgeSignedData, judgeStructure } from "../support/judges.ts";
import { onePage, writePdf } from "../support/pdf_writer.ts";
import { temporaryDirectory } from "../support/temporary.ts";
import { type OpenPage, picture, useChromium } from "./support/chromium.ts";

const ALGORITHM = signatureAlgorithm("RSA-2048", "SHA-256");
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const directory = temporaryDirectory();

const VIEWS = {
  "desktop-light": { viewport: { width: 1280, height: 900 }, colorScheme: "light" },
  "desktop-dark": { viewport: { width: 1280, height: 900 }, colorScheme: "dark" },
  "phone-light": { ...PHONE, colorScheme: "light" },
  "phone-dark": { ...PHONE, colorScheme: "dark" },
} as const;

const pdf = (bytes: Uint8Array | string, name = "contract.pdf") => ({
  name,
  mimeType: "application/pdf",
  buffer: Buffer.from(bytes as Uint8Array),
});

async function waitForResult(page: Page): Promise<"signed" | "failed"> {
  await page.waitForSelector("#signed:not([hidden]), #failed:not([hidden])", { timeout: 120_000 });
  return (await page.isVisible("#signed")) ? "signed" : "failed";
}

/** The file that the page offers, saved by the browser as a person would. */
async function download(page: Page): Promise<{ name: string; bytes: Buffer<ArrayBuffer> }> {
  const [saved] = await Promise.all([page.waitForEvent("download"), page.click("#download")]);
  return { name: saved.suggestedFilename(), bytes: readFileSync(await saved.path()) as Buffer<ArrayBuffer> };
}

const facts = (page: Page): Promise<Record<string, string>> =>
  page.$$eval("#facts dt", (terms) =>
    Object.fromEntries(terms.map((term) => [term.textContent, term.nextElementSibling?.textContent ?? ""])),
  );

/** What poppler, mupdf, qpdf, OpenSSL and GnuTLS say of a file with one new signature at its end. */
function assertSigned(signed: Buffer, certificatePem: string): void {
  for (const verdict of [judgePdf(signed), ...judgeStructure(signed)]) {
    assert.ok(verdict.valid, `${verdict.judge}: ${verdict.text}`);
  }
  const tail = signed.subarray(-200_000);
  const [, start = 0, end = 0] = (
    /\/ByteRange \[([\d ]+)\](?![\s\S]*\/ByteRange)/.exec(tail.toString("latin1"))?.[1] ?? ""
  )
    .trim()
    .split(/ +/)
    .map(Number);
  const padded = Buffer.from(signed.toString("latin1", start + 1, end - 1), "hex");
  // A SEQUENCE whose length has two bytes; zeros follow it.
  const container = padded.subarray(0, padded.readUInt16BE(2) + 4);
  const content = Buffer.concat([signed.subarray(0, start), signed.subarray(end)]);
  for (const { judge, valid, text } of judgeSignedData(container, content, certificatePem, ALGORITHM)) {
    assert.ok(valid, `${judge}: ${text}`);
  }
}

/** A PDF of so many bytes, in a file. */
async function largePdf(size: number): Promise<string> {
  const path = join(directory, "large.pdf");
  const file = createWriteStream(path);
  file.write(await samplePdf({ paddingBytes: size }));
  await new Promise((resolve) => file.end(resolve));
  return path;
}

describe("The demo page, with the service on a token,", () => {
  const open = useChromium();
  let service: ThrowawayService | undefined;
  let certificatePem = "";

  before(async () => {
    service = await startThrowawayService(join(directory, "service"), { DEMO_PAGE: "true" });
    certificatePem = await (await fetch(`${service.url}/certificate`)).text();
  });
  after(async () => void (await service?.stop()));

  for (const [view, options] of Object.entries(VIEWS)) {
    it(`signs the sample, and looks as it should: ${view}`, async () => {
      const { page, faults, requests, close } = await open(service?.url ?? "", options);
      await page.waitForSelector("#service[data-state=ready]");
      await assertFits(page);
      await picture(page, `${view}-choose`);
      await page.click("#sample");
      assert.equal(await waitForResult(page), "signed");
      await assertFits(page);
      await picture(page, `${view}-signed`);
      assert.equal(await page.textContent("#signed-title"), "Signed and verified");
      const { name, bytes } = await download(page);
      assert.equal(name, "sample.signed.pdf");
      assertSigned(bytes, certificatePem);
      await page.click("#another");
      await page.setInputFiles("#file", pdf("%PDF-1.7\nnothing", "notes.pdf"));
      assert.equal(await waitForResult(page), "failed");
      await assertFits(page);
      await picture(page, `${view}-failed`);
      assert.deepEqual(faults, []);
      const elsewhere = requests.filter(
        ({ url }) => !url.startsWith(`${service?.url}/`) && !url.startsWith("blob:"),
      );
      assert.deepEqual(elsewhere, []);
      await close();
    });
  }

  it("shows the facts of the signature as OpenSSL would, and what it has not checked", async () => {
    const { page, requests, close } = await open(service?.url ?? "");
    await page.click("#sample");
    await waitForResult(page);
    const shown = await facts(page);
    const { X509Certificate } = await import("node:crypto");
    const certificate = new X509Certificate(certificatePem);
    assert.match(shown["Signer"] ?? "", /^Self-signed document signing certificate \(hsm-signer\)CN=/);
    assert.equal(shown["Algorithm"], "RSA, 2048 bits, PKCS#1 v1.5, SHA-256");
    assert.equal(shown["Issued by"], "itself (self-signed)");
    const serial = shown["Serial number"]?.replaceAll(":", "").replace(/^0+/, "");
    assert.equal(serial?.toUpperCase(), certificate.serialNumber.replace(/^0+/, ""));
    const fingerprint = certificate.fingerprint256.replaceAll(":", "").toLowerCase();
    assert.equal(shown["Certificate SHA-256"], fingerprint);
    const signs = requests.filter(({ method }) => method === "POST");
    assert.deepEqual(
      signs.map(({ body }) => body),
      [JSON.stringify({ hash: shown["Digest of the file"] })],
    );
    assert.equal(await page.locator("#checks li[data-holds=true]").count(), 4);
    assert.equal(await page.locator("#checks li").count(), 4);
    assert.match((await page.textContent("#unchecked")) ?? "", /^\s*Trust: .*Revocation: .*The clock: /s);
    await close();
  });

  it("signs a PDF that somebody picks, and one that is signed already", async () => {
    const { page, faults, close } = await open(service?.url ?? "");
    await page.setInputFiles(
      "#file",
      pdf(writePdf({ objects: onePage(), form: "stream" }), "Vertrag für Ünal.PDF"),
    );
    assert.equal(await waitForResult(page), "signed");
    const first = await download(page);
    assert.equal(first.name, "Vertrag für Ünal.signed.pdf");
    assertSigned(first.bytes, certificatePem);
    await page.click("#another");
    await page.setInputFiles("#file", pdf(first.bytes));
    assert.equal(await waitForResult(page), "signed");
    const second = await download(page);
    assertSigned(second.bytes, certificatePem);
    assert.equal(judgePdf(second.bytes).text.match(/Signature is Valid/g)?.length, 2);
    assert.deepEqual(faults, []);
    await close();
  });

  it("signs 100 MB, shows how far it is, and sends nothing but the digest", async () => {
    const path = await largePdf(100_000_000);
    const { page, faults, requests, close } = await open(service?.url ?? "");
    await page.evaluate(() => {
      const seen: number[] = [];
      Object.assign(globalThis, { seen });
      const watch = new MutationObserver((changes) => {
        for (const { target } of changes) seen.push((target as HTMLProgressElement).value);
      });
      for (const bar of document.querySelectorAll("progress")) watch.observe(bar, { attributes: true });
    });
    await page.setInputFiles("#file", path);
    await page.waitForSelector("#steps [data-step=read][data-state=now]");
    await picture(page, "desktop-light-working");
    assert.equal(await waitForResult(page), "signed");
    const seen = await page.evaluate(() => (globalThis as unknown as { seen: number[] }).seen);
    assert.ok(new Set(seen).size > 10, `the bars showed ${seen.join(", ")}`);
    assert.equal(await page.textContent("#signed-title"), "Signed and verified");
    const sent = requests.filter(({ method }) => method === "POST").map(({ body }) => body?.length);
    assert.deepEqual(sent, [75]);
    const { bytes } = await download(page);
    assert.ok(bytes.length > 100_000_000);
    assertSigned(bytes, certificatePem);
    assert.deepEqual(faults, []);
    await close();
  });

  it("refuses files that cannot be signed with a sentence, and asks the service for nothing", async () => {
    const { page, faults, requests, close } = await open(service?.url ?? "");
    const sample = Buffer.from(await samplePdf()).toString("latin1");
    for (const [contents, sentence] of [
      ["", "This file is not a PDF."],
      ["<html>", "This file is not a PDF."],
      [sample.slice(0, -40), "This PDF is damaged: its end is missing."],
      [sample.replace("/Info 7 0 R", "/Encrypt 7 0 R"), /^This PDF is encrypted/],
    ] as const) {
      await page.setInputFiles("#file", pdf(Buffer.from(contents, "latin1")));
      assert.equal(await waitForResult(page), "failed");
      const text = (await page.textContent("#failed-text")) ?? "";
      if (typeof sentence === "string") assert.equal(text, sentence);
      else assert.match(text, sentence);
      assert.ok(await page.isHidden("#retry"), "trying again would change nothing");
      assert.equal(await page.getAttribute("#failed", "role"), "alert");
      await page.click("#back");
    }
    assert.deepEqual(
      requests.filter(({ method }) => method === "POST"),
      [],
    );
    assert.deepEqual(faults, []);
    await close();
  });

  it("is worked with the keyboard, and says aloud what happens", async () => {
    const { page, close } = await open(service?.url ?? "");
    // The browser is told before it is pressed for one; it would open a dialog of its own otherwise.
    const chosen = page.waitForEvent("filechooser").then((chooser) => chooser, String);
    await page.waitForSelector("#service[data-state=ready]");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement?.id), "file");
    const outline = await page.$eval("label[for=file]", (label) => getComputedStyle(label).outlineStyle);
    assert.equal(outline, "solid", "the label does not show that its field has the focus");
    await page.keyboard.press("Space");
    const chooser = await chosen;
    assert.ok(typeof chooser === "object", String(chooser));
    await chooser.setFiles(pdf(await samplePdf()));
    assert.equal(await waitForResult(page), "signed");
    assert.equal(await page.textContent("[role=status]"), "Signed and verified");
    assert.equal(await page.evaluate(() => document.activeElement?.id), "signed-title");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement?.id), "download");
    await close();
  });

  it("takes a file that is dropped on it, and is not lost to one that is dropped beside it", async () => {
    const { page, close } = await open(service?.url ?? "");
    const transfer = await page.evaluateHandle(
      (text) => {
        const data = new DataTransfer();
        const bytes = Uint8Array.from(text, (character) => character.charCodeAt(0));
        data.items.add(new File([bytes], "dropped.pdf", { type: "application/pdf" }));
        return data;
      },
      Buffer.from(await samplePdf()).toString("latin1"),
    );
    await page.dispatchEvent("footer", "drop", { dataTransfer: transfer });
    assert.ok(await page.isVisible("#choose"));
    await page.dispatchEvent("#choose", "drop", { dataTransfer: transfer });
    assert.equal(await waitForResult(page), "signed");
    assert.equal(await page.textContent("#download"), "Download dropped.signed.pdf");
    await close();
  });

  it("says that the service is away, and signs when it is there again", async () => {
    const away = await startThrowawayService(join(directory, "away"), { DEMO_PAGE: "true" });
    const { page, close } = await open(away.url);
    await page.waitForSelector("#service[data-state=ready]");
    await away.stop();
    await page.click("#sample");
    assert.equal(await waitForResult(page), "failed");
    assert.match((await page.textContent("#failed-text")) ?? "", /cannot be reached/);
    assert.equal(await page.textContent("#failed-code"), "ERR_CLIENT_NETWORK");
    await page.waitForSelector("#service[data-state=away]");
    await picture(page, "desktop-light-away");
    const { port } = new URL(away.url);
    const back = await startThrowawayService(join(directory, "away"), { DEMO_PAGE: "true", PORT: port });
    await page.click("#retry");
    assert.equal(await waitForResult(page), "signed");
    await page.waitForSelector("#service[data-state=ready]");
    await close();
    await back.stop();
  });
});

/** Nothing is wider than the screen: on a phone, that is a page that slips. */
async function assertFits(page: Page): Promise<void> {
  const { content, screen } = await page.evaluate(() => ({
    content: document.documentElement.scrollWidth,
    screen: document.documentElement.clientWidth,
  }));
  assert.ok(content <= screen, `the page is ${content} wide on a screen of ${screen}`);
}

describe("The demo page, with a service that does as it is told,", () => {
  const open = useChromium();
  const services: SoftwareService[] = [];
  after(async () => {
    for (const { server } of services) await server.stop(0);
  });

  async function openWith(options: Parameters<typeof startSoftwareService>[0]): Promise<OpenPage> {
    const routes = { files: frontEnd({ demoPage: true }), ...options?.routes };
    const service = await startSoftwareService({ ...options, routes });
    services.push(service);
    return open(service.url);
  }

  it("stops when it is told to, in the middle of a request", async () => {
    const { page, close } = await openWith({ sign: () => new Promise(() => {}) });
    await page.click("#sample");
    await page.waitForSelector("#steps [data-step=sign][data-state=now]");
    await page.click("#cancel");
    await page.waitForSelector("#choose:not([hidden])");
    assert.ok(await page.isHidden("#working"));
    await close();
  });

  it("says that a signature over something else does not verify", async () => {
    const { credential } = await startSoftwareService().then(async (service) => {
      await service.server.stop(0);
      return service;
    });
    const signer = new DocumentSigner(credential, () => new Date());
    const { page, close } = await openWith({ sign: (digest) => signer.sign(digest.map((byte) => byte ^ 1)) });
    await page.click("#sample");
    assert.equal(await waitForResult(page), "signed");
    assert.equal(await page.textContent("#signed-title"), "Signed, but the signature does not verify");
    assert.equal(await page.getAttribute("#verdict", "data-state"), "bad");
    assert.match(
      (await page.textContent("#checks li[data-holds=false]")) ?? "",
      /is not the SHA-256 of this file/,
    );
    await picture(page, "desktop-light-wrong");
    await close();
  });

  it("does not take for a signature what is none", async () => {
    for (const answer of ["", "3000", "30820400", "3003020101", "ff".repeat(100)]) {
      const { page, close } = await openWith({ sign: async () => Buffer.from(answer, "hex") });
      await page.click("#sample");
      assert.equal(await waitForResult(page), "failed", answer);
      assert.match((await page.textContent("#failed-text")) ?? "", /is no signature that is known here/);
      await close();
    }
  });

  it("offers a choice of credentials where there are several, and asks for the one that is chosen", async () => {
    const { page, requests, close } = await openWith({
      routes: {
        facts: () => ({
          algorithm: "P-256 ECDSA SHA-256",
          credentials: [
            { credential: "invoices", algorithm: "P-256 ECDSA SHA-256" },
            { credential: "board seal", algorithm: "RSA-4096 PSS SHA-256" },
          ],
        }),
      },
    });
    await page.getByLabel("Sign with").selectOption("board seal");
    await page.click("#sample");
    assert.equal(await waitForResult(page), "signed");
    const posted = requests.find(({ method }) => method === "POST");
    assert.equal(new URL(posted?.url ?? "").searchParams.get("credential"), "board seal");
    await close();
  });
});
