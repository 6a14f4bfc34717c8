import assert from "node:assert/strict";
import { connect } from "node:http2";
import type { ClientHttp2Session } from "node:http2";
import { createServer as createPlainServer } from "node:net";
import { describe, test } from "node:test";
import fc from "fast-check";
import { ConnectionError, frame, frameFlag, frameType, settingsAck, settingsFrame } from "./frames.ts";
import { FrameReader } from "./frame-reader.ts";
import { HeaderBlocks } from "./header-block.ts";
import { HeaderDecoder } from "./header-decoder.ts";
import type { Header } from "./header-decoder.ts";
import { trailers } from "./headers.ts";
import { http2Bounds } from "./http2-bounds.ts";

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(" ", ""), "hex");
const text = (value: string): Buffer => Buffer.concat([Buffer.of(value.length), Buffer.from(value, "latin1")]);
const plenty = { listBytesMax: 1_000_000, pairsMax: 1_000 };

describe("examples of RFC 7541, appendix C", () => {
  const get: readonly Header[] = [
    [":method", "GET"],
    [":scheme", "http"],
    [":path", "/"],
    [":authority", "www.example.com"],
  ];
  const custom: Header = ["custom-key", "custom-value"];
  const secure: readonly Header[] = [
    [":method", "GET"],
    [":scheme", "https"],
    [":path", "/index.html"],
    [":authority", "www.example.com"],
    custom,
  ];
  const noCache: Header = ["cache-control", "no-cache"];
  const cases: readonly [name: string, blocks: readonly (readonly [hex: string, headers: readonly Header[]])[]][] = [
    [
      "C.2.1 indexed afterwards",
      [["400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", [["custom-key", "custom-header"]]]],
    ],
    ["C.2.2 not indexed", [["040c 2f73 616d 706c 652f 7061 7468", [[":path", "/sample/path"]]]]],
    ["C.2.3 never indexed", [["1008 7061 7373 776f 7264 0673 6563 7265 74", [["password", "secret"]]]]],
    ["C.2.4 indexed", [["82", [[":method", "GET"]]]]],
    [
      "C.3 requests",
      [
        ["8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", get],
        ["8286 84be 5808 6e6f 2d63 6163 6865", [...get, noCache]],
        ["8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", secure],
      ],
    ],
    [
      "C.4 requests in Huffman code",
      [
        ["8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", get],
        ["8286 84be 5886 a8eb 1064 9cbf", [...get, noCache]],
        ["8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", secure],
      ],
    ],
  ];
  for (const [name, blocks] of cases) {
    test(name, () => {
      const decoder = new HeaderDecoder(plenty);
      for (const [block, headers] of blocks) assert.deepEqual(decoder.decode(hex(block)), headers);
    });
  }

  test("C.5: a table of 256 bytes forgets the oldest", () => {
    const decoder = new HeaderDecoder(plenty);
    const date = "Mon, 21 Oct 2013 20:13:21 GMT";
    const cookie = "foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1";
    const first: readonly Header[] = [
      [":status", "302"],
      ["cache-control", "private"],
      ["date", date],
      ["location", "https://www.example.com"],
    ];
    // 3fe1 01: the table's size.
    const blocks: readonly [Buffer, readonly Header[]][] = [
      [
        Buffer.concat([
          hex("3fe1 01 48"),
          text("302"),
          hex("58"),
          text("private"),
          hex("61"),
          text(date),
          hex("6e"),
          text("https://www.example.com"),
        ]),
        first,
      ],
      [hex("4803 3330 37c1 c0bf"), [[":status", "307"], ...first.slice(1)]],
      [
        Buffer.concat([
          hex("88c1 61"),
          text(date.replace("21 GMT", "22 GMT")),
          hex("c0 5a"),
          text("gzip"),
          hex("77"),
          text(cookie),
        ]),
        [
          [":status", "200"],
          ["cache-control", "private"],
          ["date", date.replace("21 GMT", "22 GMT")],
          ["location", "https://www.example.com"],
          ["content-encoding", "gzip"],
          ["set-cookie", cookie],
        ],
      ],
    ];
    for (const [block, headers] of blocks) assert.deepEqual(decoder.decode(block), headers);
    // Three entries are left (215 bytes): the fourth is gone.
    assert.deepEqual(decoder.decode(hex("bebfc0"))?.length, 3);
    assert.throws(() => decoder.decode(hex("c1")), ConnectionError);
  });
});

