/** The whole suite of the program again, with two workers: fleet calls come to either of them. */
process.env["WEFT_TEST_WORKERS"] = "2";
await import("../main.test.ts");
