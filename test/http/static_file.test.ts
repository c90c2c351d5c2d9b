import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { frontEnd } from "../../lib/http/front_end.ts";
import { type SoftwareService, startSoftwareService } from "../support/http_service.ts";
import { exchange, type RawReply, rawRequest } from "../support/raw_http.ts";

const APP = "https://app.example.com";
const CLIENT = readFileSync(new URL("../../client/hsm_signer.js", import.meta.url));

/** Starts a service around the tests, and gives what asks it for a path. */
function serve(demoPage: boolean) {
  let service: SoftwareService | undefined;
  before(async () => {
    service = await startSoftwareService({ routes: { files: frontEnd({ demoPage }), corsOrigins: [APP] } });
  });
  after(() => service?.server.stop(0));
  return async (
    target: string,
    headers: Record<string, string> = {},
    method = "GET",
  ): Promise<RawReply & { field(name: string): string | undefined }> => {
    const isHead = method === "HEAD";
    const reply = await exchange(service?.url ?? "", rawRequest({ method, target, headers }), { isHead });
    assert.ok(reply, "the connection was closed without a reply");
    return { ...reply, field: (name) => reply.headers.get(name) };
  };
}

describe("The client module", () => {
  const get = serve(false);

  it("is the file, with the type that browsers want of a module.", async () => {
    const reply = await get("/client.js");
    assert.equal(reply.status, 200);
    assert.deepEqual(reply.body, CLIENT);
    assert.equal(reply.field("content-type"), "text/javascript; charset=utf-8");
    assert.equal(reply.field("cache-control"), "public, max-age=300");
    assert.equal(reply.field("x-content-type-options"), "nosniff");
  });

  it("is given to pages of the listed origins only, and caches are told so.", async () => {
    const reply = await get("/client.js", { Origin: APP });
    assert.equal(reply.field("access-control-allow-origin"), APP);
    assert.equal(reply.field("vary"), "Origin");
    const other = await get("/client.js", { Origin: "https://other.example.com" });
    assert.equal(other.field("access-control-allow-origin"), undefined);
  });

  it("answers HEAD with the same fields and no body.", async () => {
    const head = await get("/client.js", {}, "HEAD");
    assert.equal(head.status, 200);
    assert.equal(head.field("content-length"), String(CLIENT.length));
    assert.equal(head.field("etag"), (await get("/client.js")).field("etag"));
  });

  it("is not sent to whoever has it already.", async () => {
    const etag = (await get("/client.js")).field("etag") ?? "";
    assert.match(etag, /^"[\w-]{43}"$/);
    for (const field of [etag, `W/${etag}`, `"other", ${etag}`, "*"]) {
      const reply = await get("/client.js", { "If-None-Match": field, Origin: APP });
      assert.equal(reply.status, 304, field);
      assert.equal(reply.body.length, 0);
      assert.equal(reply.field("etag"), etag);
      assert.equal(reply.field("content-length"), undefined);
      assert.equal(reply.field("cache-control"), "public, max-age=300");
      assert.equal(reply.field("access-control-allow-origin"), APP);
    }
    for (const field of ['"other"', etag.slice(1, -1), ""]) {
      assert.equal((await get("/client.js", { "If-None-Match": field })).status, 200, field);
    }
  });

  it("takes no other method, and is found without its query.", async () => {
    assert.equal((await get("/client.js?v=2")).status, 200);
    const reply = await get("/client.js", {}, "POST");
    assert.equal(reply.status, 405);
    assert.equal(reply.field("allow"), "GET, HEAD, OPTIONS");
  });
});

describe("The demo page", () => {
  const get = serve(true);
  const getWithout = serve(false);

  it("is there only where it is asked for.", async () => {
    assert.equal((await get("/")).status, 200);
    for (const path of ["/", "/demo/page.js", "/demo/style.css"]) {
      assert.equal((await getWithout(path)).status, 404, path);
    }
  });

  it("has no script, style or address of elsewhere in it, and is told to have none.", async () => {
    const page = await get("/");
    assert.equal(page.field("content-type"), "text/html; charset=utf-8");
    const html = page.body.toString();
    assert.doesNotMatch(html, /<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|https?:|\/\//i);
    const policy = page.field("content-security-policy") ?? "";
    assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self';/);
    assert.doesNotMatch(policy, /unsafe|\*|https?:|data:/);
    assert.match(policy, /frame-ancestors 'none'/);
    assert.equal(page.field("x-frame-options"), "DENY");
    assert.equal(page.field("referrer-policy"), "no-referrer");
  });

  it("names files that there are, each with its type.", async () => {
    const html = (await get("/")).body.toString();
    const names = [...html.matchAll(/(?:src|href)="([^"#]+)"/g)].map(([, name = ""]) => name);
    assert.ok(names.length >= 3, names.join());
    for (const name of names) {
      const reply = await get(new URL(name, "http://demo.test/").pathname);
      assert.equal(reply.status, 200, name);
      assert.match(reply.field("content-type") ?? "", /^(text\/(css|javascript)|image\/svg\+xml)/, name);
    }
  });

  it("gives no file but those for browsers.", async () => {
    for (const path of [
      "/demo/",
      "/demo/index.html",
      "/demo/pdf_placeholder.d.ts",
      "/demo/../../package.json",
    ]) {
      assert.equal((await get(path)).status, 404, path);
    }
  });
});