describe("blocks that cannot be read", () => {
  const cases: readonly [name: string, hex: string][] = [
    ["index 0", "80"],
    ["an index behind the static table, with an empty table", "be"],
    ["an index far beyond", "ff80 01"],
    ["a name with an index beyond", "7e01 61"],
    ["a change of the table's size after a header", "8220"],
    ["a table of 4,097 bytes", "3fe2 1f"],
    ["a number of 2^21 and more", "3fff ffff ff01"],
    ["a number that never ends", "ffff ffff ffff ffff ffff ffff"],
    ["a number that is cut off", "ff"],
    ["a number that is cut off within", "ff80"],
    ["a name without its length", "40"],
    ["a name that is cut off", "4003 6162"],
    ["a value without its length", "4001 61"],
    ["a value that is cut off", "4001 6102 62"],
    ["a value beyond all bounds", "4001 617f ffff 7f"],
    ["bad Huffman padding", "4081 0001 61"],
    ["the end of a string in Huffman code", "4001 6184 ffff fffc"],
  ];
  for (const [name, block] of cases) {
    test(name, () => {
      assert.throws(
        () => new HeaderDecoder(plenty).decode(hex(block)),
        (error) => error instanceof ConnectionError && error.code === 9,
      );
    });
  }

  test("any bytes are headers or an error of the connection", () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 5 }), (blocks) => {
        const decoder = new HeaderDecoder({ listBytesMax: 300, pairsMax: 5 });
        try {
          for (const block of blocks) {
            const headers = decoder.decode(block) ?? [];
            assert.ok(headers.length <= 5);
          }
        } catch (error) {
          assert.ok(error instanceof ConnectionError, String(error));
        }
      }),
      { numRuns: 2_000 },
    );
  });

  test("sizes of the table may change before a header, more than once, and 4,096 is one of them", () => {
    assert.deepEqual(new HeaderDecoder(plenty).decode(hex("20 3fe1 1f 82")), [[":method", "GET"]]);
  });
});

describe("bounds", () => {
  const one = Buffer.concat([hex("40"), text("a"), text("1")]);
  const bounds: readonly [name: string, bounds: ConstructorParameters<typeof HeaderDecoder>[0]][] = [
    ["bytes", { listBytesMax: 34 * 3, pairsMax: 100 }],
    ["pairs", { listBytesMax: 10_000, pairsMax: 3 }],
  ];
  for (const [name, given] of bounds) {
    test(`${name}: what is beyond is not given out, and later blocks can be read`, () => {
      const decoder = new HeaderDecoder(given);
      assert.equal(decoder.decode(Buffer.concat([one, one, one]))?.length, 3);
      const last = Buffer.concat([hex("40"), text("b"), text("2")]);
      assert.equal(decoder.decode(Buffer.concat([one, one, one, last])), undefined);
      assert.deepEqual(decoder.decode(hex("bebf")), [
        ["b", "2"],
        ["a", "1"],
      ]);
    });
  }

  test("connections that begin with the same block have each a table of its own after it", () => {
    const first = Buffer.concat([hex("3fe1 01"), one]);
    const other = Buffer.concat([hex("40"), text("b"), text("2")]);
    const decoders = [new HeaderDecoder(plenty), new HeaderDecoder(plenty), new HeaderDecoder(plenty)];
    for (const decoder of decoders) assert.deepEqual(decoder.decode(first), [["a", "1"]]);
    decoders[1]?.decode(other);
    assert.deepEqual(decoders[0]?.decode(hex("be")), [["a", "1"]]);
    assert.deepEqual(decoders[2]?.decode(hex("be")), [["a", "1"]]);
    assert.deepEqual(decoders[1]?.decode(hex("bebf"))?.length, 2);
    // 256 bytes hold no eighth entry of 34.
    for (let i = 0; i < 7; i++) decoders[2]?.decode(other);
    assert.equal(decoders[2]?.decode(hex("c4"))?.length, 1);
    assert.throws(() => decoders[2]?.decode(hex("c5")), ConnectionError);
  });

  test("a first block beyond its bounds for one connection is none for another with larger ones", () => {
    const first = Buffer.concat([one, one, one]);
    assert.equal(new HeaderDecoder({ ...plenty, pairsMax: 2 }).decode(first), undefined);
    assert.equal(new HeaderDecoder({ ...plenty, pairsMax: 2 }).decode(first), undefined);
    assert.equal(new HeaderDecoder(plenty).decode(first)?.length, 3);
  });

  test("an entry larger than the table empties it", () => {
    const decoder = new HeaderDecoder(plenty);
    decoder.decode(one);
    const large = Buffer.concat([hex("40"), text("x"), hex("7f a11f"), Buffer.alloc(4_128, "y")]);
    assert.equal(decoder.decode(large)?.[0]?.[1].length, 4_128);
    assert.throws(() => decoder.decode(hex("be")), ConnectionError);
  });

  test("an entry as large as the table fits, and the name of one that goes can be used", () => {
    const decoder = new HeaderDecoder(plenty);
    // 4,096 = 32 + 1 + 4,063: the length is 127 + 3,936.
    const value = Buffer.concat([hex("7f e01e"), Buffer.alloc(4_063, "y")]);
    decoder.decode(Buffer.concat([hex("40"), text("x"), value]));
    assert.equal(decoder.decode(hex("be"))?.[0]?.[1].length, 4_063);
    // Its name, with another value, which takes its place.
    assert.deepEqual(decoder.decode(Buffer.concat([hex("7e"), text("z"), hex("be")])), [
      ["x", "z"],
      ["x", "z"],
    ]);
  });
});

