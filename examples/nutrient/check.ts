import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";
import { startExample } from "./example.ts";

/**
 * `npm run example:check`: the example in a headless Chromium. The real SDK signs through the service, its PDF is
 * exported, and poppler's pdfsig judges it. Exit code 1 when it does not find it valid.
 */
const BROWSERS = ["/usr/bin/chromium", "/usr/bin/chromium-browser"];
/** The SDK is large, and draws in software here. */
const PATIENCE_MS = 180_000;
const FLAGS = [
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const directory = mkdtempSync(join(tmpdir(), "hsm-signer-example-"));
const example = await startExample({ page: 0, service: 0 });
const browser = await chromium.launch({
  executablePath: BROWSERS.find(existsSync) ?? "chromium",
  args: [...FLAGS, ...(process.getuid?.() === 0 ? ["--no-sandbox"] : [])],
});
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  page.on("pageerror", (error) => say(`page: ${error}`));
  page.on("request", (request) => {
    const [method, url] = [request.method(), request.url()];
    if (method !== "GET" || !/^(blob:|data:|http:\/\/127\.)/.test(url)) {
      say(`${method} ${url} ${(request.postData() ?? "").slice(0, 100)}`);
    }
  });
  await page.goto(example.url);
  await page.click("#sign", { timeout: PATIENCE_MS });
  await page.waitForFunction(
    () => /^(Signed|Not signed)/.test(document.querySelector("#status")?.textContent ?? ""),
    {
      timeout: PATIENCE_MS,
    },
  );
  say((await page.textContent("#status")) ?? "");
  const { SCREENSHOT } = process.env;
  if (SCREENSHOT) await page.screenshot({ path: SCREENSHOT });
  const [saved] = await Promise.all([
    page.waitForEvent("download"),
    page.click("#download", { timeout: 5_000 }),
  ]);
  const file = join(directory, "signed.pdf");
  await saved.saveAs(file);
  say(pdfsig(file));
  // Without a licence the SDK appends a watermark at each export. Without that, the file is as it was signed.
  const bytes = readFileSync(file);
  const [, , second = 0, rest = 0] = byteRangeIn(bytes);
  writeFileSync(file, bytes.subarray(0, second + rest));
  const verdict = pdfsig(file);
  say(
    `\nThe same without the ${bytes.length - second - rest} bytes of the evaluation's watermark:\n${verdict}`,
  );
  if (!/Total document signed\s+- Signature Validation: Signature is Valid\./.test(verdict))
    process.exitCode = 1;
} finally {
  await browser.close();
  await example.stop();
  rmSync(directory, { recursive: true });
}

function pdfsig(file: string): string {
  return spawnSync("pdfsig", ["-nocert", file], { encoding: "utf8" }).stdout.trim();
}

function byteRangeIn(bytes: Buffer): number[] {
  const [, numbers = ""] = /\/ByteRange\s*\[([\d\s]+)\]/.exec(bytes.toString("latin1")) ?? [];
  return numbers.trim().split(/\s+/).map(Number);
}

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}
