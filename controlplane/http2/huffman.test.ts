import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ConnectionError } from "./frames.ts";
import { decodeHuffman } from "./huffman.ts";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");

describe("Huffman code", () => {
  // https://www.rfc-editor.org/rfc/rfc7541#appendix-C.4 and C.6
  const examples: readonly [hex: string, text: string][] = [
    ["", ""],
    ["f1e3 c2e5 f23a 6ba0 ab90 f4ff", "www.example.com"],
    ["a8eb 1064 9cbf", "no-cache"],
    ["25a8 49e9 5ba9 7d7f", "custom-key"],
    ["25a8 49e9 5bb8 e8b4 bf", "custom-value"],
    ["6402", "302"],
    ["aec3 771a 4b", "private"],
    ["d07a be94 1054 d444 a820 0595 040b 8166 e082 a62d 1bff", "Mon, 21 Oct 2013 20:13:21 GMT"],
    ["9d29 ad17 1863 c78f 0b97 c8e9 ae82 ae43 d3", "https://www.example.com"],
    ["640e ff", "307"],
    ["9bd9 ab", "gzip"],
    [
      "94e7 821d d7f2 e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
      "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
    ],
  ];
  for (const [bytes, text] of examples) test(`"${text}"`, () => assert.equal(decodeHuffman(hex(bytes)), text));

  const malformed: readonly [name: string, hex: string][] = [
    ["filled up with zeros", "00 00"],
    ["filled up with eight ones", "6402 ff"],
    ["nothing but ones", "ff"],
    ["the end of a string within it", "ff ff ff fc"],
    ["the end of a string and more", "ff ff ff ff ff ff ff ff"],
    ["a long code that is cut off", "ff ff e0"],
  ];
  for (const [name, bytes] of malformed) {
    test(`${name}: cannot be read`, () => {
      assert.throws(
        () => decodeHuffman(hex(bytes)),
        (error) => error instanceof ConnectionError && error.code === 9,
      );
    });
  }
});
