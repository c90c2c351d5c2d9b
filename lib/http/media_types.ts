/** A media type without its parameters, in lower case (RFC 9110 §8.3.1), and its charset if it names one. */
export function parseContentType(field: string | undefined): { type: string; charset: string | undefined } {
  const [type = "", ...parameters] = (field ?? "").split(";").map((part) => part.trim().toLowerCase());
  const charset = parameters.find((parameter) => parameter.startsWith("charset="));
  return { type, charset: charset?.slice("charset=".length).replace(/^"(.*)"$/, "$1") };
}

/**
 * The first of `offers` that the client likes best (RFC 9110 §12.5.1). A field that wants none of them gets
 * the first: a client that can be answered is better than one that is refused for its manners.
 */
export function negotiate(accept: string | undefined, offers: readonly string[]): string {
  const [first = "", ...others] = offers;
  if (accept === undefined || accept === "*/*") return first;
  const ranges = accept.split(",").map(parseRange);
  let best = { offer: first, quality: qualityOf(first, ranges) };
  for (const offer of others) {
    const quality = qualityOf(offer, ranges);
    if (quality > best.quality) best = { offer, quality };
  }
  return best.offer;
}

interface MediaRange {
  readonly range: string;
  readonly quality: number;
}

function parseRange(text: string): MediaRange {
  const [range = "", ...parameters] = text.split(";").map((part) => part.trim().toLowerCase());
  const weight = parameters.find((parameter) => parameter.startsWith("q="))?.slice(2);
  const quality = weight === undefined ? 1 : Number(weight);
  return { range, quality: quality >= 0 && quality <= 1 ? quality : 0 };
}

/** The quality of the most specific range that matches; 0 when none does. */
function qualityOf(type: string, ranges: readonly MediaRange[]): number {
  for (const candidate of [type, `${type.split("/")[0]}/*`, "*/*"]) {
    const match = ranges.find(({ range }) => range === candidate);
    if (match !== undefined) return match.quality;
  }
  return 0;
}
