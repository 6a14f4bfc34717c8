/** The whole suite of certificates and nodes again, with two workers behind one port. */
process.env["WEFT_TEST_WORKERS"] = "2";
await import("../fanout/tls-identity.test.ts");
