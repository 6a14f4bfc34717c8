/** A commit that would break the catalog. It is a fault of compile or of the log: the program ends and starts anew. */
import type { Revision } from "@weft/proto/cursor.ts";
import type { CompiledResource } from "./resource.ts";

export type CatalogErrorCode = "id-taken" | "not-next" | "not-live" | "orphan" | "backends-left";

export class CatalogError extends Error {
  override readonly name = "CatalogError";
  readonly code: CatalogErrorCode;

  constructor(code: CatalogErrorCode, message: string) {
    super(message);
    this.code = code;
  }

  static idTaken(put: CompiledResource, other: CompiledResource): CatalogError {
    return new CatalogError(
      "id-taken",
      `catalog: ${nameOf(put)} and ${nameOf(other)} have one id; compile must refuse one of them`,
    );
  }

  static notNext(revision: Revision, head: Revision): CatalogError {
    return new CatalogError("not-next", `catalog: commit ${revision} does not follow the head ${head}`);
  }

  static notLive(removal: CompiledResource): CatalogError {
    return new CatalogError("not-live", `catalog: ${nameOf(removal)} is removed but not there`);
  }

  static orphan(backend: CompiledResource): CatalogError {
    return new CatalogError("orphan", `catalog: ${nameOf(backend)} has no service; compile must not give it`);
  }

  static backendsLeft(service: CompiledResource, left: number): CatalogError {
    return new CatalogError(
      "backends-left",
      `catalog: ${nameOf(service)} is removed but ${left} of its backends are not`,
    );
  }
}

// Names of backends hold NULs.
function nameOf(resource: CompiledResource): string {
  return `${resource.kind} ${resource.name.replaceAll("\0", " ")}`;
}
