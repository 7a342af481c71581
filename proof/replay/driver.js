// driver.js - reads traces and has the compiled Replay.dfy follow them: node replay.js TRACE...
// (replay.js: what Dafny compiles, and this after it).
//
// It turns lines into values and counts actions. What a line means, and whether the machine can follow, is
// said and proved in Replay.dfy. Exit status 0: all followed, 1: one was rejected, and it says which line.
"use strict";
(function () {
  // Dafny 2.3 calls this method for `x in list`, and its library has only the static one.
  _dafny.Seq.prototype.contains = function (x) { return _dafny.Seq.contains(this, x); };

  const R = _9_Replay_Compile;
  const { Request } = _3_Specification_Compile;
  const { Chunk } = _7_Machine_Compile;
  const nat = text => {
    if (!/^\d+$/.test(text)) throw new Error("not a number: " + text);
    return new BigNumber(text);
  };
  const seq = values => _dafny.Seq.of(...values);
  const chunk = fields => Chunk.create_Chunk(...fields.map(nat));

  const words = {
    head: R.Word.create_HeadWord(), large: R.Word.create_LargeWord(),
    cleanups: R.Word.create_CleanupsWord(), reserved: R.Word.create_ReservedWord(),
  };
  // The word an access is to, and the rest of the line.
  function accessed(word, rest) {
    if (word === "next") return [R.Word.create_NextWord(nat(rest[0])), rest.slice(1)];
    if (!words[word]) throw new Error("no word: " + word);
    return [words[word], rest];
  }
  function called(name, rest) {
    const [a, b, c] = rest.map(nat);
    if (name === "allocate") return Request.create_Allocate(a, b.isZero() ? new BigNumber(1) : b, !c.isZero());
    if (name === "resize") return Request.create_Resize(a, b, c);
    if (name === "register") return Request.create_Register(a);
    throw new Error("no call: " + name);
  }
  const parts = fields => fields.join(" ").split("|").map(part => part.trim().split(" ").filter(text => text !== ""));

  function seen(fields) {
    const [, kind, what, ...rest] = fields;
    const S = R.Seen;
    if (fields[0] === "reset") return S.create_Emptied(...parts(fields.slice(1)).map(part => seq(part.map(nat))));
    if (fields[0] === "rest") {
      const [now, ...chunks] = parts(fields.slice(1));
      return S.create_Rest(...now.map(nat), seq(chunks.map(c => nat(c[0]))), seq(chunks.map(c => chunk(c.slice(1)))));
    }
    switch (kind) {
    case "load": {
      if (what === "large_weight" || what === "published") return S.create_ReadCounter(what === "large_weight");
      if (what === "lanes" || what === "lanes_used") return S.create_LoadBeside(R.Beside.create_TableWord());
      if (what === "slots") return S.create_LoadBeside(R.Beside.create_SlotsWord());
      if (/^lane_/.test(what)) return S.create_LoadOfLane(what === "lane_end", nat(rest[0]));
      const [word, [value]] = accessed(what, rest);
      return S.create_Load(word, nat(value));
    }
    case "cas": {
      if (what === "lanes") return S.create_OpenCas(rest[0] === "1");
      if (what === "slots") return S.create_SlotCas(nat(rest[0]), rest[0] !== "0");
      const [word, [expected, found, desired, ...its]] = accessed(what, rest);
      return its.length === 0 ? S.create_Cas(word, nat(expected), nat(found), nat(desired))
                              : S.create_Publish(word, nat(expected), nat(found), nat(desired), chunk(its));
    }
    case "store":
      if (/^lane_/.test(what)) return S.create_StoreOfLane(what === "lane_end", nat(rest[0]));
      if (what !== "next") throw new Error("no store to " + what + " is a step");
      return S.create_Store(nat(rest[0]), nat(rest[1]));
    case "sub": return S.create_Sub(nat(rest[0]));
    case "slot": return S.create_SlotBack();
    case "closed": return S.create_Closed();
    case "add": return S.create_CountUp();
    case "call": return S.create_Call(called(what, rest));
    case "return": return S.create_Answer(nat(what));
    case "ask": return S.create_Upstream(nat(what), nat(rest[0]));
    case "back": return S.create_Back(nat(what), nat(rest[0]));
    }
    throw new Error("no kind of line: " + kind);
  }

  // Whether the bytes that this line reserves are for the large list: its thread's next access to a list tells.
  function forLarge(lines, at) {
    const [me, kind, what] = lines[at];
    if (kind !== "cas" || what !== "reserved") return false;
    const tells = line => line[0] === me && (line[2] === "head" || line[2] === "large" || line[1] === "sub");
    const next = lines.slice(at + 1).find(tells);
    return next === undefined || next[2] !== "head";
  }

  const counts = {};
  let steps = 0, runs = 0;
  function replay(path) {
    const lines = require("fs").readFileSync(path, "utf8").trimEnd().split("\n").map(line => line.split(" "));
    const [begin, ...start] = lines.shift();
    if (begin !== "begin") throw new Error(path + ": no beginning");
    const reject = (at, why) => {
      console.log(path.replace(/.*\//, "") + ":" + (at + 2) + ": rejected: " + lines[at].join(" ") + why);
      return false;
    };
    let known = lines.length; // lines up to one that is none
    let none = "";
    const taken = [];
    for (let i = 0; i < known; i++) {
      try {
        const thread = /^\d+$/.test(lines[i][0]) ? lines[i][0] : "0";
        taken.push(R.Line.create_Line(nat(thread), seen(lines[i]), forLarge(lines, i)));
      } catch (error) {
        known = i;
        none = ", " + error.message;
      }
    }
    const [done, state, labels] = R.__default.Follow(...start.map(nat), seq(taken));
    for (const label of labels) {
      const name = label.a.toString().replace(/.*Act\.(\w+).*/, "$1");
      counts[name] = (counts[name] || 0) + 1;
    }
    steps += labels.length;
    ++runs;
    if (done.lt(known)) {
      const at = done.toNumber();
      const thread = state.pcs[/^\d+$/.test(lines[at][0]) ? lines[at][0] : 0];
      return reject(at, ", the thread is at " + String(thread).replace(/_\w+_Compile\.\w+\./g, ""));
    }
    return known === lines.length || reject(known, none);
  }
  const followed = process.argv.slice(2).map(replay);
  if (process.env.REPLAY_COUNTS) {
    console.log("steps " + steps);
    console.log("runs " + runs);
    for (const name of Object.keys(counts).sort()) console.log(name + " " + counts[name]);
  }
  process.exitCode = followed.every(ok => ok) ? 0 : 1;
})();
