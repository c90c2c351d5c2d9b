import { METHODS } from "node:http";
import { rawRequest } from "../raw_http.ts";
import { GOOD, type HostileRow, refused, signed } from "./row.ts";

const ALLOWED: Readonly<Record<string, string>> = {
  "/sign": "POST, OPTIONS",
  "/certificate": "GET, HEAD, OPTIONS",
  "/healthz": "GET, HEAD, OPTIONS",
  "/readyz": "GET, HEAD, OPTIONS",
};

/** Every method that the parser knows, on every path that does not take it. */
const WRONG_METHODS: readonly HostileRow[] = Object.entries(ALLOWED).flatMap(([target, allow]) =>
  METHODS.filter((method) => method !== "CONNECT" && !allow.split(", ").includes(method)).map((method) =>
    refused(`${method} ${target}`, { ...GOOD, method, target }, 405, "ERR_METHOD_NOT_ALLOWED", { allow }),
  ),
);

/** Plain OPTIONS, which is no preflight. */
const OPTIONS: readonly HostileRow[] = Object.entries(ALLOWED).map(([target, allow]) => ({
  name: `OPTIONS ${target}`,
  bytes: rawRequest({ method: "OPTIONS", target }),
  status: 204,
  headers: { allow },
}));

const UNKNOWN_TARGETS: readonly string[] = [
  "/",
  "/sign/",
  "//sign",
  "/./sign",
  "/certificate/../sign",
  "/%2e/sign",
  "/%2e%2e/sign",
  "/%73ign",
  "/sign%00",
  "/sign%2F",
  "/sign%3Fmode=ca",
  "/SIGN",
  "/sign;mode=ca",
  "/sign.json",
  "/sign&mode=ca",
  "/constructor",
  "/__proto__",
  "/favicon.ico",
  "/?/sign",
  "/#/sign",
  "*",
  "http://service.test",
  "http://service.test//sign",
  "http://service.test?/sign",
  "ftp://service.test/sign",
  "service://sign",
  `/${"a".repeat(10_000)}`,
];

const SIGN_TARGETS: readonly string[] = [
  "/sign?",
  "/sign?mode=ca",
  "/sign?mode=ca&mode=ca",
  "/sign??/certificate",
  "/sign?%ff%00",
  "/sign?../certificate",
  `/sign?${"a".repeat(10_000)}`,
  "/sign#fragment",
  "http://service.test/sign",
  "http://elsewhere.test:81/sign?mode=ca",
  "HTTPS://user@service.test/sign",
];

const short = (target: string): string => (target.length > 60 ? `${target.slice(0, 20)}… (long)` : target);

/** Methods, paths and request targets. */
export const ROUTING: readonly HostileRow[] = [
  ...WRONG_METHODS,
  ...OPTIONS,
  ...UNKNOWN_TARGETS.map((target) =>
    refused(`POST ${short(target)}`, { ...GOOD, target }, 404, "ERR_NOT_FOUND"),
  ),
  ...["GET", "HEAD", "OPTIONS", "DELETE"].map((method) =>
    refused(`${method} /nowhere`, { method, target: "/nowhere" }, 404, "ERR_NOT_FOUND"),
  ),
  ...SIGN_TARGETS.map((target) => signed(`POST ${short(target)}`, { ...GOOD, target })),
  ...["sign", "\\sign", "/si gn", "/s\u00efgn", "/sign\u0000", "/sign\u007f", "", "service.test:443"].map(
    (target) =>
      refused(
        `the request target ${JSON.stringify(target)}`,
        { ...GOOD, target },
        400,
        "ERR_REQUEST_MALFORMED",
      ),
  ),
  refused(
    "a request target of 20,000 characters",
    { ...GOOD, target: `/sign?${"a".repeat(20_000)}` },
    431,
    "ERR_HEADERS_TOO_LARGE",
  ),
  ...["CONNECT", "post", "Post", "FOO", "P\u00d6ST", "", "GET\tx", "POSTPOST"].map((method) =>
    refused(
      `the method ${JSON.stringify(method)}`,
      { ...GOOD, method, target: method === "CONNECT" ? "service.test:443" : "/sign" },
      400,
      "ERR_REQUEST_MALFORMED",
    ),
  ),
];
