// Witness.dfy - an execution, step by step: the theorems are not about an empty machine.
include "Arithmetic.dfy"
include "Specification.dfy"
include "Machine.dfy"

module {:options "--function-syntax:3"} Witness {
  import opened Arithmetic
  import opened Specification
  import opened Machine

  predicate Path(tr: seq<State>, ls: seq<Label>)
  {
    |tr| == |ls| + 1 &&
    forall i :: 0 <= i < |ls| ==> Enabled(tr[i], ls[i].t, ls[i].a) && tr[i+1] == Do(tr[i], ls[i].t, ls[i].a)
  }
  // One step more.
  lemma Step(tr: seq<State>, ls: seq<Label>, t: nat, a: Act) returns (tr': seq<State>, ls': seq<Label>)
    requires Path(tr, ls) && Enabled(tr[|ls|], t, a)
    ensures Path(tr', ls') && tr'[|ls'|] == Do(tr[|ls|], t, a) && tr'[0] == tr[0]
    ensures ls' == ls + [Label(t, a)]
  {
    tr', ls' := tr + [Do(tr[|ls|], t, a)], ls + [Label(t, a)];
  }

  // Two threads find no chunk; both reserve and get one; thread 0 installs its own; thread 1 has lost, gives
  // its chunk back, starts over and carves from thread 0's. Then thread 0 takes a slot and has a lane: carves it, hands
  // out of it, extends it, closes it; and thread 1 takes the slot. In legs, each between two states written out.
  lemma Race() returns (tr: seq<State>, ls: seq<Label>)
    ensures Execution(tr, ls)
    ensures exists k :: 0 <= k < |ls| && ls[k].a.InstallLost?
    ensures exists k :: 0 <= k < |ls| && ls[k].a.CarveWon? && ls[k].t == 1
    ensures exists k :: 0 <= k < |ls| && ls[k].a.Bump?
    ensures exists k :: 0 <= k < |ls| && ls[k].a.ExtendWon?
    ensures exists k :: 0 <= k < |ls| && ls[k].a.CloseWon?
    ensures exists i, k :: 0 <= i < k < |ls| && ls[i].a.Give? && ls[k].a.TakeWon? && ls[i].t != ls[k].t
    ensures |tr[|ls|].log| == 5 && AtRest(tr[|ls|]) && |tr[|ls|].abs.live| == 5
  {
    var s0 := Initial(2, 0, 0, 0, 0x7fff_ffff);
    assert Idles(2) == [Idle, Idle] && NoSides(2) == [Side(0, 0), Side(0, 0)];
    assert s0 == Begin();
    tr, ls := [s0], [];
    tr, ls := BothCall(tr, ls);
    tr, ls := FirstLooks(tr, ls);
    tr, ls := SecondLooks(tr, ls);
    tr, ls := FirstAsks(tr, ls);
    tr, ls := SecondAsks(tr, ls);
    tr, ls := OneWins(tr, ls);
    var k := |ls| - 3;
    tr, ls := LoserCarves(tr, ls);
    var n := |ls|;
    tr, ls := CarvesLane(tr, ls);
    tr, ls := UsesLane(tr, ls);
    tr, ls := ExtendsLane(tr, ls);
    tr, ls := HandsSlotOver(tr, ls);
    assert ls[k].a.InstallLost?;
    assert ls[n - 3].a.CarveWon?;
    assert ls[n + 7].a.Bump?;
    assert ls[n + 12].a.ExtendWon?;
    assert ls[n + 14].a.CloseWon?;
    assert ls[n + 15].a.Give? && ls[n + 16].a.TakeWon?;
    assert tr[|ls|] == Handed();
    assert |FiveLive()| == 5;
  }

  function Ask(): Request { Allocate(8, 8, true) }
  function Thought(res: nat, asks: nat): Think { Think(0, 0, Looks(), Walks(), 0, asks, res, false) }
  function Called(): seq<Event> { [Invoked(0, Ask()), Invoked(1, Ask())] }
  function Nothing(): Abstract { Abstract(map[], []) }
  function New(next: nat): Chunk { Chunk(200, 128, next, 0, 0) }
  function Won0(): Entry { Entry(0, 0, Ask(), 1024, 1024, 2) }
  function Won1(): Entry { Entry(1, 1, Ask(), 1032, 1024, 2) }

  function Unborn(reserved: nat, mem: map<nat, Chunk>, p: PC, q: PC): State
  {
    State(mem, 0, 0, 0, reserved, map[], 0, 0x7fff_ffff, [p, q], Looking(), map[], [], 0, 0, [], 0, Nothing(), [], Called())
  }
  function Looking(): seq<Side> { [Side(0, LaneLooks()), Side(0, LaneLooks())] }
  function Begin(): State { Unborn(0, map[], Idle, Idle).(hist := [], sides := [Side(0, 0), Side(0, 0)]) }
  function BothStart(): State { Unborn(0, map[], Start(0, Ask(), true), Start(1, Ask(), true)) }
  function OneFull(): State { Unborn(0, map[], Full(0, Ask(), Thought(0, 2)), Start(1, Ask(), true)) }
  function BothFull(): State { Unborn(0, map[], Full(0, Ask(), Thought(0, 2)), Full(1, Ask(), Thought(0, 2))) }
  function New0(): PC { HaveNew(0, Ask(), Thought(0, 1), 200, false, 1024, 1024) }
  function New1(): PC { HaveNew(1, Ask(), Thought(200, 1), 200, false, 2048, 2048) }
  function OneNew(): State { Unborn(200, map[1024 := New(8)], New0(), Full(1, Ask(), Thought(0, 2))) }
  function BothNew(): State { Unborn(400, map[1024 := New(8), 2048 := New(8)], New0(), New1()) }
  function OneLost(): State
  {
    State(map[1024 := New(8)], 1024, 0, 0, 200, map[], 0, 0x7fff_ffff, [Resp(0, Ask(), 0, Tail()), Start(1, Ask(), false)],
          Looking(), map[], [1024], 0, 0, [], 1, Abstract(map[1024 := Block(8, 1024)], []), [Won0()], Called())
  }
  function End(): State
  {
    State(map[1024 := New(16)], 1024, 0, 0, 200, map[], 0, 0x7fff_ffff, [Idle, Idle], Looking(), map[], [1024], 0, 0, [], 2,
          Abstract(map[1024 := Block(8, 1024), 1032 := Block(8, 1024)], []), [Won0(), Won1()],
          Called() + [Returned(0, 0, 1024), Returned(1, 1, 1032)])
  }

  // Thread 0's lane: carved with its first block, used, extended; the slot, handed over to thread 1.
  function More(): Request { Allocate(16, 8, true) }
  function Slots(t: nat, u: nat, looks: nat): seq<Side> { [Side(t, LaneLooks()), Side(u, looks)] }
  function ThreeLive(): map<nat, Block> { End().abs.live[1040 := Block(8, 1024)] }
  function FourLive(): map<nat, Block> { ThreeLive()[1048 := Block(8, 1024)] }
  function FiveLive(): map<nat, Block> { FourLive()[1056 := Block(16, 1024)] }
  function Carved(): State
  {
    End().(mem := map[1024 := New(40)], tick := 3, sides := Slots(1, 0, LaneLooks()), lanes := map[1 := Lane(1024, 1048, 1064)],
           abs := Abstract(ThreeLive(), []), log := End().log + [Entry(0, 4, Ask(), 1040, 1024, 5)],
           hist := End().hist + [Invoked(0, Ask()), Returned(0, 4, 1040)])
  }
  function Bumped(): State
  {
    Carved().(lanes := map[1 := Lane(1024, 1056, 1064)],
              abs := Abstract(FourLive(), []), log := Carved().log + [Entry(0, 6, Ask(), 1048, 1024, 7)],
              hist := Carved().hist + [Invoked(0, Ask()), Returned(0, 6, 1048)])
  }
  function Extended(): State
  {
    Bumped().(mem := map[1024 := New(56)], tick := 4, lanes := map[1 := Lane(1024, 1072, 1080)],
              abs := Abstract(FiveLive(), []), log := Bumped().log + [Entry(0, 8, More(), 1056, 1024, 9)],
              hist := Bumped().hist + [Invoked(0, More()), Returned(0, 8, 1056)])
  }
  function Handed(): State
  {
    Extended().(mem := map[1024 := New(48)], tick := 5, lanes := map[1 := Lane(0, 0, 0)], sides := Slots(0, 1, LaneLooks() - 1))
  }

  lemma BothCall(tr0: seq<State>, ls0: seq<Label>) returns (tr: seq<State>, ls: seq<Label>)
    requires Path(tr0, ls0) && tr0[|ls0|] == Begin()
    ensures Path(tr, ls) && tr[|ls|] == BothStart() && tr[0] == tr0[0]
    ensures ls == ls0 + [Label(0, Invoke(Ask())), Label(1, Invoke(Ask()))]
  {
    tr, ls := tr0, ls0;
    tr, ls := Step(tr, ls, 0, Invoke(Ask()));
    tr, ls := Step(tr, ls, 1, Invoke(Ask()));
    assert tr[|ls|] == BothStart();
    assert ls == ls0 + [Label(0, Invoke(Ask())), Label(1, Invoke(Ask()))];
  }

  lemma FirstLooks(tr0: seq<State>, ls0: seq<Label>) returns (tr: seq<State>, ls: seq<Label>)
    requires Path(tr0, ls0) && tr0[|ls0|] == BothStart()
    ensures Path(tr, ls) && tr[|ls|] == OneFull() && tr[0] == tr0[0]
    ensures ls == ls0 + [Label(0, LoadHead), Label(0, NoChunk), Label(0, LoadHead), Label(0, NoChunk)]
  {
    tr, ls := tr0, ls0;
    tr, ls := Step(tr, ls, 0, LoadHead);
    tr, ls := Step(tr, ls, 0, NoChunk);
    tr, ls := Step(tr, ls, 0, LoadHead);
    tr, ls := Step(tr, ls, 0, NoChunk);
    assert tr[|ls|] == OneFull();
    assert ls == ls0 + [Label(0, LoadHead), Label(0, NoChunk), Label(0, LoadHead), Label(0, NoChunk)];
  }

  lemma SecondLooks(tr0: seq<State>, ls0: seq<Label>) returns (tr: seq<State>, ls: seq<Label>)
    requires Path(tr0, ls0) && tr0[|ls0|] == OneFull()
    ensures Path(tr, ls) && tr[|ls|] == BothFull() && tr[0] == tr0[0]
    ensures ls == ls0 + [Label(1, LoadHead), Label(1, NoChunk), Label(1, LoadHead), Label(1, NoChunk)]
  {
    tr, ls := tr0, ls0;
    tr, ls := Step(tr, ls, 1, LoadHead);
    tr, ls := Step(tr, ls, 1, NoChunk);
    tr, ls := Step(tr, ls, 1, LoadHead);
    tr, ls := Step(tr, ls, 1, NoChunk);
    assert tr[|ls|] == BothFull();
    assert ls == ls0 + [Label(1, LoadHead), Label(1, NoChunk), Label(1, LoadHead), Label(1, NoChunk)];
  }

  lemma FirstAsks(tr0: seq<State>, ls0: seq<Label>) returns (tr: seq<State>, ls: seq<Label>)
    requires Path(tr0, ls0) && tr0[|ls0|] == BothFull()
    ensures Path(tr, ls) && tr[|ls|] == OneNew() && tr[0] == tr0[0]
    ensures ls == ls0 + [Label(0, ReserveWon(200, false)), Label(0, Grant(1024))]
  {
    tr, ls := tr0, ls0;
    tr, ls := Step(tr, ls, 0, ReserveWon(200, false));
    tr, ls := Step(tr, ls, 0, Grant(1024));
    assert tr[|ls|] == OneNew();
    assert ls == ls0 + [Label(0, ReserveWon(200, false)), Label(0, Grant(1024))];
  }

  lemma SecondAsks(tr0: seq<State>, ls0: seq<Label>) returns (tr: seq<State>, ls: seq<Label>)
    requires Path(tr0, ls0) && tr0[|ls0|] == OneNew()
    ensures Path(tr, ls) && tr[|ls|] == BothNew() && tr[0] == tr0[0]
    ensures ls == ls0 + [Label(1, ReserveLost), Label(1, ReserveWon(200, false)), Label(1, Grant(2048))]
  {
    tr, ls := tr0, ls0;
    tr, ls := Step(tr, ls, 1, ReserveLost);
    tr, ls := Step(tr, ls, 1, ReserveWon(200, false));
    tr, ls := Step(tr, ls, 1, Grant(2048));
    assert tr[|ls|] == BothNew();
    assert ls == ls0 + [Label(1, ReserveLost), Label(1, ReserveWon(200, false)), Label(1, Grant(2048))];
  }

  lemma OneWins(tr0: seq<State>, ls0: seq<Label>) returns (tr: seq<State>, ls: seq<Label>)
    requires Path(tr0, ls0) && tr0[|ls0|] == BothNew()
    ensures Path(tr, ls) && tr[|ls|] == OneLost() && tr[0] == tr0[0]
    ensures ls == ls0 + [Label(0, InstallWon), Label(1, InstallLost), Label(1, GiveBack), Label(1, Unreserve)]
  {
    tr, ls := tr0, ls0;
    tr, ls := Step(tr, ls, 0, InstallWon);
    tr, ls := Step(tr, ls, 1, InstallLost);
    tr, ls := Step(tr, ls, 1, GiveBack);
    tr, ls := Step(tr, ls, 1, Unreserve);
    assert tr[|ls|] == OneLost();
    assert ls == ls0 + [Label(0, InstallWon), Label(1, InstallLost), Label(1, GiveBack), Label(1, Unreserve)];
  }

  lemma LoserCarves(tr0: seq<State>, ls0: seq<Label>) returns (tr: seq<State>, ls: seq<Label>)
    requires Path(tr0, ls0) && tr0[|ls0|] == OneLost()
    ensures Path(tr, ls) && tr[|ls|] == End() && tr[0] == tr0[0]
    ensures ls == ls0 + [Label(1, LoadHead), Label(1, LoadNext), Label(1, CarveWon(0)), Label(0, Return), Label(1, Return)]
  {
    tr, ls := tr0, ls0;
    tr, ls := Step(tr, ls, 1, LoadHead);
    tr, ls := Step(tr, ls, 1, LoadNext);
    tr, ls := Step(tr, ls, 1, CarveWon(0));
    tr, ls := Step(tr, ls, 0, Return);
    tr, ls := Step(tr, ls, 1, Return);
    assert tr[|ls|] == End();
    assert ls == ls0 + [Label(1, LoadHead), Label(1, LoadNext), Label(1, CarveWon(0)), Label(0, Return), Label(1, Return)];
  }

  lemma CarvesLane(tr0: seq<State>, ls0: seq<Label>) returns (tr: seq<State>, ls: seq<Label>)
    requires Path(tr0, ls0) && tr0[|ls0|] == End()
    ensures Path(tr, ls) && tr[|ls|] == Carved() && tr[0] == tr0[0]
    ensures ls == ls0 + [Label(0, TakeWon(1)), Label(0, Invoke(Ask())), Label(0, LoadHead), Label(0, LoadNext), Label(0, CarveWon(16)),
                         Label(0, Return)]
  {
    tr, ls := tr0, ls0;
    tr, ls := Step(tr, ls, 0, TakeWon(1));
    tr, ls := Step(tr, ls, 0, Invoke(Ask()));
    tr, ls := Step(tr, ls, 0, LoadHead);
    tr, ls := Step(tr, ls, 0, LoadNext);
    tr, ls := Step(tr, ls, 0, CarveWon(16));
    tr, ls := Step(tr, ls, 0, Return);
    assert tr[|ls|] == Carved();
  }

  lemma UsesLane(tr0: seq<State>, ls0: seq<Label>) returns (tr: seq<State>, ls: seq<Label>)
    requires Path(tr0, ls0) && tr0[|ls0|] == Carved()
    ensures Path(tr, ls) && tr[|ls|] == Bumped() && tr[0] == tr0[0]
    ensures ls == ls0 + [Label(0, Invoke(Ask())), Label(0, Bump), Label(0, Return)]
  {
    tr, ls := tr0, ls0;
    tr, ls := Step(tr, ls, 0, Invoke(Ask()));
    tr, ls := Step(tr, ls, 0, Bump);
    tr, ls := Step(tr, ls, 0, Return);
    assert tr[|ls|] == Bumped();
  }

  lemma ExtendsLane(tr0: seq<State>, ls0: seq<Label>) returns (tr: seq<State>, ls: seq<Label>)
    requires Path(tr0, ls0) && tr0[|ls0|] == Bumped()
    ensures Path(tr, ls) && tr[|ls|] == Extended() && tr[0] == tr0[0]
    ensures ls == ls0 + [Label(0, Invoke(More())), Label(0, LoadHead), Label(0, LoadNext), Label(0, ExtendWon(16)), Label(0, Return)]
  {
    tr, ls := tr0, ls0;
    tr, ls := Step(tr, ls, 0, Invoke(More()));
    tr, ls := Step(tr, ls, 0, LoadHead);
    tr, ls := Step(tr, ls, 0, LoadNext);
    tr, ls := Step(tr, ls, 0, ExtendWon(16));
    tr, ls := Step(tr, ls, 0, Return);
    assert tr[|ls|] == Extended();
  }

  lemma HandsSlotOver(tr0: seq<State>, ls0: seq<Label>) returns (tr: seq<State>, ls: seq<Label>)
    requires Path(tr0, ls0) && tr0[|ls0|] == Extended()
    ensures Path(tr, ls) && tr[|ls|] == Handed() && tr[0] == tr0[0]
    ensures ls == ls0 + [Label(0, CloseWon), Label(0, Give), Label(1, TakeWon(1))]
  {
    tr, ls := tr0, ls0;
    tr, ls := Step(tr, ls, 0, CloseWon);
    tr, ls := Step(tr, ls, 0, Give);
    tr, ls := Step(tr, ls, 1, TakeWon(1));
    assert tr[|ls|] == Handed();
  }
}
