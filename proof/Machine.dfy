// Machine.dfy - the library as a machine: shared memory, and any number of threads that each do one
// atomic access of src/steps.h a step, in any order. Trusted: that this is what the C text does;
// proof/replay and docs/proof-map.md tie the two together, step by step.
//
// A thread of the machine has at most one lane, by its slot. A real thread that uses explicit lanes, too, is one
// thread of the machine for its own lane, and one for each explicit lane while it holds that. So is what the
// library allocates for itself, the lane tables: the call of a thread of its own. A call of an explicit lane that the
// current chunk cannot serve is a try that fails, and then a call of its thread.
//
// An action has the name of the step it stands for. Actions without an atomic access: Invoke, Return,
// Refuse, Grant, GiveBack (calls of the library and of its upstream), and the decisions of src/resource.c
// on values it has: NoFit, NoChunk, BeginWalk, TooMuch, Fail, Stay. Bump, and the lane's part in CarveWon, ExtendWon
// and CloseWon, are stores to words that only their thread writes: they may be thought to happen at once. Where the C text chooses a size, or how
// often to look again, the machine may choose any.
//
// Auxiliary, kept for the proof: chain, bigs, kept, cur, tick, abs, log, hist, and stamps (hs, ns, ls, cs) in threads. A
// stamp is the tick at which a thread read a word. No atomic step's guard reads them.
include "Arithmetic.dfy"
include "Specification.dfy"

