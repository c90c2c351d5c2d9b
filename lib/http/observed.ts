import type { Answered, HttpHandler } from "./exchange.ts";
import { REQUEST_ID_HEADER } from "./request_id.ts";

/** Tells of every request when its reply is there, and gives the reply the request's id. */
export function observed(handler: HttpHandler, observe: (answered: Answered) => void): HttpHandler {
  return async (request) => {
    const start = performance.now();
    const reply = await handler(request);
    const { id, method, path, facts } = request;
    const { status, code } = reply;
    const totalMs = performance.now() - start;
    observe({ id, method, path, status, ...(code === undefined ? {} : { code }), totalMs, facts });
    return { ...reply, headers: { ...reply.headers, [REQUEST_ID_HEADER]: id } };
  };
}
