// Arithmetic.dfy - where blocks, chunk records and chunks go: src/place.h, over unbounded numbers.
// That the C functions compute this without wrapping is proved from the C text: proof/code.

module {:options "--function-syntax:3"} Arithmetic {

  // Bytes kept for a chunk's record, and the line it is aligned to.
  function method Line(): nat { 64 }

  // The smallest multiple of a that is not below x.
  function method AlignUp(x: nat, a: nat): nat
    requires a > 0
  {
    if x % a == 0 then x else x + (a - x % a)
  }

  // place_fit: the address of the block, and whether it ends inside the capacity.
  function method Place(base: nat, next: nat, align: nat): nat
    requires align > 0
  {
    AlignUp(base + next, align)
  }
  predicate method Fits(base: nat, capacity: nat, next: nat, bytes: nat, align: nat)
    requires align > 0
  {
    Place(base, next, align) + bytes <= base + capacity
  }

  // place_record: the last whole line of a chunk holds its record, what lies before it is capacity.
  function method RecordAt(base: nat, total: nat): nat
    requires total >= Line()
  {
    (base + total - Line()) - (base + total - Line()) % Line()
  }
  predicate method HoldsRecord(base: nat, total: nat)
  {
    total >= Line() && base <= RecordAt(base, total)
  }
  function method Capacity(base: nat, total: nat): nat
    requires HoldsRecord(base, total)
  {
    RecordAt(base, total) - base
  }

  // place_total: a chunk of this size serves the block wherever it lies.
  function method Need(bytes: nat, align: nat): nat
    requires align > 0
  {
    bytes + (align - 1) + Line() + (Line() - 1)
  }

  predicate method Apart(a: nat, an: nat, b: nat, bn: nat) { a + an <= b || b + bn <= a }

  lemma AlignUpOk(x: nat, a: nat)
    requires a > 0
    ensures x <= AlignUp(x, a) < x + a
    ensures AlignUp(x, a) % a == 0
  {
    var q := x / a;
    assert x == q * a + x % a;
    if x % a != 0 {
      assert AlignUp(x, a) == (q + 1) * a;
      MultipleOk(q + 1, a);
    }
  }

  // No multiple of a lies between x and AlignUp(x, a): the answer "no room" is exact.
  lemma AlignUpLeast(x: nat, a: nat, k: nat)
    requires a > 0 && x <= k * a
    ensures AlignUp(x, a) <= k * a
  {
    var q := x / a;
    assert x == q * a + x % a;
    if x % a != 0 {
      if k <= q { assert k * a <= q * a; }
      assert k >= q + 1;
      assert k * a >= (q + 1) * a;
    }
  }

  lemma MultipleOk(q: nat, a: nat)
    requires a > 0
    ensures (q * a) % a == 0
  {
    if q > 0 {
      MultipleOk(q - 1, a);
      assert q * a == (q - 1) * a + a;
      RemainderOk((q - 1) * a + a, a, (q - 1) + 1, 0);
    }
  }

  lemma RemainderOk(x: nat, a: nat, q: nat, r: nat)
    requires a > 0 && r < a && x == q * a + r
    ensures x % a == r && x / a == q
  {
    var d := x / a - q;
    assert x == (x / a) * a + x % a;
    assert d * a == r - x % a;
    if d >= 1 { assert d * a >= a; } else if d <= -1 { assert d * a <= -a; }
  }

  // place_total and place_record agree: the block fits, and behind the capacity the record, on a line of its own.
  lemma NeedServes(base: nat, total: nat, bytes: nat, align: nat)
    requires align > 0 && total >= Need(bytes, align)
    ensures HoldsRecord(base, total)
    ensures Fits(base, Capacity(base, total), 0, bytes, align)
    ensures Capacity(base, total) + Line() <= total
    ensures (base + Capacity(base, total)) % Line() == 0
  {
    AlignUpOk(base, align);
    var x := base + total - Line();
    assert x % Line() < Line();
    assert x == (x / Line()) * Line() + x % Line();
    MultipleOk(x / Line(), Line());
  }
}
