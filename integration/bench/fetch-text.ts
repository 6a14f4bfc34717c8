/** Prints what a URL answers, or exits with 1: HTTP as it is seen from within a network namespace. Argument: the URL. */
const [url = ""] = process.argv.slice(2);
const answer = await fetch(url).catch(() => undefined);
if (answer?.ok !== true) process.exit(1);
process.stdout.write(await answer.text());
