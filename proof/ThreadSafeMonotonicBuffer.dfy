// ThreadSafeMonotonicBuffer.dfy - what is proved about the resource that threads share.
//
// Read this file, Specification.dfy (what a history may be) and Machine.dfy (what a step does); believe the rest
// because it verifies: `make verify-algorithm`. README.md in this folder walks through it.
//
// Every theorem is about every execution of the machine: any number of threads, any schedule, any requests, any
// answers of an upstream that keeps its one duty (fresh memory does not overlap memory that is held). Each step
// is one atomic access; accesses are sequentially consistent here. That the weaker orders of the C text are
// enough is the business of proof/interleaving and docs/memory-order.md.
//
// `requires` of a theorem, and why it takes nothing away:
//   Execution(tr, ls)   the states and steps are some run of the machine from an initial state. It names the run,
//                       and every run is one; nonVacuity shows that racing ones are among them.
//   i < |tr|            names an instant of it.
//   AtRest(tr[i])       (releaseTheorem) the one moment the claim is about: release must have the resource to itself.
//   Won(ls[i].a) and the like name the step that the claim is about.
//   Undisturbed(ls, i, j)  (lockFreedomTheorem) no call begins and no reset happens in the stretch: steps of calls that
//                       begin anew are those calls' own work, not a failure of the others.
include "Arithmetic.dfy"
include "Specification.dfy"
include "Machine.dfy"
include "Sums.dfy"
include "Invariant.dfy"
include "Progress.dfy"
include "Witness.dfy"

