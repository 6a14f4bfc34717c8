/**
 * A pod for tests: a process in a network namespace of its own and in the cgroup that its argument names, which listens on
 * loopback and opens sockets as it is told. Started by `startPod`; ends with its parent.
 */
import { execFileSync } from "node:child_process";
import dgram from "node:dgram";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import type { AddressInfo } from "node:net";
import path from "node:path";
import koffi from "koffi";
import type { PodCall, PodReply, PodTarget, Seen } from "./pod.ts";

const waitMsMax = 2_000;
const udpSockets = new Map<number, dgram.Socket>();
const heldTcp = new Map<number, net.Socket>();
const tcpServers: net.Server[] = [];

const calls: { readonly [Name in PodCall["call"]]: (of: Extract<PodCall, { call: Name }>) => Promise<Seen> } = {
  async listen({ address, port }: { address: string; port: number }) {
    const name = `${address}:${port}`;
    const server = net.createServer((socket) => answerAlways(socket, name));
    server.listen(port, address);
    await once(server, "listening");
    tcpServers.push(server);
    const udp = dgram.createSocket(net.isIPv6(address) ? "udp6" : "udp4");
    udp.on("message", (_, from) => udp.send(name, from.port, from.address));
    udp.bind(port, address);
    await once(udp, "listening");
    return {};
  },
  async hold({ protocol, socket, address, port }) {
    return { answer: await (protocol === "TCP" ? holdTcp : holdUdp)(socket, address, port) };
  },
  release({ socket }) {
    heldTcp.get(socket)?.destroy();
    udpSockets.get(socket)?.close();
    heldTcp.delete(socket);
    udpSockets.delete(socket);
    return Promise.resolve({});
  },
  async bind({ protocol, address, port }) {
    if (protocol === "TCP") {
      const server = net.createServer().listen(port, address);
      await once(server, "listening");
      server.close();
    } else {
      const socket = dgram.createSocket(net.isIPv6(address) ? "udp6" : "udp4");
      socket.bind(port, address);
      await once(socket, "listening");
      socket.close();
    }
    return {};
  },
  async tcp({ address, port, from, waitMs = waitMsMax }) {
    const bound = from === undefined ? {} : { localAddress: from };
    const socket = net.connect({ host: address, port, family: net.isIPv6(address) ? 6 : 4, ...bound });
    try {
      await once(socket, "connect", { signal: AbortSignal.timeout(waitMs) });
      const peer = printAddress(socket.remoteAddress ?? "", socket.remotePort ?? 0);
      const [answer] = (await once(socket, "data", { signal: AbortSignal.timeout(waitMsMax) })) as [Buffer];
      return { answer: answer.toString(), from: peer };
    } finally {
      socket.destroy();
    }
  },
  async udpConnected({ address, port, from: source }) {
    const socket = dgram.createSocket(net.isIPv6(address) ? "udp6" : "udp4");
    try {
      await bindTo(socket, source);
      socket.connect(port, address);
      await once(socket, "connect");
      const [answer, from] = await exchange(socket);
      const { address: peerAddress, port: peerPort } = socket.remoteAddress();
      return {
        answer: answer.toString(),
        from: printAddress(from.address, from.port),
        peer: printAddress(peerAddress, peerPort),
      };
    } finally {
      socket.close();
    }
  },
  async udp({ socket: id, address, port, from: source }) {
    let socket = udpSockets.get(id);
    if (socket === undefined) {
      socket = dgram.createSocket(net.isIPv6(address) ? "udp6" : "udp4");
      udpSockets.set(id, socket);
      await bindTo(socket, source);
    }
    const [answer, from] = await exchange(socket, { address, port });
    return { answer: answer.toString(), from: printAddress(from.address, from.port) };
  },
  async udpReconnect({ addresses }) {
    const socket = dgram.createSocket("udp4");
    const peers: string[] = [];
    try {
      for (const { address, port } of addresses) {
        socket.connect(port, address);
        await once(socket, "connect");
        const peer = socket.remoteAddress();
        peers.push(printAddress(peer.address, peer.port));
        socket.disconnect();
      }
      return { peers };
    } finally {
      socket.close();
    }
  },
  tcpReconnect({ targets }) {
    return Promise.resolve({ peers: reconnectTcp(targets) });
  },
  async udpNamedPeer({ first, peer }) {
    const socket = dgram.createSocket("udp4");
    const answers: string[] = [];
    const hear = async (send: () => void): Promise<void> => {
      const answered = once(socket, "message", { signal: AbortSignal.timeout(waitMsMax) });
      send();
      const [answer, from] = (await answered) as [Buffer, AddressInfo];
      answers.push(`${answer.toString()} from ${printAddress(from.address, from.port)}`);
    };
    try {
      await hear(() => socket.send("?", first.port, first.address));
      socket.connect(peer.port, peer.address);
      await once(socket, "connect");
      await hear(() => socket.send("?"));
      await hear(() => sendToThough(socket, peer));
      return { answers };
    } finally {
      socket.close();
    }
  },
};

