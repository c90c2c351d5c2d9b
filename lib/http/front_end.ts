import { readdirSync, readFileSync } from "node:fs";
import { extname } from "node:path";
import type { StaticFile } from "./static_file.ts";

const CLIENT = "../../client/hsm_signer.js";
const DEMO_PAGE = "../../dev/demo_page/";

/** What browsers may be given; the types of modules, which lie beside them, are for editors. */
const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
};

/** The demo page loads nothing but its own files, and nobody shows it in a frame. */
const DEMO_HEADERS = {
  "cache-control": "no-cache",
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
  "cross-origin-opener-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-frame-options": "DENY",
};

/**
 * The files for browsers, by path: the client module, and the demo page where it is wanted.
 *
 * @throws Error when one of them cannot be read
 */
export function frontEnd(options: { readonly demoPage: boolean }): ReadonlyMap<string, StaticFile> {
  // A page asks for the client at each visit; a new one is everywhere after five minutes.
  const client = read(CLIENT, { "cache-control": "public, max-age=300" });
  return new Map([["/client.js", client], ...(options.demoPage ? demoPage() : [])]);
}

function demoPage(): [string, StaticFile][] {
  return readdirSync(new URL(DEMO_PAGE, import.meta.url))
    .filter((name) => extname(name) in TYPES)
    .map((name) => {
      const path = name === "index.html" ? "/" : `/demo/${name}`;
      return [path, read(`${DEMO_PAGE}${name}`, DEMO_HEADERS)];
    });
}

/** @param path from this module */
function read(path: string, headers: Readonly<Record<string, string>>): StaticFile {
  const type = TYPES[extname(path)] ?? "application/octet-stream";
  return {
    bytes: readFileSync(new URL(path, import.meta.url)),
    headers: { "content-type": type, ...headers },
  };
}
