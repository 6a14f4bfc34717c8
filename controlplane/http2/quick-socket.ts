/**
 * What a connection does with its socket thousands of times for every change, past most of what Node's streams do about it: a seventh of
 * the CPU of a change to 5,000 agents. Everything else of the socket is as it was.
 */
import type { Socket } from "node:net";

type Read = (bytes: Buffer) => void;
type Done = (error?: Error | null) => void;

/**
 * `read` is told what comes, as a listener of "data" is. Where the stream has nothing to do about it, as nothing is buffered and
 * nobody has paused it, it is not asked: no event, and no turn of its own to look whether more is to be read.
 */
export function readQuickly(socket: Socket, read: Read): void {
  const push = socket.push.bind(socket);
  socket.push = (chunk: Buffer | null): boolean => {
    if (chunk === null || socket.readableLength > 0 || socket.readableFlowing !== true) return push(chunk);
    read(chunk);
    return true;
  };
  socket.on("data", read);
}

/** The socket is as before `readQuickly`. */
export function readNoMore(socket: Socket, read: Read): void {
  Reflect.deleteProperty(socket, "push");
  socket.off("data", read);
}

/**
 * Writes as `socket.write` does. What the kernel takes at once is told with that of other sockets, in one turn: a callback given to the
 * stream would take a turn for each. By TLS nothing is taken at once.
 */
export function writeQuickly(socket: Socket, bytes: Uint8Array, done: Done | undefined): void {
  if (done === undefined || socket.writableLength > 0 || socket.writableCorked > 0 || "encrypted" in socket) {
    socket.write(bytes, done);
    return;
  }
  socket.write(bytes);
  if (socket.writableLength === 0 && socket.errored === null && !socket.destroyed) soon(done);
  // Told when what is before it is written, or why it is not.
  else socket.write(nothing, done);
}

const nothing = Buffer.alloc(0);
let written: Done[] = [];

function soon(done: Done): void {
  if (written.push(done) === 1) queueMicrotask(tellWritten);
}

function tellWritten(): void {
  const told = written;
  written = [];
  for (const done of told) done();
}
