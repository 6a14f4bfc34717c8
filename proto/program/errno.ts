/** The one place where errors of the operating system become messages for people. */
import { ProgramError } from "./errors.ts";
import type { ProgramErrorCode } from "./errors.ts";

interface Explained {
  readonly code: ProgramErrorCode;
  readonly what: string;
  readonly remedy: string;
}

const explained: Readonly<Record<string, Explained>> = {
  EACCES: { code: "permission", what: "permission denied", remedy: "run as root or grant the right to it" },
  EPERM: { code: "permission", what: "operation not permitted", remedy: "run as root or grant the capability" },
  ENOENT: { code: "not-found", what: "no such file or folder", remedy: "check the path" },
  ENOTDIR: { code: "not-found", what: "not a folder", remedy: "check the path" },
  EISDIR: { code: "invalid-file", what: "it is a folder, not a file", remedy: "name a file" },
  ENOTEMPTY: { code: "in-use", what: "the folder is not empty", remedy: "name another folder or empty it" },
  EEXIST: { code: "in-use", what: "it exists already", remedy: "remove it or name another" },
  ELOOP: { code: "invalid-file", what: "too many symbolic links", remedy: "check the links of the path" },
  EROFS: { code: "permission", what: "the file system is read-only", remedy: "name a folder that can be written" },
  ENOSPC: { code: "resources", what: "no space left", remedy: "free disk space" },
  EDQUOT: { code: "resources", what: "quota exceeded", remedy: "free disk space or raise the quota" },
  EMFILE: { code: "resources", what: "too many open files", remedy: "raise the limit of open files (ulimit -n)" },
  ENFILE: { code: "resources", what: "too many open files on this machine", remedy: "raise fs.file-max" },
  ENOMEM: { code: "resources", what: "out of memory", remedy: "free memory or raise the memory limit" },
  EBUSY: { code: "in-use", what: "it is busy", remedy: "stop what uses it" },
  EADDRINUSE: {
    code: "address-in-use",
    what: "the address is in use",
    remedy: "stop what listens there or choose another port",
  },
  EADDRNOTAVAIL: {
    code: "address-not-available",
    what: "this machine does not have the address",
    remedy: "choose an address of this machine, 0.0.0.0 or [::]",
  },
  EAFNOSUPPORT: {
    code: "unsupported",
    what: "the address family is not supported here",
    remedy: "use the other family",
  },
  ECONNREFUSED: {
    code: "unreachable",
    what: "connection refused",
    remedy: "check the address, and that the program there runs",
  },
  ECONNRESET: {
    code: "unreachable",
    what: "connection reset",
    remedy: "check that both ends use TLS, or neither, and try again",
  },
  EHOSTUNREACH: { code: "unreachable", what: "host unreachable", remedy: "check the route and firewall" },
  ENETUNREACH: { code: "unreachable", what: "network unreachable", remedy: "check the route" },
  ETIMEDOUT: { code: "timed-out", what: "timed out", remedy: "check the address, route and firewall" },
  ENOTFOUND: { code: "unreachable", what: "the host name does not resolve", remedy: "check the name and DNS" },
  EAI_AGAIN: { code: "unreachable", what: "the host name does not resolve now", remedy: "check DNS and try again" },
  ENOSYS: { code: "unsupported", what: "this kernel lacks the system call", remedy: "use a newer kernel" },
  EOPNOTSUPP: { code: "unsupported", what: "not supported here", remedy: "use a newer kernel or another file system" },
};

/**
 * @param doing What was tried and on what, as "cannot …" reads it: "listen on 127.0.0.1:80".
 * @returns A ProgramError for a Node system error (an Error with a string `code` and `syscall`), or `thrown` itself if it is a
 * surprise. ETIMEDOUT fails with exit code 1: 3 is for waits that the user asked for.
 */
export function fromErrno(thrown: unknown, doing: string): unknown {
  const code = errnoOf(thrown);
  if (code === undefined) return thrown;
  const found = explained[code];
  if (found === undefined) return new ProgramError("failed", `cannot ${doing}: ${code}`, { remedy: "", cause: thrown });
  return new ProgramError(found.code, `cannot ${doing}: ${found.what} (${code})`, {
    remedy: found.remedy,
    cause: thrown,
    exitCode: 1,
  });
}

/** "ENOENT" and the like; undefined unless `thrown` is a Node system error. */
export function errnoOf(thrown: unknown): string | undefined {
  if (!(thrown instanceof Error) || !("code" in thrown) || !("syscall" in thrown)) return undefined;
  return typeof thrown.code === "string" ? thrown.code : undefined;
}
