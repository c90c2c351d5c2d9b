import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before } from "node:test";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

const PATHS = ["/usr/bin/chromium", "/usr/bin/chromium-browser"];
/** Where pictures of the page go, for people to look at. */
const SCREENSHOTS = process.env["SCREENSHOTS"];

const FLAGS = [
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // Root has no sandbox; everybody else keeps it.
  ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
];

/** A page in the browser, and what went wrong in it. */
export interface OpenPage {
  readonly page: Page;
  /** Uncaught errors, errors on the console, breaches of the Content-Security-Policy. */
  readonly faults: string[];
  /** What the page asked for: `POST /sign` with its body and headers. */
  readonly requests: SentRequest[];
  close(): Promise<void>;
}

export interface SentRequest {
  readonly method: string;
  readonly url: string;
  readonly body: string | null;
  readonly headers: Readonly<Record<string, string>>;
}

/** Starts the distribution's Chromium around the tests of a file, and gives what opens a page in it. */
export function useChromium(): (url: string, options?: BrowserContextOptions) => Promise<OpenPage> {
  let browser: Browser | undefined;
  before(async () => {
    const executablePath = PATHS.find(existsSync);
    if (executablePath === undefined)
      throw new Error("Cannot find Chromium: npm run test:browser installs it");
    browser = await chromium.launch({ executablePath, args: FLAGS });
  });
  after(() => browser?.close());
  return async (url, options) => {
    const context = await browser?.newContext(options);
    if (context === undefined) throw new Error("Cannot open a page: the browser was not started");
    const page = await context.newPage();
    const faults: string[] = [];
    const requests: SentRequest[] = [];
    page.on("pageerror", (error) => faults.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error") faults.push(message.text());
    });
    // Only looked at: a request that is intercepted needs no preflight, and proves nothing of CORS.
    page.on("request", (request) => {
      const [method, address] = [request.method(), request.url()];
      requests.push({ method, url: address, body: request.postData(), headers: request.headers() });
    });
    await page.goto(url);
    return { page, faults, requests, close: () => context.close() };
  };
}

/** Keeps a picture of the page where `SCREENSHOTS` names a folder. */
export async function picture(page: Page, name: string): Promise<void> {
  if (!SCREENSHOTS) return;
  mkdirSync(SCREENSHOTS, { recursive: true });
  await page.screenshot({ path: join(SCREENSHOTS, `${name}.png`), fullPage: true });
}
