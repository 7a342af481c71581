// Sums.dfy - adding something up over all threads.

module {:options "--function-syntax:3"} Sums {

  function Sum<T>(f: T -> nat, ps: seq<T>): nat
  {
    if ps == [] then 0 else f(ps[0]) + Sum(f, ps[1..])
  }

  lemma SumUpdate<T>(f: T -> nat, ps: seq<T>, t: nat, p: T)
    requires t < |ps|
    ensures Sum(f, ps[t := p]) == Sum(f, ps) - f(ps[t]) + f(p)
  {
    if t > 0 {
      assert ps[t := p][1..] == ps[1..][t - 1 := p];
      SumUpdate(f, ps[1..], t - 1, p);
    } else {
      assert ps[t := p][1..] == ps[1..];
    }
  }

  lemma SumAtLeast<T>(f: T -> nat, ps: seq<T>, t: nat)
    requires t < |ps|
    ensures f(ps[t]) <= Sum(f, ps)
  {
    if t > 0 { SumAtLeast(f, ps[1..], t - 1); }
  }

  // If no term grows by more than d, the sum grows by at most d for each.
  lemma SumGrows<T>(f: T -> nat, g: T -> nat, ps: seq<T>, d: nat)
    requires forall i :: 0 <= i < |ps| ==> g(ps[i]) <= f(ps[i]) + d
    ensures Sum(g, ps) <= Sum(f, ps) + d * |ps|
  {
    if ps != [] {
      assert forall i :: 0 <= i < |ps[1..]| ==> ps[1..][i] == ps[i + 1];
      SumGrows(f, g, ps[1..], d);
      assert d * |ps| == d + d * |ps[1..]|;
    }
  }

  lemma SumAtMost<T>(f: T -> nat, ps: seq<T>, d: nat)
    requires forall i :: 0 <= i < |ps| ==> f(ps[i]) <= d
    ensures Sum(f, ps) <= d * |ps|
  {
    if ps != [] {
      assert forall i :: 0 <= i < |ps[1..]| ==> ps[1..][i] == ps[i + 1];
      SumAtMost(f, ps[1..], d);
      assert d * |ps| == d + d * |ps[1..]|;
    }
  }
}
