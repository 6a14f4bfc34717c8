/** The whole suite of the discovery service again, with two workers behind one port. */
process.env["WEFT_TEST_WORKERS"] = "2";
await import("../fanout/discovery-service.test.ts");
