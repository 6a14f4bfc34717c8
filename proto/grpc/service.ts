/**
 * grpc-js service definitions from protobuf-es descriptors: the one place where the two libraries meet. Chosen over generated
 * grpc-js stubs because protobuf-es is the only generator here and keeps unknown fields.
 */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, DescMethod, DescService, MessageShape } from "@bufbuild/protobuf";
import type { MethodDefinition } from "@grpc/grpc-js";

/** Bytes that are already an encoded message: sent as they are. */
export type Encoded<_Message> = Uint8Array;

/**
 * Definition of one method. `O` may be sent as already encoded bytes.
 * Decoding throws on malformed input; grpc-js then ends the call with INTERNAL (client) or the server's status.
 */
export function methodDefinition<I extends DescMessage, O extends DescMessage>(
  method: DescMethod & { readonly input: I; readonly output: O },
): MethodDefinition<MessageShape<I>, MessageShape<O> | Encoded<MessageShape<O>>> {
  return {
    path: `/${method.parent.typeName}/${method.name}`,
    requestStream: method.methodKind === "client_streaming" || method.methodKind === "bidi_streaming",
    responseStream: method.methodKind === "server_streaming" || method.methodKind === "bidi_streaming",
    requestSerialize: (message) => asBuffer(toBinary(method.input, message)),
    requestDeserialize: (bytes) => fromBinary(method.input, bytes),
    responseSerialize: (message) =>
      asBuffer(message instanceof Uint8Array ? message : toBinary(method.output, message)),
    responseDeserialize: (bytes) => fromBinary(method.output, bytes),
  };
}

/** Definitions of all methods of a service, keyed by the method's local name, as `Server.addService` takes them. */
export function serviceDefinition(service: DescService): Record<string, MethodDefinition<unknown, unknown>> {
  return Object.fromEntries(
    service.methods.map((method) => [method.localName, methodDefinition(method) as MethodDefinition<unknown, unknown>]),
  );
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
