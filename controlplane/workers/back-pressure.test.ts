/** The whole suite of agents that take too little again, with two workers behind one port. */
process.env["WEFT_TEST_WORKERS"] = "2";
await import("../fanout/back-pressure.test.ts");
