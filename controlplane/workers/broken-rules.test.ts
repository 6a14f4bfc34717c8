/** The whole suite of agents that break rules again, with two workers behind one port. */
process.env["WEFT_TEST_WORKERS"] = "2";
await import("../fanout/broken-rules.test.ts");
