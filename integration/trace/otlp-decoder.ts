/**
 * Reads an OTLP trace export from its bytes. By hand from the public definitions (opentelemetry/proto/trace/v1/trace.proto and those it
 * imports): what is checked is that any collector understands what we send, so nothing of the exporter is used.
 */
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

export interface DecodedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** "": a root. */
  readonly parentId: string;
  readonly name: string;
  /** As in trace.proto: 1 internal, 4 producer, 5 consumer. */
  readonly kind: number;
  /** Unix nanoseconds. */
  readonly startNs: bigint;
  readonly endNs: bigint;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
  /** "": none. */
  readonly problem: string;
  /** Of the process. */
  readonly resource: Readonly<Record<string, string | number | boolean>>;
}

type Value = string | number | boolean;
type Field = { readonly number: number; readonly bytes: Uint8Array; readonly integer: bigint; readonly double: number };

/** Of an ExportTraceServiceRequest. */
export function decodeSpans(request: Uint8Array): readonly DecodedSpan[] {
  return all(request, 1).flatMap((resourceSpans) => {
    const resource = attributesOf(all(all(resourceSpans, 1)[0] ?? empty, 1));
    return all(resourceSpans, 2).flatMap((scopeSpans) => all(scopeSpans, 2).map((span) => spanOf(span, resource)));
  });
}

const empty = new Uint8Array();

function spanOf(bytes: Uint8Array, resource: DecodedSpan["resource"]): DecodedSpan {
  const one = new Map(fieldsOf(bytes).map((field) => [field.number, field]));
  const hex = (field: number): string => Buffer.from(one.get(field)?.bytes ?? empty).toString("hex");
  const status = one.get(15)?.bytes ?? empty;
  return {
    traceId: hex(1),
    spanId: hex(2),
    parentId: hex(4),
    name: textOf(one.get(5)?.bytes),
    kind: Number(one.get(6)?.integer ?? 0n),
    startNs: one.get(7)?.integer ?? 0n,
    endNs: one.get(8)?.integer ?? 0n,
    attributes: attributesOf(all(bytes, 9)),
    problem: textOf(all(status, 2)[0]),
    resource,
  };
}

function attributesOf(pairs: readonly Uint8Array[]): Record<string, Value> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const [field] = fieldsOf(all(pair, 2)[0] ?? empty);
      return [textOf(all(pair, 1)[0]), valueOf(field)];
    }),
  );
}

// The cases of AnyValue that we send.
function valueOf(field: Field | undefined): Value {
  if (field === undefined) return "";
  if (field.number === 1) return textOf(field.bytes);
  if (field.number === 2) return field.integer !== 0n;
  if (field.number === 3) return Number(BigInt.asIntN(64, field.integer));
  if (field.number === 4) return field.double;
  throw new Error(`an AnyValue of case ${field.number}`);
}

function all(bytes: Uint8Array, number: number): readonly Uint8Array[] {
  return fieldsOf(bytes)
    .filter((field) => field.number === number)
    .map((field) => field.bytes);
}

function fieldsOf(bytes: Uint8Array): readonly Field[] {
  const reader = new BinaryReader(bytes);
  const fields: Field[] = [];
  while (reader.pos < reader.len) {
    const [number, wire] = reader.tag();
    const field = { number, bytes: empty, integer: 0n, double: 0 };
    switch (wire) {
      case WireType.Varint:
        fields.push({ ...field, integer: BigInt(reader.uint64()) });
        break;
      case WireType.Bit64: {
        const at = reader.pos;
        const integer = BigInt(reader.fixed64());
        const double = new DataView(bytes.buffer, bytes.byteOffset + at, 8).getFloat64(0, true);
        fields.push({ ...field, integer, double });
        break;
      }
      case WireType.LengthDelimited:
        fields.push({ ...field, bytes: reader.bytes() });
        break;
      case WireType.Bit32:
        fields.push({ ...field, integer: BigInt(reader.fixed32()) });
        break;
      default:
        throw new Error(`field ${number} has wire type ${wire}`);
    }
  }
  return fields;
}

function textOf(bytes: Uint8Array | undefined): string {
  return new TextDecoder().decode(bytes ?? empty);
}
