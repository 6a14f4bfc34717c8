/** A watch on one EndpointSlice as kube-proxy has it (protobuf), whose bytes are counted. */
import { once } from "node:events";
import fs from "node:fs";
import https from "node:https";
import type { IncomingMessage } from "node:http";
import { tokenOf } from "../../kube/api-client.ts";
import type { ObjectName } from "../../kube/api-client.ts";
import type { ApiAccess } from "../../kube/kubeconfig.ts";

export interface CountedWatchOptions {
  /** Of an EndpointSlice. */
  readonly name: ObjectName;
  /** How many changes are counted. */
  readonly events: number;
}

const lengthBytes = 4;

export class CountedWatch {
  /** Bytes of the answer's body that the events took; resolves with the last of them. */
  readonly bytes: Promise<number>;

  private constructor(response: IncomingMessage, events: number) {
    this.bytes = countEvents(response, events).finally(() => response.destroy());
    this.bytes.catch(() => {});
  }

  /** Resolves when the watch stands. */
  static async open(access: ApiAccess, { name, events }: CountedWatchOptions): Promise<CountedWatch> {
    const { name: slice, namespace = "default" } = name.metadata;
    const query = new URLSearchParams({ watch: "1", fieldSelector: `metadata.name=${slice}` });
    const url = `${access.url}/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices?${query.toString()}`;
    const headers = {
      authorization: `Bearer ${tokenOf(access.credential)}`,
      accept: "application/vnd.kubernetes.protobuf;stream=watch",
    };
    const request = https.get(url, { ca: fs.readFileSync(access.caFile), headers, agent: false });
    const [response] = (await once(request, "response")) as [IncomingMessage];
    if (response.statusCode !== 200) throw new Error(`${url}: ${response.statusCode}`);
    return new CountedWatch(response, events);
  }
}

// The first event is the object as it is. Each is a length and so many bytes; the API server compresses none of them, also where it may.
async function countEvents(response: IncomingMessage, events: number): Promise<number> {
  let bytes = 0;
  let seen = -1;
  let pending: Buffer = Buffer.alloc(0);
  for await (const chunk of response as AsyncIterable<Buffer>) {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= lengthBytes && pending.length >= lengthBytes + pending.readUInt32BE(0)) {
      const length = lengthBytes + pending.readUInt32BE(0);
      pending = pending.subarray(length);
      if (++seen > 0) bytes += length;
      if (seen === events) return bytes;
    }
  }
  throw new Error(`the watch ended after ${Math.max(0, seen)} of ${events} events`);
}