// node:dgram refuses to name a peer once a socket is connected; applications in C do.
function sendToThough(socket: dgram.Socket, target: PodTarget): void {
  const name = socketAddress(target);
  const { fd } = (socket as unknown as { readonly _handle: { readonly fd: number } })._handle;
  const sendto = koffi.load("libc.so.6").func("long sendto(int, const void *, size_t, int, const void *, uint)");
  if (sendto(fd, Buffer.from("?"), 1, 0, name, name.length) !== 1) throw new Error("sendto failed");
}

// node:net makes a socket for each connection.
function reconnectTcp(targets: readonly PodTarget[]): string[] {
  const libc = koffi.load("libc.so.6");
  const connect = libc.func("int connect(int, const void *, uint)");
  const getpeername = libc.func("int getpeername(int, void *, _Inout_ uint *)");
  const fd = libc.func("int socket(int, int, int)")(2, 1, 0) as number;
  try {
    return targets.map((target) => {
      const name = socketAddress(target);
      if (connect(fd, name, name.length) !== 0) throw new Error(`connect: errno ${koffi.errno()}`);
      const peer = Buffer.alloc(16);
      if (getpeername(fd, peer, [peer.length]) !== 0) throw new Error(`getpeername: errno ${koffi.errno()}`);
      // AF_UNSPEC
      if (connect(fd, Buffer.alloc(16), 16) !== 0) throw new Error(`disconnect: errno ${koffi.errno()}`);
      return printAddress(peer.subarray(4, 8).join("."), peer.readUInt16BE(2));
    });
  } finally {
    libc.func("int close(int)")(fd);
  }
}

// struct sockaddr_in.
function socketAddress({ address, port }: PodTarget): Buffer {
  const name = Buffer.alloc(16);
  name.writeUInt16LE(2, 0);
  name.writeUInt16BE(port, 2);
  name.set(address.split(".").map(Number), 4);
  return name;
}

/** Sends to `to`, or to the peer of a connected socket, and waits for an answer. */
async function exchange(
  socket: dgram.Socket,
  to?: { readonly address: string; readonly port: number },
): Promise<[Buffer, AddressInfo]> {
  const answered = once(socket, "message", { signal: AbortSignal.timeout(waitMsMax) });
  answered.catch(() => undefined);
  await new Promise<void>((resolve, reject) => {
    const sent = (error: Error | null): void => (error === null ? resolve() : reject(error));
    if (to === undefined) socket.send("?", sent);
    else socket.send("?", to.port, to.address, sent);
  });
  return (await answered) as [Buffer, AddressInfo];
}

// At once, and each time it is asked.
function answerAlways(socket: net.Socket, name: string): void {
  socket.on("error", () => undefined);
  socket.on("data", () => socket.write(name));
  socket.write(name);
}

async function holdTcp(id: number, address: string, port: number): Promise<string> {
  let socket = heldTcp.get(id);
  if (socket === undefined) {
    socket = net.connect({ host: address, port, family: net.isIPv6(address) ? 6 : 4 });
    heldTcp.set(id, socket);
  } else socket.write("?");
  const [answer] = (await once(socket, "data", { signal: AbortSignal.timeout(waitMsMax) })) as [Buffer];
  return answer.toString();
}

async function holdUdp(id: number, address: string, port: number): Promise<string> {
  let socket = udpSockets.get(id);
  if (socket === undefined) {
    socket = dgram.createSocket(net.isIPv6(address) ? "udp6" : "udp4");
    udpSockets.set(id, socket);
    socket.connect(port, address);
    await once(socket, "connect");
  }
  const [answer] = await exchange(socket);
  return answer.toString();
}

async function bindTo(socket: dgram.Socket, source: string | undefined): Promise<void> {
  if (source === undefined) return;
  socket.bind(0, source);
  await once(socket, "listening");
}

function printAddress(address: string, port: number): string {
  return net.isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
}

const [cgroup, host] = process.argv.slice(2);
if (cgroup !== undefined) fs.writeFileSync(path.join(cgroup, "cgroup.procs"), `${process.pid}`);
if (host === undefined) {
  execFileSync("ip", ["link", "set", "lo", "up"]);
  for (let i = 1; i <= 4; i++) execFileSync("ip", ["addr", "add", `fd00:1::${i}/128`, "dev", "lo", "nodad"]);
}

process.on("message", (message: PodCall & { readonly id: number }) => {
  const reply = (result: PodReply): void => {
    process.send?.({ id: message.id, ...result });
  };
  const call = calls[message.call] as (of: PodCall) => Promise<Seen>;
  const startMs = performance.now();
  call(message).then(
    (seen) => reply({ seen: { ...seen, ms: performance.now() - startMs } }),
    (error: NodeJS.ErrnoException) =>
      reply({ seen: { error: error.code ?? String(error), ms: performance.now() - startMs } }),
  );
});
process.on("disconnect", () => process.exit(0));
process.send?.({ id: 0, seen: {} });
