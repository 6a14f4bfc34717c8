/** Whether an address can be had alone. Workers share it among themselves, and would share it with another program as silently. */
import { createServer } from "node:net";
import { fromErrno } from "@weft/proto/program/errno.ts";
import { printHostPort } from "@weft/proto/program/socket-address.ts";
import type { HostPort } from "@weft/proto/program/socket-address.ts";

/** @throws ProgramError if it cannot be bound. */
export async function checkFreePort(at: HostPort): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(fromErrno(error, `listen on ${printHostPort(at)} for gRPC`)));
    server.listen({ host: at.host, port: at.port }, resolve);
  });
  await new Promise<void>((resolve) => server.close(() => resolve()));
}
