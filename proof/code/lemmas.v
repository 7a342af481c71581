(* lemmas.v - the lemmas of lemmas.h, for words of any width from 6 bits up.

   A cast to size_t is a remainder that is never negative; `&` is Z.land, `<<` Z.shiftl; `/` and `%`
   are Z.quot and Z.rem, which round as C and ACSL do. *)
Require Import ZArith Lia.
Open Scope Z_scope.

Section Words.

Variable width : Z.
Hypothesis wide : 6 <= width.
Let SIZE_MAX := 2 ^ width - 1.

Definition size_t (x : Z) := x mod 2 ^ width.
Definition power_of_two (a : Z) := exists k, 0 <= k /\ a = Z.shiftl 1 k.
Definition padding (s a : Z) := Z.rem (a - Z.rem s a) a.

Lemma power_is (a : Z) : power_of_two a -> exists k, 0 <= k /\ a = 2 ^ k.
Proof.
  intros [k [? ->]]. exists k. now rewrite Z.shiftl_1_l.
Qed.

Lemma power_positive : forall a : Z, power_of_two a -> 0 < a.
Proof.
  intros a p. destruct (power_is a p) as [k [? ->]]. lia.
Qed.

(* Above its highest bit, a number that is no power of two shares that bit with the number before it. *)
Lemma power_test : forall a : Z, 0 < a -> (power_of_two a <-> Z.land a (a - 1) = 0).
Proof.
  intros a positive. split.
  - intros p. destruct (power_is a p) as [k [? ->]].
    replace (2 ^ k - 1) with (Z.ones k) by (rewrite Z.ones_equiv; lia).
    rewrite Z.land_ones by lia. apply Z.mod_same. lia.
  - intros no_bit. set (k := Z.log2 a).
    destruct (Z.log2_spec a positive) as [low high]. fold k in low, high.
    assert (0 <= k) by apply Z.log2_nonneg.
    exists k. split; [assumption|]. rewrite Z.shiftl_1_l.
    destruct (Z.eq_dec a (2 ^ k)) as [|other]; [assumption|exfalso].
    assert (Z.log2 (a - 1) = k) as same by (apply Z.log2_unique; lia).
    assert (Z.testbit (Z.land a (a - 1)) k = true) as bit.
    { rewrite Z.land_spec. apply andb_true_intro. split.
      - apply Z.bit_log2. lia.
      - rewrite <- same. apply Z.bit_log2. lia. }
    rewrite no_bit, Z.bits_0 in bit. discriminate.
Qed.

Lemma padding_mod (s a : Z) : 0 <= s -> 0 < a -> padding s a = (- s) mod a.
Proof.
  intros. unfold padding.
  assert (0 <= Z.rem s a < a) by (apply Z.rem_bound_pos; lia).
  rewrite Z.rem_mod_nonneg by lia. rewrite (Z.rem_mod_nonneg s) by lia.
  rewrite Zminus_mod_idemp_r. replace (a - s) with (- s + 1 * a) by ring.
  apply Z.mod_add. lia.
Qed.

Lemma wrap_below : forall x : Z, 0 - SIZE_MAX <= x < 0 -> size_t x = x + SIZE_MAX + 1.
Proof.
  intros x ?. unfold size_t, SIZE_MAX in *. symmetry. apply Z.mod_unique with (-1); lia.
Qed.

Lemma wrap_above : forall x : Z, SIZE_MAX < x <= 2 * SIZE_MAX + 1 -> size_t x = x - SIZE_MAX - 1.
Proof.
  intros x ?. unfold size_t, SIZE_MAX in *. symmetry. apply Z.mod_unique with 1; lia.
Qed.

Lemma mask_padding : forall s a : Z, 0 < s <= SIZE_MAX /\ power_of_two a /\ a <= SIZE_MAX -> Z.land (SIZE_MAX + 1 - s) (a - 1) = padding s a.
Proof.
  intros s a [[? ?] [p bound]]. pose proof (power_positive a p).
  rewrite padding_mod by lia.
  destruct (power_is a p) as [k [? ->]]. unfold SIZE_MAX in *.
  assert (k < width) by (apply (Z.pow_lt_mono_r_iff 2); lia).
  replace (2 ^ k - 1) with (Z.ones k) by (rewrite Z.ones_equiv; lia).
  rewrite Z.land_ones by lia.
  replace (2 ^ width - 1 + 1 - s) with (- s + 2 ^ (width - k) * 2 ^ k).
  - apply Z.mod_add. lia.
  - rewrite <- Z.pow_add_r by lia. replace (width - k + k) with width by ring. ring.
