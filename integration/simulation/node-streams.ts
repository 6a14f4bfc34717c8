/**
 * The streams of one control plane, looked at from outside, over all of its workers:
 *
 * 9. A node has one stream: it is welcomed once every older one was ended, and only a newer one of the same agent replaces one.
 * 10. No side finds fault with what the other says. (The agents' side of it is in `node.ts`.)
 */
import { fromBinary } from "@bufbuild/protobuf";
import type { EndReason, Refusal } from "@weft/controlplane/fanout/refusal.ts";
import type { StreamInput, StreamPort } from "@weft/controlplane/fanout/stream-port.ts";
import { SyncResponseSchema } from "@weft/proto/gen/weft/discovery/v1/discovery_pb.ts";

/** Why an agent that follows the rules is never sent away. */
const faults: ReadonlySet<EndReason> = new Set([
  "malformed",
  "too-large",
  "bad-hello",
  "hello-twice",
  "ack-before-hello",
  "ack-of-future",
  "bad-ack",
  "digests-unasked",
  "bad-digests",
  "protocol",
  "identity",
  "cursor-of-future",
  "flooding",
]);

interface Open {
  /** Of its Hello. */
  node: string;
  instance: bigint;
  /** Hellos of this instance up to its own. */
  hellos: number;
  hasBeenAnswered: boolean;
  isWelcomed: boolean;
}

export class NodeStreams {
  readonly #violated: (why: string) => void;
  readonly #isSpoilt: (node: string) => boolean;
  readonly #open = new Set<Open>();
  /** By node and instance. */
  readonly #hellos = new Map<string, number>();

  /** `isSpoilt`: what a node held changed behind its back; it may then say two things of the same revision. */
  constructor(violated: (why: string) => void, isSpoilt: (node: string) => boolean) {
    this.#violated = violated;
    this.#isSpoilt = isSpoilt;
  }

  /** `accept`: the control plane's side. Undefined: nobody listens. */
  accept(port: StreamPort, accept: (port: StreamPort) => StreamInput | undefined): StreamInput | undefined {
    const { peer } = port;
    const stream: Open = { node: "", instance: 0n, hellos: 0, hasBeenAnswered: false, isWelcomed: false };
    const input = accept({
      peer,
      identity: port.identity,
      write: (bytes, written) => {
        if (!stream.hasBeenAnswered) this.#answered(stream, bytes);
        port.write(bytes, written);
      },
      end: (refusal) => {
        this.#ended(stream, refusal);
        port.end(refusal);
      },
      reset: (refusal) => {
        this.#ended(stream, refusal);
        port.reset(refusal);
      },
      drop: () => {
        this.#open.delete(stream);
        port.drop();
      },
    });
    if (input === undefined) return undefined;
    this.#open.add(stream);
    return {
      receive: (request) => {
        if (request.message.case === "hello") this.#introduced(stream, request.message.value);
        input.receive(request);
      },
      refuse: (refusal) => input.refuse(refusal),
      leave: (reason, message, retryAfterMs) => input.leave(reason, message, retryAfterMs),
      closed: (reason) => {
        this.#open.delete(stream);
        input.closed(reason);
      },
    };
  }

  #introduced(stream: Open, { node, instance }: { readonly node: string; readonly instance: bigint }): void {
    const agent = `${node} ${instance}`;
    const hellos = (this.#hellos.get(agent) ?? 0) + 1;
    this.#hellos.set(agent, hellos);
    Object.assign(stream, { node, instance, hellos });
  }

  // Only the first answer is read: a Welcome, or a Goaway.
  #answered(stream: Open, bytes: Uint8Array): void {
    stream.hasBeenAnswered = true;
    stream.isWelcomed = fromBinary(SyncResponseSchema, bytes).welcome !== undefined;
    if (!stream.isWelcomed) return;
    for (const older of this.#open) {
      if (older !== stream && older.isWelcomed && older.node === stream.node)
        this.#violated(`9: ${stream.node} is welcomed while an older stream of it is not ended`);
    }
  }

  #ended(stream: Open, { reason, message }: Refusal): void {
    this.#open.delete(stream);
    const isExcused = reason === "bad-digests" && this.#isSpoilt(stream.node);
    if (faults.has(reason) && !isExcused)
      this.#violated(`10: the control plane finds fault with ${stream.node}: ${message}`);
    if (reason !== "replaced") return;
    const hellos = this.#hellos.get(`${stream.node} ${stream.instance}`) ?? 0;
    if (hellos <= stream.hellos) this.#violated(`9: another agent takes the place of ${stream.node}: ${message}`);
  }
}
