import type { Answered, HttpHandler } from "./exchange.ts";

/** Tells of every request when its reply is there. */
export function observed(handler: HttpHandler, observe: (answered: Answered) => void): HttpHandler {
  return async (request) => {
    const start = performance.now();
    const reply = await handler(request);
    const { id, method, path, facts } = request;
    const { status, code } = reply;
    observe({ id, method, path, status, code, totalMs: performance.now() - start, facts });
    return reply;
  };
}
