// edits.js - makes false traces of true ones, one step wrong in each: node edits.js DIRECTORY TRACE...
// Prints `NAME LINE`: the machine must follow DIRECTORY/NAME.trace up to that line and reject that one.
"use strict";
const fs = require("fs");
const [directory, ...paths] = process.argv.slice(2);
const traces = paths.map(path => fs.readFileSync(path, "utf8").trimEnd().split("\n"));

const plus = (number, more) => String(BigInt(number) + BigInt(more));
const is = (fields, kind, what) => fields[1] === kind && (what === undefined || fields[2] === what);
const won = fields => is(fields, "cas") && (fields[2] === "next" ? fields[4] === fields[5] : fields[3] === fields[4]);
const set = (fields, i, value) => fields.map((field, j) => j === i ? value : field);
const last = fields => fields.length - 1;
// The first line after `at` for which `of` holds.
const after = (lines, at, of) => lines.findIndex((line, i) => i > at && of(line));
const before = (lines, at, me) => lines.slice(0, at).reverse().find(line => line[0] === me);

// Each gets a trace and a line of it, and answers undefined if it is no place for this mistake, or the lines to put
// there; and, if it is not the first of those, how many lines further on the mistake shows.
const edits = {
  "lost carve made won": (lines, at, l) => is(l, "cas", "next") && !won(l) && [[set(l, 5, l[4])]],
  "won carve made lost": (lines, at, l) => is(l, "cas", "next") && won(l) && [[set(l, 5, plus(l[5], 8))]],
  "carved one byte less": (lines, at, l) => is(l, "cas", "next") && won(l) && [[set(l, 6, plus(l[6], -1))]],
  "block shifted by 16": (lines, at, l) => is(l, "return") && l[2].length > 9 && [[set(l, 2, plus(l[2], 16))]],
  "refusal made up": (lines, at, l) => is(l, "return") && l[2].length > 9 && [[set(l, 2, "0")]],
  "stale head": (lines, at, l) => is(l, "load", "head") && l[3] !== "0" && [[set(l, 3, plus(l[3], 64))]],
  // Its thread comes to load next, and knows no chunk.
  "head not loaded": (lines, at, l) => {
    const next = after(lines, at, line => line[0] === l[0]);
    const begins = is(l, "load", "head") && is(before(lines, at, l[0]) || [], "call");
    return begins && next > 0 && is(lines[next], "load", "next") && [[], next - at - 1];
  },
  "head installed twice": (lines, at, l) => is(l, "cas", "head") && won(l) && [[l, l], 1],
  "lost install made won": (lines, at, l) => is(l, "cas", "head") && !won(l) && [[set(l, 4, l[3])]],
  "chunk published empty": (lines, at, l) => is(l, "cas", "head") && won(l) && l[8] !== "0" && [[set(l, 8, "0")]],
  "linked over another": (lines, at, l) => is(l, "cas", "large") && won(l) && [[set(l, 9, plus(l[9], 64))]],
  "memory granted twice": (lines, at, l) => {
    const taken = lines.slice(0, at).reverse().find(line => is(line, "load", "next"));
    return is(l, "ask") && l[3] !== "0" && taken && [[set(l, 3, taken[3])]];
  },
  "past the limit": (lines, at, l) => is(l, "cas", "reserved") && won(l) && lines[0][4] !== "0" &&
    [[set(l, 5, plus(l[3], plus(lines[0][4], 1)))]],
  // Its thread comes to lower `reserved`, and has not given the chunk back.
  "chunk not given back": (lines, at, l) => is(l, "back") &&
    [[], after(lines, at, line => line[0] === l[0]) - at - 1],
  "lowered too much": (lines, at, l) => is(l, "sub") && [[set(l, 3, plus(l[3], 1))]],
  "plain store to next": (lines, at, l) => is(l, "load", "next") && [[[l[0], "store", "next", l[3], l[4]], l]],
  "resized by another": (lines, at, l) => is(l, "call", "resize") && [[set(l, 4, plus(l[4], 1))]],
  "registered twice": (lines, at, l) => is(l, "cas", "cleanups") && won(l) && [[l, l], 1],
  "chunk leaked by reset": (lines, at, l) => {
    const bar = [...l.keys()].filter(i => l[i] === "|")[1];
    return l[0] === "reset" && l[bar + 1] !== "|" && [[l.filter((_, i) => i !== bar + 1)]];
  },
  "cleanup not run": (lines, at, l) => l[0] === "reset" && l[last(l)] !== "|" && [[l.slice(0, -1)]],
  "lane cursor moved": (lines, at, l) => is(l, "load", "lane_cursor") && l[3] !== "0" && [[set(l, 3, plus(l[3], 8))]],
  "past the lane's end": (lines, at, l) => is(l, "store", "lane_cursor") && [[set(l, 3, plus(l[3], 4096))]],
  // Threads from 16 on are explicit lanes (stress.c), which lower next where they are closed alone.
  "closed too far": (lines, at, l) => l[0] >= 16 && is(l, "cas", "next") && won(l) && BigInt(l[6]) < BigInt(l[4]) &&
    [[set(l, 6, plus(l[6], -8))]],
  "slot taken twice": (lines, at, l) => is(l, "cas", "slots") && l[3] !== "0" && [[l, l], 1],
  "slot given twice": (lines, at, l) => is(l, "slot", "back") && [[l, l], 1],
  "reserved off by one": (lines, at, l) => l[0] === "rest" && [[set(l, 4, plus(l[4], 1))]],
};

for (const [name, edit] of Object.entries(edits)) {
  let found = false;
  for (const text of traces) {
    const lines = text.map(line => line.split(" "));
    // Not at the very beginning, where there is little to get wrong.
    for (let at = 200; at < lines.length && !found; ++at) {
      const result = edit(lines, at, lines[at]);
      if (!result) continue;
      found = true;
      const [instead, further = 0] = result;
      const file = name.replace(/ /g, "-").replace("'", "");
      const edited = [...lines.slice(0, at), ...instead, ...lines.slice(at + 1)].map(line => line.join(" "));
      fs.writeFileSync(directory + "/" + file + ".trace", edited.join("\n") + "\n");
      console.log(file + " " + (at + further + 1));
    }
    if (found) break;
  }
  if (!found) throw new Error("no place for: " + name);
}
