/** Starts a pod process (see pod-process.ts) and calls it. Test support. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

export type PodCall =
  | { readonly call: "listen"; readonly address: string; readonly port: number }
  /** `from`: address to bind to first. */
  | {
      readonly call: "tcp" | "udpConnected";
      readonly address: string;
      readonly port: number;
      readonly from?: string;
      readonly waitMs?: number;
    }
  /** A connected socket that stays open under its number: each call sends and waits for an answer. */
  | {
      readonly call: "hold";
      readonly protocol: "TCP" | "UDP";
      readonly socket: number;
      readonly address: string;
      readonly port: number;
    }
  | { readonly call: "release"; readonly socket: number }
  /** bind(), and close at once. */
  | { readonly call: "bind"; readonly protocol: "TCP" | "UDP"; readonly address: string; readonly port: number }
  /** Sockets stay open under their number. */
  | {
      readonly call: "udp";
      readonly socket: number;
      readonly address: string;
      readonly port: number;
      readonly from?: string;
    }
  | {
      readonly call: "udpReconnect";
      readonly addresses: readonly { readonly address: string; readonly port: number }[];
    }
  /** One IPv4 socket that connects to one after the other, disconnected in between. */
  | { readonly call: "tcpReconnect"; readonly targets: readonly PodTarget[] }
  /** One socket: sendto(`first`), connect(`peer`), send(), and sendto(`peer`) although it is connected. */
  | { readonly call: "udpNamedPeer"; readonly first: PodTarget; readonly peer: PodTarget };

export interface PodTarget {
  readonly address: string;
  readonly port: number;
}

/** What the application saw: an answer and where it came from, or the code of an error. */
export interface Seen {
  readonly answer?: string;
  readonly from?: string;
  readonly peer?: string;
  readonly peers?: readonly string[];
  readonly answers?: readonly string[];
  readonly error?: string;
  readonly ms?: number;
}

export interface PodReply {
  readonly seen: Seen;
}

export interface Pod extends Disposable {
  call(call: PodCall): Promise<Seen>;
}

/** @param isHost in this process's network namespace instead of one of its own: it listens on loopback only, as configured */
export async function startPod(cgroup: string, isHost = false): Promise<Pod> {
  const script = fileURLToPath(new URL("pod-process.ts", import.meta.url));
  const command = isHost ? [script, cgroup, "host"] : ["--net", process.execPath, script, cgroup];
  const child = spawn(isHost ? process.execPath : "unshare", command, {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const waiting = new Map<number, (seen: Seen) => void>();
  let last = 0;
  const ready = new Promise<Seen>((resolve, reject) => {
    waiting.set(0, resolve);
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`the pod process ended: ${code}`)));
  });
  child.on("message", ({ id, seen }: PodReply & { readonly id: number }) => {
    waiting.get(id)?.(seen);
    waiting.delete(id);
  });
  await ready;
  return {
    call(call) {
      const id = ++last;
      const answered = new Promise<Seen>((resolve) => waiting.set(id, resolve));
      child.send({ id, ...call });
      return answered;
    },
    [Symbol.dispose]: () => {
      child.removeAllListeners("exit");
      child.kill("SIGKILL");
    },
  };
}