/** What a client of node:http2 sends for each request, decoded here. */
class Requests implements AsyncDisposable {
  readonly #session: ClientHttp2Session;
  #waiting: PromiseWithResolvers<readonly Header[] | undefined> | undefined;
  readonly #close: () => void;

  private constructor(session: ClientHttp2Session, close: () => void) {
    this.#session = session;
    this.#close = close;
  }

  static async start(): Promise<Requests> {
    const server = createPlainServer((socket) => {
      const reader = new FrameReader();
      const blocks = new HeaderBlocks({
        ...http2Bounds,
        headerBlockBytesMax: 1e6,
        headerListBytesMax: 1e6,
        headerPairsMax: 1e4,
      });
      socket.write(Buffer.concat([settingsFrame([]), settingsAck]));
      socket.on("error", () => undefined);
      socket.on("data", (bytes: Buffer) => {
        try {
          reader.push(bytes);
          for (let next = reader.next(); next !== undefined; next = reader.next()) {
            if (next.type !== frameType.headers && next.type !== frameType.continuation) continue;
            const headers = blocks.read(next);
            if (headers === undefined) continue;
            // Answered, so that the client lets go of the stream.
            const flags = frameFlag.endHeaders | frameFlag.endStream;
            socket.write(frame(frameType.headers, flags, headers.stream, Buffer.of(0x88)));
            requests.#waiting?.resolve(headers.headers);
          }
        } catch (error) {
          requests.#waiting?.reject(error);
        }
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    assert.ok(typeof address === "object" && address !== null);
    const session = connect(`http://127.0.0.1:${address.port}`, { maxSendHeaderBlockLength: 1_000_000 });
    const requests = new Requests(session, () => server.close());
    return requests;
  }

  async send(headers: Readonly<Record<string, string | readonly string[]>>): Promise<readonly Header[] | undefined> {
    this.#waiting = Promise.withResolvers();
    this.#session
      .request({ ":path": "/x", ...headers }, { endStream: true })
      .on("error", () => undefined)
      .resume();
    return this.#waiting.promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#session.destroy();
    this.#close();
  }
}

describe("what node:http2 sends", () => {
  const name = fc.stringMatching(/^x-[a-z0-9_.-]{0,8}$/);
  // Latin 1, and often one that was sent before.
  const character = fc.oneof(
    { weight: 5, arbitrary: fc.integer({ min: 0x20, max: 0x7e }) },
    fc.integer({ min: 0xa1, max: 0xff }),
  );
  const value = fc.oneof(
    fc.constantFrom("a", "1", "the same again and again"),
    fc.array(character, { maxLength: 60 }).map((codes) => String.fromCharCode(...codes).trim()),
    fc.integer({ min: 100, max: 5_000 }).map((length) => "long".repeat(length / 4)),
  );
  const request = fc.dictionary(name, fc.oneof(value, fc.array(value, { minLength: 1, maxLength: 3 })), {
    maxKeys: 12,
  });

  test("any headers, on one connection with its table, arrive as they were sent", async () => {
    await using requests = await Requests.start();
    await fc.assert(
      fc.asyncProperty(fc.array(request, { minLength: 1, maxLength: 4 }), async (all) => {
        for (const headers of all) {
          const sent = Object.entries(headers).flatMap(([key, of]) => [of].flat().map((one) => [key, one]));
          const read = await requests.send(headers);
          assert.deepEqual(
            read?.filter(([key]) => key.startsWith("x-")),
            sent,
          );
        }
      }),
      { numRuns: 60 },
    );
  });

  test("each byte that may be in a header, in Huffman code", async () => {
    await using requests = await Requests.start();
    const bytes = [9, ...Array.from({ length: 224 }, (_, i) => i + 0x20)].filter((byte) => byte !== 0x7f);
    for (const byte of bytes) {
      // So many bits are saved by the others that all is coded.
      const sent = `${"e".repeat(20)}${String.fromCharCode(byte)}e`;
      assert.deepEqual((await requests.send({ "x-byte": sent }))?.at(-1), ["x-byte", sent]);
    }
  });

  test("what is written here can be read", () => {
    const message = `no café, 100%\n${"long ".repeat(100)}`;
    const read = new HeaderDecoder(plenty).decode(trailers(14, message));
    assert.deepEqual(read?.[0], ["grpc-status", "14"]);
    assert.deepEqual([read?.[1]?.[0], decodeURIComponent(read?.[1]?.[1] ?? "")], ["grpc-message", message]);
  });
});
