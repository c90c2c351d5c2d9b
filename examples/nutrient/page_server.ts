import { existsSync, readFileSync, statSync } from "node:fs";
import { createServer, type Server } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { samplePdf } from "../../dev/demo_page/sample_pdf.js";

interface Answer {
  readonly type: string;
  readonly body: string | Uint8Array;
}

const HERE = fileURLToPath(new URL(".", import.meta.url));
const SDK = join(HERE, "node_modules/@nutrient-sdk/viewer/dist");
const PAGE: readonly string[] = ["/index.html", "/app.js", "/style.css"];
const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".wasm": "application/wasm",
  ".pdf": "application/pdf",
};

/**
 * Serves the page, the SDK as npm installed it, and a PDF to sign, on loopback.
 *
 * @param service says where the service is, when the page asks
 */
export async function startPageServer(port: number, service: () => string): Promise<Server> {
  const sample = await samplePdf();
  const made: Readonly<Record<string, () => Answer>> = {
    "/settings.js": () => ({ type: ".js", body: `export const SERVICE = ${JSON.stringify(service())};\n` }),
    "/sample.pdf": () => ({ type: ".pdf", body: sample }),
  };
  const server = createServer(({ url = "/" }, response) => {
    const path = normalize(decodeURIComponent(url.replace(/\?.*/, "")));
    const answer = made[path]?.() ?? fileAt(path === "/" ? "/index.html" : path);
    if (answer === undefined) response.writeHead(404).end();
    else
      response
        .writeHead(200, { "content-type": TYPES[answer.type] ?? "application/octet-stream" })
        .end(answer.body);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject).listen(port, "127.0.0.1", resolve);
  });
  return server;
}

function fileAt(path: string): Answer | undefined {
  const isSdk = path.startsWith("/sdk/");
  const file = isSdk ? join(SDK, path.slice("/sdk/".length)) : join(HERE, path);
  if ((!isSdk && !PAGE.includes(path)) || !existsSync(file) || !statSync(file).isFile()) return undefined;
  return { type: extname(file), body: readFileSync(file) };
}
