/** One manifest file -> what it holds, and the stamp of exactly the content that was read: shell. */
import { constants, open } from "node:fs/promises";
import { join } from "node:path";
import type { FileReading } from "./folder.ts";
import { stampOf } from "./list-folder.ts";
import type { Stamp } from "./list-folder.ts";
import { parseManifest } from "./parse-manifest.ts";
import { readObjects } from "./read-objects.ts";
import { notRegular, reasonOf } from "./reason.ts";
import { fileRefusal } from "./refusal.ts";

/** 250,000 endpoints as YAML are 35 MB. */
const fileBytesMax = 64 * 1_048_576;
/** Times a file is read again because it changed meanwhile. */
const attemptsMax = 3;

/**
 * A write soon after a read can leave the stamp as it is where the kernel's clock is coarse (4 ms before Linux 6.13): so young a
 * file is read once more at the next look.
 */
const youngMs = 50;

export interface FileLook {
  readonly reading: FileReading;
  /** What identifies the content; undefined: it must be read again at the next look. */
  readonly stamp: Stamp | undefined;
  /** It changed during each attempt to read it, so that `reading` may be of no whole content. */
  readonly isChanging: boolean;
}

export async function readManifestFile(folder: string, path: string): Promise<FileLook> {
  try {
    for (let attempt = 1; ; attempt++) {
      const content = await readStable(join(folder, path));
      if (content.kind === "too-large") {
        const message = `has ${content.bytes} bytes; at most ${fileBytesMax} are read, split it`;
        return { reading: unreadable(path, undefined, message), stamp: content.stamp, isChanging: false };
      }
      const isChanging = content.kind === "changed";
      if (isChanging && attempt < attemptsMax) continue;
      const stamp = isChanging || content.isYoung ? undefined : content.stamp;
      return { reading: interpret(path, content.bytes), stamp, isChanging };
    }
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") {
      return { reading: { kind: "gone" }, stamp: undefined, isChanging: false };
    }
    return {
      reading: unreadable(path, undefined, `cannot be read: ${reasonOf(error)}`),
      stamp: undefined,
      isChanging: false,
    };
  }
}

type Content =
  | {
      readonly kind: "stable" | "changed";
      readonly bytes: Uint8Array;
      readonly stamp: Stamp;
      readonly isYoung: boolean;
    }
  | { readonly kind: "too-large"; readonly bytes: number; readonly stamp: Stamp };

async function readStable(path: string): Promise<Content> {
  // Not to wait for a writer of a pipe that has taken the place of the file, nor for a next line of /proc/kmsg.
  await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  const before = await file.stat({ bigint: true });
  if (!before.isFile()) throw new Error(notRegular);
  const stamp = stampOf(before);
  if (before.size > fileBytesMax) return { kind: "too-large", bytes: Number(before.size), stamp };
  const bytes = await file.readFile();
  const isStable = stampOf(await file.stat({ bigint: true })) === stamp && bytes.length === Number(before.size);
  const isYoung = Math.abs(Date.now() - Number(before.mtimeMs)) < youngMs;
  return { kind: isStable ? "stable" : "changed", bytes, stamp, isYoung };
}

function interpret(path: string, bytes: Uint8Array): FileReading {
  const parsed = parseManifest(bytes, path.toLowerCase().endsWith(".json"));
  if (parsed.kind === "unparsable") return unreadable(path, parsed.line, parsed.message);
  return { kind: "read", ...readObjects(path, parsed.documents) };
}

function unreadable(path: string, line: number | undefined, message: string): FileReading {
  return { kind: "unreadable", refusal: fileRefusal(path, line, message) };
}
