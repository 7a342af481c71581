/* lemmas.h - words that wrap, masks with powers of two, remainders, quotients. Read
 * by the prover before place.h.
 *
 * WP knows `&` as a function on integers and little more, a cast only where it changes nothing, and
 * its provers know little of products. What the library needs to know of these is here, proved in
 * lemmas.v by Coq: `verify` translates each lemma word for word and accepts no other. */
#ifndef TSMBR_PROOF_LEMMAS_H
#define TSMBR_PROOF_LEMMAS_H

#include <stddef.h>
#include <stdint.h>

/* Bits of a word. */
#define WORD_BITS (8 * sizeof(size_t))

/*@ predicate power_of_two(integer a) = \exists integer k; 0 <= k && a == (1 << k);
  @
  @ // With a name of its own, so that the prover sees it as it stands.
  @ logic integer either(integer a, integer b) = a | b;
  @
  @ // How far it is from s to the next multiple of a.
  @ logic integer padding(integer s, integer a) = (a - s % a) % a;
  @
  @ lemma power_test: \forall integer a; 0 < a ==> (power_of_two(a) <==> (a & (a - 1)) == 0);
  @
  @ lemma power_positive: \forall integer a; power_of_two(a) ==> 0 < a;
  @
  @ lemma wrap_below: \forall integer x; 0 - SIZE_MAX <= x < 0 ==> (size_t)x == x + SIZE_MAX + 1;
  @
  @ lemma wrap_above: \forall integer x; SIZE_MAX < x <= 2 * SIZE_MAX + 1 ==>
  @     (size_t)x == x - SIZE_MAX - 1;
  @
  @ lemma mask_padding: \forall integer s, a; 0 < s <= SIZE_MAX && power_of_two(a) && a <= SIZE_MAX ==>
  @     ((SIZE_MAX + 1 - s) & (a - 1)) == padding(s, a);
  @
  @ lemma mask_words: \forall integer s, a; 0 < s <= SIZE_MAX && power_of_two(a) && a <= SIZE_MAX ==>
  @     ((size_t)(0 - s) & (size_t)(a - 1)) == padding(s, a);
  @
  @ lemma mask_line: \forall integer s; 0 <= s <= SIZE_MAX ==> (s & (SIZE_MAX - 63)) == s - s % 64;
  @
  @ lemma mask_whole: \forall integer x; 0 <= x <= SIZE_MAX ==> (x & (SIZE_MAX)) == x;
  @
  @ lemma mask_low: \forall integer x; 0 <= x ==> 0 <= (x & (127)) <= 127;
  @
  @ lemma shift_small: \forall integer k, v; 0 <= k <= 8 && v == (1 << k) ==>
  @     (k == 0 && v == 1) || (k == 1 && v == 2) || (k == 2 && v == 4) || (k == 3 && v == 8) ||
  @     (k == 4 && v == 16) ||
  @     (k == 5 && v == 32) || (k == 6 && v == 64) || (k == 7 && v == 128) || (k == 8 && v == 256);
  @
  @ lemma lowest_power: \forall integer s, f; 0 <= s < SIZE_MAX && f == ((size_t)(~s) & (size_t)(s + 1)) ==>
  @     power_of_two(f);
  @
  @ lemma lowest_free: \forall integer s, f; 0 <= s < SIZE_MAX && f == ((size_t)(~s) & (size_t)(s + 1)) ==>
  @     either(s, f) == s + f;
  @
  @ lemma shift_move: \forall integer l, b, t; power_of_two(l) && l != 1 && 0 <= b && t == (l << b) ==>
  @     power_of_two((l / 2)) && t == ((l / 2) << (b + 1));
  @
  @ lemma shift_word: \forall integer l, b; 1 <= l && 0 <= b && (l << b) <= SIZE_MAX ==> b < WORD_BITS;
  @
  @ lemma padding_range: \forall integer s, a; 0 <= s && 0 < a ==> 0 <= padding(s, a) < a;
  @
  @ lemma padding_aligns: \forall integer s, a; 0 <= s && 0 < a ==> (s + padding(s, a)) % a == 0;
  @
  @ lemma padding_least: \forall integer s, a, q; 0 <= s <= q && 0 < a && q % a == 0 ==>
  @     s + padding(s, a) <= q;
  @
  @ lemma quotient_test: \forall integer m, a, c; 0 <= m && 0 < a && 0 <= c ==>
  @     (c <= m / a <==> c * a <= m);
  @
  @ lemma product_positive: \forall integer a, c; 0 <= a && 0 <= c ==> 0 <= c * a;
  @*/

#endif