module {:options "--function-syntax:3"} ThreadSafeMonotonicBuffer {
  import opened Arithmetic
  import opened Specification
  import opened Machine
  import opened Sums
  import opened Invariant
  import opened Progress
  import opened Witness

  // Linearizable, in Herlihy and Wing's sense: see IsLinearization.
  lemma linearizabilityTheorem(tr: seq<State>, ls: seq<Label>, i: nat)
    requires Execution(tr, ls) && i < |tr|
    ensures Linearizable(tr[i].hist)
  {
    Reach(tr, ls, i);
    LogLinearizes(tr[i]);
  }
  lemma LogLinearizes(s: State)
    requires LogOk(s) && HistOk(s)
    ensures IsLinearization(s.hist, s.log)
  {
    reveal LogOk(); reveal HistOk();
    var h, w := s.hist, s.log;
    assert forall k :: 0 <= k < |w| ==> EntryOk(s, w[k]);
    forall i, j, k | 0 <= i < |h| && h[i].Returned? && 0 <= j < |w| && 0 <= k < |w| && Answers(h[i], w[j]) && i < w[k].op
      ensures j < k
    {
      var m :| 0 <= m < |w| && Answers(h[i], w[m]) && w[m].at <= i;
      assert m == j;
      assert w[j].at <= i < w[k].op < w[k].at;
    }
  }

  // A block that a step hands out, or the growth it grants, is aligned, lies in one chunk that is held, before that
  // chunk's record, and is apart from every block handed out since the last reset (at its present size).
  lemma casDisjointnessTheorem(tr: seq<State>, ls: seq<Label>, i: nat)
    requires Execution(tr, ls) && i < |ls|
    requires ls[i].a.CarveWon? || ls[i].a.InstallWon? || ls[i].a.LinkWon? || ls[i].a.GrowWon? || ls[i].a.Bump? || ls[i].a.ExtendWon?
    ensures var e := tr[i+1].log[|tr[i].log|];
      var at := if e.r.Resize? then e.r.block else e.res;
      at in tr[i+1].abs.live && tr[i+1].abs.live[at].bytes == Wanted(e.r) &&
      (e.r.Allocate? ==> e.r.align > 0 && at % e.r.align == 0 && at !in tr[i].abs.live) &&
      InChunk(tr[i+1], at, tr[i+1].abs.live[at]) &&
      forall b :: b in tr[i].abs.live && b != at ==> Apart(b, tr[i].abs.live[b].bytes, at, Wanted(e.r))
  {
    Reach(tr, ls, i);
    Reach(tr, ls, i + 1);
    var s, t, a := tr[i], ls[i].t, ls[i].a;
    BlockStep(s, t, a);
    LogGrows(s, t, a);
    var e := tr[i+1].log[|s.log|];
    assert PcOk(s, t);
    Positive(s);
    var at := if e.r.Resize? then e.r.block else e.res;
    if e.r.Allocate? {
      if a.CarveWon? { AlignUpOk(s.pcs[t].c + s.pcs[t].was, s.pcs[t].r.align); }
      if a.Bump? { BumpStep(s, t); }
      if a.ExtendWon? { ExtendStep(s, t, a.more); }
      assert at != 0;
      if at in s.abs.live { FreshAddress(s, e); }
    }
    LiveInChunk(tr[i+1], at);
  }
  function Wanted(r: Request): nat { if r.Allocate? || r.Resize? then r.bytes else 0 }
  predicate InChunk(s: State, b: nat, x: Block)
  {
    x.chunk in s.mem && x.chunk <= b && b + x.bytes <= x.chunk + s.mem[x.chunk].next && s.mem[x.chunk].next <= s.mem[x.chunk].capacity &&
    (s.mem[x.chunk].size != 0 ==> RecordOk(x.chunk, s.mem[x.chunk]))
  }
  lemma LiveInChunk(s: State, b: nat)
    requires LiveOk(s) && MemOk(s) && b in s.abs.live
    ensures InChunk(s, b, s.abs.live[b])
  {
    reveal LiveOk(); reveal MemOk();
    assert BlockOk(s, b, s.abs.live[b]);
  }
  lemma FreshAddress(s: State, e: Entry)
    requires LiveOk(s) && StepOk(s.abs, e) && e.r.Allocate? && e.res != 0
    ensures e.res !in s.abs.live
  {
    reveal LiveOk();
    if e.res in s.abs.live { assert BlockOk(s, e.res, s.abs.live[e.res]); }
  }

  // What a lane has not handed out is in memory that is held and carved, apart from every block and every other
  // lane, and no two threads have the same slot: so no two ever write one lane.
  lemma laneTheorem(tr: seq<State>, ls: seq<Label>, i: nat)
    requires Execution(tr, ls) && i < |tr|
    ensures forall k :: k in tr[i].lanes ==> LaneOk(tr[i], tr[i].lanes[k]) && LaneApart(tr[i], tr[i].lanes[k], k)
    ensures |tr[i].sides| == |tr[i].pcs|
    ensures forall t, u :: 0 <= t < |tr[i].sides| && 0 <= u < |tr[i].sides| && t != u && tr[i].sides[t].slot > 0 ==>
      tr[i].sides[t].slot != tr[i].sides[u].slot
  {
    Reach(tr, ls, i);
    reveal LanesOk(); reveal SidesOk();
  }
  // A thread whose lane has room for its request is done in one step of its own, which no step of others, however
  // many, takes away: the lane path is wait-free.
  lemma laneWaitFreedomTheorem(tr: seq<State>, ls: seq<Label>, i: nat, j: nat, t: nat)
    requires Execution(tr, ls) && i <= j < |tr| && Enabled(tr[i], t, Bump)
    requires forall k :: i <= k < j ==> ls[k].t != t && !ls[k].a.ResetAll?
    ensures Enabled(tr[j], t, Bump) && Do(tr[j], t, Bump).pcs[t].Resp?
  {
    if i < j {
      laneWaitFreedomTheorem(tr, ls, i, j - 1, t);
      Reach(tr, ls, j - 1);
      reveal SidesOk();
      LaneOfOthers(tr[j-1], ls[j-1].t, ls[j-1].a, t);
    }
  }
  lemma LaneOfOthers(s: State, u: nat, a: Act, t: nat)
    requires Always(s) && Enabled(s, u, a) && t < |s.pcs| && u != t && !a.ResetAll? && Enabled(s, t, Bump)
    ensures Enabled(Do(s, u, a), t, Bump)
  {
    reveal SidesOk();
    var s' := Do(s, u, a);
    assert s'.sides[t] == s.sides[t] && s'.pcs[t] == s.pcs[t];
    assert LaneOf(s', t) == LaneOf(s, t);
  }

  // At every instant all blocks are pairwise apart, in memory that is held; and no two threads are about to make
  // conflicting plain accesses: nobody writes a chunk record that another reads or writes, or a cleanup record
  // that another writes, and every record touched is in memory that is held.
  lemma raceFreedomTheorem(tr: seq<State>, ls: seq<Label>, i: nat)
    requires Execution(tr, ls) && i < |tr|
    ensures forall b, d :: b in tr[i].abs.live && d in tr[i].abs.live && b != d ==>
      Apart(b, tr[i].abs.live[b].bytes, d, tr[i].abs.live[d].bytes)
    ensures forall b :: b in tr[i].abs.live ==> InChunk(tr[i], b, tr[i].abs.live[b])
    ensures forall t, u :: 0 <= t < |tr[i].pcs| && 0 <= u < |tr[i].pcs| && t != u ==> !Conflict(tr[i].pcs[t], tr[i].pcs[u])
    ensures forall t :: 0 <= t < |tr[i].pcs| ==> Touches(tr[i], tr[i].pcs[t])
  {
    Reach(tr, ls, i);
    var s := tr[i];
    forall b | b in s.abs.live ensures InChunk(s, b, s.abs.live[b]) { LiveInChunk(s, b); }
    forall t | 0 <= t < |s.pcs| ensures Touches(s, s.pcs[t]) { assert PcOk(s, t); Positive(s); }
    forall t, u | 0 <= t < |s.pcs| && 0 <= u < |s.pcs| && t != u ensures !Conflict(s.pcs[t], s.pcs[u])
    {
      assert PcOk(s, t) && PcOk(s, u);
      Positive(s);
      NoConflict(s, t, u);
    }
    reveal LiveOk();
  }
  // The chunk record that a thread reads plain fields of, the one it writes, the cleanup record it writes; 0: none.
  function ReadOf(p: PC): nat
  {
    match p
    case Idle => 0 case Start(op, r, fast) => 0 case Resp(op, r, k, tail) => 0
    case HaveHead(op, r, c, hs, fast) => c
    case HaveNext(op, r, c, hs, ns, was, src) => c
    case Full(op, r, th) => th.c
    case Asking(op, r, th, total, link) => 0
    case HaveNew(op, r, th, total, link, n, lo) => th.c
    case Linking(op, r, th, total, n, lo, seen, ls) => 0
    case Lost(op, r, th, total, n) => 0
    case Refunding(op, r, th, total, again) => 0
    case ResizeStart(op, r) => 0
    case ResizeHead(op, r, c) => c
    case ResizeNext(op, r, c, was) => c
    case PushStart(op, r) => 0
    case PushSeen(op, r, seen, cs) => 0
  }
  function WriteOf(p: PC): nat { NewOf(p) }     // filling it, linking it, giving it back
  function RecordOf(p: PC): nat { if (p.PushStart? || p.PushSeen?) && p.r.Register? then p.r.record else 0 }
  predicate Conflict(p: PC, q: PC)
  {
    (WriteOf(p) != 0 && (WriteOf(q) == WriteOf(p) || ReadOf(q) == WriteOf(p))) ||
    (RecordOf(p) != 0 && RecordOf(q) == RecordOf(p))
  }
  predicate Touches(s: State, p: PC)
  {
    (ReadOf(p) != 0 ==> ReadOf(p) in s.mem) && (WriteOf(p) != 0 ==> WriteOf(p) in s.mem) &&
    (RecordOf(p) != 0 ==> RecordOf(p) in s.abs.live)
  }
  lemma NoConflict(s: State, t: nat, u: nat)
    requires Always(s) && t < |s.pcs| && u < |s.pcs| && t != u
    ensures !Conflict(s.pcs[t], s.pcs[u])
  {
    reveal OwnersOk();
    assert PcOk(s, t) && PcOk(s, u);
  }

  // Whatever the schedule: in more than StepBound steps in which no call begins, some call takes effect. The bound is
  // a function of the number of threads, the number of chunks in the lists, and the kept chunks still ahead.
  lemma lockFreedomTheorem(tr: seq<State>, ls: seq<Label>, i: nat, j: nat)
    requires Execution(tr, ls) && i <= j < |tr| && Undisturbed(ls, i, j) && j - i > StepBound(tr[i])
    ensures |tr[j].log| > |tr[i].log|
  {
    Reach(tr, ls, i);
    PotentialAtMost(tr[i]);
    PotentialFalls(tr, ls, i, j);
  }
  // A thread inside a call is never without a step to take, and never waits for another's.
  lemma noDeadlockTheorem(tr: seq<State>, ls: seq<Label>, i: nat, t: nat)
    requires Execution(tr, ls) && i < |tr| && t < |tr[i].pcs| && !tr[i].pcs[t].Idle?
    ensures exists a :: Enabled(tr[i], t, a)
  {
    Reach(tr, ls, i);
    WillingIsEnabled(tr[i], t);
  }
  // A lost compare-and-swap means that, after this thread read the word, a step of another thread won.
  lemma failedCasTheorem(tr: seq<State>, ls: seq<Label>, j: nat)
    requires Execution(tr, ls) && j < |ls| && LostRace(ls[j].a)
    ensures exists k :: 0 <= k < j && Won(ls[k].a) && ls[k].t != ls[j].t &&
                        tr[k].tick == StampOf(tr[j].pcs[ls[j].t], ls[j].a)
  {
    Reach(tr, ls, j);
    LostIsOld(tr[j], ls[j].t, ls[j].a);
    var stamp := StampOf(tr[j].pcs[ls[j].t], ls[j].a);
    TickPassed(tr, ls, j, stamp);
    var k :| 0 <= k < j && tr[k].tick == stamp && Won(ls[k].a);
    LostToAnother(tr, ls, j, k);
  }

  // With no call inside, every chunk held is in exactly one list, once, and walking the list by prev from its newest
  // meets them all: release gives each back, and none twice. Walking the cleanups by prev meets every registered
  // one, latest first.
  lemma releaseTheorem(tr: seq<State>, ls: seq<Label>, i: nat)
    requires Execution(tr, ls) && i < |tr| && AtRest(tr[i])
    ensures forall a :: a in tr[i].mem <==> a in tr[i].chain || a in tr[i].bigs
    ensures forall a :: a in tr[i].chain ==> a !in tr[i].bigs
    ensures ListOk(tr[i], tr[i].chain) && ListOk(tr[i], tr[i].bigs) && tr[i].large == LastOf(tr[i].bigs)
    ensures tr[i].chain == [] ==> tr[i].head == 0
    ensures tr[i].chain != [] ==> tr[i].cur < |tr[i].chain| && tr[i].head == tr[i].chain[tr[i].cur]
    ensures forall k :: tr[i].cur <= k < |tr[i].chain| ==> tr[i].mem[tr[i].chain[k]].follow == Behind(tr[i].chain, |tr[i].chain|, k)
    ensures var w := tr[i].abs.cleanups; tr[i].cleanups == LastOf(w) &&
      forall k :: 0 <= k < |w| ==> w[k] in tr[i].recs && tr[i].recs[w[k]] == Before(w, k)
  {
    Reach(tr, ls, i);
    AllListed(tr[i]);
  }
  lemma AllListed(s: State)
    requires Always(s) && AtRest(s)
    ensures forall a :: a in s.mem <==> a in s.chain || a in s.bigs
    ensures forall a :: a in s.chain ==> a !in s.bigs
    ensures ListOk(s, s.chain) && ListOk(s, s.bigs) && s.large == LastOf(s.bigs)
    ensures s.chain == [] ==> s.head == 0
    ensures s.chain != [] ==> s.cur < |s.chain| && s.head == s.chain[s.cur]
    ensures forall k :: s.cur <= k < |s.chain| ==> s.mem[s.chain[k]].follow == Behind(s.chain, |s.chain|, k)
    ensures var w := s.abs.cleanups; s.cleanups == LastOf(w) &&
      forall k :: 0 <= k < |w| ==> w[k] in s.recs && s.recs[w[k]] == Before(w, k)
  {
    Positive(s);
    reveal ChainOk(); reveal NoLeak(); reveal CleanupsOk();
  }

  // The caller's buffer stays the first chunk it was, through any number of resets.
  lemma bufferTheorem(tr: seq<State>, ls: seq<Label>, i: nat, a: nat)
    requires Execution(tr, ls) && i < |tr| && a in tr[0].mem
    ensures a in tr[i].chain && a in tr[i].mem && tr[i].mem[a].size == 0
  {
    Reach(tr, ls, i);
    if i > 0 {
      bufferTheorem(tr, ls, i - 1, a);
      Reach(tr, ls, i - 1);
      var s, t, b := tr[i-1], ls[i-1].t, ls[i-1].a;
      if b.ResetAll? {
        ResetMemory(s, t, b.keepChain, b.keepBigs);
        var k :| 0 <= k < |b.keepChain| && b.keepChain[k] == a;
        assert Empty(s.mem, Do(s, t, b).mem, b.keepChain, k);
      } else {
        SharedKept(s, t, b);
        assert Published(s, a);
      }
    }
  }

  // What a crowd at the end of a chunk costs: chunks that are held and stand in no list are no more than there are
  // threads. When no call runs there are none (releaseTheorem).
  lemma stormBoundTheorem(tr: seq<State>, ls: seq<Label>, i: nat)
    requires Execution(tr, ls) && i < |tr|
    ensures |Surplus(tr[i])| <= |tr[i].pcs|
  {
    Reach(tr, ls, i);
    var s := tr[i];
    reveal NoLeak();
    forall a | a in Surplus(s) ensures a in News(s.pcs)
    {
      var t :| 0 <= t < |s.pcs| && NewOf(s.pcs[t]) == a;
      NewsHas(s.pcs, t);
    }
    SubsetSize(Surplus(s), News(s.pcs));
    NewsSize(s.pcs);
  }
  function Surplus(s: State): set<nat> { set a | a in s.mem && a !in s.chain && a !in s.bigs }
  function News(ps: seq<PC>): set<nat> { if ps == [] then {} else {NewOf(ps[0])} + News(ps[1..]) }
  lemma NewsHas(ps: seq<PC>, t: nat)
    requires t < |ps|
    ensures NewOf(ps[t]) in News(ps)
  {
    if t > 0 { NewsHas(ps[1..], t - 1); }
  }
  lemma NewsSize(ps: seq<PC>)
    ensures |News(ps)| <= |ps|
  {
    if ps != [] { NewsSize(ps[1..]); }
  }
  lemma SubsetSize(a: set<nat>, b: set<nat>)
    requires a <= b
    ensures |a| <= |b|
  {
    assert b == a + (b - a);
  }

  // Bytes held from the upstream: those of the chunks in the lists, and of each thread's private one. At no
  // instant is that more than the limit. (That these are all chunks held: NoLeak, stated again here.)
  function Held(s: State): nat { Bytes(s.mem, s.chain) + Bytes(s.mem, s.bigs) + Sum(Private, s.pcs) }
  lemma limitTheorem(tr: seq<State>, ls: seq<Label>, i: nat)
    requires Execution(tr, ls) && i < |tr|
    ensures tr[i].limit != 0 ==> Held(tr[i]) <= tr[i].limit
    ensures forall a :: a in tr[i].mem && a !in tr[i].chain && a !in tr[i].bigs ==>
      exists t :: 0 <= t < |tr[i].pcs| && NewOf(tr[i].pcs[t]) == a && Private(tr[i].pcs[t]) == tr[i].mem[a].size
  {
    Reach(tr, ls, i);
    var s := tr[i];
    SumGrows(Pend, Private, s.pcs, 0);
    reveal ReservedOk(); reveal NoLeak();
    Positive(s);
    forall a | a in s.mem && a !in s.chain && a !in s.bigs
      ensures exists t :: 0 <= t < |s.pcs| && NewOf(s.pcs[t]) == a && Private(s.pcs[t]) == s.mem[a].size
    {
      var t :| 0 <= t < |s.pcs| && NewOf(s.pcs[t]) == a;
      assert PcOk(s, t);
    }
  }

  // The machine is not empty: there is an execution in which two threads find no chunk, both get one from the
  // upstream, one installs it, the other loses, gives its chunk back and is served from the winner's; the first then has a lane,
  // which it carves, uses, extends and closes, and gives its slot to the other.
  lemma nonVacuity() returns (tr: seq<State>, ls: seq<Label>)
    ensures Execution(tr, ls)
    ensures exists k :: 0 <= k < |ls| && ls[k].a.InstallLost?
    ensures exists k :: 0 <= k < |ls| && ls[k].a.CarveWon? && ls[k].t == 1
    ensures exists k :: 0 <= k < |ls| && ls[k].a.Bump?
    ensures exists k :: 0 <= k < |ls| && ls[k].a.ExtendWon?
    ensures exists k :: 0 <= k < |ls| && ls[k].a.CloseWon?
    ensures exists i, k :: 0 <= i < k < |ls| && ls[i].a.Give? && ls[k].a.TakeWon? && ls[i].t != ls[k].t
    ensures |tr[|ls|].log| == 5 && AtRest(tr[|ls|]) && |tr[|ls|].abs.live| == 5
  {
    tr, ls := Race();
  }
}
