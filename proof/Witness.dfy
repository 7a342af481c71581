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
  // its chunk back, starts over and carves from thread 0's. In legs, each between two states written out.
  lemma Race() returns (tr: seq<State>, ls: seq<Label>)
    ensures Execution(tr, ls)
    ensures exists k :: 0 <= k < |ls| && ls[k].a.InstallLost?
    ensures exists k :: 0 <= k < |ls| && ls[k].a.CarveWon?
    ensures |tr[|ls|].log| == 2 && AtRest(tr[|ls|]) && |tr[|ls|].abs.live| == 2
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
    assert ls[k].a.InstallLost?;
    tr, ls := LoserCarves(tr, ls);
    assert ls[k].a.InstallLost?;
    assert ls[|ls| - 3].a.CarveWon?;
    assert tr[|ls|] == End();
    assert End().abs.live[1024].bytes == 8 && |End().abs.live| == 2;
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
}
