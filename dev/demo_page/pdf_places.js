import { PdfError } from "./pdf_error.js";

/**
 * @import { PdfFile } from "./pdf_file.js"
 * @import { Located } from "./pdf_object.js"
 * @import { PdfDictionary } from "./pdf_syntax.js"
 */

const DEEPEST_PAGE = 200;

/**
 * The catalog of a file that may be signed.
 *
 * @param {PdfFile} file
 * @throws PdfError
 */
export async function catalogOf(file) {
  if (await file.entry(file.trailer, "Encrypt")) {
    throw new PdfError("This PDF is encrypted. Take its protection off first, or choose another one.");
  }
  const catalog = await file.entryOf(file.trailer, "Root", "dictionary");
  // One that stands in the trailer itself could not be changed.
  if (catalog === undefined || catalog.object === file.trailer.object)
    throw PdfError.broken("it has no catalog");
  if (await forbidsChanges(file, catalog)) {
    throw new PdfError(
      "This PDF is certified, and its author allows no change to it: another signature would be one.",
    );
  }
  return catalog;
}

/**
 * Whether a certification signature allows nothing at all: §12.8.2.2, table 254.
 *
 * @param {PdfFile} file
 * @param {Located<PdfDictionary>} catalog
 */
async function forbidsChanges(file, catalog) {
  const permissions = await file.entryOf(catalog, "Perms", "dictionary");
  const signature = permissions && (await file.entryOf(permissions, "DocMDP", "dictionary"));
  const references = signature && (await file.entryOf(signature, "Reference", "array"));
  for (const item of references?.node.items ?? []) {
    const reference = await file.follow({ object: /** @type {Located} */ (references).object, node: item });
    if (reference?.node.kind !== "dictionary") continue;
    const dictionary = { object: reference.object, node: reference.node };
    const method = await file.entry(dictionary, "TransformMethod");
    const parameters = await file.entryOf(dictionary, "TransformParams", "dictionary");
    const allowed = parameters && (await file.entryOf(parameters, "P", "number"));
    if (method?.node.kind === "name" && method.node.value === "DocMDP" && allowed?.node.value === 1)
      return true;
  }
  return false;
}

/**
 * The first leaf of the page tree: §7.7.3.
 *
 * @param {PdfFile} file
 * @param {Located<PdfDictionary>} catalog
 */
export async function firstPage(file, catalog) {
  const root = await file.entryOf(catalog, "Pages", "dictionary");
  const page = root && (await firstLeaf(file, root, 0));
  if (page === undefined) throw PdfError.broken("it has no page");
  return page;
}

/**
 * @param {PdfFile} file
 * @param {Located<PdfDictionary>} node
 * @param {number} depth
 * @returns {Promise<Located<PdfDictionary> | undefined>}
 */
async function firstLeaf(file, node, depth) {
  if (depth > DEEPEST_PAGE) throw PdfError.broken("its pages are nested too deeply");
  const kids = await file.entryOf(node, "Kids", "array");
  // A page that is no object of its own cannot be changed alone, nor be referred to.
  if (kids === undefined) return node.node === node.object.node ? node : undefined;
  for (const kid of kids.node.items) {
    const child = await file.follow({ object: kids.object, node: kid });
    if (child?.node.kind !== "dictionary") continue;
    const leaf = await firstLeaf(file, { object: child.object, node: child.node }, depth + 1);
    if (leaf !== undefined) return leaf;
  }
  return undefined;
}
