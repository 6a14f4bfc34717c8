/**
 * Strings of HPACK in the Huffman code of https://www.rfc-editor.org/rfc/rfc7541#appendix-B. The code is canonical: its lengths say it
 * all, and codes of one length are consecutive numbers in the order of their bytes.
 */
import { ConnectionError, errorCode } from "./frames.ts";

/** Length of the code of each byte, and last of the end of a string, in base 36. */
const lengths =
  "dnsssssssoussussssssssusssssssss6aacd68baa8b8666555666666678f6cad67777777777777777777777878djde" +
  "6f56565666577666567655677777fbedskmkkmmmnmnnnnnonoomnonnnnlmnmnnomlkmmnnlnmmolmnnllmlnmnnkmmmnm" +
  "mnqqkjmnmpqqqrrqopjlqrrqrollqqsrrrkoklmllnmmppooqnqrqqrrrrrsrrrrrqu";
const lengthMax = 30;
const endOfString = 256;

// By length: the first code, and the symbols from it on.
const first: number[] = [];
const symbols: number[][] = [];

function fillTables(): void {
  for (let length = 0; length <= lengthMax; length++) symbols.push([]);
  for (const [symbol, length] of lengths.split("").entries()) symbols[Number.parseInt(length, 36)]?.push(symbol);
  let code = 0;
  for (const [length, of] of symbols.entries()) {
    first.push(code);
    if (length > 0) code = (code + of.length) * 2;
  }
}
fillTables();

/** @returns latin1. @throws ConnectionError */
export function decodeHuffman(bytes: Uint8Array): string {
  let text = "";
  let code = 0;
  let length = 0;
  for (const byte of bytes) {
    for (let bit = 7; bit >= 0; bit--) {
      code = code * 2 + ((byte >> bit) & 1);
      length++;
      const symbol = symbols[length]?.[code - (first[length] ?? 0)];
      if (symbol === undefined) {
        if (length >= lengthMax) throw new ConnectionError(errorCode.compression, "this is no Huffman code");
        continue;
      }
      if (symbol === endOfString) throw new ConnectionError(errorCode.compression, "a Huffman code with its end in it");
      text += String.fromCharCode(symbol);
      code = 0;
      length = 0;
    }
  }
  // The rest of the last byte are the first bits of the end of a string, which are ones.
  if (length > 7 || code !== 2 ** length - 1) {
    throw new ConnectionError(errorCode.compression, "a Huffman code that is not filled up with ones");
  }
  return text;
}
