(* lemmas.v - the lemmas of lemmas.h, for words of any width from 6 bits up.

   A cast to size_t is a remainder that is never negative; `&` is Z.land, `<<` Z.shiftl; `/` and `%`
   are Z.quot and Z.rem, which round as C and ACSL do. *)
Require Import ZArith Lia.
Open Scope Z_scope.

Section Words.

Variable width : Z.
Hypothesis wide : 6 <= width.
Let SIZE_MAX := 2 ^ width - 1.
Let WORD_BITS := width.

Definition size_t (x : Z) := x mod 2 ^ width.
Definition power_of_two (a : Z) := exists k, 0 <= k /\ a = Z.shiftl 1 k.
Definition either (a b : Z) := Z.lor a b.
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

Lemma mask_words : forall s a : Z, 0 < s <= SIZE_MAX /\ power_of_two a /\ a <= SIZE_MAX -> Z.land (size_t (0 - s)) (size_t (a - 1)) = padding s a.
Proof.
  intros s a [[? ?] [p ?]]. pose proof (power_positive a p).
  rewrite wrap_below by lia.
  replace (size_t (a - 1)) with (a - 1) by (unfold size_t, SIZE_MAX in *; symmetry; apply Z.mod_small; lia).
  replace (0 - s + SIZE_MAX + 1) with (SIZE_MAX + 1 - s) by ring.
  apply mask_padding. auto.
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

Lemma mask_whole : forall x : Z, 0 <= x <= SIZE_MAX -> Z.land x (SIZE_MAX) = x.
Proof.
  intros x [? ?]. unfold SIZE_MAX in *.
  replace (2 ^ width - 1) with (Z.ones width) by (rewrite Z.ones_equiv; lia).
  rewrite Z.land_ones by lia. apply Z.mod_small. lia.
Qed.

Lemma mask_low : forall x : Z, 0 <= x -> 0 <= Z.land x (127) <= 127.
Proof.
  intros x ?. change 127 with (Z.ones 7). rewrite Z.land_ones by lia.
  pose proof (Z.mod_pos_bound x (2 ^ 7)). change (Z.ones 7) with 127. change (2 ^ 7) with 128 in *. lia.
Qed.

Lemma shift_small : forall k v : Z, 0 <= k <= 8 /\ v = (Z.shiftl 1 k) -> (k = 0 /\ v = 1) \/ (k = 1 /\ v = 2) \/ (k = 2 /\ v = 4) \/ (k = 3 /\ v = 8) \/ (k = 4 /\ v = 16) \/ (k = 5 /\ v = 32) \/ (k = 6 /\ v = 64) \/ (k = 7 /\ v = 128) \/ (k = 8 /\ v = 256).
Proof.
  intros k v [? ->].
  assert (k = 0 \/ k = 1 \/ k = 2 \/ k = 3 \/ k = 4 \/ k = 5 \/ k = 6 \/ k = 7 \/ k = 8) as cases by lia.
  repeat (destruct cases as [-> | cases]; [cbn; lia|]). rewrite cases. cbn. lia.
Qed.

(* The lowest bit of s + 1 that is set: below it all bits of s are. *)
Lemma lowest_bit : forall n : nat, forall s : Z, 0 <= s < 2 ^ Z.of_nat n ->
  exists k, 0 <= k <= Z.of_nat n /\ Z.land (Z.lnot s) (s + 1) = 2 ^ k.
Proof.
  induction n as [|n step]; intros s [? bound].
  - exists 0. simpl in bound. assert (s = 0) as -> by lia. split; [lia|reflexivity].
  - destruct (Z.even s) eqn:parity.
    + apply Z.even_spec in parity. destruct parity as [h ->].
      exists 0. split; [lia|]. change (2 ^ 0) with 1.
      apply Z.bits_inj'. intros i ?.
      rewrite Z.land_spec, Z.lnot_spec by lia.
      destruct (Z.eq_dec i 0) as [->|].
      * rewrite Z.testbit_even_0, Z.testbit_odd_0. reflexivity.
      * replace i with (Z.succ (i - 1)) by lia.
        rewrite Z.testbit_even_succ, Z.testbit_odd_succ by lia.
        rewrite (Z.bits_above_log2 1 (Z.succ (i - 1))) by (change (Z.log2 1) with 0; lia).
        destruct (Z.testbit h (i - 1)); reflexivity.
    + assert (Z.odd s = true) as odd by (rewrite <- Z.negb_even, parity; reflexivity).
      apply Z.odd_spec in odd. destruct odd as [h ->].
      assert (0 <= h < 2 ^ Z.of_nat n) as small.
      { rewrite Nat2Z.inj_succ, Z.pow_succ_r in bound by lia. lia. }
      destruct (step h small) as [k [[? ?] same]].
      exists (k + 1). split; [lia|]. rewrite Z.pow_add_r by lia. change (2 ^ 1) with 2.
      rewrite <- same, (Z.mul_comm _ 2).
      apply Z.bits_inj'. intros i ?.
      rewrite Z.land_spec, Z.lnot_spec by lia.
      replace (2 * h + 1 + 1) with (2 * (h + 1)) by ring.
      destruct (Z.eq_dec i 0) as [->|].
      * rewrite !Z.testbit_even_0. apply Bool.andb_false_r.
      * replace i with (Z.succ (i - 1)) by lia.
        rewrite Z.testbit_odd_succ, !Z.testbit_even_succ by lia.
        rewrite Z.land_spec, Z.lnot_spec by lia. reflexivity.
