import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { Client, Metadata, compressionAlgorithms, credentials, status } from "@grpc/grpc-js";
import type { ChannelCredentials, ClientOptions, StatusObject } from "@grpc/grpc-js";
import { HelloSchema, SyncRequestSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";
import { makeAuthority, makeCertificate } from "@weft/proto/program/testing-certificates.ts";
import { RunningPipeline } from "../running-pipeline.ts";
import { service } from "../scripted-source.ts";

const folder = mkdtempSync(join(tmpdir(), "weft-sync-grpc-"));
after(() => rmSync(folder, { recursive: true }));
const authority = makeAuthority(folder, "authority");
const server = makeCertificate(folder, "server", authority, "IP:127.0.0.1");
const mine = makeCertificate(folder, "x", authority, "URI:weft://node/n1");
const tls = { kind: "tls", certFile: server.cert, keyFile: server.key, clientCaFile: authority.cert } as const;

/** A Sync call with Hello of a node. Resolves with the number of answers and the status. */
async function sync(
  address: string,
  of: ChannelCredentials,
  node: string,
  more: { readonly deadlineMs?: number; readonly options?: ClientOptions },
): Promise<{ readonly answers: number; readonly ended: StatusObject }> {
  const client = new Client(address, of, { "grpc.use_local_subchannel_pool": 1, ...more.options });
  const asIs = (bytes: Buffer): Buffer => bytes;
  const options = more.deadlineMs === undefined ? {} : { deadline: Date.now() + more.deadlineMs };
  const path = "/weft.discovery.v1.DiscoveryService/Sync";
  const call = client.makeBidiStreamRequest(path, asIs, asIs, new Metadata(), options);
  let answers = 0;
  call.on("data", () => {
    // What was asked for is seen: with a deadline that is far away, the call ends here.
    if (answers++ === 0) call.end();
  });
  call.on("error", () => undefined);
  const hello = create(HelloSchema, { node, instance: 1n, protocol: 1 });
  call.write(
    Buffer.from(toBinary(SyncRequestSchema, create(SyncRequestSchema, { message: { case: "hello", value: hello } }))),
  );
  const ended = await new Promise<StatusObject>((resolve) => call.on("status", resolve));
  client.close();
  return { answers, ended };
}

describe("Sync of clients of grpc-js", () => {
  for (const security of [{ kind: "insecure" } as const, tls]) {
    const files = [authority.cert, mine.key, mine.cert].map((path) => readFileSync(path));
    const of = (): ChannelCredentials =>
      security.kind === "tls" ? credentials.createSsl(files[0], files[1], files[2]) : credentials.createInsecure();

    // With a deadline the call goes over grpc-js, without one over our HTTP/2.
    for (const deadlineMs of [undefined, 120_000]) {
      const name = `${security.kind}, ${deadlineMs === undefined ? "without" : "with"} a deadline`;
      test(`${name}: served, and the node is known`, async () => {
        await using running = await RunningPipeline.start({ security });
        running.source.give(service("a/b"));
        running.source.synced();
        const more = deadlineMs === undefined ? {} : { deadlineMs };
        const served = await sync(running.address, of(), "n1", more);
        assert.deepEqual([served.answers > 0, served.ended.code], [true, status.OK], served.ended.details);
        if (security.kind === "insecure") return;
        const other = await sync(running.address, of(), "n2", more);
        assert.deepEqual([other.answers, other.ended.code], [0, status.PERMISSION_DENIED]);
        assert.match(other.ended.details, /weft:\/\/node\//);
      });
    }
  }

  for (const deadlineMs of [undefined, 120_000]) {
    test(`compressed messages get a status that names the remedy, deadline ${deadlineMs}`, async () => {
      await using running = await RunningPipeline.start();
      const { ended } = await sync(running.address, credentials.createInsecure(), "n1", {
        ...(deadlineMs !== undefined && { deadlineMs }),
        options: { "grpc.default_compression_algorithm": compressionAlgorithms.gzip },
      });
      assert.equal(ended.code, status.INVALID_ARGUMENT);
      assert.match(ended.details, /compress/);
    });
  }
});
