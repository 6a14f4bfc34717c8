/**
 * What a cold agent is compared with: a process that reads as many bytes over one stream of bare node:http2, and does nothing with them.
 *
 * `serve BYTES` prints `ready URL`; `read URL` prints `read BYTES` and ends.
 */
import { once } from "node:events";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";

/** As grpc-js writes a snapshot: in parts. */
const partBytes = 64 * 1_024;
/** As agents open them. */
const windowBytes = 1_024 * 1_024;

const [role = "", argument = ""] = process.argv.slice(2);
await (role === "serve" ? serve(Number(argument)) : read(argument));

async function serve(bytes: number): Promise<void> {
  const part = Buffer.alloc(partBytes, "weft");
  const server = http2.createServer();
  server.on("stream", (stream) => {
    stream.respond();
    let left = bytes;
    const write = (): void => {
      while (left > 0) {
        const size = Math.min(left, partBytes);
        left -= size;
        if (!stream.write(part.subarray(0, size)) && left > 0) {
          stream.once("drain", write);
          return;
        }
      }
      stream.end();
    };
    write();
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  process.stdout.write(`ready http://127.0.0.1:${(server.address() as AddressInfo).port}\n`);
}

async function read(url: string): Promise<void> {
  const session = http2.connect(url, { settings: { initialWindowSize: windowBytes } });
  await once(session, "connect");
  session.setLocalWindowSize(windowBytes);
  const stream = session.request({ ":path": "/" });
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) bytes += chunk.length;
  process.stdout.write(`read ${bytes}\n`);
  session.close();
}
