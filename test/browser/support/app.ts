import { readFileSync } from "node:fs";
import { type ScriptedServer, scriptedServer } from "../../support/scripted_server.ts";

const HTML =
  '<!doctype html><html lang="en"><title>An app</title><link rel="icon" href="data:,"><h1>An app</h1></html>';
const MODULES: Readonly<Record<string, URL>> = {
  "/client.js": new URL("../../../client/hsm_signer.js", import.meta.url),
  "/guide_client.js": new URL("../pages/guide_client.js", import.meta.url),
};

/** An app on an origin of its own: an empty page, and modules that it brought along. */
export function startApp(): Promise<ScriptedServer> {
  return scriptedServer(({ url }) => {
    const file = MODULES[url];
    if (file !== undefined) {
      return { status: 200, headers: { "content-type": "text/javascript" }, body: readFileSync(file) };
    }
    return { status: url === "/" ? 200 : 404, headers: { "content-type": "text/html" }, body: HTML };
  });
}
