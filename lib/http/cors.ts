import type { HttpHandler, HttpReply, HttpRequest } from "./exchange.ts";

/** Headers that the published clients send, and `authorization`. */
const ALLOWED_HEADERS = "accept, authorization, content-type, x-request-id";
/** How long a browser may remember a preflight, in seconds. */
const MAX_AGE = "600";

/**
 * Lets pages of the listed origins use the service from a browser (Fetch Standard §3.2), and those of all
 * origins when the list says `*`. A page of another origin gets its answers without permission to read them.
 *
 * @param methodsOf the methods of a path; none for an unknown path
 */
export function withCors(
  handler: HttpHandler,
  origins: readonly string[],
  methodsOf: (path: string) => readonly string[],
): HttpHandler {
  if (origins.length === 0) return handler;
  const anyOrigin = origins.includes("*");

  return async (request) => {
    const origin = request.header("origin");
    const allowed = origin !== undefined && (anyOrigin || origins.includes(origin));
    const reply =
      isPreflight(request) && allowed ? preflight(methodsOf(request.path)) : await handler(request);
    const permission = {
      ...(anyOrigin ? {} : { vary: "Origin" }),
      ...(allowed
        ? {
            "access-control-allow-origin": anyOrigin ? "*" : origin,
            "access-control-expose-headers": "retry-after, www-authenticate, x-request-id",
          }
        : {}),
    };
    return { ...reply, headers: { ...reply.headers, ...permission } };
  };
}

function isPreflight(request: HttpRequest): boolean {
  return request.method === "OPTIONS" && request.header("access-control-request-method") !== undefined;
}

function preflight(methods: readonly string[]): HttpReply {
  return {
    status: 204,
    headers: {
      "access-control-allow-methods": methods.join(", "),
      "access-control-allow-headers": ALLOWED_HEADERS,
      "access-control-max-age": MAX_AGE,
    },
  };
}
