import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { join, posix } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

/**
 * Who may know whom. PKCS#11 lives in one corner of `lib`, X.509 in another, CMS in a third, HTTP in a
 * fourth, who may sign in a fifth; what everybody may use are the leaves, which know nobody else; one place
 * puts all together. The rules read the sources as text, in the shape that `biome` gives them: what stands at
 * the beginning of a line is at the top of its module.
 */

/** Each corner, and what it alone may import. */
const CORNERS: Readonly<Record<string, readonly string[]>> = {
  "lib/hsm": ["graphene-pk11", "node-webcrypto-p11", "pkcs11js"],
  "lib/credential": ["@peculiar/x509", "reflect-metadata"],
  "lib/cms": ["pkijs", "asn1js"],
  "lib/auth": ["jose"],
  "lib/http": ["node:http", "node:https", "node:http2"],
  "lib/cli": ["commander"],
  "lib/metrics": ["prom-client"],
  "lib/audit": [],
};

/** Folders are named with a slash at their end. */
const LEAVES: readonly string[] = [
  "lib/algorithms.ts",
  "lib/caller.ts",
  "lib/change.ts",
  "lib/command.ts",
  "lib/config/",
  "lib/deferred.ts",
  "lib/document_digest.ts",
  "lib/durable_file.ts",
  "lib/ecdsa_signature.ts",
  "lib/errors.ts",
  "lib/exit_codes.ts",
  "lib/log.ts",
  "lib/remove.ts",
  "lib/native/",
  "lib/runtime.ts",
  "lib/secret.ts",
  "lib/signer.ts",
  "lib/verify_signature.ts",
  "lib/web_crypto_signer.ts",
];

/** Where parts of different corners are put together. */
const COMPOSERS: readonly string[] = ["server.ts", "lib/service.ts", "lib/commands/"];

/** What a module may make when it is loaded: values that nothing changes. */
const CONSTANT_CLASSES = /^(ReadonlySet|ReadonlyMap|Set|Map|RegExp|Uint8Array)$/;

interface Source {
  /** From the root of the project. */
  readonly path: string;
  readonly text: string;
}

interface Import {
  readonly specifier: string;
  readonly isTypeOnly: boolean;
}

// Reading.

