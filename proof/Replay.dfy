// Replay.dfy - is a recorded run a run of the machine? The program that proof/replay compiles from here.
//
// Says is the claim to read: which line of a trace an action of the machine accounts for, every value
// compared; and Agrees, for lines that are no step. Follow takes lines only by these. Which action to try
// (Propose, Quiet) needs no trust: a wrong choice rejects a run, it accepts none.
include "Arithmetic.dfy"
include "Specification.dfy"
include "Machine.dfy"

module {:options "--function-syntax:3"} Replay {
  import opened Arithmetic
  import opened Specification
  import opened Machine

  datatype Word = HeadWord | LargeWord | CleanupsWord | ReservedWord | NextWord(c: nat)
  // Words beside the machine: lane tables, with how many lanes are in use, and the bits of slots. Lane words: where
  // the lane's bytes begin and end.
  datatype Beside = TableWord | SlotsWord

  // What the recorder saw. A compare-and-swap is won if it found what it expected. One that publishes a chunk
  // comes with the fields the chunk had at that instant.
  datatype Seen =
    | Load(w: Word, value: nat)
    | Cas(w: Word, expected: nat, found: nat, desired: nat)
    | Publish(w: Word, expected: nat, found: nat, desired: nat, fields: Chunk)
    | Store(c: nat, next: nat)
    | LoadOfLane(end: bool, value: nat)
    | StoreOfLane(end: bool, value: nat)
    | LoadBeside(beside: Beside)
    | OpenCas(won: bool)
    | SlotCas(slot: nat, won: bool)                  // slot 0: lost
    | SlotBack
    | Closed                                         // an explicit lane, whatever is left in it
    | Sub(less: nat)
    | ReadCounter(weight: bool)
    | CountUp
    | Call(r: Request)
    | Answer(res: nat)
    | Upstream(total: nat, n: nat)                   // n 0: it refused
    | Back(n: nat, total: nat)
    | Emptied(keepChain: seq<nat>, keepBigs: seq<nat>, given: seq<nat>, ran: seq<nat>)
    | Rest(head: nat, large: nat, cleanups: nat, reserved: nat, at: seq<nat>, chunks: seq<Chunk>)

  // `link` is a guess that spares looking for it: whether a reserved chunk is for the large list.
  datatype Line = Line(t: nat, seen: Seen, link: bool)

  predicate method Silent(a: Act)
  {
    a.NoFit? || a.NoChunk? || a.TooMuch? || a.BeginWalk? || a.Fail? || a.Stay?
  }

  // Action a of thread t, in state s, is what was seen.
  predicate method Says(s: State, t: nat, a: Act, seen: Seen)
    requires Enabled(s, t, a)
  {
    var p := s.pcs[t];
    match a
    case Invoke(r)     => seen == Call(r)
    case Return        => seen == Answer(s.log[p.k].res)
    case Count         => seen == CountUp
    case LoadHead      => seen == Load(HeadWord, s.head)
    case LookHead      => seen == Load(HeadWord, s.head)
    case LoadNext      => seen == Load(NextWord(p.c), s.mem[p.c].next)
    case Visit(c)      => seen == Load(NextWord(c), s.mem[c].next)
    case CarveWon(extra) => seen == Cas(NextWord(p.c), p.was, s.mem[p.c].next, Base(p.c, p.was, p.r) + p.r.bytes + extra - p.c)
    case CarveLost     => seen.Cas? && seen.w == NextWord(p.c) && seen.expected == p.was && seen.found == s.mem[p.c].next &&
                          Base(p.c, p.was, p.r) + p.r.bytes - p.c <= seen.desired &&
                          (s.sides[t].slot == 0 ==> Base(p.c, p.was, p.r) + p.r.bytes - p.c == seen.desired)
    case LoadLane      => seen.LoadOfLane? && seen.value == if seen.end then LaneOf(s, t).end else LaneOf(s, t).at
    case Bump          => seen == StoreOfLane(false, if p.r.Resize? then p.r.block + p.r.bytes
                                                     else if p.r.Allocate? && p.r.align > 0 then AlignUp(LaneOf(s, t).at, p.r.align) + p.r.bytes else 0)
    case ExtendWon(more) => seen == Cas(NextWord(p.c), p.was, s.mem[p.c].next, p.was + more)
    case ExtendLost    => seen.Cas? && seen.w == NextWord(p.c) && seen.expected == p.was && seen.found == s.mem[p.c].next
    case CloseWon      => var l := LaneOf(s, t);
                          seen == Cas(NextWord(l.chunk), l.end - l.chunk, s.mem[l.chunk].next, l.at - l.chunk)
    case CloseLost     => seen == Closed ||
                          (seen.Cas? && seen.w.NextWord? && seen.w.c in s.mem && seen.found == s.mem[seen.w.c].next &&
                           seen.expected != seen.found && seen.w.c + seen.expected == LaneOf(s, t).end &&
                           seen.w.c + seen.desired == LaneOf(s, t).at)
    case LoadLanes     => seen == LoadBeside(TableWord)
    case OpenWon       => seen == OpenCas(true)
    case OpenLost      => seen == OpenCas(false)
    case LoadSlots     => seen == LoadBeside(SlotsWord)
    case TakeWon(k)    => seen == SlotCas(k, true)
    case TakeLost      => seen.SlotCas? && !seen.won
    case Give          => seen == SlotBack
    case GrowWon       => seen == Cas(NextWord(p.c), p.was, s.mem[p.c].next, p.r.block + p.r.bytes - p.c)
    case GrowLost      => seen.Cas? && seen == Cas(NextWord(p.c), p.was, s.mem[p.c].next, seen.desired) && p.c + seen.desired == p.r.block + p.r.bytes
    case ShrinkWon     => seen == Cas(NextWord(p.c), p.was, s.mem[p.c].next, p.r.block + p.r.bytes - p.c)
    case ShrinkLost    => seen.Cas? && seen == Cas(NextWord(p.c), p.was, s.mem[p.c].next, seen.desired) && p.c + seen.desired == p.r.block + p.r.bytes
    case LoadWeight    => seen == ReadCounter(true)
    case LoadPublished => seen == ReadCounter(false)
    case LoadReserved  => seen == Load(ReservedWord, s.reserved)
    case ReserveWon(total, link) => seen == Cas(ReservedWord, p.th.res, s.reserved, p.th.res + total)
    case ReserveLost   => seen.Cas? && seen.w == ReservedWord && seen.expected == p.th.res && seen.found == s.reserved
    case Unreserve     => seen == Sub(p.total)
    case Grant(n)      => seen == Upstream(p.total, n)
    case Refuse        => seen == Upstream(p.total, 0)
    case GiveBack      => seen == Back(p.n, s.mem[p.n].size)
    case InstallWon    => Publishes(s, seen, HeadWord, p.th.c, s.head, p.n)
    case InstallLost   => Publishes(s, seen, HeadWord, p.th.c, s.head, p.n)
    case AdvanceWon    => Publishes(s, seen, HeadWord, p.th.c, s.head, s.mem[p.th.c].follow)
    case AdvanceLost   => Publishes(s, seen, HeadWord, p.th.c, s.head, s.mem[p.th.c].follow)
    case LoadLarge     => seen == Load(LargeWord, s.large)
    case LinkWon       => Publishes(s, seen, LargeWord, p.seen, s.large, p.n)
    case LinkLost      => Publishes(s, seen, LargeWord, p.seen, s.large, p.n)
    case LoadCleanups  => seen == Load(CleanupsWord, s.cleanups)
    case RegisterWon   => seen == Cas(CleanupsWord, p.seen, s.cleanups, p.r.record)
    case RegisterLost  => p.r.Register? && seen == Cas(CleanupsWord, p.seen, s.cleanups, p.r.record)
    case ResetAll(keepChain, keepBigs) =>
      // Every chunk is kept or given back, and the cleanups ran, latest first.
      seen.Emptied? && seen.keepChain == keepChain && seen.keepBigs == keepBigs &&
      |keepChain| + |keepBigs| + |seen.given| == |s.mem| &&
      (forall c :: c in s.mem ==> c in keepChain || c in keepBigs || c in seen.given) &&
      seen.ran == Reversed(s.abs.cleanups)
    case NoFit => false case NoChunk => false case TooMuch(total) => false
    case BeginWalk => false case Fail => false case Stay => false
  }
  predicate method Publishes(s: State, seen: Seen, w: Word, expected: nat, found: nat, n: nat)
  {
    n in s.mem && seen == Publish(w, expected, found, n, s.mem[n])
  }
  function method Reversed(list: seq<nat>): seq<nat>
  {
    if list == [] then [] else Reversed(list[1..]) + [list[0]]
  }

  // What was seen is no step of the machine, and agrees with its state: a store to a chunk that only its thread
  // can see, what is looked at to close a lane, and all words while no call runs.
  predicate method Agrees(s: State, t: nat, seen: Seen)
  {
    match seen
    case Store(c, next) =>
      t < |s.pcs| && s.pcs[t].HaveNew? && s.pcs[t].n == c && c in s.mem && (next == 0 || next == s.mem[c].next)
    // After the step that changed the lane, its words are written, one after the other.
    case StoreOfLane(end, value) =>
      t < |s.sides| && value == if end then LaneOf(s, t).end else LaneOf(s, t).at
    case Rest(head, large, cleanups, reserved, at, chunks) =>
      AtRest(s) && s.head == head && s.large == large && s.cleanups == cleanups && s.reserved == reserved &&
      s.chain + s.bigs == at && |at| == |s.mem| == |chunks| &&
      forall i :: 0 <= i < |at| ==> at[i] in s.mem && s.mem[at[i]] == chunks[i]
    case Load(w, value) =>
      t < |s.pcs| && t < |s.sides| && s.pcs[t].Idle? && s.sides[t].slot > 0 &&
      ((w.HeadWord? && value == s.head) || (w.NextWord? && w.c in s.mem && value == s.mem[w.c].next))
    case Closed => t < |s.sides| && LaneOf(s, t) == Lane(0, 0, 0)
    case Cas(w, e, f, d) => false case Publish(w, e, f, d, fields) => false
    case Sub(less) => false case ReadCounter(weight) => false case CountUp => false case Call(r) => false
    case Answer(res) => false case Upstream(total, n) => false case Back(n, total) => false
    case Emptied(kc, kb, given, ran) => false case LoadOfLane(end, value) => false case LoadBeside(beside) => false
    case OpenCas(won) => false case SlotCas(slot, won) => false case SlotBack => false
  }

  // ------------------------------------------------------------------------------- to choose

  function method Propose(p: PC, seen: Seen, link: bool, side: Side, l: Lane): Act
  {
    match seen
    case Load(w, value) =>
      if w == HeadWord then (if p.Full? then LookHead else LoadHead)
      else if w == LargeWord then LoadLarge
      else if w == CleanupsWord then LoadCleanups
      else if w == ReservedWord then LoadReserved
      else if p.Full? then Visit(w.c) else LoadNext
    case Cas(w, e, f, d) =>
      if w == ReservedWord then (if e == f && e <= d then ReserveWon(d - e, link) else ReserveLost)
      else if w == CleanupsWord then (if e == f then RegisterWon else RegisterLost)
      else if p.ResizeNext? && p.r.Resize? then
        if p.r.bytes < p.r.before then (if e == f then ShrinkWon else ShrinkLost)
        else (if e == f then GrowWon else GrowLost)
      else if p.Idle? then (if e == f then CloseWon else CloseLost)
      else if p.HaveNext? && p.r.Allocate? && p.r.align > 0 then
        if side.slot > 0 && p.was > 0 && l.end == p.c + p.was && p.was <= d &&
           (e != f || InLane(l.(end := p.c + d), AlignUp(l.at, p.r.align), p.r.bytes))
        then (if e == f then ExtendWon(d - p.was) else ExtendLost)
        else
          var lo := Base(p.c, p.was, p.r) + p.r.bytes;
          if e != f then CarveLost else if lo <= p.c + d then CarveWon(p.c + d - lo) else CarveLost
      else CarveLost
    case Publish(w, e, f, d, fields) =>
      if w == LargeWord then (if e == f then LinkWon else LinkLost)
      else if p.Full? then (if e == f then AdvanceWon else AdvanceLost)
      else if e == f then InstallWon else InstallLost
    case Sub(less)             => Unreserve
    case ReadCounter(weight) => if weight then LoadWeight else LoadPublished
    case CountUp          => Count
    case Call(r)             => Invoke(r)
    case Answer(res)         => Return
    case Upstream(total, n)  => if n == 0 then Refuse else Grant(n)
    case Back(n, total)      => GiveBack
    case Emptied(keepChain, keepBigs, given, ran) => ResetAll(keepChain, keepBigs)
    case Store(c, next)      => Stay
    case LoadOfLane(end, value) => LoadLane
    case StoreOfLane(end, value) => Bump
    case LoadBeside(beside)  => if beside == TableWord then LoadLanes else LoadSlots
    case OpenCas(won)        => if won then OpenWon else OpenLost
    case SlotCas(slot, won)  => if won then TakeWon(slot) else TakeLost
    case SlotBack            => Give
    case Closed              => CloseLost
    case Rest(head, large, cleanups, reserved, at, chunks) => Stay
  }

  // What a thread may decide without an access before it does what was seen. It is refused for what it
  // needs, not for more.
  function method Quiet(p: PC, seen: Seen): Act
  {
    if seen.Answer? && ((p.HaveHead? && p.fast) || (p.HaveNext? && (p.src.Fast? || p.src.Refill?))) &&
       p.r.Allocate? && !p.r.ask then Fail
    else if p.HaveHead? then NoChunk
    else if p.HaveNext? then NoFit
    else if p.Full? && seen.Load? then BeginWalk
    else if p.Full? && p.r.Allocate? && p.r.align > 0 && p.r.ask && !p.th.refused then
      TooMuch(Need(p.r.bytes, p.r.align))
    else if p.Full? then Fail
    else Stay
  }

  // ------------------------------------------------------------------------------- to follow

  predicate Steps(tr: seq<State>, ls: seq<Label>)
  {
    |tr| == |ls| + 1 &&
    forall i :: 0 <= i < |ls| ==> Enabled(tr[i], ls[i].t, ls[i].a) && tr[i+1] == Do(tr[i], ls[i].t, ls[i].a)
  }
  // ls[from..to] accounts for one line: its thread's silent decisions, then what was seen.
  predicate Accounts(tr: seq<State>, ls: seq<Label>, from: nat, to: nat, line: Line)
    requires Steps(tr, ls) && from <= to <= |ls|
  {
    (forall i :: from <= i < to ==> ls[i].t == line.t) &&
    (forall i :: from <= i < to - 1 ==> Silent(ls[i].a)) &&
    if from == to then Agrees(tr[from], line.t, line.seen)
    else Says(tr[to-1], line.t, ls[to-1].a, line.seen)
  }

  // One line: the actions that account for it, if some do.
  method Take(s: State, line: Line) returns (ok: bool, s': State, ls: seq<Label>, ghost tr: seq<State>)
    ensures Steps(tr, ls) && tr[0] == s && tr[|ls|] == s'
    ensures ok ==> Accounts(tr, ls, 0, |ls|, line)
  {
    ok, s', ls, tr := Agrees(s, line.t, line.seen), s, [], [s];
    var quiet := true;
    while quiet && !ok
      invariant Steps(tr, ls) && tr[0] == s && tr[|ls|] == s'
      invariant |ls| <= 5 && (quiet && !ok ==> |ls| <= 4)
      invariant ok ==> Accounts(tr, ls, 0, |ls|, line)
      invariant forall i :: 0 <= i < |ls| ==> ls[i].t == line.t
      invariant !ok ==> forall i :: 0 <= i < |ls| ==> Silent(ls[i].a)
      decreases 5 - |ls|, quiet && !ok
    {
      var a := Stay;
      if line.t < |s'.pcs| && line.t < |s'.sides| {
        a := Propose(s'.pcs[line.t], line.seen, line.link, s'.sides[line.t], LaneOf(s', line.t));
      }
      ok := Enabled(s', line.t, a) && Says(s', line.t, a, line.seen);
      if !ok {
        if line.t < |s'.pcs| { a := Quiet(s'.pcs[line.t], line.seen); }
        quiet := |ls| < 4 && Silent(a) && Enabled(s', line.t, a);
      }
      if ok || quiet {
        s', ls := Do(s', line.t, a), ls + [Label(line.t, a)];
        tr := tr + [s'];
      }
    }
  }

  // A recorded run from its beginning: as many lines as the machine can follow, and the execution that does.
  method Follow(threads: nat, buffer: nat, capacity: nat, limit: nat, most: nat, lines: seq<Line>)
    returns (done: nat, s: State, ls: seq<Label>, ghost tr: seq<State>, ghost at: seq<nat>)
    ensures Execution(tr, ls) && tr[0] == Initial(threads, buffer, capacity, limit, most) && tr[|ls|] == s
    ensures done <= |lines| && |at| == done + 1 && at[0] == 0 && at[done] == |ls|
    ensures forall i :: 0 <= i <= done ==> at[i] <= |ls|
    ensures forall i :: 0 <= i < done ==> at[i] <= at[i+1] && Accounts(tr, ls, at[i], at[i+1], lines[i])
  {
    s := Initial(threads, buffer, capacity, limit, most);
    done, ls, tr, at := 0, [], [s], [0];
    var ok := true;
    while ok && done < |lines|
      invariant Steps(tr, ls) && tr[0] == Initial(threads, buffer, capacity, limit, most) && tr[|ls|] == s
      invariant done <= |lines| && |at| == done + 1 && at[0] == 0 && at[done] == |ls|
      invariant forall i :: 0 <= i <= done ==> at[i] <= |ls|
      invariant forall i :: 0 <= i < done ==> at[i] <= at[i+1] && Accounts(tr, ls, at[i], at[i+1], lines[i])
      decreases |lines| - done, ok
    {
      var s', more;
      ghost var steps;
      ok, s', more, steps := Take(s, lines[done]);
      if ok {
        ghost var tr', ls' := tr, ls;
        tr := tr + steps[1..];
        ls := ls + more;
        Joined(tr', ls', steps, more, tr, ls);
        forall i | 0 <= i < done
          ensures Accounts(tr, ls, at[i], at[i+1], lines[i])
        {
          assert Accounts(tr', ls', at[i], at[i+1], lines[i]);
        }
        assert Accounts(tr, ls, |ls'|, |ls|, lines[done]);
        at := at + [|ls|];
        s, done := s', done + 1;
      }
    }
  }
  lemma Joined(a: seq<State>, x: seq<Label>, b: seq<State>, y: seq<Label>, tr: seq<State>, ls: seq<Label>)
    requires Steps(a, x) && Steps(b, y) && a[|x|] == b[0] && tr == a + b[1..] && ls == x + y
    ensures Steps(tr, ls)
    ensures forall i :: 0 <= i <= |x| ==> tr[i] == a[i]
    ensures forall i :: 0 <= i <= |y| ==> tr[|x| + i] == b[i]
    ensures forall i :: 0 <= i < |x| ==> ls[i] == x[i]
    ensures forall i :: 0 <= i < |y| ==> ls[|x| + i] == y[i]
  {
    forall i | 0 <= i < |ls|
      ensures Enabled(tr[i], ls[i].t, ls[i].a) && tr[i+1] == Do(tr[i], ls[i].t, ls[i].a)
    {
      if i >= |x| { assert ls[i] == y[i - |x|] && tr[i] == b[i - |x|] && tr[i+1] == b[i - |x| + 1]; }
    }
  }
}