module {:options "--function-syntax:3"} Machine {
  import opened Arithmetic
  import opened Specification

  // ------------------------------------------------------------------------------ shared state

  // By the address of its memory. size 0: the caller's buffer, which is never given back.
  datatype Chunk = Chunk(size: nat, capacity: nat, next: nat, prev: nat, follow: nat)

  function method Extent(c: Chunk): nat { if c.size == 0 then c.capacity else c.size }

  // A run of a chunk's carved bytes, of which those from `at` to `end` are not handed out. By slot; 0: none.
  datatype Lane = Lane(chunk: nat, at: nat, end: nat)
  // What a thread has besides: a slot, and how often its call may still look at words of lanes and slots.
  datatype Side = Side(slot: nat, looks: nat)

  // What a thread without room in the current chunk carries: the chunk it found current, how much it may
  // still try, the value of `reserved` it has seen, and whether it was refused.
  datatype Think = Think(c: nat, hs: nat, looks: nat, walks: nat, fuel: nat, asks: nat, res: nat, refused: bool)

  // Who looks at a chunk: the first attempt, one for a lane, a round of the loop, or a walk over the others.
  datatype Source = Fast | Refill | Round | Search(th: Think)

  datatype PC =
    | Idle
    | Start(op: nat, r: Request, fast: bool)                                    // about to load head
    | HaveHead(op: nat, r: Request, c: nat, hs: nat, fast: bool)                // about to load c.next
    | HaveNext(op: nat, r: Request, c: nat, hs: nat, ns: nat, was: nat, src: Source)
    | Full(op: nat, r: Request, th: Think)                                      // no room in th.c
    | Asking(op: nat, r: Request, th: Think, total: nat, link: bool)            // about to call upstream
    | HaveNew(op: nat, r: Request, th: Think, total: nat, link: bool, n: nat, lo: nat)
    | Linking(op: nat, r: Request, th: Think, total: nat, n: nat, lo: nat, seen: nat, ls: nat)
    | Lost(op: nat, r: Request, th: Think, total: nat, n: nat)                  // about to give n back
    | Refunding(op: nat, r: Request, th: Think, total: nat, again: bool)        // about to lower reserved
    | ResizeStart(op: nat, r: Request)
    | ResizeHead(op: nat, r: Request, c: nat)
    | ResizeNext(op: nat, r: Request, c: nat, was: nat)
    | PushStart(op: nat, r: Request)
    | PushSeen(op: nat, r: Request, seen: nat, cs: nat)
    | Resp(op: nat, r: Request, k: nat, tail: nat)                              // took effect as log[k]

  datatype State = State(
    mem: map<nat, Chunk>, head: nat, large: nat, cleanups: nat, reserved: nat,  // 0: NULL
    recs: map<nat, nat>,                                                        // record -> its prev
    limit: nat, most: nat,                                                      // 0: no limit; largest chunk
    pcs: seq<PC>, sides: seq<Side>, lanes: map<nat, Lane>,
    chain: seq<nat>, cur: nat, kept: nat,  // all chunks by prev, oldest first; head is the cur-th; kept of them by reset
    bigs: seq<nat>,                        // the large list, oldest first
    tick: nat, abs: Abstract, log: seq<Entry>, hist: seq<Event>)

  datatype Act =
      Invoke(r: Request) | Return | Count
    | LoadHead | LoadNext | CarveWon(extra: nat) | CarveLost | NoFit | NoChunk
    | LoadLane | Bump | ExtendWon(more: nat) | ExtendLost | CloseWon | CloseLost
    | LoadLanes | OpenWon | OpenLost | LoadSlots | TakeWon(slot: nat) | TakeLost | Give
    | LoadWeight | LoadPublished | LoadReserved | LookHead
    | AdvanceWon | AdvanceLost
    | ReserveWon(total: nat, link: bool) | ReserveLost | TooMuch(total: nat) | Grant(n: nat) | Refuse
    | InstallWon | InstallLost | GiveBack | Unreserve
    | LoadLarge | LinkWon | LinkLost
    | BeginWalk | Visit(a: nat) | Fail
    | GrowWon | GrowLost | ShrinkWon | ShrinkLost | Stay
    | LoadCleanups | RegisterWon | RegisterLost
    | ResetAll(keepChain: seq<nat>, keepBigs: seq<nat>)

  // How often a call looks again in one round, walks over the chunks, asks the upstream: bounds of src/resource.c,
  // rounded up.
  function method Looks(): nat { 25000 }
  function method Walks(): nat { 3 }
  function method Asks(): nat { 2 }
  function method Tail(): nat { 3 }
  function method LaneLooks(): nat { 200 }

  predicate method Published(s: State, a: nat) { a in s.mem && (a in s.chain || a in s.bigs) }
  function method Lists(s: State): nat { |s.chain| + |s.bigs| }

  function method Base(c: nat, was: nat, r: Request): nat
    requires r.Allocate? && r.align > 0
  {
    Place(c, was, r.align)
  }
  predicate method Room(s: State, c: nat, was: nat, r: Request)
  {
    r.Allocate? && r.align > 0 && c in s.mem && Fits(c, s.mem[c].capacity, was, r.bytes, r.align)
  }
  // Whether the block ends where the chunk's next stood.
  predicate method Last(p: PC)
  {
    p.ResizeNext? && p.r.Resize? && p.r.before <= p.was && p.c + p.was == p.r.block + p.r.before
  }

  function method BlockOf(p: PC): nat       // the block a thread's call is about, which no other call may be about
  {
    if p.Idle? || p.Resp? then 0
    else if p.r.Resize? then p.r.block
    else if p.r.Register? then p.r.record
    else 0
  }
  function method LaneOf(s: State, t: nat): Lane
    requires t < |s.sides|
  {
    if s.sides[t].slot in s.lanes then s.lanes[s.sides[t].slot] else Lane(0, 0, 0)
  }
  predicate method InLane(l: Lane, lo: nat, bytes: nat) { l.at <= lo && lo + bytes <= l.end }
  // The block in the lane's next bytes.
  predicate method MayBump(l: Lane, p: PC)
  {
    if p.Start? || p.HaveNext? then p.r.Allocate? && p.r.align > 0 && InLane(l, AlignUp(l.at, p.r.align), p.r.bytes)
    else p.ResizeStart? && p.r.Resize? && p.r.bytes != p.r.before && AtEnd(l, p.r) && p.r.block + p.r.bytes <= l.end
  }
  predicate method AtEnd(l: Lane, r: Request) { r.Resize? && r.block + r.before == l.at }
  // A lane that ends where the carved part of chunk c ends may become longer.
  predicate method LastLane(s: State, l: Lane, c: nat, was: nat) { c in s.mem && was > 0 && l.end == c + was }
  predicate method Extends(s: State, l: Lane, p: PC, more: nat)
  {
    p.HaveNext? && p.r.Allocate? && p.r.align > 0 && LastLane(s, l, p.c, p.was) && p.was + more <= s.mem[p.c].capacity &&
    InLane(l.(end := l.end + more), AlignUp(l.at, p.r.align), p.r.bytes)
  }
  // The block at the end of such a lane's used bytes, which may grow beyond the lane.
  predicate method LastOfLane(s: State, t: nat, p: PC)
    requires t < |s.sides|
  {
    s.sides[t].slot > 0 && p.ResizeNext? && AtEnd(LaneOf(s, t), p.r) && LastLane(s, LaneOf(s, t), p.c, p.was)
  }
  predicate method MayGrow(s: State, t: nat, p: PC)
    requires t < |s.sides|
  {
    (Last(p) || LastOfLane(s, t, p)) && p.r.before < p.r.bytes && p.c in s.mem &&
    p.c + p.was <= p.r.block + p.r.bytes <= p.c + s.mem[p.c].capacity
  }
  predicate method MayClose(s: State, l: Lane)
  {
    l.at < l.end && Published(s, l.chunk) && l.chunk < l.at && l.end == l.chunk + s.mem[l.chunk].next
  }
  predicate method FreeSlot(s: State, k: nat) { k > 0 && forall u :: 0 <= u < |s.sides| ==> s.sides[u].slot != k }

  // What callers promise: a block is resized, or registered, by its owner alone; a reset has the resource to
  // itself and keeps the caller's buffer, as the C text does.
  predicate method MayInvoke(s: State, r: Request)
  {
    RequestOk(r) &&
    match r
    case Allocate(bytes, align, ask) => true
    case Resize(block, before, bytes) =>
      block in s.abs.live && s.abs.live[block].bytes == before && Free(s, block)
    case Register(record) => record in s.abs.live && record !in s.abs.cleanups && Free(s, record)
    case Reset => false            // ResetAll
  }
  predicate method Free(s: State, block: nat) { forall u :: 0 <= u < |s.pcs| ==> BlockOf(s.pcs[u]) != block }

  // a is b with some elements left out.
  predicate method Within(a: seq<nat>, b: seq<nat>)
    decreases |b|
  {
    if a == [] then true else if b == [] then false
    else if a[|a|-1] == b[|b|-1] then Within(a[..|a|-1], b[..|b|-1]) else Within(a, b[..|b|-1])
  }
  predicate method AtRest(s: State) { forall u :: 0 <= u < |s.pcs| ==> s.pcs[u].Idle? }

  // --------------------------------------------------------------------------------- the steps

  predicate method Enabled(s: State, t: nat, a: Act)
  {
    t < |s.pcs| && |s.sides| == |s.pcs| && var p := s.pcs[t]; var side := s.sides[t];
    match a
    case Invoke(r)     => p.Idle? && MayInvoke(s, r)
    case Return        => p.Resp? && p.k < |s.log|
    case Count         => if p.Resp? then p.tail > 0 else side.looks > 0
    case LoadHead      => p.Start? || p.ResizeStart?
    case LoadNext      => (p.HaveHead? || p.ResizeHead? || (p.HaveNext? && (p.src.Fast? || p.src.Refill?) && side.looks > 0)) &&
                          p.c in s.mem && (p.ResizeHead? ==> p.r.Resize? && p.r.bytes != p.r.before)
    case CarveWon(extra) => p.HaveNext? && Room(s, p.c, p.was, p.r) && s.mem[p.c].next == p.was &&
                          (extra > 0 ==> side.slot > 0 && Base(p.c, p.was, p.r) + p.r.bytes + extra <= p.c + s.mem[p.c].capacity)
    case CarveLost     => p.HaveNext? && Room(s, p.c, p.was, p.r) && s.mem[p.c].next != p.was
    case NoFit         => p.HaveNext? && (p.src.Search? || !Room(s, p.c, p.was, p.r))
    case NoChunk       => p.HaveHead? && p.c == 0
    case LoadLane      => side.looks > 0
    case Bump          => MayBump(LaneOf(s, t), p) && side.slot > 0
    case ExtendWon(more) => side.slot > 0 && Extends(s, LaneOf(s, t), p, more) && s.mem[p.c].next == p.was
    case ExtendLost    => side.slot > 0 && p.HaveNext? && !p.src.Fast? && LastLane(s, LaneOf(s, t), p.c, p.was) &&
                          s.mem[p.c].next != p.was
    case CloseWon      => p.Idle? && side.slot > 0 && MayClose(s, LaneOf(s, t))
    case CloseLost     => p.Idle? && side.slot > 0
    case LoadLanes     => side.looks > 0
    case OpenWon       => side.looks > 0
    case OpenLost      => side.looks > 0
    case LoadSlots     => side.looks > 0
    case TakeWon(k)    => side.looks > 0 && side.slot == 0 && FreeSlot(s, k)
    case TakeLost      => side.looks > 0
    case Give          => p.Idle? && side.slot > 0
    case LoadWeight    => p.Full? && p.th.looks > 0
    case LoadPublished => p.Full? && p.th.looks > 0
    case LoadReserved  => p.Full? && p.th.looks > 0
    case LookHead      => p.Full? && p.th.looks > 0
    case AdvanceWon    => p.Full? && p.th.c in s.mem && s.mem[p.th.c].follow != 0 && s.head == p.th.c
    case AdvanceLost   => p.Full? && p.th.c in s.mem && s.mem[p.th.c].follow != 0 && s.head != p.th.c
    case ReserveWon(total, link) => p.Full? && p.th.asks > 0 && p.r.Allocate? && p.r.align > 0 && p.r.ask &&
                          Need(p.r.bytes, p.r.align) <= total && s.reserved == p.th.res &&
                          (s.limit != 0 ==> p.th.res + total <= s.limit) &&
                          (!link && p.th.c != 0 ==> p.th.c in s.mem && s.mem[p.th.c].follow == 0)
    case ReserveLost   => p.Full? && p.th.asks > 0 && s.reserved != p.th.res
    case TooMuch(total) => p.Full? && !p.th.refused && p.r.Allocate? && p.r.align > 0 && Need(p.r.bytes, p.r.align) == total &&
                          (total > s.most || (s.limit != 0 && p.th.res + total > s.limit))
    case Grant(n)      => p.Asking? && p.r.Allocate? && p.r.align > 0 && n > 0 && n !in s.mem && Need(p.r.bytes, p.r.align) <= p.total &&
                          forall b :: b in s.mem ==> Apart(n, p.total, b, Extent(s.mem[b]))   // the upstream's duty
    case Refuse        => p.Asking?
    case InstallWon    => p.HaveNew? && !p.link && p.n in s.mem && s.head == p.th.c
    case InstallLost   => p.HaveNew? && !p.link && s.head != p.th.c
    case GiveBack      => p.Lost? && p.n in s.mem
    case Unreserve     => p.Refunding? && p.total <= s.reserved
    case LoadLarge     => (p.HaveNew? && p.link && p.n in s.mem) || (p.Full? && p.th.walks > 0)
    case LinkWon       => p.Linking? && p.n in s.mem && s.large == p.seen
    case LinkLost      => p.Linking? && s.large != p.seen
    case BeginWalk     => p.Full? && p.th.walks > 0
    case Visit(a)      => p.Full? && p.th.fuel > 0 && Published(s, a)
    // Last two: what an explicit lane's call tries is the current chunk alone.
    case Fail          => (p.Full? && p.r.Allocate? && (p.r.ask ==> p.th.refused)) ||
                          (p.HaveHead? && p.fast && p.c == 0 && p.r.Allocate? && !p.r.ask) ||
                          (p.HaveNext? && (p.src.Fast? || p.src.Refill?) && p.r.Allocate? && !p.r.ask && !Room(s, p.c, p.was, p.r))
    case GrowWon       => MayGrow(s, t, p) && s.mem[p.c].next == p.was
    case GrowLost      => MayGrow(s, t, p) && s.mem[p.c].next != p.was
    case ShrinkWon     => (Last(p) || LastOfLane(s, t, p)) && p.c in s.mem && p.c < p.r.block + p.r.bytes && p.r.bytes < p.r.before &&
                          s.mem[p.c].next == p.was
    case ShrinkLost    => (Last(p) || LastOfLane(s, t, p)) && p.c in s.mem && p.r.bytes < p.r.before && s.mem[p.c].next != p.was
    case Stay          => (p.ResizeStart? && p.r.Resize? && p.r.bytes == p.r.before) ||
                          (p.ResizeHead? && p.r.Resize? && (p.c == 0 || p.r.bytes == p.r.before)) ||
                          (p.ResizeNext? && p.r.Resize? && p.c in s.mem &&
                             (!Last(p) ||
                              (p.r.before < p.r.bytes && p.r.bytes - p.r.before + p.was > s.mem[p.c].capacity)))
    case LoadCleanups  => p.PushStart? && p.r.Register?
    case RegisterWon   => p.PushSeen? && p.r.Register? && s.cleanups == p.seen
    case RegisterLost  => p.PushSeen? && s.cleanups != p.seen
    case ResetAll(keepChain, keepBigs) =>
                          AtRest(s) && Within(keepChain, s.chain) && Within(keepBigs, s.bigs) &&
                          (forall c :: c in s.chain && c in s.mem && s.mem[c].size == 0 ==> c in keepChain) &&
                          (forall c :: c in keepChain ==> c in s.mem) && (forall c :: c in keepBigs ==> c in s.mem)
  }

  function method Pc(s: State, t: nat, p: PC): State
    requires t < |s.pcs|
  {
    s.(pcs := s.pcs[t := p])
  }
  function method Looked(s: State, t: nat): State
    requires t < |s.sides|
  {
    s.(sides := s.sides[t := s.sides[t].(looks := if s.sides[t].looks > 0 then s.sides[t].looks - 1 else 0)])
  }
  function method Keep(s: State, t: nat, l: Lane): State
    requires t < |s.sides|
  {
    s.(lanes := s.lanes[s.sides[t].slot := l])
  }
  // Thread t's call takes effect here.
  function method Effect(s: State, t: nat, p: PC, res: nat, c: nat): State
    requires t < |s.pcs| && !p.Idle?
  {
    var e := Entry(t, p.op, p.r, res, c, |s.hist|);
    s.(pcs := s.pcs[t := Resp(p.op, p.r, |s.log|, Tail())], log := s.log + [e], abs := Apply(s.abs, e))
  }
  function method Next(s: State, c: nat, next: nat): State
    requires c in s.mem
  {
    s.(mem := s.mem[c := s.mem[c].(next := next)], tick := s.tick + 1)
  }
  function method Thinking(s: State, c: nat, hs: nat): Think
  {
    Think(c, hs, Looks(), Walks(), 0, Asks(), 0, false)
  }
  function method Look(th: Think): Think
    requires th.looks > 0
  {
    th.(looks := th.looks - 1)
  }
  function method Walk(s: State, th: Think): Think
    requires th.walks > 0
  {
    th.(walks := th.walks - 1, fuel := 2 * Lists(s))
  }

  // Where a call goes that found no room.
  function method AfterNoFit(s: State, p: PC): PC
    requires p.HaveNext?
  {
    match p.src
    case Fast => Start(p.op, p.r, false)
    case Refill => Start(p.op, p.r, false)
    case Round => Full(p.op, p.r, Thinking(s, p.c, p.hs))
    case Search(th) => Full(p.op, p.r, th)
  }
  function method Bytes(mem: map<nat, Chunk>, list: seq<nat>): nat
  {
    if list == [] then 0
    else (if list[|list|-1] in mem then mem[list[|list|-1]].size else 0) + Bytes(mem, list[..|list|-1])
  }
  // The kept chunks of one list, empty, linked both ways.
  function method Relinked(mem: map<nat, Chunk>, list: seq<nat>, n: nat, to: map<nat, Chunk>): map<nat, Chunk>
    requires n <= |list| && forall i :: 0 <= i < n ==> list[i] in mem
  {
    if n == 0 then to
    else
      var c := mem[list[n-1]];
      Relinked(mem, list, n - 1, to)[list[n-1] := Chunk(c.size, c.capacity, 0, if n == 1 then 0 else list[n-2],
                                                        if n == |list| then 0 else list[n])]
  }
  function method LastOf(list: seq<nat>): nat { if list == [] then 0 else list[|list|-1] }
  function method FirstOf(list: seq<nat>): nat { if list == [] then 0 else list[0] }

  function method Do(s: State, t: nat, a: Act): State
    requires Enabled(s, t, a)
    ensures |Do(s, t, a).pcs| == |s.pcs| == |Do(s, t, a).sides|
    ensures forall u :: 0 <= u < |s.pcs| && u != t ==> Do(s, t, a).pcs[u] == s.pcs[u]
    ensures Do(s, t, a).limit == s.limit
  {
    var p := s.pcs[t];
    match a
    case Invoke(r)     =>
      var op := |s.hist|;
      Pc(s.(sides := s.sides[t := s.sides[t].(looks := LaneLooks())]), t, if r.Allocate? then Start(op, r, true) else if r.Resize? then ResizeStart(op, r) else PushStart(op, r))
        .(hist := s.hist + [Invoked(t, r)])
    case Return        => Pc(s, t, Idle).(hist := s.hist + [Returned(t, p.op, s.log[p.k].res)])
    case Count         => if p.Resp? then Pc(s, t, p.(tail := p.tail - 1)) else Looked(s, t)
    case LoadHead      => Pc(s, t, if p.Start? then HaveHead(p.op, p.r, s.head, s.tick, p.fast) else ResizeHead(p.op, p.r, s.head))
    case LoadNext      =>
      if p.HaveNext? then Pc(Looked(s, t), t, p.(ns := s.tick, was := s.mem[p.c].next, src := Refill))
      else Pc(s, t, if p.HaveHead?
                    then HaveNext(p.op, p.r, p.c, p.hs, s.tick, s.mem[p.c].next, if p.fast then Fast else Round)
                    else ResizeNext(p.op, p.r, p.c, s.mem[p.c].next))
    case CarveWon(extra) =>
      var lo := Base(p.c, p.was, p.r);
      var hi := lo + p.r.bytes;
      var s' := Next(s, p.c, hi + extra - p.c);
      Effect(if extra == 0 then s' else Keep(s', t, Lane(p.c, hi, hi + extra)), t, p, lo, p.c)
    case CarveLost     => Pc(s, t, if p.src.Fast? then Start(p.op, p.r, false) else p.(ns := s.tick, was := s.mem[p.c].next))
    case LoadLane      => Looked(s, t)
    case Bump          =>
      var l := LaneOf(s, t);
      if p.r.Resize? then
        var c := if p.r.block in s.abs.live then s.abs.live[p.r.block].chunk else l.chunk;
        Effect(Keep(s, t, Lane(c, p.r.block + p.r.bytes, l.end)), t, p, 1, c)
      else
        var lo := AlignUp(l.at, p.r.align);
        Effect(Keep(s, t, l.(at := lo + p.r.bytes)), t, p, lo, l.chunk)
    case ExtendWon(more) =>
      var l := LaneOf(s, t);
      var lo := AlignUp(l.at, p.r.align);
      Effect(Keep(Next(s, p.c, p.was + more), t, Lane(p.c, lo + p.r.bytes, l.end + more)), t, p, lo, p.c)
    case ExtendLost    => Pc(s, t, p.(ns := s.tick, was := s.mem[p.c].next))
    case CloseWon      => var l := LaneOf(s, t);
                          Keep(Next(s, l.chunk, l.at - l.chunk), t, Lane(0, 0, 0))
    case CloseLost     => Keep(s, t, Lane(0, 0, 0))
    case LoadLanes     => Looked(s, t)
    case OpenWon       => Looked(s, t)
    case OpenLost      => Looked(s, t)
    case LoadSlots     => Looked(s, t)
    case TakeWon(k)    => var s' := Looked(s, t); s'.(sides := s'.sides[t := s'.sides[t].(slot := k)])
    case TakeLost      => Looked(s, t)
    case Give          => s.(sides := s.sides[t := s.sides[t].(slot := 0)])
    case NoFit         => Pc(s, t, AfterNoFit(s, p))
    case NoChunk       => Pc(s, t, if p.fast then Start(p.op, p.r, false) else Full(p.op, p.r, Thinking(s, 0, p.hs)))
    case LoadWeight    => Pc(s, t, p.(th := Look(p.th)))
    case LoadPublished => Pc(s, t, p.(th := Look(p.th)))
    case LoadReserved  => Pc(s, t, p.(th := Look(p.th).(res := s.reserved)))
    case LookHead      => Pc(s, t, if s.head == p.th.c then p.(th := Look(p.th)) else Start(p.op, p.r, false))
    case AdvanceWon    => Pc(s, t, Start(p.op, p.r, false)).(head := s.mem[p.th.c].follow, cur := s.cur + 1, tick := s.tick + 1)
    case AdvanceLost   => Pc(s, t, Start(p.op, p.r, false))
    case ReserveWon(total, link) =>
      Pc(s, t, Asking(p.op, p.r, p.th.(asks := p.th.asks - 1), total, link)).(reserved := s.reserved + total)
    case ReserveLost   => Pc(s, t, p.(th := p.th.(res := s.reserved)))
    case TooMuch(total) => Pc(s, t, p.(th := p.th.(refused := true))).(hist := s.hist + [Refused(t, p.op)])
    case Grant(n)      =>
      NeedServes(n, p.total, p.r.bytes, p.r.align);
      var lo := Base(n, 0, p.r);
      Pc(s, t, HaveNew(p.op, p.r, p.th, p.total, p.link, n, lo))
        .(mem := s.mem[n := Chunk(p.total, Capacity(n, p.total), lo + p.r.bytes - n, if p.link then 0 else p.th.c, 0)])
    case Refuse        => Pc(s, t, Refunding(p.op, p.r, p.th.(refused := true), p.total, false)).(hist := s.hist + [Refused(t, p.op)])
    case InstallWon    => Effect(s.(head := p.n, chain := s.chain + [p.n], cur := |s.chain|, tick := s.tick + 1), t, p, p.lo, p.n)
    case InstallLost   => Pc(s, t, Lost(p.op, p.r, p.th, p.total, p.n))
    case GiveBack      => Pc(s, t, Refunding(p.op, p.r, p.th, p.total, true)).(mem := map b | b in s.mem && b != p.n :: s.mem[b])
    case Unreserve     => Pc(s, t, if p.again then Start(p.op, p.r, false) else Full(p.op, p.r, p.th)).(reserved := s.reserved - p.total)
    case LoadLarge     =>
      if p.Full? then Pc(s, t, p.(th := Walk(s, p.th)))
      else Pc(s, t, Linking(p.op, p.r, p.th, p.total, p.n, p.lo, s.large, s.tick)).(mem := s.mem[p.n := s.mem[p.n].(prev := s.large)])
    case LinkWon       => Effect(s.(large := p.n, bigs := s.bigs + [p.n], tick := s.tick + 1), t, p, p.lo, p.n)
    case LinkLost      => Pc(s, t, HaveNew(p.op, p.r, p.th, p.total, true, p.n, p.lo))
    case BeginWalk     => Pc(s, t, p.(th := Walk(s, p.th)))
    case Visit(a)      => Pc(s, t, HaveNext(p.op, p.r, a, p.th.hs, s.tick, s.mem[a].next, Search(p.th.(fuel := p.th.fuel - 1))))
    case Fail          => Effect(s, t, p, 0, 0)
    case GrowWon       =>
      var hi := p.r.block + p.r.bytes;
      var s' := Next(s, p.c, hi - p.c);
      Effect(if LastOfLane(s, t, p) then Keep(s', t, Lane(p.c, hi, hi)) else s', t, p, 1, p.c)
    case GrowLost      => Effect(s, t, p, 0, 0)
    case ShrinkWon     =>
      var hi := p.r.block + p.r.bytes;
      var s' := Next(s, p.c, hi - p.c);
      Effect(if LastOfLane(s, t, p) then Keep(s', t, Lane(p.c, hi, hi)) else s', t, p, 1, p.c)
    case ShrinkLost    => Effect(s, t, p, 1, 0)
    case Stay          => Effect(s, t, p, if p.r.bytes <= p.r.before then 1 else 0, 0)
    case LoadCleanups  => Pc(s, t, PushSeen(p.op, p.r, s.cleanups, s.tick)).(recs := s.recs[p.r.record := s.cleanups])
    case RegisterWon   => Effect(s.(cleanups := p.r.record, tick := s.tick + 1), t, p, 1, 0)
    case RegisterLost  => Pc(s, t, PushStart(p.op, p.r))
    case ResetAll(keepChain, keepBigs) =>
      var op := |s.hist|;
      var e := Entry(t, op, Reset, 1, 0, op + 1);
      State(Relinked(s.mem, keepBigs, |keepBigs|, Relinked(s.mem, keepChain, |keepChain|, map[])),
            FirstOf(keepChain), LastOf(keepBigs), 0, Bytes(s.mem, keepChain) + Bytes(s.mem, keepBigs), map[],
            s.limit, s.most, s.pcs, s.sides, map[], keepChain, 0, |keepChain|, keepBigs,
            s.tick + 1, Apply(s.abs, e), s.log + [e], s.hist + [Invoked(t, Reset), Returned(t, op, 1)])
  }

  // With a caller's buffer of `capacity` bytes at `buffer`, or without one.
  function method Initial(threads: nat, buffer: nat, capacity: nat, limit: nat, most: nat): State
  {
    var none := Abstract(map[], []);
    var idle := Idles(threads);
    if capacity == 0 || buffer == 0 then
      State(map[], 0, 0, 0, 0, map[], limit, most, idle, NoSides(threads), map[], [], 0, 0, [], 0, none, [], [])
    else
      State(map[buffer := Chunk(0, capacity, 0, 0, 0)], buffer, 0, 0, 0, map[], limit, most, idle, NoSides(threads), map[],
            [buffer], 0, 1, [], 0, none, [], [])
  }
  function method Idles(n: nat): seq<PC> { if n == 0 then [] else Idles(n - 1) + [Idle] }
  function method NoSides(n: nat): seq<Side> { if n == 0 then [] else NoSides(n - 1) + [Side(0, 0)] }

  // ------------------------------------------------------------------------------- executions

  datatype Label = Label(t: nat, a: Act)

  predicate Init(s: State)
  {
    exists threads, buffer, capacity, limit, most :: s == Initial(threads, buffer, capacity, limit, most)
  }
  predicate Execution(tr: seq<State>, ls: seq<Label>)
  {
    |tr| == |ls| + 1 && Init(tr[0]) &&
    forall i :: 0 <= i < |ls| ==> Enabled(tr[i], ls[i].t, ls[i].a) && tr[i+1] == Do(tr[i], ls[i].t, ls[i].a)
  }
}
