/** Looks whether what keeps the programs running and the maps findable, and what is fixed for them, is as it was; puts it back (DESIGN P6). */
import { messageOf } from "@weft/proto/program/errors.ts";
import type { AuditFinding } from "../dataplane.ts";
import { restoreLinks } from "./attach.ts";
import type { LoadedObject } from "./libbpf.ts";
import { restorePins } from "./load-programs.ts";
import type { KernelLimits } from "./map-sizes.ts";
import { isOnBpffs } from "./pin-folder.ts";

/** Findings that are kept until somebody asks; more are repaired all the same. */
const findingsMax = 64;

export interface PinnedAt {
  readonly object: LoadedObject;
  readonly bpffs: string;
  readonly cgroup: string;
  readonly limits: KernelLimits;
  /** The map of that name, which the agent writes once, and what it wrote. */
  readonly settings: { readonly live: Uint8Array; readonly written: Uint8Array };
}

export class RestoredPins {
  readonly #at: PinnedAt;
  readonly #findings: AuditFinding[] = [];
  // Said once, not with each look.
  #failure: string | undefined;

  constructor(at: PinnedAt) {
    this.#at = at;
  }

  look(): void {
    const { object, bpffs, cgroup, limits, settings } = this.#at;
    if (settings.written.some((byte, i) => byte !== settings.live[i])) {
      settings.live.set(settings.written);
      this.#found("settings", "differs", "the host's network namespace, or the port of probes");
    }
    let failure: string | undefined;
    try {
      if (isOnBpffs(bpffs)) {
        for (const name of restorePins(object, bpffs, limits)) this.#found("pins", "missing", name);
        for (const name of restoreLinks(object, bpffs, cgroup)) this.#found("links", "missing", name);
      } else failure = `--bpffs ${bpffs} is not on a bpf file system any more: mount it, and start this agent again`;
    } catch (error) {
      failure = messageOf(error);
    }
    if (failure !== undefined && failure !== this.#failure) this.#found("pins", "missing", bpffs, failure);
    this.#failure = failure;
  }

  /** What was found since this was asked. */
  take(): readonly AuditFinding[] {
    return this.#findings.splice(0);
  }

  #found(map: "pins" | "links" | "settings", kind: AuditFinding["kind"], entry: string, failure?: string): void {
    if (this.#findings.length < findingsMax) this.#findings.push({ map, kind, service: "", entry, failure });
  }
}