Qed.

Lemma mask_line : forall s : Z, 0 <= s <= SIZE_MAX -> Z.land s (SIZE_MAX - 63) = s - Z.rem s 64.
Proof.
  intros s [? bound]. unfold SIZE_MAX in *.
  assert (2 ^ 6 <= 2 ^ width) by (apply Z.pow_le_mono_r; lia).
  assert (Z.land s (2 ^ width - 1 - 63) = Z.ldiff s (Z.ones 6)) as ->.
  { replace (2 ^ width - 1 - 63) with (Z.ldiff (Z.ones width) (Z.ones 6)).
    - apply Z.bits_inj'. intros n ?.
      rewrite Z.land_spec, !Z.ldiff_spec.
      destruct (Z.lt_ge_cases n width).
      + rewrite (Z.ones_spec_low width) by lia. now rewrite Bool.andb_true_l.
      + now rewrite <- (Z.mod_small s (2 ^ width)), Z.mod_pow2_bits_high by lia.
    - rewrite Z.ldiff_ones_r by lia. rewrite Z.shiftl_mul_pow2, Z.shiftr_div_pow2 by lia.
      rewrite Z.ones_equiv.
      replace (2 ^ width) with (2 ^ (width - 6) * 2 ^ 6) by (rewrite <- Z.pow_add_r by lia; f_equal; ring).
      replace (Z.pred (2 ^ (width - 6) * 2 ^ 6)) with (63 + (2 ^ (width - 6) - 1) * 2 ^ 6) by lia.
      rewrite Z.div_add by lia. change (63 / 2 ^ 6) with 0. lia. }
  rewrite Z.ldiff_ones_r by lia. rewrite Z.shiftl_mul_pow2, Z.shiftr_div_pow2 by lia.
  rewrite Z.rem_mod_nonneg by lia. change (2 ^ 6) with 64.
  pose proof (Z.div_mod s 64). lia.
Qed.

Lemma padding_range : forall s a : Z, 0 <= s /\ 0 < a -> 0 <= padding s a < a.
Proof.
  intros s a [? ?]. rewrite padding_mod by lia. apply Z.mod_pos_bound. lia.
Qed.

Lemma padding_aligns : forall s a : Z, 0 <= s /\ 0 < a -> Z.rem (s + padding s a) a = 0.
Proof.
  intros s a [? ?]. pose proof (padding_range s a).
  rewrite Z.rem_mod_nonneg by lia. rewrite padding_mod by lia.
  rewrite Zplus_mod_idemp_r. replace (s + - s) with 0 by ring. apply Z.mod_0_l. lia.
Qed.

Lemma padding_least : forall s a q : Z, 0 <= s <= q /\ 0 < a /\ Z.rem q a = 0 -> s + padding s a <= q.
Proof.
  intros s a q [[? ?] [? multiple]]. rewrite padding_mod by lia.
  rewrite Z.rem_mod_nonneg in multiple by lia.
  assert ((- s) mod a = (q - s) mod a) as ->.
  { replace (q - s) with (q + - s) by ring. rewrite <- (Zplus_mod_idemp_l q), multiple. reflexivity. }
  pose proof (Z.mod_le (q - s) a). lia.
Qed.

Lemma quotient_test : forall m a c : Z, 0 <= m /\ 0 < a /\ 0 <= c -> (c <= Z.quot m a <-> c * a <= m).
Proof.
  intros m a c [? [? ?]]. rewrite Z.quot_div_nonneg by lia.
  pose proof (Z.div_mod m a). pose proof (Z.mod_pos_bound m a). nia.
Qed.

Lemma product_positive : forall a c : Z, 0 <= a /\ 0 <= c -> 0 <= c * a.
Proof.
  nia.
Qed.

End Words.

Print Assumptions power_test.
Print Assumptions power_positive.
Print Assumptions wrap_below.
Print Assumptions wrap_above.
Print Assumptions mask_padding.
Print Assumptions mask_line.
Print Assumptions padding_range.
Print Assumptions padding_aligns.
Print Assumptions padding_least.
Print Assumptions quotient_test.
Print Assumptions product_positive.
