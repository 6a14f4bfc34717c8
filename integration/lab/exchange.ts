/** One exchange of a client with whatever answers at an address: over TCP, or UDP in its two ways. */
import dgram from "node:dgram";
import { once } from "node:events";
import net from "node:net";
import type { ClientTarget } from "./client-messages.ts";

/** Which pod answered, on which of its ports. */
export interface Answer {
  readonly pod: string;
  readonly port: number;
}

/** A failed exchange: the code of a socket error, or what was wrong. */
export class ExchangeError extends Error {
  override readonly name = "ExchangeError";
  readonly code: string;

  constructor(code: string, cause?: unknown) {
    super(code, { cause });
    this.code = code;
  }
}

export type ExchangeTarget = Pick<ClientTarget, "address" | "port" | "source">;

export async function exchangeTcp({ address, port, source }: ExchangeTarget, timeoutMs: number): Promise<Answer> {
  const from = source === undefined ? {} : { localAddress: source };
  const socket = net.connect({ host: address, port, family: net.isIPv6(address) ? 6 : 4, ...from });
  let peer: string | undefined;
  try {
    return await new Promise<Answer>((resolve, reject) => {
      let text = "";
      const timer = setTimeout(
        () => reject(new ExchangeError(peer === undefined ? "timeout" : `timeout after ${text.length} bytes`)),
        timeoutMs,
      );
      socket.setEncoding("latin1");
      socket.on("connect", () => (peer = socket.remoteAddress));
      socket.on("data", (chunk: string) => (text += chunk));
      socket.on("error", (error) => reject(fromSocket(error)));
      socket.on("close", () => {
        clearTimeout(timer);
        const answer = parseAnswer(text.trimEnd());
        // getpeername() must show the address that was asked for, not the backend.
        if (peer !== undefined && peer !== address) reject(new ExchangeError(`getpeername says ${peer}`));
        else if (answer === undefined) reject(new ExchangeError(`closed after ${text.length} bytes`));
        else resolve(answer);
      });
    });
  } finally {
    socket.destroy();
  }
}

/** A connected socket for this one exchange. */
export async function exchangeConnectedUdp(target: ExchangeTarget, timeoutMs: number): Promise<Answer> {
  const socket = new ConnectedUdp(target);
  try {
    return await socket.exchange(timeoutMs);
  } finally {
    socket.close();
  }
}

/** One connected socket for exchanges one after the other; it is connected before the first. */
export class ConnectedUdp {
  readonly #target: ExchangeTarget;
  readonly #socket: dgram.Socket;
  #connected: Promise<void> | undefined;
  #settle: (outcome: Answer | ExchangeError) => void = () => {};

  constructor(target: ExchangeTarget) {
    this.#target = target;
    this.#socket = dgram.createSocket(net.isIPv6(target.address) ? "udp6" : "udp4");
    this.#socket.on("error", (error) => this.#settle(fromSocket(error)));
    this.#socket.on("message", (message) => {
      const answer = parseAnswer(message.toString("latin1"));
      this.#settle(answer ?? new ExchangeError(`answer of ${message.length} bytes`));
    });
  }

  async exchange(timeoutMs: number): Promise<Answer> {
    this.#connected ??= this.#connect();
    await this.#connected;
    const { promise, resolve } = Promise.withResolvers<Answer | ExchangeError>();
    this.#settle = resolve;
    const timer = setTimeout(() => resolve(new ExchangeError("timeout")), timeoutMs);
    this.#socket.send("?", (error) => {
      if (error !== null) resolve(fromSocket(error));
    });
    const outcome = await promise;
    clearTimeout(timer);
    if (outcome instanceof ExchangeError) throw outcome;
    return outcome;
  }

  close(): void {
    this.#socket.close();
  }

  async #connect(): Promise<void> {
    const { address, port, source } = this.#target;
    if (source !== undefined) await bound(this.#socket, source);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    // With a callback, a refused connect is its argument and no event; the type does not know.
    this.#socket.connect(port, address, ((error?: NodeJS.ErrnoException) => {
      if (error) reject(fromSocket(error));
      else resolve();
    }) as () => void);
    await promise;
    // getpeername() must show the address that was asked for, not the backend.
    const peer = this.#socket.remoteAddress();
    if (peer.address !== address || peer.port !== port)
      throw new ExchangeError(`getpeername says ${peer.address}:${peer.port}`);
  }
}

/** One unconnected socket for many exchanges, told apart by a number in each. */
export class UnconnectedUdp {
  readonly #socket: dgram.Socket;
  readonly #waiting = new Map<string, (answer: Answer | ExchangeError) => void>();
  readonly #ready: Promise<void>;
  #next = 0;

  constructor(family: 4 | 6, source?: string) {
    this.#socket = dgram.createSocket(family === 6 ? "udp6" : "udp4");
    this.#ready = source === undefined ? Promise.resolve() : bound(this.#socket, source);
    this.#socket.on("message", (message, from) => {
      const [pod = "", port = "", id = "", address = "", servicePort = ""] = message.toString("latin1").split(" ");
      const settle = this.#waiting.get(id);
      // recvmsg() must show the address that was asked, not the backend.
      const isFromTarget = from.address === address && String(from.port) === servicePort;
      settle?.(
        isFromTarget ? { pod, port: Number(port) } : new ExchangeError(`recvmsg says ${from.address}:${from.port}`),
      );
    });
    // Errors of one exchange come through its own send(); an ICMP error would have no owner.
    this.#socket.on("error", () => {});
  }

  async exchange(address: string, port: number, timeoutMs: number): Promise<Answer> {
    await this.#ready;
    const id = String(this.#next++);
    const { promise, resolve } = Promise.withResolvers<Answer | ExchangeError>();
    this.#waiting.set(id, resolve);
    const timer = setTimeout(() => resolve(new ExchangeError("timeout")), timeoutMs);
    this.#socket.send(`${id} ${address} ${port}`, port, address, (error) => {
      if (error !== null) resolve(fromSocket(error));
    });
    const outcome = await promise;
    clearTimeout(timer);
    this.#waiting.delete(id);
    if (outcome instanceof ExchangeError) throw outcome;
    return outcome;
  }

  close(): void {
    this.#socket.close();
  }
}

export function fromSocket(error: NodeJS.ErrnoException): ExchangeError {
  return new ExchangeError(error.code ?? error.message, error);
}

async function bound(socket: dgram.Socket, source: string): Promise<void> {
  socket.bind(0, source);
  await once(socket, "listening");
}

function parseAnswer(text: string): Answer | undefined {
  const match = /^(\S+) (\d+)(?: |$)/.exec(text);
  return match === null ? undefined : { pod: match[1] ?? "", port: Number(match[2]) };
}
