import type { IncomingMessage } from "node:http";
import { BlockList, isIP } from "node:net";

/** An address in one of the forms that proxies write: bare, in brackets, with a port. */
const ADDRESS = /^(?:\[([\da-f:.]+)\](?::\d+)?|(\d+\.\d+\.\d+\.\d+)(?::\d+)?|([\da-f:.]+))$/i;

/**
 * Finds where requests come from. `X-Forwarded-For` is believed from the proxies that are named, and from nobody
 * else: each of them adds whom it got the request from, so what stands left of the last one that is no such proxy
 * may be anybody's invention.
 */
export class ClientAddresses {
  readonly #proxies: BlockList | undefined;

  /** @param proxies IP addresses and networks, as in `10.0.0.0/8` */
  constructor(proxies: readonly string[]) {
    this.#proxies = proxies.length === 0 ? undefined : new BlockList();
    for (const proxy of proxies) {
      const [address = "", prefix] = proxy.split("/");
      const family = familyOf(address);
      if (prefix === undefined) this.#proxies?.addAddress(address, family);
      else this.#proxies?.addSubnet(address, Number(prefix), family);
    }
  }

  /** The address of whoever sent a request; `undefined` where the connection has none, or is gone. */
  of({ socket, headers }: IncomingMessage): string | undefined {
    const peer = plain(socket.remoteAddress);
    if (this.#proxies === undefined || peer === undefined) return peer;
    const forwarded = headers["x-forwarded-for"];
    if (typeof forwarded !== "string") return peer;
    let address = peer;
    for (const entry of forwarded.split(",").reverse()) {
      if (!this.#isProxy(address)) break;
      const [, bracketed, four, six] = ADDRESS.exec(entry.trim()) ?? [];
      const next = plain(bracketed ?? four ?? six);
      if (next === undefined || isIP(next) === 0) break;
      address = next;
    }
    return address;
  }

  #isProxy(address: string): boolean {
    return this.#proxies?.check(address, familyOf(address)) ?? false;
  }
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return isIP(address) === 6 ? "ipv6" : "ipv4";
}

/** An IPv4 address that a socket for both families has written as one of IPv6, as what it is. */
function plain(address: string | undefined): string | undefined {
  return address?.startsWith("::ffff:") && address.includes(".") ? address.slice("::ffff:".length) : address;
}
