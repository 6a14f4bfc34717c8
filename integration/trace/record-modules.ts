/** Given to a program by `--import`: writes the URL of every module that it loaded, one a line, when it ends. */
import { writeFileSync } from "node:fs";
import { registerHooks } from "node:module";

const file = process.env["WEFT_TEST_MODULES"];
const urls: string[] = [];

registerHooks({
  load: (url, context, next) => {
    urls.push(url);
    return next(url, context);
  },
});
process.on("exit", () => {
  if (file !== undefined) writeFileSync(file, urls.join("\n"));
});
