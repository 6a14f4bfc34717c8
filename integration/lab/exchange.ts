/** One exchange of a client with whatever answers at an address: over TCP, or UDP in its two ways. */
import dgram from "node:dgram";
import net from "node:net";

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

export async function exchangeTcp(address: string, port: number, timeoutMs: number): Promise<Answer> {
  const socket = net.connect({ host: address, port, family: net.isIPv6(address) ? 6 : 4 });
  let peer: string | undefined;
  try {
    return await new Promise<Answer>((resolve, reject) => {
      let text = "";
      const timer = setTimeout(() => reject(new ExchangeError(`timeout after ${text.length} bytes`)), timeoutMs);
      socket.setEncoding("latin1");
      socket.on("connect", () => (peer = socket.remoteAddress));
      socket.on("data", (chunk: string) => (text += chunk));
      socket.on("error", (error: NodeJS.ErrnoException) =>
        reject(new ExchangeError(error.code ?? error.message, error)),
      );
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
export async function exchangeConnectedUdp(address: string, port: number, timeoutMs: number): Promise<Answer> {
  const socket = dgram.createSocket(net.isIPv6(address) ? "udp6" : "udp4");
  try {
    return await new Promise<Answer>((resolve, reject) => {
      const timer = setTimeout(() => reject(new ExchangeError("timeout")), timeoutMs);
      const fail = (error: NodeJS.ErrnoException): void => {
        clearTimeout(timer);
        reject(new ExchangeError(error.code ?? error.message, error));
      };
      socket.on("error", fail);
      socket.on("message", (message) => {
        clearTimeout(timer);
        const answer = parseAnswer(message.toString("latin1"));
        if (answer === undefined) reject(new ExchangeError(`answer of ${message.length} bytes`));
        else resolve(answer);
      });
      // With a callback, a refused connect is its argument and no event; the type does not know.
      socket.connect(port, address, ((error?: NodeJS.ErrnoException) => {
        if (error) fail(error);
        else socket.send("?");
      }) as () => void);
    });
  } finally {
    socket.close();
  }
}

/** One unconnected socket for many exchanges, told apart by a number in each. */
export class UnconnectedUdp {
  readonly #socket: dgram.Socket;
  readonly #waiting = new Map<string, (answer: Answer | ExchangeError) => void>();
  #next = 0;

  constructor(family: 4 | 6) {
    this.#socket = dgram.createSocket(family === 6 ? "udp6" : "udp4");
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
    const id = String(this.#next++);
    const { promise, resolve } = Promise.withResolvers<Answer | ExchangeError>();
    this.#waiting.set(id, resolve);
    const timer = setTimeout(() => resolve(new ExchangeError("timeout")), timeoutMs);
    this.#socket.send(`${id} ${address} ${port}`, port, address, (error) => {
      if (error !== null) resolve(new ExchangeError((error as NodeJS.ErrnoException).code ?? error.message, error));
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

function parseAnswer(text: string): Answer | undefined {
  const match = /^(\S+) (\d+)(?: |$)/.exec(text);
  return match === null ? undefined : { pod: match[1] ?? "", port: Number(match[2]) };
}