const STATIC_IMPORT = /^(?:import|export)\s+(type\s+)?(?:[\w$*{},\s]+?\sfrom\s+)?["']([^"']+)["']/gm;
const DYNAMIC_IMPORT = /\b(?:import|require)\(\s*(?:["'`]([^"'`$]+)["'`]\s*\))?/g;
const COMPUTED = "(computed)";

function importsOf({ text }: Source): readonly Import[] {
  const code = withoutComments(text);
  return [
    ...[...code.matchAll(STATIC_IMPORT)].map(([, type, specifier = ""]) => {
      return { specifier, isTypeOnly: type !== undefined };
    }),
    ...[...code.matchAll(DYNAMIC_IMPORT)].map(([, specifier = COMPUTED]) => {
      return { specifier, isTypeOnly: false };
    }),
  ];
}

/** Comments that have lines of their own. */
function withoutComments(text: string): string {
  return text.replaceAll(/^[ \t]*(?:\/\*.*?\*\/|\/\/[^\n]*)/gms, "");
}

/** The path that a local import means, or `undefined` for a package or a builtin. */
function targetOf(source: Source, { specifier }: Import): string | undefined {
  if (!specifier.startsWith(".")) return undefined;
  return posix.normalize(posix.join(posix.dirname(source.path), specifier));
}

const cornerOf = (path: string): string | undefined =>
  Object.keys(CORNERS).find((corner) => path.startsWith(`${corner}/`));

const isAmong = (path: string, places: readonly string[]): boolean =>
  places.some((place) => (place.endsWith("/") ? path.startsWith(place) : path === place));

const isPackage = (specifier: string): boolean => !/^(\.|node:|\(computed\))/.test(specifier);

/** Some have no name without `node:`, and that one needs no rule. */
const BUILTINS = builtinModules.filter((name) => !name.startsWith("node:"));

const belongsTo = (specifier: string, name: string): boolean =>
  specifier === name || specifier.startsWith(`${name}/`);

const isProduction = ({ path }: Source): boolean => path === "server.ts" || path.startsWith("lib/");

/** Statements at the top of a module, each from its first line to the one before the next statement. */
function topStatements({ text }: Source): readonly string[] {
  return withoutComments(text).split(/\n(?=[^\s})\]])/);
}

// Rules: each gives a sentence for every breach.

interface Rule {
  readonly name: string;
  breaches(sources: readonly Source[]): readonly string[];
  /** Sources that break it, each on its own, by path. */
  readonly broken: readonly Readonly<Record<string, string>>[];
  /** A source that comes close, and does not break it. */
  readonly kept: Readonly<Record<string, string>>;
}

/** A rule over the imports of the service's own sources. */
function importBreaches(
  sources: readonly Source[],
  isBreach: (source: Source, imported: Import, target: string | undefined) => boolean,
): readonly string[] {
  return sources.filter(isProduction).flatMap((source) =>
    importsOf(source)
      .filter((imported) => isBreach(source, imported, targetOf(source, imported)))
      .map(({ specifier }) => `${source.path} imports ${specifier}`),
  );
}

/** A corner that needs no package has no rule of this kind, only those of all corners. */
const equipped = Object.entries(CORNERS).filter(([, names]) => names.length > 0);

const cornerRules: readonly Rule[] = equipped.map(([corner, names]) => ({
  name: `only ${corner} knows ${names.join(", ")}`,
  breaches: (sources) =>
    importBreaches(
      sources,
      ({ path }, { specifier }) =>
        cornerOf(path) !== corner && names.some((name) => belongsTo(specifier, name)),
    ),
  broken: names.flatMap((name) => [
    { "lib/readiness.ts": `import "${name}";` },
    { "server.ts": `import type {\n  A,\n  B,\n} from "${name}";` },
    { [`${corner}_other/a.ts`]: `export * from "${name}/deep/file.js";` },
    { "lib/service.ts": `const a = await import("${name}");` },
    ...Object.keys(CORNERS)
      .filter((other) => other !== corner)
      .map((other) => ({ [`${other}/a.ts`]: `import * as a from "${name}";` })),
  ]),
  kept: {
    [`${corner}/a.ts`]: names.map((name) => `import "${name}";\n`).join(""),
    "lib/log.ts": names.map((name) => `import "${name}-like";\n// import "${name}";\n`).join(""),
    "test/a.test.ts": names.map((name) => `import "${name}";\n`).join(""),
  },
}));

