// Progress.dfy - why no schedule keeps all calls from taking effect. A potential that each step lowers, unless
// a call takes effect in it: what each thread may still do before it must have won or been overtaken,
// plus what the kept chunks that are still ahead may cost.
include "Arithmetic.dfy"
include "Specification.dfy"
include "Machine.dfy"
include "Sums.dfy"
include "Invariant.dfy"

module {:options "--function-syntax:3"} Progress {
  import opened Arithmetic
  import opened Specification
  import opened Machine
  import opened Sums
  import opened Invariant

  // Steps that move a shared word that another thread's compare-and-swap may be waiting for.
  predicate Won(a: Act)
  {
    a.CarveWon? || a.ExtendWon? || a.InstallWon? || a.AdvanceWon? || a.LinkWon? || a.GrowWon? || a.ShrinkWon? || a.CloseWon? ||
    a.RegisterWon? || a.ResetAll?
  }
  // Not here: ReserveLost, which another thread's ReserveWon or Unreserve pays for in the potential; GrowLost and
  // ShrinkLost, which end their call; CloseLost, where nothing is tried again; OpenLost and TakeLost, of words that are
  // not in the machine, which a call meets a bounded number of times.
  predicate LostRace(a: Act)
  {
    a.CarveLost? || a.ExtendLost? || a.InstallLost? || a.AdvanceLost? || a.LinkLost? || a.RegisterLost?
  }
  // The tick at which the thread read the word that its compare-and-swap compares.
  function StampOf(p: PC, a: Act): nat
  {
    if p.HaveNext? && (a.CarveLost? || a.ExtendLost?) then p.ns
    else if p.HaveNew? && a.InstallLost? then p.th.hs
    else if p.Full? && a.AdvanceLost? then p.th.hs
    else if p.Linking? && a.LinkLost? then p.ls
    else if p.PushSeen? && a.RegisterLost? then p.cs
    else 0
  }
  lemma LostIsOld(s: State, t: nat, a: Act)
    requires Always(s) && Enabled(s, t, a) && LostRace(a)
    ensures StampOf(s.pcs[t], a) < s.tick
  {
    assert PcOk(s, t);
  }
  lemma TickIsWon(s: State, t: nat, a: Act)
    requires Enabled(s, t, a)
    ensures Do(s, t, a).tick == s.tick + if Won(a) then 1 else 0
  {
  }

  // ---------------------------------------------------------------------------- the potential

  // n threads, `lists` chunks in the lists.
  function WalkCost(walks: nat, lists: nat): nat { if walks == 0 then 0 else WalkCost(walks - 1, lists) + 1 + 10 * lists }
  function AskCost(asks: nat, n: nat): nat { if asks == 0 then 0 else AskCost(asks - 1, n) + 12 + 2 * n }
  function Budget(th: Think, n: nat, lists: nat): nat
  {
    th.looks + 5 * th.fuel + WalkCost(th.walks, lists) + AskCost(th.asks, n) + if th.refused then 0 else 1
  }
  function Round0(n: nat, lists: nat): nat { Looks() + WalkCost(Walks(), lists) + AskCost(Asks(), n) + 1 }
  function Restart(n: nat, lists: nat): nat { Round0(n, lists) + 6 }

  datatype Clock = Clock(tick: nat, reserved: nat, n: nat, lists: nat)
  function ClockOf(s: State): Clock { Clock(s.tick, s.reserved, |s.pcs|, Lists(s)) }

  // A thread whose chunk is no longer current may start over once more.
  function Again(hs: nat, k: Clock): nat { if hs == k.tick then 0 else Restart(k.n, k.lists) + 1 }

  function Rank(p: PC, k: Clock): nat
  {
    match p
    case Idle => 0
    case Start(op, r, fast) => Restart(k.n, k.lists) + if fast then 3 else 0
    case HaveHead(op, r, c, hs, fast) =>
      if fast then Restart(k.n, k.lists) + 2 else Round0(k.n, k.lists) + 5 + Again(hs, k)
    case HaveNext(op, r, c, hs, ns, was, src) =>
      (match src
       case Fast => Restart(k.n, k.lists) + 1
       case Refill => Restart(k.n, k.lists) + 1 + (if ns == k.tick then 0 else 1)
       case Round => Round0(k.n, k.lists) + 3 + (if ns == k.tick then 0 else 1) + Again(hs, k)
       case Search(th) => Budget(th, k.n, k.lists) + 3 + (if ns == k.tick then 0 else 1) + Again(th.hs, k))
    case Full(op, r, th) => Budget(th, k.n, k.lists) + 1 + (if th.res == k.reserved then 0 else 1) + Again(th.hs, k)
    case Asking(op, r, th, total, link) => Budget(th, k.n, k.lists) + 8 + k.n + Again(th.hs, k)
    case HaveNew(op, r, th, total, link, n, lo) => Budget(th, k.n, k.lists) + 6 + k.n + Again(th.hs, k)
    case Linking(op, r, th, total, n, lo, seen, ls) =>
      Budget(th, k.n, k.lists) + (if ls == k.tick then 5 else 7) + k.n + Again(th.hs, k)
    case Lost(op, r, th, total, n) => Budget(th, k.n, k.lists) + 4 + k.n + Again(th.hs, k)
    case Refunding(op, r, th, total, again) => Budget(th, k.n, k.lists) + 3 + k.n + Again(th.hs, k)
    case ResizeStart(op, r) => 3
    case ResizeHead(op, r, c) => 2
    case ResizeNext(op, r, c, was) => 1
    case PushStart(op, r) => 2
    case PushSeen(op, r, seen, cs) => if cs == k.tick then 1 else 3
    case Resp(op, r, i, tail) => 1 + tail
  }
  function RankIn(k: Clock): PC -> nat { p => Rank(p, k) }
  function LooksOf(x: Side): nat { x.looks }

  // No thread's rank is more.
  function Most(n: nat, lists: nat): nat { 2 * Round0(n, lists) + 10 * lists + n + 20 }

  // Kept chunks that may still become current without anybody's asking for more.
  function Ahead(s: State): nat { if s.cur + 1 < s.kept then s.kept - 1 - s.cur else 0 }
  function AheadCost(ahead: nat, all: nat): nat { if ahead == 0 then 0 else AheadCost(ahead - 1, all) + all + 1 }

  function {:opaque} Potential(s: State): nat
  {
    AheadCost(Ahead(s), Most(|s.pcs|, Lists(s)) * |s.pcs|) + Sum(RankIn(ClockOf(s)), s.pcs) + Sum(LooksOf, s.sides)
  }
  function StepBound(s: State): nat
  {
    AheadCost(Ahead(s), Most(|s.pcs|, Lists(s)) * |s.pcs|) + (Most(|s.pcs|, Lists(s)) + LaneLooks()) * |s.pcs|
  }

  lemma WalkCostGrows(w: nat, v: nat, lists: nat)
    requires w <= v
    ensures WalkCost(w, lists) <= WalkCost(v, lists)
  {
    if w < v { WalkCostGrows(w, v - 1, lists); }
  }
  lemma AskCostGrows(w: nat, v: nat, n: nat)
    requires w <= v
    ensures AskCost(w, n) <= AskCost(v, n)
  {
    if w < v { AskCostGrows(w, v - 1, n); }
  }
  lemma BudgetAtMost(s: State, t: nat, op: nat, th: Think)
    requires ThinkOk(s, t, op, th)
    ensures Budget(th, |s.pcs|, Lists(s)) <= Round0(|s.pcs|, Lists(s)) + 10 * Lists(s)
  {
    WalkCostGrows(th.walks, Walks(), Lists(s));
    AskCostGrows(th.asks, Asks(), |s.pcs|);
  }
  lemma RankAtMost(s: State, t: nat)
    requires Always(s) && t < |s.pcs|
    ensures Rank(s.pcs[t], ClockOf(s)) <= Most(|s.pcs|, Lists(s))
  {
    assert PcOk(s, t);
    var x := s.pcs[t];
    if x.HaveNext? && x.src.Search? { BudgetAtMost(s, t, x.op, x.src.th); }
    if x.Full? || x.Asking? || x.HaveNew? || x.Linking? || x.Lost? || x.Refunding? { BudgetAtMost(s, t, x.op, x.th); }
  }
  lemma PotentialAtMost(s: State)
    requires Always(s)
    ensures Sum(RankIn(ClockOf(s)), s.pcs) <= Most(|s.pcs|, Lists(s)) * |s.pcs|
    ensures Sum(LooksOf, s.sides) <= LaneLooks() * |s.pcs|
    ensures Potential(s) <= StepBound(s)
  {
    reveal Potential();
    forall i | 0 <= i < |s.pcs| ensures RankIn(ClockOf(s))(s.pcs[i]) <= Most(|s.pcs|, Lists(s)) { RankAtMost(s, i); }
    SumAtMost(RankIn(ClockOf(s)), s.pcs, Most(|s.pcs|, Lists(s)));
    reveal SidesOk();
    SumAtMost(LooksOf, s.sides, LaneLooks());
  }

  // A call begins, or a step of the library that is a call of its own: a reset, a lane closed, a slot given back.
  predicate Begins(a: Act) { a.Invoke? || a.ResetAll? || a.CloseWon? || a.CloseLost? || a.Give? }
  // One of the looks that a call may take at the words of lanes and slots.
  predicate Looks1(s: State, t: nat, a: Act)
  {
    a.LoadLane? || a.LoadLanes? || a.OpenWon? || a.OpenLost? || a.LoadSlots? || a.TakeWon? || a.TakeLost? ||
    (a.LoadNext? && t < |s.pcs| && s.pcs[t].HaveNext?) || (a.Count? && t < |s.pcs| && !s.pcs[t].Resp?)
  }
  // A step without effect but for its own thread, and the two steps on `reserved`.
  predicate Idles(s: State, t: nat, a: Act)
  {
    Always(s) && Enabled(s, t, a) && !Begins(a) && !a.AdvanceWon? && Do(s, t, a).log == s.log && !Looks1(s, t, a)
  }
  // It changes nothing that others are ranked by but `reserved`, and pays for that itself.
  predicate Pays(s: State, t: nat, a: Act)
    requires Idles(s, t, a)
  {
    var s' := Do(s, t, a);
    var k, k' := ClockOf(s), ClockOf(s');
    s'.sides == s.sides && |s'.pcs| == |s.pcs| && k' == k.(reserved := k'.reserved) &&
    (k'.reserved != k.reserved ==> a.ReserveWon? || a.Unreserve?) &&
    Rank(s'.pcs[t], k') + (if a.ReserveWon? || a.Unreserve? then k.n else 0) < Rank(s.pcs[t], k')
  }
  predicate LooksAround(a: Act)
  {
    a.LoadHead? || a.LoadNext? || a.LookHead? || a.LoadWeight? || a.LoadPublished? || a.LoadReserved? || a.LoadLarge? ||
    a.LoadCleanups? || a.BeginWalk? || a.Visit?
  }
  predicate LosesOrFails(a: Act)
  {
    a.CarveLost? || a.ExtendLost? || a.InstallLost? || a.AdvanceLost? || a.LinkLost? || a.ReserveLost? || a.GrowLost? ||
    a.RegisterLost? || a.NoFit? || a.NoChunk? || a.TooMuch?
  }
  lemma OwnRank(s: State, t: nat, a: Act)
    requires Idles(s, t, a)
    ensures Pays(s, t, a)
  {
    if LooksAround(a) { LookingPays(s, t, a); } else if LosesOrFails(a) { LosingPays(s, t, a); } else { AskingPays(s, t, a); }
  }
  lemma LookingPays(s: State, t: nat, a: Act)
    requires Idles(s, t, a) && LooksAround(a)
    ensures Pays(s, t, a)
  {
    assert PcOk(s, t);
    var s' := Do(s, t, a);
    assert s'.chain == s.chain && s'.bigs == s.bigs && s'.tick == s.tick;
  }
  lemma LosingPays(s: State, t: nat, a: Act)
    requires Idles(s, t, a) && LosesOrFails(a)
    ensures Pays(s, t, a)
  {
    assert PcOk(s, t);
    var s' := Do(s, t, a);
    assert s'.chain == s.chain && s'.bigs == s.bigs && s'.tick == s.tick;
  }
  lemma AskingPays(s: State, t: nat, a: Act)
    requires Idles(s, t, a) && !LooksAround(a) && !LosesOrFails(a)
    ensures Pays(s, t, a)
  {
    assert PcOk(s, t);
    var s' := Do(s, t, a);
    assert s'.chain == s.chain && s'.bigs == s.bigs && s'.tick == s.tick;
  }
  lemma StepCosts(s: State, t: nat, a: Act)
    requires Always(s) && Enabled(s, t, a) && !Begins(a) && Do(s, t, a).log == s.log
    ensures Potential(Do(s, t, a)) < Potential(s)
  {
    reveal Potential();
    var s' := Do(s, t, a);
    var k, k' := ClockOf(s), ClockOf(s');
    if a.AdvanceWon? {
      AdvanceCosts(s, t);
    } else if Looks1(s, t, a) {
      LookCosts(s, t, a);
    } else {
      OwnRank(s, t, a);
      SameAhead(s, t, a);
      assert s'.pcs == s.pcs[t := s'.pcs[t]];
      SumUpdate(RankIn(k'), s.pcs, t, s'.pcs[t]);
      if k'.reserved == k.reserved {
        assert k' == k;
      } else {
        forall i | 0 <= i < |s.pcs| ensures RankIn(k')(s.pcs[i]) <= RankIn(k)(s.pcs[i]) + 1 { OneMore(s.pcs[i], k, k'); }
        SumGrows(RankIn(k), RankIn(k'), s.pcs, 1);
      }
    }
  }
  // One look less at the words of lanes and slots, and nobody further from the end.
  lemma LookCosts(s: State, t: nat, a: Act)
    requires Always(s) && Enabled(s, t, a) && Looks1(s, t, a)
    ensures Potential(Do(s, t, a)) < Potential(s)
  {
    reveal Potential(); reveal SidesOk();
    assert PcOk(s, t);
    var s' := Do(s, t, a);
    var k := ClockOf(s);
    assert ClockOf(s') == k && Ahead(s') == Ahead(s) && Lists(s') == Lists(s);
    assert s'.sides == s.sides[t := s'.sides[t]];
    SumUpdate(LooksOf, s.sides, t, s'.sides[t]);
    assert s'.pcs == s.pcs[t := s'.pcs[t]];
    SumUpdate(RankIn(k), s.pcs, t, s'.pcs[t]);
    assert Rank(s'.pcs[t], k) <= Rank(s.pcs[t], k);
  }
  lemma OneMore(p: PC, k: Clock, k': Clock)
    requires k' == k.(reserved := k'.reserved)
    ensures Rank(p, k') <= Rank(p, k) + 1
  {
  }
  lemma SameAhead(s: State, t: nat, a: Act)
    requires Always(s) && Enabled(s, t, a) && !Begins(a) && !a.AdvanceWon? && Do(s, t, a).log == s.log
    ensures Ahead(Do(s, t, a)) == Ahead(s) && Lists(Do(s, t, a)) == Lists(s)
  {
  }
  lemma AdvanceCosts(s: State, t: nat)
    requires Always(s) && Enabled(s, t, AdvanceWon)
    ensures Potential(Do(s, t, AdvanceWon)) < Potential(s)
  {
    var s' := Do(s, t, AdvanceWon);
    reveal Potential();
    StepHolds(s, t, AdvanceWon);
    PotentialAtMost(s');
    assert PcOk(s, t);
    Positive(s);
    reveal ChainOk();
    assert s.mem[s.chain[s.cur]].follow == Behind(s.chain, s.kept, s.cur);
    assert Ahead(s') == Ahead(s) - 1 && Lists(s') == Lists(s);
  }

  // --------------------------------------------------------------------------- along an execution

  predicate Undisturbed(ls: seq<Label>, i: nat, j: nat)
  {
    j <= |ls| && forall k :: i <= k < j ==> !Begins(ls[k].a)
  }
  lemma PotentialFalls(tr: seq<State>, ls: seq<Label>, i: nat, j: nat)
    requires Execution(tr, ls) && i <= j < |tr| && Undisturbed(ls, i, j)
    ensures |tr[i].log| <= |tr[j].log|
    ensures |tr[j].log| == |tr[i].log| ==> j - i <= Potential(tr[i]) - Potential(tr[j])
  {
    if i < j {
      PotentialFalls(tr, ls, i, j - 1);
      StepAlong(tr, ls, j - 1);
    }
  }
  lemma StepAlong(tr: seq<State>, ls: seq<Label>, k: nat)
    requires Execution(tr, ls) && k < |ls| && !Begins(ls[k].a)
    ensures |tr[k+1].log| > |tr[k].log| || (tr[k+1].log == tr[k].log && Potential(tr[k+1]) < Potential(tr[k]))
  {
    Reach(tr, ls, k);
    var t, a := ls[k].t, ls[k].a;
    if Do(tr[k], t, a).log == tr[k].log { StepCosts(tr[k], t, a); } else { LogGrows(tr[k], t, a); }
  }
  // All that thread p remembers, it read at tick x or later.
  predicate ReadSince(p: PC, x: nat)
  {
    (p.HaveHead? ==> p.hs >= x) &&
    (p.HaveNext? ==> p.hs >= x && p.ns >= x && (p.src.Search? ==> p.src.th.hs >= x)) &&
    (p.Full? || p.Asking? || p.HaveNew? || p.Linking? || p.Lost? || p.Refunding? ==> p.th.hs >= x) &&
    (p.Linking? ==> p.ls >= x) && (p.PushSeen? ==> p.cs >= x)
  }
  lemma ReadSinceStep(s: State, t: nat, a: Act, u: nat, x: nat)
    requires Enabled(s, t, a) && u < |s.pcs| && x <= s.tick && ReadSince(s.pcs[u], x)
    ensures x <= Do(s, t, a).tick && ReadSince(Do(s, t, a).pcs[u], x)
  {
  }
  lemma ReadSinceWon(tr: seq<State>, ls: seq<Label>, k: nat, j: nat)
    requires Execution(tr, ls) && k < j < |tr| && Won(ls[k].a)
    ensures ls[k].t < |tr[j].pcs| && tr[k].tick + 1 <= tr[j].tick && ReadSince(tr[j].pcs[ls[k].t], tr[k].tick + 1)
  {
    if k + 1 == j {
      TickIsWon(tr[k], ls[k].t, ls[k].a);
    } else {
      ReadSinceWon(tr, ls, k, j - 1);
      ReadSinceStep(tr[j-1], ls[j-1].t, ls[j-1].a, ls[k].t, tr[k].tick + 1);
    }
  }
  // A tick that has passed, passed in a step that won.
  lemma TickPassed(tr: seq<State>, ls: seq<Label>, j: nat, stamp: nat)
    requires Execution(tr, ls) && j < |tr| && stamp < tr[j].tick
    ensures exists k :: 0 <= k < j && tr[k].tick == stamp && Won(ls[k].a)
  {
    if j == 0 {
      var threads, buffer, capacity, limit, most :| tr[0] == Initial(threads, buffer, capacity, limit, most);
      assert false;
    } else {
      TickIsWon(tr[j-1], ls[j-1].t, ls[j-1].a);
      if stamp < tr[j-1].tick { TickPassed(tr, ls, j - 1, stamp); } else { assert tr[j-1].tick == stamp; }
    }
  }
  // A thread that has lost had read the word before another thread's won step, not its own.
  lemma LostToAnother(tr: seq<State>, ls: seq<Label>, j: nat, k: nat)
    requires Execution(tr, ls) && k < j < |ls| && LostRace(ls[j].a) && Won(ls[k].a)
    requires tr[k].tick == StampOf(tr[j].pcs[ls[j].t], ls[j].a)
    ensures ls[k].t != ls[j].t
  {
    ReadSinceWon(tr, ls, k, j);
  }

  // A thread inside a call always has a step to take.
  function Willing(s: State, t: nat): Act
    requires t < |s.pcs|
  {
    var p := s.pcs[t];
    match p
    case Idle => Return
    case Start(op, r, fast) => LoadHead
    case HaveHead(op, r, c, hs, fast) => if c == 0 then NoChunk else LoadNext
    case HaveNext(op, r, c, hs, ns, was, src) =>
      if !Room(s, c, was, r) then NoFit else if c in s.mem && s.mem[c].next == was then CarveWon(0) else CarveLost
    case Full(op, r, th) =>
      if !r.Allocate? || r.align == 0 || !r.ask || th.refused then Fail
      else if s.reserved != th.res then ReserveLost
      else if s.limit != 0 && th.res + Need(r.bytes, r.align) > s.limit then TooMuch(Need(r.bytes, r.align))
      else ReserveWon(Need(r.bytes, r.align), true)
    case Asking(op, r, th, total, link) => Refuse
    case HaveNew(op, r, th, total, link, n, lo) => if link then LoadLarge else if s.head == th.c then InstallWon else InstallLost
    case Linking(op, r, th, total, n, lo, seen, ls) => if s.large == seen then LinkWon else LinkLost
    case Lost(op, r, th, total, n) => GiveBack
    case Refunding(op, r, th, total, again) => Unreserve
    case ResizeStart(op, r) => LoadHead
    case ResizeHead(op, r, c) => if c == 0 || !r.Resize? || r.bytes == r.before then Stay else LoadNext
    case ResizeNext(op, r, c, was) =>
      if !Last(p) then Stay
      else if r.Resize? && r.before < r.bytes && c in s.mem && r.bytes - r.before + was > s.mem[c].capacity then Stay
      else if r.Resize? && r.before < r.bytes then (if c in s.mem && s.mem[c].next == was then GrowWon else GrowLost)
      else (if c in s.mem && s.mem[c].next == was then ShrinkWon else ShrinkLost)
    case PushStart(op, r) => LoadCleanups
    case PushSeen(op, r, seen, cs) => if s.cleanups == seen then RegisterWon else RegisterLost
    case Resp(op, r, k, tail) => Return
  }
  lemma WillingIsEnabled(s: State, t: nat)
    requires Always(s) && t < |s.pcs| && !s.pcs[t].Idle?
    ensures Enabled(s, t, Willing(s, t))
  {
    assert PcOk(s, t);
    HeadPublished(s);
    reveal SidesOk();
    var q := s.pcs[t];
    if q.Refunding? {
      reveal ReservedOk();
      SumAtLeast(Pend, s.pcs, t);
    }
  }
}
