import assert from "node:assert/strict";
import { it } from "node:test";
import * as fc from "fast-check";
import { LineSplitter } from "./line-splitter.ts";

function split(chunks: readonly string[], charactersMax = 100): readonly string[] {
  const splitter = new LineSplitter(charactersMax);
  const lines = [...chunks.flatMap((chunk) => splitter.push(chunk)), ...splitter.end()];
  return lines.map((line) => (line.kind === "line" ? line.text : "(too long)"));
}

it("ends a line at LF and at CRLF, and the last one at the end", () => {
  assert.deepEqual(split(["a\nb\r\n\nc"]), ["a", "b", "", "c"]);
  assert.deepEqual(split(["a\n"]), ["a"]);
  assert.deepEqual(split([]), []);
});

it("drops a byte order mark at the start only", () => {
  assert.deepEqual(split(["\uFEFFa\n\uFEFFb"]), ["a", "\uFEFFb"]);
});

it("forgets what a line holds beyond the bound, and goes on with the next", () => {
  assert.deepEqual(split(["aaaa", "aaaa", "aa\nbbb\n", "cccccc"], 5), ["(too long)", "bbb", "(too long)"]);
});

it("gives the same lines however the text is cut", () => {
  const piece = fc.constantFrom("a", "bb", "\n", "\r\n", "\r", "x".repeat(6));
  fc.assert(
    fc.property(fc.array(piece), fc.array(fc.nat(4)), (pieces, cuts) => {
      const text = pieces.join("");
      const chunks: string[] = [];
      let at = 0;
      for (const cut of cuts) chunks.push(text.slice(at, (at += cut)));
      chunks.push(text.slice(at));
      assert.deepEqual(split(chunks, 5), split([text], 5));
    }),
  );
});
