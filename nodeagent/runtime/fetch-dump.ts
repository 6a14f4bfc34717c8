/** Asks a running agent what its dataplane holds. */
import { get } from "node:http";
import type { IncomingMessage } from "node:http";
import { fromErrno } from "@weft/proto/program/errno.ts";
import { ProgramError } from "@weft/proto/program/errors.ts";
import { printHostPort } from "@weft/proto/program/socket-address.ts";
import type { HostPort } from "@weft/proto/program/socket-address.ts";
import { dumpPath } from "./agent-http.ts";

const timeoutMs = 10_000;
/** 262,144 frontends of many backends fit; a runaway answer does not fill memory. */
const bodyBytesMax = 512 * 1_024 * 1_024;

/** NDJSON, as the agent printed it. @throws ProgramError if no agent answers. */
export async function fetchDump(at: HostPort): Promise<Uint8Array> {
  const response = await request(at);
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > bodyBytesMax) {
      throw new ProgramError("failed", `the answer of ${printHostPort(at)} is over ${bodyBytesMax} bytes`, {
        remedy: "",
      });
    }
  }
  const body = Buffer.concat(chunks);
  if (response.statusCode === 200) return body;
  throw new ProgramError(
    "failed",
    `${printHostPort(at)} answers ${response.statusCode}: ${body.toString("utf8", 0, 200)}`,
    {
      remedy: "give the --http address of a weft-agent",
    },
  );
}

function request(at: HostPort): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const asked = get({ host: at.host, port: at.port, path: dumpPath, timeout: timeoutMs }, resolve);
    asked.on("error", (error) => reject(fromErrno(error, `ask the agent at ${printHostPort(at)}`)));
    asked.on("timeout", () => {
      const remedy = "check that the agent runs";
      asked.destroy(
        new ProgramError("unreachable", `no answer from ${printHostPort(at)} in ${timeoutMs / 1_000} s`, { remedy }),
      );
    });
  });
}
