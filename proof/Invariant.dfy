// Invariant.dfy - what is true at every instant of every execution, and that each step keeps it: one
// lemma for each part. Checked, not trusted: a wrong invariant proves nothing, or does not verify.
include "Arithmetic.dfy"
include "Specification.dfy"
include "Machine.dfy"
include "Sums.dfy"

module {:options "--function-syntax:3"} Invariant {
  import opened Arithmetic
  import opened Specification
  import opened Machine
  import opened Sums

  // ---------------------------------------------------------------------------------- memory

  // A chunk from the upstream has its record behind the capacity, on a line of its own.
  predicate RecordOk(a: nat, c: Chunk) { c.capacity + Line() <= c.size && (a + c.capacity) % Line() == 0 }
  predicate {:opaque} MemOk(s: State)
  {
    (forall a :: a in s.mem ==> 0 < a && s.mem[a].next <= s.mem[a].capacity <= Extent(s.mem[a])) &&
    (forall a :: a in s.mem && s.mem[a].size != 0 ==> RecordOk(a, s.mem[a])) &&
    (forall a, b :: a in s.mem && b in s.mem && a != b ==> Apart(a, Extent(s.mem[a]), b, Extent(s.mem[b])))
  }
  function Before(list: seq<nat>, i: int): nat { if 0 < i <= |list| then list[i-1] else 0 }
  function Behind(list: seq<nat>, kept: nat, i: int): nat { if 0 <= i && i + 1 < kept && i + 1 < |list| then list[i+1] else 0 }
  predicate ListOk(s: State, list: seq<nat>)
  {
    (forall i :: 0 <= i < |list| ==> list[i] in s.mem && s.mem[list[i]].prev == Before(list, i)) &&
    (forall i, j :: 0 <= i < j < |list| ==> list[i] != list[j])
  }
  predicate {:opaque} ChainOk(s: State)
  {
    ListOk(s, s.chain) && ListOk(s, s.bigs) &&
    (forall a :: a in s.chain ==> a !in s.bigs) &&
    s.large == LastOf(s.bigs) && s.kept <= |s.chain| &&
    (if s.chain == [] then s.head == 0 && s.cur == 0
     else s.cur < |s.chain| && s.head == s.chain[s.cur] && AtEndOrKept(s)) &&
    (forall i :: 0 <= i < |s.chain| ==> s.mem[s.chain[i]].follow == Behind(s.chain, s.kept, i))
  }
  // New chunks come when the kept ones are used up.
  predicate AtEndOrKept(s: State) { s.cur + 1 == |s.chain| || (s.cur + 1 < s.kept && s.kept == |s.chain|) }

  predicate BlockOk(s: State, b: nat, x: Block)
  {
    x.bytes > 0 && Published(s, x.chunk) && 0 < x.chunk <= b && b + x.bytes <= x.chunk + s.mem[x.chunk].next
  }
  predicate {:opaque} LiveOk(s: State)
  {
    (forall b :: b in s.abs.live ==> BlockOk(s, b, s.abs.live[b])) &&
    (forall b, d :: b in s.abs.live && d in s.abs.live && b != d ==>
        Apart(b, s.abs.live[b].bytes, d, s.abs.live[d].bytes))
  }
  // What a lane has not handed out lies in the carved part of one chunk, behind a block.
  predicate LaneOk(s: State, l: Lane)
  {
    l.at <= l.end && (l.at < l.end ==> Published(s, l.chunk) && l.chunk < l.at && l.end <= l.chunk + s.mem[l.chunk].next)
  }
  predicate LaneApart(s: State, l: Lane, k: nat)
  {
    l.at < l.end ==>
      (forall b :: b in s.abs.live ==> Apart(b, s.abs.live[b].bytes, l.at, l.end - l.at)) &&
      (forall m :: m in s.lanes && m != k && s.lanes[m].at < s.lanes[m].end ==>
          Apart(s.lanes[m].at, s.lanes[m].end - s.lanes[m].at, l.at, l.end - l.at))
  }
  predicate {:opaque} LanesOk(s: State)
  {
    (forall k :: k in s.lanes ==> LaneOk(s, s.lanes[k])) &&
    (forall k :: k in s.lanes ==> LaneApart(s, s.lanes[k], k))
  }
  predicate {:opaque} SidesOk(s: State)
  {
    |s.sides| == |s.pcs| && (forall t :: 0 <= t < |s.sides| ==> s.sides[t].looks <= LaneLooks()) &&
    (forall t, u :: 0 <= t < |s.sides| && 0 <= u < |s.sides| && t != u && s.sides[t].slot > 0 ==> s.sides[t].slot != s.sides[u].slot)
  }
  predicate {:opaque} CleanupsOk(s: State)
  {
    s.cleanups == LastOf(s.abs.cleanups) &&
    (forall i :: 0 <= i < |s.abs.cleanups| ==> s.abs.cleanups[i] in s.abs.live && s.abs.cleanups[i] in s.recs &&
        s.recs[s.abs.cleanups[i]] == Before(s.abs.cleanups, i)) &&
    (forall i, j :: 0 <= i < j < |s.abs.cleanups| ==> s.abs.cleanups[i] != s.abs.cleanups[j])
  }

  // --------------------------------------------------------------------------------- history

  predicate Unanswered(s: State, op: nat) { forall i :: 0 <= i < |s.hist| && s.hist[i].Returned? ==> s.hist[i].op != op }
  predicate Pending(s: State, t: nat, op: nat, r: Request)
  {
    RequestOk(r) && op < |s.hist| && s.hist[op] == Invoked(t, r) && Unanswered(s, op) &&
    forall k :: 0 <= k < |s.log| ==> s.log[k].op != op
  }
  predicate EntryOk(s: State, e: Entry)
  {
    e.op < e.at <= |s.hist| && s.hist[e.op] == Invoked(e.tid, e.r) &&
    (e.r.Allocate? && e.r.ask && e.res == 0 ==> WasRefused(s.hist, e.tid, e.op))
  }
  predicate {:opaque} LogOk(s: State)
  {
    s.abs == After(s.log) && Legal(s.log) &&
    (forall k :: 0 <= k < |s.log| ==> EntryOk(s, s.log[k])) &&
    (forall j, k :: 0 <= j < k < |s.log| ==> s.log[j].at <= s.log[k].at && s.log[j].op != s.log[k].op)
  }
  predicate {:opaque} HistOk(s: State)
  {
    (forall i, j :: 0 <= i < j < |s.hist| && s.hist[i].Returned? && s.hist[j].Returned? ==> s.hist[i].op != s.hist[j].op) &&
    (forall i :: 0 <= i < |s.hist| && s.hist[i].Returned? ==>
      exists k :: 0 <= k < |s.log| && Answers(s.hist[i], s.log[k]) && s.log[k].at <= i)
  }

  // --------------------------------------------------------------------------------- threads

  // A chunk read as current at tick hs: still current if nothing has moved since.
  predicate Fresh(s: State, c: nat, hs: nat)
  {
    (c == 0 || (c in s.chain && c in s.mem)) && hs <= s.tick && (hs == s.tick ==> s.head == c)
  }
  predicate ThinkOk(s: State, t: nat, op: nat, th: Think)
  {
    Fresh(s, th.c, th.hs) && th.looks <= Looks() && th.walks <= Walks() && th.asks <= Asks() && th.fuel <= 2 * Lists(s) &&
    (th.refused ==> WasRefused(s.hist, t, op))
  }
  // Who has asked, and is still looking, was refused.
  predicate Tried(th: Think) { th.asks == Asks() || th.refused }
  predicate Own(s: State, n: nat, total: nat)
  {
    n in s.mem && n !in s.chain && n !in s.bigs && s.mem[n].size == total && total > 0
  }
  predicate Filled(s: State, n: nat, lo: nat, r: Request)
  {
    n in s.mem && r.Allocate? && r.align > 0 && n <= lo && lo % r.align == 0 && lo + r.bytes == n + s.mem[n].next
  }
  predicate NoFollow(s: State, c: nat) { c != 0 ==> c in s.mem && s.mem[c].follow == 0 }

  predicate PcOk(s: State, t: nat)
    requires t < |s.pcs|
  {
    var p := s.pcs[t];
    match p
    case Idle => true
    case Start(op, r, fast) => Pending(s, t, op, r) && r.Allocate?
    case HaveHead(op, r, c, hs, fast) => Pending(s, t, op, r) && r.Allocate? && Fresh(s, c, hs)
    case HaveNext(op, r, c, hs, ns, was, src) => Pending(s, t, op, r) && r.Allocate? && Published(s, c) &&
        ns <= s.tick && (ns == s.tick ==> s.mem[c].next == was) &&
        (if src.Search? then ThinkOk(s, t, op, src.th) && Tried(src.th) else Fresh(s, c, hs))
    case Full(op, r, th) => Pending(s, t, op, r) && r.Allocate? && ThinkOk(s, t, op, th) && Tried(th)
    case Asking(op, r, th, total, link) => Pending(s, t, op, r) && r.Allocate? && ThinkOk(s, t, op, th) && total > 0 &&
        (!link ==> NoFollow(s, th.c))
    case HaveNew(op, r, th, total, link, n, lo) => Pending(s, t, op, r) && r.Allocate? && ThinkOk(s, t, op, th) &&
        Own(s, n, total) && Filled(s, n, lo, r) && s.mem[n].follow == 0 &&
        (!link ==> NoFollow(s, th.c) && s.mem[n].prev == th.c)
    case Linking(op, r, th, total, n, lo, seen, ls) => Pending(s, t, op, r) && r.Allocate? && ThinkOk(s, t, op, th) &&
        Own(s, n, total) && Filled(s, n, lo, r) && s.mem[n].prev == seen && s.mem[n].follow == 0 &&
        ls <= s.tick && (ls == s.tick ==> s.large == seen)
    case Lost(op, r, th, total, n) => Pending(s, t, op, r) && r.Allocate? && ThinkOk(s, t, op, th) && Own(s, n, total) && th.hs < s.tick
    case Refunding(op, r, th, total, again) => Pending(s, t, op, r) && r.Allocate? && ThinkOk(s, t, op, th) && (if again then th.hs < s.tick else th.refused)
    case ResizeStart(op, r) => Pending(s, t, op, r) && Holds(s, r)
    case ResizeHead(op, r, c) => Pending(s, t, op, r) && Holds(s, r) && (c == 0 || (c in s.chain && c in s.mem))
    case ResizeNext(op, r, c, was) => Pending(s, t, op, r) && Holds(s, r) && c in s.chain && c in s.mem && r.bytes != r.before
    case PushStart(op, r) => Pending(s, t, op, r) && Registers(s, r)
    case PushSeen(op, r, seen, cs) => Pending(s, t, op, r) && Registers(s, r) && r.record in s.recs && s.recs[r.record] == seen &&
        cs <= s.tick && (cs == s.tick ==> s.cleanups == seen)
    case Resp(op, r, k, tail) => k < |s.log| && s.log[k].op == op && s.log[k].tid == t && Unanswered(s, op) && tail <= Tail()
  }
  predicate Holds(s: State, r: Request)
  {
    r.Resize? && r.block in s.abs.live && s.abs.live[r.block].bytes == r.before
  }
  predicate Registers(s: State, r: Request) { r.Register? && r.record in s.abs.live && r.record !in s.abs.cleanups }
  predicate ThreadsOk(s: State) { forall t :: 0 <= t < |s.pcs| ==> PcOk(s, t) }

  // ---------------------------------------------------------------------------------- owners

  // The chunk that a thread has from the upstream and has not published; 0: none.
  function NewOf(p: PC): nat { if p.HaveNew? || p.Linking? || p.Lost? then p.n else 0 }
  // What a thread has reserved and not published.
  function Pend(p: PC): nat { if p.Asking? || p.HaveNew? || p.Linking? || p.Lost? || p.Refunding? then p.total else 0 }
  // Of that, what it has from the upstream.
  function Private(p: PC): nat { if p.HaveNew? || p.Linking? || p.Lost? then p.total else 0 }

  predicate {:opaque} OwnersOk(s: State)
  {
    forall t, u :: 0 <= t < |s.pcs| && 0 <= u < |s.pcs| && t != u ==>
      (NewOf(s.pcs[t]) != 0 ==> NewOf(s.pcs[t]) != NewOf(s.pcs[u])) &&
      (BlockOf(s.pcs[t]) != 0 ==> BlockOf(s.pcs[t]) != BlockOf(s.pcs[u]))
  }
  predicate {:opaque} NoLeak(s: State)
  {
    forall a :: a in s.mem && a !in s.chain && a !in s.bigs ==> exists t :: 0 <= t < |s.pcs| && NewOf(s.pcs[t]) == a
  }
  function Listed(s: State): nat { Bytes(s.mem, s.chain) + Bytes(s.mem, s.bigs) }
  predicate {:opaque} ReservedOk(s: State)
  {
    s.reserved == Listed(s) + Sum(Pend, s.pcs) && (s.limit != 0 ==> s.reserved <= s.limit)
  }

  predicate Always(s: State)
  {
    MemOk(s) && ChainOk(s) && LiveOk(s) && CleanupsOk(s) && LogOk(s) && HistOk(s) && ThreadsOk(s) && OwnersOk(s) &&
    NoLeak(s) && ReservedOk(s) && LanesOk(s) && SidesOk(s)
  }

  // --------------------------------------------------------------------- it holds at the start

  lemma InitHolds(s: State)
    requires Init(s)
    ensures Always(s) && AtRest(s)
  {
    var threads, buffer, capacity, limit, most :| s == Initial(threads, buffer, capacity, limit, most);
    IdlesOk(threads);
    NobodyAtFirst(s, threads);
    InitMemory(s, threads, buffer, capacity, limit, most);
    reveal LiveOk(); reveal CleanupsOk(); reveal LogOk(); reveal HistOk();
  }
  lemma NobodyAtFirst(s: State, threads: nat)
    requires s.pcs == Idles(threads) && s.sides == NoSides(threads) && s.lanes == map[]
    ensures ThreadsOk(s) && OwnersOk(s) && LanesOk(s) && SidesOk(s) && AtRest(s)
  {
    IdlesOk(threads);
    reveal OwnersOk(); reveal LanesOk(); reveal SidesOk();
  }
  lemma InitMemory(s: State, threads: nat, buffer: nat, capacity: nat, limit: nat, most: nat)
    requires s == Initial(threads, buffer, capacity, limit, most)
    ensures MemOk(s) && ChainOk(s) && NoLeak(s) && ReservedOk(s)
  {
    IdlesOk(threads);
    reveal MemOk(); reveal ChainOk(); reveal NoLeak(); reveal ReservedOk();
    assert Bytes(s.mem, s.bigs) == 0;
    if |s.chain| == 1 { assert s.chain[..0] == []; assert Bytes(s.mem, s.chain) == 0; }
  }
  lemma IdlesOk(n: nat)
    ensures |Idles(n)| == n && (forall t :: 0 <= t < n ==> Idles(n)[t] == Idle) && Sum(Pend, Idles(n)) == 0
    ensures |NoSides(n)| == n && (forall t :: 0 <= t < n ==> NoSides(n)[t] == Side(0, 0))
  {
    if n > 0 {
      IdlesOk(n - 1);
      SumAppend(Idles(n - 1), Idle);
    }
  }
  lemma SumAppend(ps: seq<PC>, p: PC)
    ensures Sum(Pend, ps + [p]) == Sum(Pend, ps) + Pend(p)
  {
    if ps != [] {
      assert (ps + [p])[1..] == ps[1..] + [p];
      SumAppend(ps[1..], p);
    } else { assert (ps + [p])[1..] == []; }
  }

  // -------------------------------------------------------------- every step but reset keeps it

  lemma Positive(s: State)
    requires MemOk(s)
    ensures forall a :: a in s.mem ==> 0 < a
  {
    reveal MemOk();
  }
  lemma HeadPublished(s: State)
    requires ChainOk(s)
    ensures s.head == 0 || (s.head in s.chain && s.head in s.mem)
    ensures forall a :: a in s.chain || a in s.bigs ==> a in s.mem
  {
    reveal ChainOk();
  }
  lemma MemStep(s: State, t: nat, a: Act)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll?
    ensures MemOk(Do(s, t, a))
  {
    reveal MemOk();
    var q := s.pcs[t];
    assert PcOk(s, t);
    if a.CarveWon? { AlignUpOk(q.c + q.was, q.r.align); }
    if a.ShrinkWon? || a.CloseWon? { LaneHolds(s, t); }
    if a.Grant? { NeedServes(a.n, q.total, q.r.bytes, q.r.align); AlignUpOk(a.n, q.r.align); }
  }
  lemma ChainStep(s: State, t: nat, a: Act)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll?
    ensures ChainOk(Do(s, t, a))
  {
    if a.InstallWon? { InstallKeepsChain(s, t); }
    else if a.LinkWon? { LinkKeepsChain(s, t); }
    else if a.AdvanceWon? { AdvanceKeepsChain(s, t); }
    else {
      SharedKept(s, t, a);
      reveal ChainOk();
      var s' := Do(s, t, a);
      assert s'.chain == s.chain && s'.bigs == s.bigs && s'.cur == s.cur && s'.kept == s.kept && s'.head == s.head && s'.large == s.large;
      assert forall i :: 0 <= i < |s.chain| ==> s.chain[i] in s.chain;
      assert forall i :: 0 <= i < |s.bigs| ==> s.bigs[i] in s.bigs;
      assert ListOk(s', s'.chain);
      assert ListOk(s', s'.bigs);
    }
  }
  lemma AdvanceKeepsChain(s: State, t: nat)
    requires Always(s) && Enabled(s, t, AdvanceWon)
    ensures ChainOk(Do(s, t, AdvanceWon))
  {
    reveal ChainOk();
    assert PcOk(s, t);
    Positive(s);
    var s' := Do(s, t, AdvanceWon);
    assert s'.mem == s.mem && s'.chain == s.chain && s'.bigs == s.bigs;
    assert ListOk(s', s'.chain) && ListOk(s', s'.bigs);
    assert s.mem[s.chain[s.cur]].follow == Behind(s.chain, s.kept, s.cur);
  }
  lemma InstallKeepsChain(s: State, t: nat)
    requires Always(s) && Enabled(s, t, InstallWon)
    ensures ChainOk(Do(s, t, InstallWon))
  {
    var q := s.pcs[t];
    assert PcOk(s, t);
    Positive(s);
    InstallAtEnd(s, t);
    reveal ChainOk();
    var s' := Do(s, t, InstallWon);
    assert s'.mem == s.mem && s'.bigs == s.bigs && s'.kept == s.kept;
    assert ListOk(s', s'.bigs);
    forall i | 0 <= i < |s'.chain|
      ensures s'.chain[i] in s'.mem && s'.mem[s'.chain[i]].prev == Before(s'.chain, i)
      ensures s'.mem[s'.chain[i]].follow == Behind(s'.chain, s'.kept, i)
    {
      if i < |s.chain| {
        assert s'.chain[i] == s.chain[i];
        assert Before(s'.chain, i) == Before(s.chain, i);
        assert Behind(s'.chain, s.kept, i) == Behind(s.chain, s.kept, i);
      } else {
        assert s'.chain[i] == q.n;
      }
    }
    assert ListOk(s', s'.chain);
  }
  // A chunk is installed behind the last one only.
  lemma InstallAtEnd(s: State, t: nat)
    requires Always(s) && Enabled(s, t, InstallWon)
    ensures s.chain == [] ==> s.pcs[t].th.c == 0
    ensures s.chain != [] ==> s.cur + 1 == |s.chain| && s.pcs[t].th.c == s.chain[s.cur]
  {
    assert PcOk(s, t);
    Positive(s);
    reveal ChainOk();
    if s.chain != [] {
      assert s.chain[s.cur] in s.mem;
      assert s.mem[s.chain[s.cur]].follow == Behind(s.chain, s.kept, s.cur);
      if s.cur + 1 < |s.chain| { assert s.chain[s.cur + 1] in s.mem; }
    }
  }
  lemma LinkKeepsChain(s: State, t: nat)
    requires Always(s) && Enabled(s, t, LinkWon)
    ensures ChainOk(Do(s, t, LinkWon))
  {
    reveal ChainOk();
    var q := s.pcs[t];
    assert PcOk(s, t);
    Positive(s);
    var s' := Do(s, t, LinkWon);
    assert s'.mem == s.mem && s'.chain == s.chain;
    assert ListOk(s', s'.chain);
    forall i | 0 <= i < |s'.bigs|
      ensures s'.bigs[i] in s'.mem && s'.mem[s'.bigs[i]].prev == Before(s'.bigs, i)
    {
      if i < |s.bigs| { assert s'.bigs[i] == s.bigs[i]; assert Before(s'.bigs, i) == Before(s.bigs, i); } else { assert s'.bigs[i] == q.n; }
    }
  }

  predicate HandsOut(a: Act)
  {
    a.CarveWon? || a.InstallWon? || a.LinkWon? || a.GrowWon? || a.ShrinkWon? || a.Bump? || a.ExtendWon?
  }
  // Two chunks that have an address in common, inside, are one.
  lemma OneChunk(s: State, c: nat, d: nat, x: nat)
    requires MemOk(s) && c in s.mem && d in s.mem && c < x <= c + s.mem[c].next && d < x <= d + s.mem[d].next
    ensures c == d
  {
    reveal MemOk();
  }
  // The block a step hands out, or the size it gives one, meets no other block.
  lemma BlockStep(s: State, t: nat, a: Act)
    requires Always(s) && Enabled(s, t, a) && HandsOut(a)
    ensures StepOk(s.abs, Do(s, t, a).log[|s.log|])
    ensures LiveOk(Do(s, t, a))
  {
    if a.Bump? { BumpStep(s, t); }
    else if a.ExtendWon? { ExtendStep(s, t, a.more); }
    else if a.GrowWon? { GrowStep(s, t); }
    else if a.ShrinkWon? { ShrinkStep(s, t); }
    else if a.CarveWon? { CarveStep(s, t, a); }
    else { JoinStep(s, t, a); }
  }
  lemma CarveStep(s: State, t: nat, a: Act)
    requires Always(s) && Enabled(s, t, a) && a.CarveWon?
    ensures StepOk(s.abs, Do(s, t, a).log[|s.log|])
    ensures LiveOk(Do(s, t, a))
  {
    reveal MemOk(); reveal LiveOk();
    var q := s.pcs[t];
    assert PcOk(s, t);
    AlignUpOk(q.c + q.was, q.r.align);
    var s' := Do(s, t, a);
    var e := s'.log[|s.log|];
    var c := q.c;
    var at := e.res;
    forall b | b in s.abs.live && b != at
      ensures Apart(b, s.abs.live[b].bytes, at, q.r.bytes) && BlockOk(s', b, s.abs.live[b])
    {
      var x := s.abs.live[b];
      assert BlockOk(s, b, x);
      if x.chunk != c { assert Apart(x.chunk, Extent(s.mem[x.chunk]), c, Extent(s.mem[c])); }
    }
    if at in s.abs.live {
      var x := s.abs.live[at];
      assert BlockOk(s, at, x);
      if x.chunk != c { assert Apart(x.chunk, Extent(s.mem[x.chunk]), c, Extent(s.mem[c])); }
      assert false;
    }
  }
  lemma JoinStep(s: State, t: nat, a: Act)
    requires Always(s) && Enabled(s, t, a) && (a.InstallWon? || a.LinkWon?)
    ensures StepOk(s.abs, Do(s, t, a).log[|s.log|])
    ensures LiveOk(Do(s, t, a))
  {
    reveal MemOk(); reveal LiveOk();
    var q := s.pcs[t];
    assert PcOk(s, t);
    var s' := Do(s, t, a);
    var e := s'.log[|s.log|];
    var c := q.n;
    var at := e.res;
    forall b | b in s.abs.live && b != at
      ensures Apart(b, s.abs.live[b].bytes, at, q.r.bytes) && BlockOk(s', b, s.abs.live[b])
    {
      var x := s.abs.live[b];
      assert BlockOk(s, b, x);
      if x.chunk != c { assert Apart(x.chunk, Extent(s.mem[x.chunk]), c, Extent(s.mem[c])); }
    }
    if at in s.abs.live {
      var x := s.abs.live[at];
      assert BlockOk(s, at, x);
      if x.chunk != c { assert Apart(x.chunk, Extent(s.mem[x.chunk]), c, Extent(s.mem[c])); }
      assert false;
    }
  }
  // The chunk of the thread's lane, if it has bytes left.
  lemma LaneHolds(s: State, t: nat)
    requires Always(s) && t < |s.sides|
    ensures var l := LaneOf(s, t); l.at <= l.end &&
      (l.at < l.end ==> s.sides[t].slot in s.lanes && l.chunk in s.mem && l.chunk < l.at && l.end <= l.chunk + s.mem[l.chunk].next &&
        Published(s, l.chunk) && LaneApart(s, l, s.sides[t].slot))
  {
    reveal LanesOk();
    if s.sides[t].slot in s.lanes { assert LaneOk(s, s.lanes[s.sides[t].slot]); assert LaneApart(s, s.lanes[s.sides[t].slot], s.sides[t].slot); }
  }
  // A block that ends where a lane with bytes left begins lies in the lane's chunk.
  lemma LaneOfBlock(s: State, t: nat, b: nat)
    requires Always(s) && t < |s.sides| && b in s.abs.live
    requires var l := LaneOf(s, t); l.at < l.end && b + s.abs.live[b].bytes == l.at
    ensures s.abs.live[b].chunk == LaneOf(s, t).chunk
  {
    reveal LiveOk();
    LaneHolds(s, t);
    var x, l := s.abs.live[b], LaneOf(s, t);
    assert BlockOk(s, b, x);
    OneChunk(s, x.chunk, l.chunk, l.at);
  }
  // A lane with bytes left that ends where a chunk's carved part ends lies in that chunk.
  lemma LaneAtEnd(s: State, t: nat, c: nat)
    requires Always(s) && t < |s.sides| && c in s.mem
    requires var l := LaneOf(s, t); l.at < l.end && l.end == c + s.mem[c].next && s.mem[c].next > 0
    ensures LaneOf(s, t).chunk == c
  {
    LaneHolds(s, t);
    OneChunk(s, c, LaneOf(s, t).chunk, LaneOf(s, t).end);
  }
  // Bytes of a lane that has some: no other block has any of them.
  lemma BumpStep(s: State, t: nat)
    requires Always(s) && Enabled(s, t, Bump)
    ensures StepOk(s.abs, Do(s, t, Bump).log[|s.log|]) && Do(s, t, Bump).log[|s.log|].res > 0
    ensures LiveOk(Do(s, t, Bump))
  {
    reveal LiveOk();
    var q, l, s' := s.pcs[t], LaneOf(s, t), Do(s, t, Bump);
    assert PcOk(s, t);
    LaneHolds(s, t);
    Positive(s);
    if q.r.Allocate? { AlignUpOk(l.at, q.r.align); }
    var at := if q.r.Resize? then q.r.block else AlignUp(l.at, q.r.align);
    if q.r.Resize? {
      assert BlockOk(s, at, s.abs.live[at]);
      if l.at < l.end { LaneOfBlock(s, t, at); }
    } else if at in s.abs.live {
      assert BlockOk(s, at, s.abs.live[at]);
      assert Apart(at, s.abs.live[at].bytes, l.at, l.end - l.at);
      assert false;
    }
    forall b | b in s.abs.live && b != at
      ensures Apart(b, s.abs.live[b].bytes, at, q.r.bytes) && BlockOk(s', b, s.abs.live[b])
    {
      assert BlockOk(s, b, s.abs.live[b]);
    }
    assert BlockOk(s', at, s'.abs.live[at]);
  }
  lemma ExtendStep(s: State, t: nat, more: nat)
    requires Always(s) && Enabled(s, t, ExtendWon(more))
    ensures StepOk(s.abs, Do(s, t, ExtendWon(more)).log[|s.log|]) && Do(s, t, ExtendWon(more)).log[|s.log|].res > 0
    ensures LiveOk(Do(s, t, ExtendWon(more)))
  {
    reveal LiveOk(); reveal MemOk();
    var q, l, s' := s.pcs[t], LaneOf(s, t), Do(s, t, ExtendWon(more));
    assert PcOk(s, t);
    LaneHolds(s, t);
    AlignUpOk(l.at, q.r.align);
    var at := AlignUp(l.at, q.r.align);
    if l.at < l.end { LaneAtEnd(s, t, q.c); }
    assert q.c < at;
    forall b | b in s.abs.live
      ensures Apart(b, s.abs.live[b].bytes, at, q.r.bytes) && BlockOk(s', b, s.abs.live[b]) && b != at
    {
      var x := s.abs.live[b];
      assert BlockOk(s, b, x);
      if x.chunk != q.c { assert Apart(x.chunk, Extent(s.mem[x.chunk]), q.c, Extent(s.mem[q.c])); }
    }
    assert BlockOk(s', at, s'.abs.live[at]);
  }
  lemma GrowStep(s: State, t: nat)
    requires Always(s) && Enabled(s, t, GrowWon)
    ensures StepOk(s.abs, Do(s, t, GrowWon).log[|s.log|])
    ensures LiveOk(Do(s, t, GrowWon))
    ensures s.abs.live[s.pcs[t].r.block].chunk == s.pcs[t].c
  {
    reveal LiveOk(); reveal MemOk();
    var q, l, s' := s.pcs[t], LaneOf(s, t), Do(s, t, GrowWon);
    assert PcOk(s, t);
    LaneHolds(s, t);
    var at := q.r.block;
    var x := s.abs.live[at];
    assert BlockOk(s, at, x);
    if LastOfLane(s, t, q) && l.at < l.end {
      LaneAtEnd(s, t, q.c);
      LaneOfBlock(s, t, at);
    } else {
      OneChunk(s, x.chunk, q.c, at + x.bytes);
    }
    forall b | b in s.abs.live && b != at
      ensures Apart(b, s.abs.live[b].bytes, at, q.r.bytes) && BlockOk(s', b, s.abs.live[b])
    {
      var y := s.abs.live[b];
      assert BlockOk(s, b, y);
      if y.chunk != q.c { assert Apart(y.chunk, Extent(s.mem[y.chunk]), q.c, Extent(s.mem[q.c])); }
    }
    assert BlockOk(s', at, s'.abs.live[at]);
  }
  // The last block of a chunk, or of a lane that is the last of a chunk: all others end before it.
  lemma ShrinkStep(s: State, t: nat)
    requires Always(s) && Enabled(s, t, ShrinkWon)
    ensures StepOk(s.abs, Do(s, t, ShrinkWon).log[|s.log|])
    ensures LiveOk(Do(s, t, ShrinkWon))
    ensures s.abs.live[s.pcs[t].r.block].chunk == s.pcs[t].c
  {
    reveal LiveOk(); reveal MemOk();
    var q, l, s' := s.pcs[t], LaneOf(s, t), Do(s, t, ShrinkWon);
    assert PcOk(s, t);
    LaneHolds(s, t);
    var at := q.r.block;
    var x := s.abs.live[at];
    assert BlockOk(s, at, x);
    if LastOfLane(s, t, q) && l.at < l.end {
      LaneAtEnd(s, t, q.c);
      LaneOfBlock(s, t, at);
    } else {
      OneChunk(s, x.chunk, q.c, at + x.bytes);
    }
    forall b | b in s.abs.live && b != at
      ensures Apart(b, s.abs.live[b].bytes, at, q.r.bytes) && BlockOk(s', b, s.abs.live[b])
    {
      var y := s.abs.live[b];
      assert BlockOk(s, b, y);
      if y.chunk != q.c { assert Apart(y.chunk, Extent(s.mem[y.chunk]), q.c, Extent(s.mem[q.c])); }
    }
    assert BlockOk(s', at, s'.abs.live[at]);
  }
  lemma LiveStep(s: State, t: nat, a: Act)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll?
    ensures LiveOk(Do(s, t, a))
  {
    reveal LiveOk();
    assert PcOk(s, t);
    if HandsOut(a) {
      BlockStep(s, t, a);
    } else if a.CloseWon? {
      CloseStep(s, t);
    } else {
      var s' := Do(s, t, a);
      forall b | b in s.abs.live
        ensures BlockOk(s', b, s.abs.live[b])
      {
        assert BlockOk(s, b, s.abs.live[b]);
      }
      if a.ShrinkLost? || a.Stay? { assert BlockOk(s, s.pcs[t].r.block, s.abs.live[s.pcs[t].r.block]); }
    }
  }
  // Giving back what a lane has not handed out leaves all blocks where they are carved.
  lemma CloseStep(s: State, t: nat)
    requires Always(s) && Enabled(s, t, CloseWon)
    ensures LiveOk(Do(s, t, CloseWon))
  {
    reveal LiveOk(); reveal MemOk();
    var l, s' := LaneOf(s, t), Do(s, t, CloseWon);
    LaneHolds(s, t);
    forall b | b in s.abs.live
      ensures BlockOk(s', b, s.abs.live[b])
    {
      var x := s.abs.live[b];
      assert BlockOk(s, b, x);
      if x.chunk != l.chunk { assert Apart(x.chunk, Extent(s.mem[x.chunk]), l.chunk, Extent(s.mem[l.chunk])); }
    }
  }

  // A lane that no step touches: its bytes stay its own.
  lemma LanesStep(s: State, t: nat, a: Act)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll?
    ensures LanesOk(Do(s, t, a))
  {
    var s' := Do(s, t, a);
    var k := s.sides[t].slot;
    if s'.lanes != s.lanes { NewLaneStep(s, t, a); }
    forall m | m in s'.lanes && (m != k || s'.lanes == s.lanes)
      ensures LaneOk(s', s'.lanes[m])
    { LaneKept(s, t, a, m); }
    forall m | m in s'.lanes
      ensures LaneOk(s', s'.lanes[m]) && LaneApart(s', s'.lanes[m], m)
    {
      if m != k || s'.lanes == s.lanes {
        LaneKept(s, t, a, m);
        var l := s'.lanes[m];
        forall n | l.at < l.end && n in s'.lanes && n != m && s'.lanes[n].at < s'.lanes[n].end
          ensures Apart(s'.lanes[n].at, s'.lanes[n].end - s'.lanes[n].at, l.at, l.end - l.at)
        {
          if n != k || s'.lanes == s.lanes { reveal LanesOk(); assert LaneApart(s, s.lanes[m], m); }
        }
      }
    }
    reveal LanesOk();
  }
  lemma LaneKept(s: State, t: nat, a: Act, m: nat)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll?
    requires m in s.lanes && (m != s.sides[t].slot || Do(s, t, a).lanes == s.lanes)
    ensures var s', l := Do(s, t, a), s.lanes[m]; LaneOk(s', l) &&
      (l.at < l.end ==> forall b :: b in s'.abs.live ==> Apart(b, s'.abs.live[b].bytes, l.at, l.end - l.at))
  {
    reveal LanesOk();
    var s', l, q := Do(s, t, a), s.lanes[m], s.pcs[t];
    assert PcOk(s, t);
    assert LaneOk(s, l) && LaneApart(s, l, m);
    if l.at < l.end {
      SharedKept(s, t, a);
      LaneCarved(s, t, a, m);
      LaneUntouched(s, t, a, m);
    }
  }
  // What is left of it stays in the carved part of its chunk.
  lemma LaneCarved(s: State, t: nat, a: Act, m: nat)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll?
    requires m in s.lanes && (m != s.sides[t].slot || Do(s, t, a).lanes == s.lanes) && s.lanes[m].at < s.lanes[m].end
    ensures var s', l := Do(s, t, a), s.lanes[m]; l.chunk in s'.mem && l.end <= l.chunk + s'.mem[l.chunk].next
  {
    reveal LanesOk();
    var s', l, q := Do(s, t, a), s.lanes[m], s.pcs[t];
    assert PcOk(s, t);
    assert LaneOk(s, l) && LaneApart(s, l, m);
    if a.ShrinkWon? && q.c == l.chunk {
      ShrinkStep(s, t);
      LaneHolds(s, t);
      assert Apart(q.r.block, q.r.before, l.at, l.end - l.at);
      if LaneOf(s, t).at < LaneOf(s, t).end { assert LaneApart(s, LaneOf(s, t), s.sides[t].slot); }
    }
    if a.CloseWon? && LaneOf(s, t).chunk == l.chunk {
      LaneHolds(s, t);
      assert LaneApart(s, LaneOf(s, t), s.sides[t].slot);
    }
    if a.GrowWon? && q.c == l.chunk { GrowStep(s, t); reveal MemOk(); }
    if a.CarveWon? { AlignUpOk(q.c + q.was, q.r.align); }
  }
  // The block of this step, if it has one, is apart from it.
  lemma LaneUntouched(s: State, t: nat, a: Act, m: nat)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll?
    requires m in s.lanes && (m != s.sides[t].slot || Do(s, t, a).lanes == s.lanes) && s.lanes[m].at < s.lanes[m].end
    ensures var s', l := Do(s, t, a), s.lanes[m];
      forall b :: b in s'.abs.live ==> Apart(b, s'.abs.live[b].bytes, l.at, l.end - l.at)
  {
    reveal LanesOk(); reveal MemOk(); reveal LiveOk();
    var s', l, q := Do(s, t, a), s.lanes[m], s.pcs[t];
    assert PcOk(s, t);
    assert LaneOk(s, l) && LaneApart(s, l, m);
    LaneHolds(s, t);
    if a.CarveWon? {
      AlignUpOk(q.c + q.was, q.r.align);
      if l.chunk != q.c { assert Apart(l.chunk, Extent(s.mem[l.chunk]), q.c, Extent(s.mem[q.c])); }
    } else if a.InstallWon? || a.LinkWon? {
      assert Apart(l.chunk, Extent(s.mem[l.chunk]), q.n, Extent(s.mem[q.n]));
    } else if a.GrowWon? {
      GrowStep(s, t);
      if l.chunk != q.c { assert Apart(l.chunk, Extent(s.mem[l.chunk]), q.c, Extent(s.mem[q.c])); }
      assert Apart(q.r.block, q.r.before, l.at, l.end - l.at);
      if LastOfLane(s, t, q) && LaneOf(s, t).at < LaneOf(s, t).end { LaneAtEnd(s, t, q.c); }
    } else if a.ExtendWon? {
      AlignUpOk(LaneOf(s, t).at, q.r.align);
      if LaneOf(s, t).at < LaneOf(s, t).end { LaneAtEnd(s, t, q.c); }
      if l.chunk != q.c { assert Apart(l.chunk, Extent(s.mem[l.chunk]), q.c, Extent(s.mem[q.c])); }
    } else if a.Bump? {
      if q.r.Allocate? { AlignUpOk(LaneOf(s, t).at, q.r.align); }
      else { assert Apart(q.r.block, q.r.before, l.at, l.end - l.at); }
    } else if a.ShrinkWon? || a.ShrinkLost? || a.Stay? {
      assert Apart(q.r.block, q.r.before, l.at, l.end - l.at);
    }
  }
  // The lane of the thread that takes a step that changes it.
  lemma NewLaneStep(s: State, t: nat, a: Act)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll? && Do(s, t, a).lanes != s.lanes
    ensures var s', k := Do(s, t, a), s.sides[t].slot;
      k in s'.lanes && s'.lanes == s.lanes[k := s'.lanes[k]] && LaneOk(s', s'.lanes[k]) && LaneApart(s', s'.lanes[k], k)
  {
    reveal LanesOk(); reveal MemOk(); reveal LiveOk();
    var s', k, q := Do(s, t, a), s.sides[t].slot, s.pcs[t];
    assert PcOk(s, t);
    var o, l := LaneOf(s, t), s'.lanes[k];
    LaneHolds(s, t);
    SharedKept(s, t, a);
    if a.CloseWon? || a.CloseLost? || l.at == l.end { return; }
    if a.CarveWon? { AlignUpOk(q.c + q.was, q.r.align); }
    if a.ExtendWon? {
      AlignUpOk(o.at, q.r.align);
      if o.at < o.end { LaneAtEnd(s, t, q.c); }
    }
    if a.Bump? && q.r.Allocate? { AlignUpOk(o.at, q.r.align); }
    if a.Bump? && q.r.Resize? {
      assert BlockOk(s, q.r.block, s.abs.live[q.r.block]);
      if o.at < o.end { LaneOfBlock(s, t, q.r.block); }
    }
    assert LaneOk(s', l);
    forall b | b in s'.abs.live
      ensures Apart(b, s'.abs.live[b].bytes, l.at, l.end - l.at)
    {
      if b in s.abs.live {
        var x := s.abs.live[b];
        assert BlockOk(s, b, x);
        if x.chunk != l.chunk { assert Apart(x.chunk, Extent(s.mem[x.chunk]), l.chunk, Extent(s.mem[l.chunk])); }
      }
    }
    forall m | m in s'.lanes && m != k && s'.lanes[m].at < s'.lanes[m].end
      ensures Apart(s'.lanes[m].at, s'.lanes[m].end - s'.lanes[m].at, l.at, l.end - l.at)
    {
      var x := s.lanes[m];
      assert LaneOk(s, x) && LaneApart(s, x, m);
      if x.chunk != l.chunk { assert Apart(x.chunk, Extent(s.mem[x.chunk]), l.chunk, Extent(s.mem[l.chunk])); }
      if a.Bump? && q.r.Resize? { assert Apart(q.r.block, q.r.before, x.at, x.end - x.at); }
    }
  }
  lemma SidesStep(s: State, t: nat, a: Act)
    requires Always(s) && Enabled(s, t, a)
    ensures SidesOk(Do(s, t, a))
  {
    reveal SidesOk();
  }
  lemma CleanupsStep(s: State, t: nat, a: Act)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll?
    ensures CleanupsOk(Do(s, t, a))
  {
    reveal CleanupsOk();
    var q := s.pcs[t];
    assert PcOk(s, t);
    var s' := Do(s, t, a);
    var w, w' := s.abs.cleanups, s'.abs.cleanups;
    assert forall b :: b in s.abs.live ==> b in s'.abs.live;
    if a.RegisterWon? {
      assert w' == w + [q.r.record];
      forall i | 0 <= i < |w'|
        ensures w'[i] in s'.abs.live && w'[i] in s'.recs && s'.recs[w'[i]] == Before(w', i)
      {
        if i < |w| { assert w'[i] == w[i]; assert Before(w', i) == Before(w, i); }
      }
    } else {
      assert w' == w;
      assert a.LoadCleanups? ==> q.r.record !in w;
    }
  }

  // A call that takes effect adds one entry, which the sequential object allows.
  lemma LogGrows(s: State, t: nat, a: Act)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll? && Do(s, t, a).log != s.log
    ensures var s' := Do(s, t, a); |s'.log| == |s.log| + 1 && s'.log[..|s.log|] == s.log && s'.hist == s.hist &&
      var e := s'.log[|s.log|];
      e.op == s.pcs[t].op && e.r == s.pcs[t].r && e.tid == t && e.at == |s.hist| && StepOk(s.abs, e) &&
      s'.abs == Apply(s.abs, e) && EntryOk(s', e) && s'.pcs[t] == Resp(e.op, e.r, |s.log|, Tail()) && Pending(s, t, e.op, e.r)
  {
    reveal LiveOk();
    assert PcOk(s, t);
    Positive(s);
    if HandsOut(a) { BlockStep(s, t, a); }
    if a.Bump? { BumpStep(s, t); }
    if a.ExtendWon? { ExtendStep(s, t, a.more); }
    if a.ShrinkLost? || a.Stay? {
      var block := s.pcs[t].r.block;
      assert forall b :: b in s.abs.live && b != block ==> Apart(b, s.abs.live[b].bytes, block, s.abs.live[block].bytes);
    }
  }
  lemma EntryKept(s: State, t: nat, a: Act, e: Entry)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll? && EntryOk(s, e)
    ensures EntryOk(Do(s, t, a), e)
  {
    var s' := Do(s, t, a);
    HistGrows(s, t, a);
    if e.r.Allocate? && e.r.ask && e.res == 0 { RefusalKept(s.hist, s'.hist, e.tid, e.op); }
  }
  lemma HistGrows(s: State, t: nat, a: Act)
    requires Enabled(s, t, a)
    ensures |s.hist| <= |Do(s, t, a).hist| && Do(s, t, a).hist[..|s.hist|] == s.hist
  {
  }
  lemma RefusalKept(h: seq<Event>, g: seq<Event>, tid: nat, op: nat)
    requires |h| <= |g| && g[..|h|] == h && WasRefused(h, tid, op)
    ensures WasRefused(g, tid, op)
  {
    var i :| op < i < |h| && h[i] == Refused(tid, op);
    assert g[i] == g[..|h|][i];
  }
  lemma LogStep(s: State, t: nat, a: Act)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll?
    ensures LogOk(Do(s, t, a))
  {
    reveal LogOk();
    var s' := Do(s, t, a);
    if s'.log != s.log {
      LogGrows(s, t, a);
      assert s'.log[..|s'.log|-1] == s.log;
    } else {
      assert s'.abs == s.abs;
    }
    forall k | 0 <= k < |s'.log| ensures EntryOk(s', s'.log[k])
    {
      if k < |s.log| { assert s'.log[k] == s.log[k]; EntryKept(s, t, a, s.log[k]); }
    }
    forall j, k | 0 <= j < k < |s'.log| ensures s'.log[j].at <= s'.log[k].at && s'.log[j].op != s'.log[k].op
    {
      assert s'.log[j] == s.log[j];
      if k < |s.log| { assert s'.log[k] == s.log[k]; } else { assert EntryOk(s, s.log[j]); }
    }
  }
  lemma HistStep(s: State, t: nat, a: Act)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll?
    ensures HistOk(Do(s, t, a))
  {
    reveal HistOk(); reveal LogOk();
    var s' := Do(s, t, a);
    assert PcOk(s, t);
    if s'.log != s.log { LogGrows(s, t, a); }
    HistGrows(s, t, a);
    forall i | 0 <= i < |s'.hist| && s'.hist[i].Returned?
      ensures exists k :: 0 <= k < |s'.log| && Answers(s'.hist[i], s'.log[k]) && s'.log[k].at <= i
    {
      if i < |s.hist| {
        assert s'.hist[i] == s.hist[i];
        var k :| 0 <= k < |s.log| && Answers(s.hist[i], s.log[k]) && s.log[k].at <= i;
        assert s'.log[k] == s.log[..|s.log|][k];
        assert Answers(s'.hist[i], s'.log[k]);
      } else {
        assert EntryOk(s, s.log[s.pcs[t].k]);
        assert Answers(s'.hist[i], s'.log[s.pcs[t].k]);
      }
    }
  }
  lemma OwnersStep(s: State, t: nat, a: Act)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll?
    ensures OwnersOk(Do(s, t, a))
  {
    reveal OwnersOk();
    assert PcOk(s, t);
    forall u | 0 <= u < |s.pcs| && NewOf(s.pcs[u]) != 0
      ensures NewOf(s.pcs[u]) in s.mem { assert PcOk(s, u); }
  }
  lemma LeakStep(s: State, t: nat, a: Act)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll?
    ensures NoLeak(Do(s, t, a))
  {
    reveal NoLeak();
    Positive(s);
    var s' := Do(s, t, a);
    assert PcOk(s, t);
    forall b | b in s'.mem && b !in s'.chain && b !in s'.bigs
      ensures exists u :: 0 <= u < |s'.pcs| && NewOf(s'.pcs[u]) == b
    {
      if b in s.mem && b !in s.chain && b !in s.bigs {
        var u :| 0 <= u < |s.pcs| && NewOf(s.pcs[u]) == b;
        assert NewOf(s'.pcs[u]) == b;
      } else {
        assert NewOf(s'.pcs[t]) == b;
      }
    }
  }
  lemma BytesSame(m: map<nat, Chunk>, m': map<nat, Chunk>, list: seq<nat>)
    requires forall i :: 0 <= i < |list| ==> list[i] in m && list[i] in m' && m[list[i]].size == m'[list[i]].size
    ensures Bytes(m, list) == Bytes(m', list)
  {
    if list != [] {
      var init := list[..|list|-1];
      assert forall i :: 0 <= i < |init| ==> init[i] == list[i];
      BytesSame(m, m', init);
    }
  }
  lemma ReservedStep(s: State, t: nat, a: Act)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll?
    ensures ReservedOk(Do(s, t, a))
  {
    ListedStep(s, t, a);
    reveal ReservedOk();
    assert PcOk(s, t);
    var s' := Do(s, t, a);
    SumUpdate(Pend, s.pcs, t, s'.pcs[t]);
    assert s'.pcs == s.pcs[t := s'.pcs[t]];
    SumAtLeast(Pend, s.pcs, t);
  }
  lemma ListedStep(s: State, t: nat, a: Act)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll?
    ensures Listed(Do(s, t, a)) == Listed(s) + (if a.InstallWon? || a.LinkWon? then s.pcs[t].total else 0)
  {
    var s' := Do(s, t, a);
    assert PcOk(s, t);
    SharedKept(s, t, a);
    HeadPublished(s);
    assert forall i :: 0 <= i < |s.chain| ==> s.chain[i] in s.chain;
    assert forall i :: 0 <= i < |s.bigs| ==> s.bigs[i] in s.bigs;
    BytesSame(s.mem, s'.mem, s.chain);
    BytesSame(s.mem, s'.mem, s.bigs);
    if a.InstallWon? { assert s'.chain[..|s'.chain|-1] == s.chain; }
    else if a.LinkWon? { assert s'.bigs[..|s'.bigs|-1] == s.bigs; }
    else { assert s'.chain == s.chain && s'.bigs == s.bigs; }
  }
  lemma PcStep(s: State, t: nat, a: Act, u: nat)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll? && u < |s.pcs|
    ensures PcOk(Do(s, t, a), u)
  {
    if u == t { OwnPcStep(s, t, a); } else { OtherPcStep(s, t, a, u); }
  }
  lemma OwnPcStep(s: State, t: nat, a: Act)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll?
    ensures PcOk(Do(s, t, a), t)
  {
    if a.Invoke? { InvokeStep(s, t, a.r); }
    else if a.Grant? { GrantStep(s, t, a.n); }
    else if a.TooMuch? || a.Refuse? { RefusedStep(s, t, a); }
    else if Do(s, t, a).log != s.log {
      LogGrows(s, t, a);
      assert Unanswered(s, s.pcs[t].op);
    } else {
      var q := s.pcs[t];
      assert PcOk(s, t);
      HeadPublished(s);
      Positive(s);
      SharedKept(s, t, a);
      if a.Return? || q.Idle? { return; }
      assert Do(s, t, a).hist == s.hist;
      if q.Resp? { return; }
      assert Pending(Do(s, t, a), t, q.op, q.r);
      if q.Full? || q.Asking? || q.HaveNew? || q.Linking? || q.Lost? || q.Refunding? {
        assert q.th.c != 0 ==> Published(s, q.th.c);
      }
    }
  }
  lemma InvokeStep(s: State, t: nat, r: Request)
    requires Always(s) && Enabled(s, t, Invoke(r))
    ensures PcOk(Do(s, t, Invoke(r)), t)
  {
    reveal LogOk(); reveal HistOk();
    var op, s' := |s.hist|, Do(s, t, Invoke(r));
    forall i | 0 <= i < |s'.hist| && s'.hist[i].Returned?
      ensures s'.hist[i].op != op
    {
      assert s'.hist[i] == s.hist[i];
      var k :| 0 <= k < |s.log| && Answers(s.hist[i], s.log[k]) && s.log[k].at <= i;
      assert EntryOk(s, s.log[k]);
    }
    forall k | 0 <= k < |s.log| ensures s.log[k].op != op { assert EntryOk(s, s.log[k]); }
    assert Pending(s', t, op, r);
  }
  lemma GrantStep(s: State, t: nat, n: nat)
    requires Always(s) && Enabled(s, t, Grant(n))
    ensures PcOk(Do(s, t, Grant(n)), t)
  {
    var q, s' := s.pcs[t], Do(s, t, Grant(n));
    assert PcOk(s, t);
    HeadPublished(s);
    NeedServes(n, q.total, q.r.bytes, q.r.align);
    AlignUpOk(n, q.r.align);
    assert n + 0 == n;
  }
  lemma RefusedStep(s: State, t: nat, a: Act)
    requires Always(s) && Enabled(s, t, a) && (a.TooMuch? || a.Refuse?)
    ensures PcOk(Do(s, t, a), t)
  {
    var q, s' := s.pcs[t], Do(s, t, a);
    assert PcOk(s, t);
    assert s'.hist[|s.hist|] == Refused(t, q.op);
    assert WasRefused(s'.hist, t, q.op);
    assert forall i :: 0 <= i < |s'.hist| && s'.hist[i].Returned? ==> i < |s.hist| && s'.hist[i] == s.hist[i];
  }
  lemma OtherPcStep(s: State, t: nat, a: Act, u: nat)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll? && u < |s.pcs| && u != t
    ensures PcOk(Do(s, t, a), u)
  {
    assert PcOk(s, t) && PcOk(s, u);
    var x, s' := s.pcs[u], Do(s, t, a);
    assert s'.pcs[u] == x;
    if x.Idle? { return; }
    HistGrows(s, t, a);
    if s'.log != s.log { LogGrows(s, t, a); }
    if x.Resp? { RespKept(s, t, a, u); return; }
    PendingKept(s, t, a, u);
    if x.Start? { return; }
    SharedKept(s, t, a);
    if x.ResizeStart? || x.ResizeHead? || x.ResizeNext? || x.PushStart? || x.PushSeen? { CallerKept(s, t, a, u); return; }
    if x.HaveHead? { return; }
    if x.HaveNext? {
      NextKept(s, t, a, x.c);
      if x.src.Search? { ThinkKept(s, t, a, u, x.op, x.src.th); }
      return;
    }
    ThinkKept(s, t, a, u, x.op, x.th);
    assert x.th.c != 0 ==> Published(s, x.th.c);
    if x.Full? || x.Refunding? { return; }
    if x.Asking? { assert PcOk(s', u); return; }
    Positive(s);
    PrivateKept(s, t, a, u);
    assert x.HaveNew? ==> PcOk(s', u);
    assert x.Linking? ==> PcOk(s', u);
    assert x.Lost? ==> PcOk(s', u);
  }
  lemma PendingKept(s: State, t: nat, a: Act, u: nat)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll? && u < |s.pcs| && u != t
    requires !s.pcs[u].Idle? && !s.pcs[u].Resp?
    ensures Pending(Do(s, t, a), u, s.pcs[u].op, s.pcs[u].r)
  {
    reveal LogOk();
    var x, s' := s.pcs[u], Do(s, t, a);
    assert PcOk(s, t) && PcOk(s, u);
    HistGrows(s, t, a);
    if s'.log != s.log { LogGrows(s, t, a); }
    assert s'.hist[x.op] == s.hist[x.op];
    if a.Return? { assert EntryOk(s, s.log[s.pcs[t].k]); }
  }
  lemma RespKept(s: State, t: nat, a: Act, u: nat)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll? && u < |s.pcs| && u != t && s.pcs[u].Resp?
    ensures PcOk(Do(s, t, a), u)
  {
    reveal LogOk();
    var x, s' := s.pcs[u], Do(s, t, a);
    assert PcOk(s, t) && PcOk(s, u);
    if s'.log != s.log { LogGrows(s, t, a); assert s'.log[x.k] == s'.log[..|s.log|][x.k]; }
    if a.Return? {
      assert EntryOk(s, s.log[s.pcs[t].k]) && EntryOk(s, s.log[x.k]);
    }
  }
  // Published chunks stay, what was read of them stays, and clocks go forward.
  lemma SharedKept(s: State, t: nat, a: Act)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll?
    ensures var s' := Do(s, t, a);
      s.tick <= s'.tick && Lists(s) <= Lists(s') &&
      (forall c :: c in s.chain && c in s.mem ==> c in s'.chain) &&
      (forall c :: Published(s, c) ==> Published(s', c) && s'.mem[c].follow == s.mem[c].follow &&
          s'.mem[c].prev == s.mem[c].prev && s'.mem[c].size == s.mem[c].size) &&
      (s'.tick == s.tick ==> s'.head == s.head && s'.large == s.large && s'.cleanups == s.cleanups)
  {
    reveal ChainOk();
    assert PcOk(s, t);
  }
  lemma NextKept(s: State, t: nat, a: Act, c: nat)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll? && Published(s, c)
    ensures var s' := Do(s, t, a); c in s'.mem && (s'.tick == s.tick ==> s'.mem[c].next == s.mem[c].next)
  {
    assert PcOk(s, t);
  }
  lemma ThinkKept(s: State, t: nat, a: Act, u: nat, op: nat, th: Think)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll? && ThinkOk(s, u, op, th)
    ensures ThinkOk(Do(s, t, a), u, op, th)
  {
    SharedKept(s, t, a);
    HistGrows(s, t, a);
    if th.refused { RefusalKept(s.hist, Do(s, t, a).hist, u, op); }
  }
  lemma PrivateKept(s: State, t: nat, a: Act, u: nat)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll? && u < |s.pcs| && u != t && NewOf(s.pcs[u]) != 0
    ensures var s', n := Do(s, t, a), NewOf(s.pcs[u]);
      n in s.mem && n in s'.mem && n !in s'.chain && n !in s'.bigs && s'.mem[n] == s.mem[n]
  {
    reveal OwnersOk();
    assert PcOk(s, t) && PcOk(s, u);
  }
  lemma CallerKept(s: State, t: nat, a: Act, u: nat)
    requires Always(s) && Enabled(s, t, a) && !a.ResetAll? && u < |s.pcs| && u != t
    requires var x := s.pcs[u]; x.ResizeStart? || x.ResizeHead? || x.ResizeNext? || x.PushStart? || x.PushSeen?
    ensures PcOk(Do(s, t, a), u)
  {
    reveal LiveOk(); reveal OwnersOk();
    assert PcOk(s, t) && PcOk(s, u);
    PendingKept(s, t, a, u);
    SharedKept(s, t, a);
    var block := BlockOf(s.pcs[u]);
    assert BlockOk(s, block, s.abs.live[block]);
    assert BlockOf(s.pcs[t]) != block;
    if a.CarveWon? || a.InstallWon? || a.LinkWon? || a.Bump? || a.ExtendWon? { BlockStep(s, t, a); }
  }

  // --------------------------------------------------------------------------- reset keeps it

  lemma WithinOk(a: seq<nat>, b: seq<nat>)
    requires Within(a, b) && forall i, j :: 0 <= i < j < |b| ==> b[i] != b[j]
    ensures forall i :: 0 <= i < |a| ==> a[i] in b
    ensures forall i, j :: 0 <= i < j < |a| ==> a[i] != a[j]
    decreases |b|
  {
    if a != [] && b != [] {
      var ai, bi := a[..|a|-1], b[..|b|-1];
      assert forall x :: x in bi ==> x in b;
      if a[|a|-1] == b[|b|-1] {
        WithinOk(ai, bi);
        assert b[|b|-1] !in bi;
        forall i | 0 <= i < |a| ensures a[i] in b { if i < |ai| { assert a[i] == ai[i]; } }
        forall i, j | 0 <= i < j < |a| ensures a[i] != a[j]
        {
          assert a[i] == ai[i];
          if j < |ai| { assert a[j] == ai[j]; }
        }
      } else {
        WithinOk(a, bi);
      }
    }
  }
  lemma BytesWithin(mem: map<nat, Chunk>, a: seq<nat>, b: seq<nat>)
    requires Within(a, b)
    ensures Bytes(mem, a) <= Bytes(mem, b)
    decreases |b|
  {
    if a != [] && b != [] {
      if a[|a|-1] == b[|b|-1] { BytesWithin(mem, a[..|a|-1], b[..|b|-1]); } else { BytesWithin(mem, a, b[..|b|-1]); }
    }
  }
  predicate Empty(mem: map<nat, Chunk>, m: map<nat, Chunk>, list: seq<nat>, i: nat)
    requires i < |list|
  {
    list[i] in mem && list[i] in m &&
    m[list[i]] == Chunk(mem[list[i]].size, mem[list[i]].capacity, 0, Before(list, i), Behind(list, |list|, i))
  }
  lemma RelinkedOk(mem: map<nat, Chunk>, list: seq<nat>, n: nat, to: map<nat, Chunk>)
    requires n <= |list| && forall i :: 0 <= i < |list| ==> list[i] in mem && list[i] !in to
    requires forall i, j :: 0 <= i < j < |list| ==> list[i] != list[j]
    ensures forall k :: k in Relinked(mem, list, n, to) <==> k in to || k in list[..n]
    ensures forall i :: 0 <= i < n ==> Empty(mem, Relinked(mem, list, n, to), list, i)
    ensures forall k :: k in to ==> Relinked(mem, list, n, to)[k] == to[k]
  {
    if n > 0 {
      RelinkedOk(mem, list, n - 1, to);
      assert list[..n] == list[..n-1] + [list[n-1]];
      var m, m' := Relinked(mem, list, n - 1, to), Relinked(mem, list, n, to);
      forall i | 0 <= i < n ensures Empty(mem, m', list, i)
      {
        if i < n - 1 { assert Empty(mem, m, list, i); assert list[i] != list[n-1]; }
      }
    }
  }
  lemma ResetMemory(s: State, t: nat, kc: seq<nat>, kb: seq<nat>)
    requires Always(s) && Enabled(s, t, ResetAll(kc, kb))
    ensures var s' := Do(s, t, ResetAll(kc, kb));
      (forall a :: a in s'.mem <==> a in kc || a in kb) &&
      (forall i :: 0 <= i < |kc| ==> Empty(s.mem, s'.mem, kc, i)) &&
      (forall i :: 0 <= i < |kb| ==> Empty(s.mem, s'.mem, kb, i)) &&
      (forall i, j :: 0 <= i < j < |kc| ==> kc[i] != kc[j]) && (forall i, j :: 0 <= i < j < |kb| ==> kb[i] != kb[j]) &&
      (forall a :: a in kc ==> a !in kb && a in s.mem) && (forall a :: a in kb ==> a in s.mem)
  {
    reveal ChainOk();
    WithinOk(kc, s.chain);
    WithinOk(kb, s.bigs);
    var m := Relinked(s.mem, kc, |kc|, map[]);
    RelinkedOk(s.mem, kc, |kc|, map[]);
    assert kc[..|kc|] == kc && kb[..|kb|] == kb;
    forall i | 0 <= i < |kb| ensures kb[i] !in m { assert kb[i] in s.bigs; }
    RelinkedOk(s.mem, kb, |kb|, m);
    var s' := Do(s, t, ResetAll(kc, kb));
    forall i | 0 <= i < |kc| ensures Empty(s.mem, s'.mem, kc, i)
    {
      assert Empty(s.mem, m, kc, i);
      assert s'.mem[kc[i]] == m[kc[i]];
    }
  }
  lemma ResetChunk(s: State, t: nat, kc: seq<nat>, kb: seq<nat>, a: nat)
    requires Always(s) && Enabled(s, t, ResetAll(kc, kb)) && a in Do(s, t, ResetAll(kc, kb)).mem
    ensures var s' := Do(s, t, ResetAll(kc, kb));
      a in s.mem && s'.mem[a].next == 0 && s'.mem[a].capacity == s.mem[a].capacity && s'.mem[a].size == s.mem[a].size
  {
    ResetMemory(s, t, kc, kb);
    var s' := Do(s, t, ResetAll(kc, kb));
    if a in kc {
      var i :| 0 <= i < |kc| && kc[i] == a;
      assert Empty(s.mem, s'.mem, kc, i);
    } else {
      var i :| 0 <= i < |kb| && kb[i] == a;
      assert Empty(s.mem, s'.mem, kb, i);
    }
  }
  lemma ResetKeepsMemory(s: State, t: nat, kc: seq<nat>, kb: seq<nat>)
    requires Always(s) && Enabled(s, t, ResetAll(kc, kb))
    ensures MemOk(Do(s, t, ResetAll(kc, kb)))
  {
    reveal MemOk();
    var s' := Do(s, t, ResetAll(kc, kb));
    forall a | a in s'.mem
      ensures a in s.mem && s'.mem[a].next == 0 && s'.mem[a].capacity == s.mem[a].capacity && s'.mem[a].size == s.mem[a].size
    { ResetChunk(s, t, kc, kb, a); }
    forall a | a in s'.mem && s'.mem[a].size != 0 ensures RecordOk(a, s'.mem[a]) { assert RecordOk(a, s.mem[a]); }
  }
  lemma ResetKeepsLists(s: State, t: nat, kc: seq<nat>, kb: seq<nat>)
    requires Always(s) && Enabled(s, t, ResetAll(kc, kb))
    ensures var s' := Do(s, t, ResetAll(kc, kb)); ChainOk(s') && NoLeak(s')
  {
    ResetMemory(s, t, kc, kb);
    reveal ChainOk(); reveal NoLeak();
    var s' := Do(s, t, ResetAll(kc, kb));
    forall i | 0 <= i < |kc|
      ensures kc[i] in s'.mem && s'.mem[kc[i]].prev == Before(kc, i) && s'.mem[kc[i]].follow == Behind(kc, |kc|, i)
    { assert Empty(s.mem, s'.mem, kc, i); }
    forall i | 0 <= i < |kb|
      ensures kb[i] in s'.mem && s'.mem[kb[i]].prev == Before(kb, i)
    { assert Empty(s.mem, s'.mem, kb, i); }
    assert ListOk(s', s'.chain) && ListOk(s', s'.bigs);
  }
  lemma ResetKeepsReserved(s: State, t: nat, kc: seq<nat>, kb: seq<nat>)
    requires Always(s) && Enabled(s, t, ResetAll(kc, kb))
    ensures ReservedOk(Do(s, t, ResetAll(kc, kb)))
  {
    ResetMemory(s, t, kc, kb);
    reveal ReservedOk();
    var s' := Do(s, t, ResetAll(kc, kb));
    forall i | 0 <= i < |kc| ensures kc[i] in s.mem && kc[i] in s'.mem && s.mem[kc[i]].size == s'.mem[kc[i]].size
    { assert Empty(s.mem, s'.mem, kc, i); }
    forall i | 0 <= i < |kb| ensures kb[i] in s.mem && kb[i] in s'.mem && s.mem[kb[i]].size == s'.mem[kb[i]].size
    { assert Empty(s.mem, s'.mem, kb, i); }
    BytesSame(s.mem, s'.mem, kc);
    BytesSame(s.mem, s'.mem, kb);
    BytesWithin(s.mem, kc, s.chain);
    BytesWithin(s.mem, kb, s.bigs);
    SumAtMost(Pend, s.pcs, 0);
  }
  lemma ResetKeepsHistory(s: State, t: nat, kc: seq<nat>, kb: seq<nat>)
    requires Always(s) && Enabled(s, t, ResetAll(kc, kb))
    ensures var s' := Do(s, t, ResetAll(kc, kb)); LogOk(s') && HistOk(s')
  {
    reveal LogOk(); reveal HistOk();
    var op := |s.hist|;
    var e := Entry(t, op, Reset, 1, 0, op + 1);
    var s' := Do(s, t, ResetAll(kc, kb));
    assert s'.log == s.log + [e] && s'.log[..|s'.log|-1] == s.log;
    assert s'.hist == s.hist + [Invoked(t, Reset), Returned(t, op, 1)];
    assert s'.hist[..|s.hist|] == s.hist;
    forall k | 0 <= k < |s'.log| ensures EntryOk(s', s'.log[k]) && (k < |s.log| ==> s'.log[k].op < op)
    {
      if k < |s.log| {
        assert EntryOk(s, s.log[k]);
        if s.log[k].r.Allocate? && s.log[k].r.ask && s.log[k].res == 0 {
          RefusalKept(s.hist, s'.hist, s.log[k].tid, s.log[k].op);
        }
      }
    }
    forall i | 0 <= i < |s'.hist| && s'.hist[i].Returned?
      ensures exists k :: 0 <= k < |s'.log| && Answers(s'.hist[i], s'.log[k]) && s'.log[k].at <= i
      ensures i < |s.hist| ==> s'.hist[i].op < op
    {
      if i < |s.hist| {
        var k :| 0 <= k < |s.log| && Answers(s.hist[i], s.log[k]) && s.log[k].at <= i;
        assert Answers(s'.hist[i], s'.log[k]);
        assert EntryOk(s, s.log[k]);
      } else {
        assert Answers(s'.hist[i], s'.log[|s.log|]);
      }
    }
  }
  lemma ResetStep(s: State, t: nat, kc: seq<nat>, kb: seq<nat>)
    requires Always(s) && Enabled(s, t, ResetAll(kc, kb))
    ensures Always(Do(s, t, ResetAll(kc, kb)))
  {
    ResetKeepsMemory(s, t, kc, kb);
    ResetKeepsLists(s, t, kc, kb);
    ResetKeepsReserved(s, t, kc, kb);
    ResetKeepsHistory(s, t, kc, kb);
    SidesStep(s, t, ResetAll(kc, kb));
    reveal LiveOk(); reveal CleanupsOk(); reveal OwnersOk(); reveal LanesOk();
  }

  // --------------------------------------------------------------------------- so it is always true

  lemma StepHolds(s: State, t: nat, a: Act)
    requires Always(s) && Enabled(s, t, a)
    ensures Always(Do(s, t, a))
  {
    if a.ResetAll? {
      ResetStep(s, t, a.keepChain, a.keepBigs);
    } else {
      MemStep(s, t, a); ChainStep(s, t, a); LiveStep(s, t, a); CleanupsStep(s, t, a); LogStep(s, t, a); HistStep(s, t, a);
      OwnersStep(s, t, a); LeakStep(s, t, a); ReservedStep(s, t, a); LanesStep(s, t, a); SidesStep(s, t, a);
      forall u | 0 <= u < |s.pcs| ensures PcOk(Do(s, t, a), u) { PcStep(s, t, a, u); }
    }
  }
  lemma Reach(tr: seq<State>, ls: seq<Label>, i: nat)
    requires Execution(tr, ls) && i < |tr|
    ensures Always(tr[i])
  {
    if i == 0 { InitHolds(tr[0]); } else { Reach(tr, ls, i - 1); StepHolds(tr[i-1], ls[i-1].t, ls[i-1].a); }
  }
}
