// Specification.dfy - what the resource does, with no threads in it: the sequential object, and what
// it means that a concurrent history is one of its histories. Trusted: this file is the claim.
include "Arithmetic.dfy"

module {:options "--function-syntax:3"} Specification {
  import opened Arithmetic

  // What a caller asks for. `ask`: the upstream may be asked, too (false: tsmbr_try_allocate).
  // Register is what tsmbr_on_release does with the record it has allocated.
  datatype Request = Allocate(bytes: nat, align: nat, ask: bool)
                   | Resize(block: nat, before: nat, bytes: nat)
                   | Register(record: nat)
                   | Reset

  // The history that callers and the upstream see. `op` is the place of the invocation in it.
  datatype Event = Invoked(tid: nat, r: Request)
                 | Refused(tid: nat, op: nat)                // the upstream, or the limit, said no
                 | Returned(tid: nat, op: nat, res: nat)

  // A completed operation: res is an address or 0 for Allocate; 1 for yes, 0 for no otherwise.
  // `chunk` (where the block lies) and `at` (when it took effect) are notes for the proof.
  datatype Entry = Entry(tid: nat, op: nat, r: Request, res: nat, chunk: nat, at: nat)

  datatype Block = Block(bytes: nat, chunk: nat)
  datatype Abstract = Abstract(live: map<nat, Block>, cleanups: seq<nat>)

  predicate method RequestOk(r: Request)
  {
    match r
    case Allocate(bytes, align, ask) => bytes > 0 && align > 0      // zero bytes are served as one
    case Resize(block, before, bytes) => before > 0 && bytes > 0
    case Register(record) => true
    case Reset => true
  }

  // May the sequential object, in state `a`, answer e.r with e.res?
  predicate StepOk(a: Abstract, e: Entry)
  {
    RequestOk(e.r) &&
    match e.r
    case Allocate(bytes, align, ask) =>
      e.res != 0 ==> e.res % align == 0 &&
                     forall b :: b in a.live ==> Apart(b, a.live[b].bytes, e.res, bytes)
    case Resize(block, before, bytes) =>
      block in a.live && a.live[block].bytes == before &&
      (bytes <= before ==> e.res == 1) &&
      (e.res == 1 ==> forall b :: b in a.live && b != block ==> Apart(b, a.live[b].bytes, block, bytes))
    case Register(record) => record in a.live && record !in a.cleanups && e.res == 1
    case Reset => e.res == 1
  }
  function method Apply(a: Abstract, e: Entry): Abstract
  {
    match e.r
    case Allocate(bytes, align, ask) =>
      if e.res == 0 then a else a.(live := a.live[e.res := Block(bytes, e.chunk)])
    case Resize(block, before, bytes) =>
      if e.res == 0 || block !in a.live then a
      else a.(live := a.live[block := Block(bytes, a.live[block].chunk)])
    case Register(record) => a.(cleanups := a.cleanups + [record])
    case Reset => Abstract(map[], [])
  }
  function After(s: seq<Entry>): Abstract
  {
    if s == [] then Abstract(map[], []) else Apply(After(s[..|s|-1]), s[|s|-1])
  }
  predicate Legal(s: seq<Entry>)
  {
    s == [] || (Legal(s[..|s|-1]) && StepOk(After(s[..|s|-1]), s[|s|-1]))
  }

  predicate Answers(e: Event, x: Entry) { e.Returned? && e.op == x.op && e.tid == x.tid && e.res == x.res }

  // The definition of Herlihy and Wing. s puts operations of h into an order that the sequential object could have
  // gone through: those that returned, with what they returned, and perhaps some that did not, none twice. If one
  // returned before another was invoked, s keeps the two in that order. One clause is ours, the last: a request that
  // may ask the upstream fails only if it was refused.
  predicate IsLinearization(h: seq<Event>, s: seq<Entry>)
  {
    Legal(s) &&
    (forall k :: 0 <= k < |s| ==> s[k].op < |h| && h[s[k].op] == Invoked(s[k].tid, s[k].r)) &&
    (forall j, k :: 0 <= j < k < |s| ==> s[j].op != s[k].op) &&
    (forall i :: 0 <= i < |h| && h[i].Returned? ==> exists k :: 0 <= k < |s| && Answers(h[i], s[k])) &&
    (forall i, j, k :: 0 <= i < |h| && h[i].Returned? && 0 <= j < |s| && 0 <= k < |s| &&
        Answers(h[i], s[j]) && i < s[k].op ==> j < k) &&
    (forall k :: 0 <= k < |s| && s[k].r.Allocate? && s[k].r.ask && s[k].res == 0 ==> WasRefused(h, s[k].tid, s[k].op))
  }
  predicate WasRefused(h: seq<Event>, tid: nat, op: nat)
  {
    exists i :: op < i < |h| && h[i] == Refused(tid, op)
  }
  predicate Linearizable(h: seq<Event>) { exists s :: IsLinearization(h, s) }
}
