/**
 * Program: a pod that really listens, on TCP and UDP, IPv4 and IPv6. No import but node's own: a lab runs a dozen of these.
 *
 * Arguments: `NAME PORTS [ECHO_PORTS]`, ports as `8080,9000-9063`.
 * - TCP: says `NAME PORT` and a newline, and closes.
 * - TCP on an echo port: says the same, keeps the connection, and repeats what it hears.
 * - UDP: answers `NAME PORT ` followed by what was sent.
 * Says `ready` once all ports listen.
 */
import dgram from "node:dgram";
import { once } from "node:events";
import net from "node:net";

const [name = "", ports = "", echoPorts = ""] = process.argv.slice(2);

const listening = [
  ...parsePorts(ports).flatMap((port) => [
    listenTcp(port, (socket) => socket.end(`${name} ${port}\n`)),
    listenUdp(port),
  ]),
  ...parsePorts(echoPorts).map((port) =>
    listenTcp(port, (socket) => {
      socket.write(`${name} ${port}\n`);
      socket.pipe(socket);
    }),
  ),
];
await Promise.all(listening);
process.stdout.write("ready\n");

async function listenTcp(port: number, answer: (socket: net.Socket) => void): Promise<void> {
  const server = net.createServer((socket) => {
    // A client that leaves first is its own business.
    socket.on("error", () => socket.destroy());
    answer(socket);
  });
  server.listen({ port, host: "::", backlog: 1024 });
  await once(server, "listening");
}

async function listenUdp(port: number): Promise<void> {
  const socket = dgram.createSocket("udp6");
  socket.on("message", (message, from) => {
    socket.send([Buffer.from(`${name} ${port} `), message], from.port, from.address, () => {});
  });
  socket.bind(port, "::");
  await once(socket, "listening");
}

function parsePorts(text: string): number[] {
  return text.split(",").flatMap((part) => {
    if (part === "") return [];
    const [first = 0, last = first] = part.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}