const rules: readonly Rule[] = [
  ...cornerRules,
  {
    name: "the service knows no package that is not some corner's",
    breaches(sources) {
      const known = Object.values(CORNERS).flat();
      return importBreaches(sources, (_, { specifier }) => {
        const isBuiltin = builtinModules.includes(specifier);
        return isPackage(specifier) && !isBuiltin && !known.some((name) => belongsTo(specifier, name));
      });
    },
    broken: [{ "lib/log.ts": 'import pino from "pino";' }, { "lib/hsm/a.ts": 'import "@scope/name";' }],
    kept: { "lib/cms/a.ts": 'import "pkijs";\nimport "./b.ts";\nimport "node:fs";' },
  },
  {
    name: "nothing is imported by a name that is computed, nor with require",
    breaches: (sources) => [
      ...importBreaches(sources, (_, { specifier }) => specifier === COMPUTED),
      ...sources
        .filter(
          (source) =>
            isProduction(source) && /\b(require\(|createRequire\b)/.test(withoutComments(source.text)),
        )
        .map(({ path }) => `${path} uses require`),
    ],
    broken: [
      { "lib/log.ts": "const a = await import(name);" },
      { "lib/hsm/a.ts": "const a = await import(`./${" + "name}.ts`);" },
      { "lib/hsm/b.ts": 'const a = require("./c.ts");' },
      { "lib/hsm/c.ts": 'import { createRequire } from "node:module";' },
    ],
    kept: { "lib/log.ts": 'const a = await import("./errors.ts");\nconst required = (a) => a;' },
  },
  {
    name: "a corner imports itself and leaves: no other corner, and nothing above it",
    breaches: (sources) =>
      importBreaches(sources, ({ path }, _, target) => {
        const corner = cornerOf(path);
        if (corner === undefined || target === undefined) return false;
        return cornerOf(target) !== corner && !isAmong(target, LEAVES);
      }),
    broken: [
      { "lib/hsm/token.ts": 'import { ChainFile } from "../credential/chain_file.ts";' },
      { "lib/credential/a.ts": 'import type { Token } from "../hsm/token.ts";' },
      { "lib/cms/a.ts": 'export { tlv } from "../http/b.ts";' },
      { "lib/http/a.ts": 'import { startService } from "../service.ts";' },
      { "lib/http/b.ts": 'import {\n  type Readiness,\n} from "../readiness.ts";' },
      { "lib/http/c.ts": 'await import("../cms/der.ts");' },
    ],
    kept: { "lib/http/a.ts": 'import "./b.ts";\nimport "../errors.ts";\nimport "../http/c.ts";' },
  },
  {
    name: "a leaf imports leaves and what Node has, and nothing else",
    breaches: (sources) =>
      importBreaches(
        sources,
        ({ path }, { specifier }, target) =>
          isAmong(path, LEAVES) &&
          !(target === undefined ? specifier.startsWith("node:") : isAmong(target, LEAVES)),
      ),
    broken: [
      { "lib/log.ts": 'import { Readiness } from "./readiness.ts";' },
      { "lib/config/config.ts": 'import type { Name } from "../credential/x509.ts";' },
      { "lib/signer.ts": 'export * from "pkijs";' },
    ],
    kept: {
      "lib/log.ts": 'import "./errors.ts";\nimport "node:fs";',
      "lib/readiness.ts": 'import "./service.ts";',
    },
  },
  {
    name: "nothing in lib imports what is outside of it",
    breaches: (sources) =>
      importBreaches(
        sources,
        ({ path }, _, target) =>
          path.startsWith("lib/") && target !== undefined && !target.startsWith("lib/"),
      ),
    broken: [
      { "lib/service.ts": 'import "../server.ts";' },
      { "lib/hsm/a.ts": 'import { softHsmToken } from "../../dev/softhsm.ts";' },
      { "lib/a.ts": 'import type { A } from "../test/support/a.ts";' },
      { "lib/b.ts": 'const a = await import("../bench/run.ts");' },
    ],
    kept: { "lib/hsm/a.ts": 'import "../log.ts";', "test/a.ts": 'import "../server.ts";' },
  },
  {
    name: "only server.ts, lib/service.ts and lib/commands put parts of different corners together",
    breaches: (sources) =>
      sources.filter(isProduction).flatMap((source) => {
        const values = importsOf(source).filter(({ isTypeOnly }) => !isTypeOnly);
        const corners = new Set(values.map((imported) => cornerOf(targetOf(source, imported) ?? "")));
        corners.delete(undefined);
        if (corners.size < 2 || isAmong(source.path, COMPOSERS)) return [];
        return [`${source.path} puts together ${[...corners].join(" and ")}`];
      }),
    broken: [
      { "lib/a.ts": 'import { A } from "./hsm/a.ts";\nimport { B } from "./cms/b.ts";' },
      { "lib/b.ts": 'export * from "./http/a.ts";\nconst b = await import("./credential/b.ts");' },
    ],
    kept: {
      "server.ts": 'import "./lib/hsm/a.ts";\nimport "./lib/cms/b.ts";',
      "lib/commands/a.ts": 'import "../hsm/a.ts";\nimport "../credential/b.ts";',
      "lib/a.ts": 'import { A } from "./cms/a.ts";\nimport type { B } from "./credential/b.ts";',
    },
  },
  {
    name: "no module has state: no let or var at its top",
    breaches: (sources) =>
      sources.filter(isProduction).flatMap((source) =>
        topStatements(source)
          .filter((statement) => /^(export\s+)?(declare\s+)?(let|var)\b/.test(statement))
          .map((statement) => `${source.path}: ${statement.split("\n")[0]}`),
      ),
    broken: [
      { "lib/a.ts": "let count = 0;" },
      { "lib/b.ts": "import a from './a.ts';\n\nexport var token: Token | undefined;" },
      { "server.ts": "function a() {\n  return 1;\n}\nlet\n  b = 1;" },
    ],
    kept: { "lib/a.ts": "function a() {\n  let b = 1;\n}\nconst letter = 1;\nletters();" },
  },
  {
    name: "no module makes objects when it is loaded, other than constants",
    breaches: (sources) =>
      sources.filter(isProduction).flatMap((source) =>
        topStatements(source).flatMap((statement) =>
          madeOnLoading(statement)
            .filter((name) => !CONSTANT_CLASSES.test(name))
            .map((name) => `${source.path} makes a ${name}`),
        ),
      ),
    broken: [
      { "lib/a.ts": "export const pool = new SessionPool({ size: 1 });" },
      { "lib/b.ts": "const options = {\n  log: 1,\n  token: new hsm.Token(),\n};" },
      { "lib/c.ts": "new Worker();" },
      { "lib/d.ts": "start(new Token());" },
      { "lib/e.ts": "export class A {\n  static readonly instance: A = new A();\n}" },
      { "lib/f.ts": "export default new Token();" },
      { "lib/h.ts": "const TOKENS: ReadonlySet<Token> = new Set([new Token()]);" },
      { "lib/g.ts": "const cache: WeakMap<object, string> = new WeakMap();" },
    ],
    kept: {
      "lib/a.ts": "const NAMES: ReadonlySet<string> = new Set(['a']);\nconst OID = new Uint8Array(3);",
      "lib/e.ts":
        'const A = ["before a new key", 1]; // a new one\nconst B = new Uint8Array(\n  new Oid().toBER(),\n);',
      "lib/b.ts": "const make = (a: string) => new Token(a);\nexport const now = () => new Date();",
      "lib/c.ts": "class A {\n  readonly b = new B();\n  static make() {\n    return new A();\n  }\n}",
      "lib/d.ts": "/**\n * A new Token, and a\n */\nfunction a() {\n  return new Token();\n}",
    },
  },
  {
    name: "sets and maps at the top of a module are declared as ones that nobody changes",
    breaches: (sources) =>
      sources.filter(isProduction).flatMap((source) =>
        topStatements(source)
          .filter((statement) => /^(export\s+)?const\s+[^=]*=\s*new\s+(Set|Map)\b/.test(statement))
          .filter((statement) => !/^(export\s+)?const\s+\w+:\s*Readonly(Set|Map)</.test(statement))
          .map((statement) => `${source.path}: ${statement.split("\n")[0]}`),
      ),
    broken: [
      { "lib/a.ts": "const seen = new Set<string>();" },
      { "lib/b.ts": "export const keys: Map<string, Key> = new Map();" },
    ],
    kept: { "lib/a.ts": "const NAMES: ReadonlySet<string> = new Set(['a']);" },
  },
  {
    name: "what Node has is imported with node:",
    breaches: (sources) =>
      sources.flatMap((source) =>
        importsOf(source)
          .filter(({ specifier }) => BUILTINS.some((name) => belongsTo(specifier, name)))
          .map(({ specifier }) => `${source.path} imports ${specifier}`),
      ),
    broken: [
      { "lib/a.ts": 'import { join } from "path";' },
      { "test/a.ts": 'import type {\n  Stats,\n} from "fs";' },
      { "dev/a.ts": 'export { readFile } from "fs/promises";' },
      { "bench/a.ts": 'const a = await import("crypto");' },
    ],
    kept: { "lib/a.ts": 'import { join } from "node:path";\nimport "./path.ts";\nimport "pathological";' },
  },
  {
    name: "local files are imported with their extension, .ts, or .js for what browsers get as it stands",
    breaches: (sources) =>
      sources.flatMap((source) =>
        importsOf(source)
          .filter(({ specifier }) => /^[./]/.test(specifier) && !/^\.\.?\/.*\.ts$/.test(specifier))
          .filter(
            (imported) =>
              !/^(client|dev\/demo_page|test\/browser\/pages)\/\w+\.js$/.test(
                targetOf(source, imported) ?? "",
              ),
          )
          .map(({ specifier }) => `${source.path} imports ${specifier}`),
      ),
    broken: [
      { "lib/a.ts": 'import { b } from "./b";' },
      { "test/a.ts": 'import { b } from "../lib/b.js";' },
      { "test/b.ts": 'import { b } from "../dev/client/b.js";' },
      { "dev/a.ts": 'export type { B } from "..";' },
      { "bench/a.ts": 'const b = await import("./b.mjs");' },
      { "lib/b.ts": 'import "/lib/c.ts";' },
    ],
    kept: {
      "lib/a.ts": 'import "./b.ts";\nimport "../c.ts";\nimport "node:fs";',
      "test/a.ts": 'import "../client/b.js";\nimport "../dev/demo_page/c.js";',
    },
  },
  {
    name: "no module imports itself, not by way of others either, types included",
    breaches: (sources) => cycles(sources.filter(isProduction)),
    broken: [
      { "lib/a.ts": 'import "./a.ts";' },
      { "lib/a.ts": 'import { b } from "./b.ts";', "lib/b.ts": 'import type { A } from "./a.ts";' },
      {
        "lib/a.ts": 'import "./hsm/b.ts";',
        "lib/hsm/b.ts": 'export * from "../c.ts";',
        "lib/c.ts": 'await import("./a.ts");',
      },
    ],
    kept: {
      "lib/a.ts": 'import "./b.ts";\nimport "./c.ts";',
      "lib/b.ts": 'import "./d.ts";',
      "lib/c.ts": 'import "./d.ts";',
      "lib/d.ts": 'import "node:fs";',
    },
  },
];

/** The classes whose objects a statement at the top of a module makes, other than inside of functions. */
function madeOnLoading(statement: string): readonly string[] {
  const isClass = /^(export\s+)?(default\s+)?(abstract\s+)?class\b/.test(statement);
  const isInert = /^(export\s+)?(default\s+)?(async\s+)?(function|interface|type|import)\b/.test(statement);
  // Bytes do not hold on to what they were made with.
  const isBytes = /^(export\s+)?const\s+[^=]*=\s*new\s+Uint8Array\(/.test(statement);
  if (isInert || isBytes) return [];
  const code = withoutStrings(statement);
  const running = isClass
    ? [...code.matchAll(/^ +static\s+(?:readonly\s+)?#?\w+(?::[^=]+)?\s*=.*$/gm)]
        .map(([line]) => line)
        .join("\n")
    : (code.split(/=>|\bfunction\b/)[0] ?? "");
  return [...running.matchAll(/\bnew\s+(?:\w+\.)*(\w+)/g)].map(([, name = ""]) => name);
}

/** The code without strings, and without comments at the ends of lines. */
function withoutStrings(code: string): string {
  return code
    .replaceAll(/"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`/gs, '""')
    .replaceAll(/\/\/.*$/gm, "");
}

function cycles(sources: readonly Source[]): readonly string[] {
  const targets = new Map(
    sources.map((source) => [source.path, importsOf(source).map((imported) => targetOf(source, imported))]),
  );
  const found = new Set<string>();
  const isDone = new Set<string>();
  const visit = (path: string, way: readonly string[]): void => {
    if (way.includes(path)) found.add([...way.slice(way.indexOf(path)), path].join(" → "));
    if (way.includes(path) || isDone.has(path)) return;
    for (const target of targets.get(path) ?? []) {
      if (target !== undefined) visit(target, [...way, path]);
    }
    isDone.add(path);
  };
  for (const { path } of sources) visit(path, []);
  return [...found];
}

// The tree, and the proof that each rule can fail.

const root = fileURLToPath(new URL("..", import.meta.url));

/** This file quotes bad sources, and is no example itself. */
const tree: readonly Source[] = ["lib", "dev", "test", "bench", "examples"]
  .filter((folder) => existsSync(join(root, folder)))
  .flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" }).map((name) => `${folder}/${name}`),
  )
  .concat("server.ts")
  .map((path) => path.replaceAll("\\", "/"))
  .filter((path) => path.endsWith(".ts") && !/\/node_modules\/|^test\/architecture\.test\.ts$/.test(path))
  .map((path) => ({ path, text: readFileSync(join(root, path), "utf8") }));

const sourcesOf = (files: Readonly<Record<string, string>>): readonly Source[] =>
  Object.entries(files).map(([path, text]) => ({ path, text }));

for (const rule of rules) {
  test(`${rule.name}`, () => {
    assert.deepEqual(rule.breaches(tree), []);
  });

  test(`the rule can fail, and does not fail for nothing: ${rule.name}`, () => {
    for (const files of rule.broken) {
      assert.notDeepEqual(rule.breaches(sourcesOf(files)), [], JSON.stringify(files));
    }
    assert.deepEqual(rule.breaches(sourcesOf(rule.kept)), []);
  });
}

test("the rules are about files that there are", () => {
  const paths = tree.map(({ path }) => path);
  for (const place of [...LEAVES, ...COMPOSERS]) {
    assert.ok(
      paths.some((path) => isAmong(path, [place])),
      place,
    );
  }
  for (const corner of Object.keys(CORNERS)) {
    assert.ok(
      paths.some((path) => path.startsWith(`${corner}/`)),
      corner,
    );
  }
});

test("each corner uses what it alone may use", () => {
  for (const [corner, names] of equipped) {
    const specifiers = tree
      .filter(({ path }) => cornerOf(path) === corner)
      .flatMap(importsOf)
      .map(({ specifier }) => specifier);
    assert.ok(
      names.some((name) => specifiers.includes(name)),
      corner,
    );
  }
});

test("every form of import is seen, and what only looks like one is not", () => {
  const text = [
    'import "a";',
    'import b from "b";',
    "import c1, { c2 as c3 } from 'c';",
    'import * as d from "d";',
    'import {\n  e1,\n  type e2,\n} from "e";',
    'import type f from "f";',
    'import type {\n  g,\n} from "g";',
    'export * from "h";',
    'export * as i from "i";',
    'export { j } from "j";',
    'export type { k } from "k";',
    'const l = await import("l");',
    "const m = await import(\n  `m`\n);",
    "const n = await import(n);",
    'type O = import("o").O;',
    '// import "comment";',
    '/**\n * import "comment";\n */',
    '  // import("comment")',
    'export const p = "p";',
    'export function q(): string {\n  return "from q";\n}',
    "export { r };",
    'const s = ["*/*", "text/*"];',
    'import "t";',
  ].join("\n");
  const found = importsOf({ path: "lib/a.ts", text });
  const values = found.filter(({ isTypeOnly }) => !isTypeOnly).map(({ specifier }) => specifier);
  const types = found.filter(({ isTypeOnly }) => isTypeOnly).map(({ specifier }) => specifier);
  assert.deepEqual(values.toSorted(), [COMPUTED, "a", "b", "c", "d", "e", "h", "i", "j", "l", "m", "o", "t"]);
  assert.deepEqual(types.toSorted(), ["f", "g", "k"]);
});

test("as many imports are seen in the tree as its lines begin with", () => {
  for (const { path, text } of tree.filter(isProduction)) {
    const beginnings = text.match(/^(import\b|export \*|export (type )?\{[^}]*\} from)|\bimport\(/gm) ?? [];
    assert.equal(importsOf({ path, text }).length, beginnings.length, path);
  }
});
