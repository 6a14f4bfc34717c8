/** What a folder of manifests says about its faults. */
export interface ManifestRefusal {
  /** "file": it cannot be read or parsed, what was last read from it stays. "object": an object, or one endpoint, is left out. */
  readonly kind: "file" | "object";
  /** Path below the folder; "." is the folder itself. */
  readonly file: string;
  /** From 1; only of files that do not parse. */
  readonly line: number | undefined;
  /** "Service ns1/bad"; the place in the file if the object does not say who it is; "" for a file. */
  readonly object: string;
  /** "" for a file. */
  readonly field: string;
  readonly message: string;
}

export interface RefusalChange {
  readonly added: readonly ManifestRefusal[];
  readonly cleared: readonly ManifestRefusal[];
}

/** `bad.yaml: Service ns1/bad: spec.ports[0].port: …` (S28), or `bad.yaml:7: …` for a file that does not parse. */
export function printRefusal(of: ManifestRefusal): string {
  if (of.kind === "object") return `${of.file}: ${of.object}: ${of.field}: ${of.message}`;
  return `${of.file}${of.line === undefined ? "" : `:${of.line}`}: ${of.message}`;
}

export function fileRefusal(file: string, line: number | undefined, message: string): ManifestRefusal {
  return { kind: "file", file, line, object: "", field: "", message };
}
