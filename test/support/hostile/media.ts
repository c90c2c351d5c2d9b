import { gzipSync } from "node:zlib";
import { DOCUMENT, GOOD_BODY, type HostileRow, JSON_TYPE, PDF_TYPE, refused, signed } from "./row.ts";

const WRONG_TYPES: readonly (string | undefined)[] = [
  undefined,
  "",
  ";",
  "json",
  "text/plain",
  "text/json",
  "application/jsonp",
  "application/json+x",
  "application/x-www-form-urlencoded",
  "multipart/form-data; boundary=x",
  "application/pkcs7-signature",
  "application/json, application/pdf",
  "application/json application/pdf",
  "application /json",
  "application/",
  "*/*",
  '"application/json"',
  "application/json; charset=utf-16",
  "application/json; charset=iso-8859-1",
  "application/json; charset=utf-8-sig",
  "application/json; charset=",
  "application/json; charset=utf-16; charset=utf-8",
  "application/j\u00f6son",
];

const JSON_TYPES: readonly string[] = [
  "APPLICATION/JSON",
  "application/json;charset=UTF-8",
  'application/json; charset="utf-8"',
  "application/json ; charset=utf8",
  "application/json; charset=utf-8; charset=utf-8",
  "application/json; odata=verbose; x",
  "application/json;",
];

const RAW_TYPES: readonly string[] = [
  "application/pdf",
  "Application/PDF; name=x.pdf",
  "application/octet-stream",
  "application/octet-stream; charset=utf-16",
];

const CODINGS: readonly string[] = [
  "gzip",
  "GZIP",
  "br",
  "deflate",
  "zstd",
  "x",
  "gzip, identity",
  "identity, identity",
];

const JSON_REPLY = { "content-type": "application/json" };
const DER_REPLY = { "content-type": "application/pkcs7-signature" };
const CMS_REPLY = { "content-type": "application/cms" };

/** What a client says that it takes, and what it is given. */
const ACCEPTED: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
  ["", JSON_REPLY],
  ["*/*", JSON_REPLY],
  ["application/*", JSON_REPLY],
  ["text/html", JSON_REPLY],
  ["application/json;q=0", JSON_REPLY],
  ["*/*;q=0", JSON_REPLY],
  [";;;,,,", JSON_REPLY],
  ["\u00ff/\u00ff", JSON_REPLY],
  ["application/pkcs7-signature;q=0", JSON_REPLY],
  ["application/pkcs7-signature;q=x", JSON_REPLY],
  ["application/pkcs7-signature;q=1.5, application/json;q=0.1", JSON_REPLY],
  ["application/pkcs7-signature;q=-1, application/json;q=0.1", JSON_REPLY],
  ["application/pkcs7-signature;q=0.5, application/json;q=0.5", JSON_REPLY],
  ["application/pkcs7-signature", DER_REPLY],
  ["APPLICATION/PKCS7-SIGNATURE", DER_REPLY],
  ["application/pkcs7-signature;q=0.001", DER_REPLY],
  ["application/pkcs7-signature;q=0.9, application/json;q=0.1", DER_REPLY],
  ["application/json;q=0.1 , application/pkcs7-signature ; q=0.9", DER_REPLY],
  ["application/json;q=0, */*", DER_REPLY],
  ["application/pkcs7-signature, application/cms", DER_REPLY],
  ["application/cms", CMS_REPLY],
  ["application/cms, application/pkcs7-signature;q=0.9", CMS_REPLY],
  [`${"a/b,".repeat(2_000)}application/cms`, CMS_REPLY],
];

/** Content-Type, Content-Encoding and Accept. */
export const MEDIA: readonly HostileRow[] = [
  ...WRONG_TYPES.map((type) =>
    refused(
      `the Content-Type ${JSON.stringify(type)}`,
      { headers: { "Content-Type": type }, body: GOOD_BODY },
      415,
      "ERR_MEDIA_TYPE",
    ),
  ),
  ...JSON_TYPES.map((type) =>
    signed(`the Content-Type ${type}`, { headers: { "Content-Type": type }, body: GOOD_BODY }),
  ),
  ...RAW_TYPES.map((type) =>
    signed(`the Content-Type ${type}`, { headers: { "Content-Type": type }, body: DOCUMENT }),
  ),
  ...CODINGS.map((coding) =>
    refused(
      `the Content-Encoding ${coding}`,
      { headers: { ...PDF_TYPE, "Content-Encoding": coding }, body: gzipSync(DOCUMENT) },
      415,
      "ERR_CONTENT_ENCODING",
    ),
  ),
  signed("the Content-Encoding identity", {
    headers: { ...PDF_TYPE, "Content-Encoding": "Identity" },
    body: DOCUMENT,
  }),
  ...ACCEPTED.map(([accept, reply]) =>
    signed(
      `the Accept ${accept.length > 80 ? "of 2,000 types" : JSON.stringify(accept)}`,
      { headers: { ...JSON_TYPE, Accept: accept }, body: GOOD_BODY },
      reply,
    ),
  ),
];
