/** The API's JSON: one object per line in a watch, one document per page of a list. */
import { isJsonObject } from "../fields.ts";
import type { JsonObject } from "../fields.ts";
import { project } from "../projection.ts";
import type { Projection } from "../projection.ts";
import { statusFailure } from "./api-status.ts";
import { CodecError } from "./codec.ts";
import type { Codec, ListPage, WatchMessage, WatchReader } from "./codec.ts";
import type { ListedObject } from "./held-objects.ts";
import { LineSplitter } from "./line-splitter.ts";
import type { WatchedKind } from "./watched-kind.ts";

const initialEndAnnotation = "k8s.io/initial-events-end";
const shownCharactersMax = 64;

export const jsonCodec: Codec = {
  acceptWatch: ({ isMetadataOnly }) =>
    isMetadataOnly ? "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1" : "application/json",
  acceptList: ({ isMetadataOnly }) =>
    isMetadataOnly ? "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1" : "application/json",
  watchReader: (kind) => new JsonWatchReader(kind),
  page: readPage,
};

class JsonWatchReader implements WatchReader {
  readonly #kind: WatchedKind;
  readonly #lines = new LineSplitter();

  constructor(kind: WatchedKind) {
    this.#kind = kind;
  }

  get isWithin(): boolean {
    return this.#lines.isWithin;
  }

  *push(chunk: Uint8Array): Iterable<WatchMessage> {
    for (const line of this.#lines.push(chunk)) yield readMessage(this.#kind, line);
  }
}

function readMessage(kind: WatchedKind, line: string): WatchMessage {
  const event = parse(line);
  const type = event["type"];
  const { object } = event;
  if (type === "ERROR") return { kind: "error", failure: statusFailure(object, 500) };
  if (!isJsonObject(object)) throw new CodecError(`an event without object: ${shown(line)}`);
  const metadata = metadataOf(object);
  const version = textOf(metadata, "resourceVersion");
  switch (type) {
    case "ADDED":
    case "MODIFIED":
      return { kind: "put", version, object: listed(kind, object, metadata) };
    case "DELETED":
      return { kind: "remove", version, name: nameOf(metadata) };
    case "BOOKMARK": {
      const annotations = isJsonObject(metadata["annotations"]) ? metadata["annotations"] : {};
      return { kind: "bookmark", version, isInitialEnd: annotations[initialEndAnnotation] === "true" };
    }
    default:
      throw new CodecError(`an event of an unknown type: ${shown(line)}`);
  }
}

function readPage(kind: WatchedKind, body: Uint8Array): ListPage {
  const text = new TextDecoder().decode(body);
  const list = parse(text);
  const { items } = list;
  const metadata = metadataOf(list);
  const version = textOf(metadata, "resourceVersion");
  // An empty list has "items": [] or null, but a version in any case: anything else is not a list, and would remove everything.
  if (version === "" || !textOf(list, "kind").endsWith("List") || (!Array.isArray(items) && items !== null)) {
    throw new CodecError(`not a list: ${shown(text)}`);
  }
  const objects = (items ?? []).map((item: unknown) => {
    if (!isJsonObject(item)) throw new CodecError("an item of a list that is no object");
    return listed(kind, item, metadataOf(item));
  });
  return { version, continueToken: textOf(metadata, "continue"), objects };
}

function listed(kind: WatchedKind, object: JsonObject, metadata: JsonObject): ListedObject {
  return { name: nameOf(metadata), projection: projectAs(kind, object) };
}

function nameOf(metadata: JsonObject): string {
  const namespace = textOf(metadata, "namespace");
  const name = textOf(metadata, "name");
  return namespace === "" ? name : `${namespace}/${name}`;
}

// Items of lists do not say their kind, and metadata alone is of another one.
function projectAs({ kind, apiVersion }: WatchedKind, object: JsonObject): Projection {
  return project({ ...object, kind, apiVersion });
}

function parse(text: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CodecError(`not JSON: ${shown(text)}`, { cause: error });
  }
  if (!isJsonObject(value)) throw new CodecError(`not a JSON object: ${shown(text)}`);
  return value;
}

function metadataOf(object: JsonObject): JsonObject {
  return isJsonObject(object["metadata"]) ? object["metadata"] : {};
}

function textOf(object: JsonObject, key: string): string {
  const value = object[key];
  return typeof value === "string" ? value : "";
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, shownCharactersMax));
}
