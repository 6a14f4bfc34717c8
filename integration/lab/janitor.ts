/**
 * Program: removes a lab when its owner is gone, however it went. Its stdin is a pipe that only the owner holds, so the kernel
 * says at once when the owner ends, and a process that later gets the same pid cannot be taken for it.
 *
 * Arguments: name of the lab. On stdin, one word: "keep" ends the janitor and leaves the lab alone.
 */
import { destroyLab } from "./destroy-lab.ts";

const lab = process.argv[2] ?? "";

// Ctrl-C in the owner's terminal is for the owner.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => {});

let said = "";
process.stdin.setEncoding("utf8");
for await (const text of process.stdin) said += String(text);
if (said.trim() !== "keep") await destroyLab(lab);