Qed.

Lemma lowest_both (s : Z) : 0 <= s < SIZE_MAX ->
  power_of_two (Z.land (size_t (Z.lnot s)) (size_t (s + 1))) /\
  Z.lor s (Z.land (size_t (Z.lnot s)) (size_t (s + 1))) = s + Z.land (size_t (Z.lnot s)) (size_t (s + 1)).
Proof.
  intros [? bound]. unfold size_t, SIZE_MAX in *.
  rewrite (Z.mod_small (s + 1)) by lia.
  assert (Z.land (Z.lnot s mod 2 ^ width) (s + 1) = Z.land (Z.lnot s) (s + 1)) as ->.
  { apply Z.bits_inj'. intros i ?. rewrite !Z.land_spec.
    destruct (Z.lt_ge_cases i width).
    - now rewrite Z.mod_pow2_bits_low by lia.
    - replace (Z.testbit (s + 1) i) with false; [now rewrite !Bool.andb_false_r|].
      symmetry. rewrite <- (Z.mod_small (s + 1) (2 ^ width)) by lia.
      apply Z.mod_pow2_bits_high. lia. }
  split.
  - destruct (lowest_bit (Z.to_nat width) s) as [k [[? ?] same]].
    + rewrite Z2Nat.id by lia. lia.
    + exists k. rewrite Z.shiftl_1_l. auto.
  - symmetry. rewrite <- Z.lxor_lor.
    + apply Z.add_nocarry_lxor. rewrite Z.land_assoc, Z.land_lnot_diag. apply Z.land_0_l.
    + rewrite Z.land_assoc, Z.land_lnot_diag. apply Z.land_0_l.
Qed.

Lemma lowest_power : forall s f : Z, 0 <= s < SIZE_MAX /\ f = Z.land (size_t (Z.lnot s)) (size_t (s + 1)) -> power_of_two f.
Proof.
  intros s f [? ->]. now apply lowest_both.
Qed.

Lemma lowest_free : forall s f : Z, 0 <= s < SIZE_MAX /\ f = Z.land (size_t (Z.lnot s)) (size_t (s + 1)) -> either s f = s + f.
Proof.
  intros s f [? ->]. unfold either. now apply lowest_both.
Qed.

Lemma shift_move : forall l b t : Z, power_of_two l /\ l <> 1 /\ 0 <= b /\ t = (Z.shiftl l b) -> power_of_two (Z.quot l 2) /\ t = (Z.shiftl (Z.quot l 2) (b + 1)).
Proof.
  intros l b t [p [other [? ->]]]. destruct (power_is l p) as [k [? ->]].
  assert (0 < k) by (destruct (Z.eq_dec k 0) as [->|]; [elim other; reflexivity|lia]).
  replace (2 ^ k) with (2 ^ (k - 1) * 2) by (rewrite Z.mul_comm, <- Z.pow_succ_r by lia; f_equal; lia).
  rewrite Z.quot_mul by lia. split.
  - exists (k - 1). rewrite Z.shiftl_1_l. split; [lia|reflexivity].
  - rewrite !Z.shiftl_mul_pow2, Z.pow_add_r by lia. ring.
Qed.

Lemma shift_word : forall l b : Z, 1 <= l /\ 0 <= b /\ (Z.shiftl l b) <= SIZE_MAX -> b < WORD_BITS.
Proof.
  intros l b [? [? bound]]. rewrite Z.shiftl_mul_pow2 in bound by lia. unfold SIZE_MAX in bound. unfold WORD_BITS.
  apply (Z.pow_lt_mono_r_iff 2); [lia|lia|]. pose proof (Z.pow_pos_nonneg 2 b). nia.
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
Print Assumptions mask_words.
Print Assumptions mask_line.
Print Assumptions mask_whole.
Print Assumptions mask_low.
Print Assumptions shift_small.
Print Assumptions lowest_power.
Print Assumptions lowest_free.
Print Assumptions shift_move.
Print Assumptions shift_word.
Print Assumptions padding_range.
Print Assumptions padding_aligns.
Print Assumptions padding_least.
Print Assumptions quotient_test.
Print Assumptions product_positive.
