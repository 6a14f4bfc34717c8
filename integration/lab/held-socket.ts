/** A socket that a client keeps: what happens to it when services change is what is looked at. */
import { once } from "node:events";
import net from "node:net";
import type { ClientTarget } from "./client-messages.ts";
import { ConnectedUdp, ExchangeError, UnconnectedUdp, fromSocket } from "./exchange.ts";

/** What an echo port is asked. */
const question = "still there?";

export interface HeldSocket {
  /** What answered: "pod port", or over TCP what the echo port repeats. @throws ExchangeError */
  use(timeoutMs: number): Promise<string>;
  close(): void;
}

/** Opens it and makes its first exchange: "pod port". @throws ExchangeError */
export async function holdSocket(
  target: ClientTarget,
  timeoutMs: number,
): Promise<{ readonly socket: HeldSocket; readonly outcome: string }> {
  if (target.transport === "tcp") {
    const socket = new HeldTcp(target);
    return { socket, outcome: await socket.greeting(timeoutMs) };
  }
  const socket = target.transport === "udp" ? heldUnconnected(target) : heldConnected(target);
  return { socket, outcome: await socket.use(timeoutMs) };
}

function heldUnconnected({ address, port, source }: ClientTarget): HeldSocket {
  const socket = new UnconnectedUdp(net.isIPv6(address) ? 6 : 4, source);
  return {
    use: async (timeoutMs) => {
      const answer = await socket.exchange(address, port, timeoutMs);
      return `${answer.pod} ${answer.port}`;
    },
    close: () => socket.close(),
  };
}

function heldConnected(target: ClientTarget): HeldSocket {
  const socket = new ConnectedUdp(target);
  return {
    use: async (timeoutMs) => {
      const answer = await socket.exchange(timeoutMs);
      return `${answer.pod} ${answer.port}`;
    },
    close: () => socket.close(),
  };
}

class HeldTcp implements HeldSocket {
  readonly #socket: net.Socket;
  #ended: ExchangeError | undefined;

  constructor({ address, port, source }: ClientTarget) {
    this.#socket = net.connect({ host: address, port, ...(source === undefined ? {} : { localAddress: source }) });
    this.#socket.setEncoding("latin1");
    this.#socket.on("error", (error) => (this.#ended ??= fromSocket(error)));
    this.#socket.on("end", () => (this.#ended ??= new ExchangeError("closed by the other side")));
  }

  /** What the pod says first. */
  async greeting(timeoutMs: number): Promise<string> {
    return this.#line(timeoutMs);
  }

  async use(timeoutMs: number): Promise<string> {
    if (this.#ended !== undefined) throw this.#ended;
    this.#socket.write(`${question}\n`);
    return this.#line(timeoutMs);
  }

  close(): void {
    this.#socket.destroy();
  }

  async #line(timeoutMs: number): Promise<string> {
    const over = new AbortController();
    const { signal } = over;
    const timer = setTimeout(() => over.abort(), timeoutMs);
    try {
      const heard = (await Promise.race([
        once(this.#socket, "data", { signal }),
        once(this.#socket, "close", { signal }),
      ])) as unknown[];
      if (typeof heard[0] === "string") return heard[0].trimEnd();
      throw this.#ended ?? new ExchangeError("closed");
    } catch (error) {
      if (error instanceof ExchangeError) throw error;
      throw signal.aborted ? new ExchangeError("timeout") : fromSocket(error as NodeJS.ErrnoException);
    } finally {
      clearTimeout(timer);
      over.abort();
    }
  }
}
