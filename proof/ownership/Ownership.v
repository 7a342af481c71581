(** The ownership of blocks: a model of the library's shared path, proved in Iris.

    The programs below are the C text of src/place.h, src/chunk.h, src/chunk.c, src/resource.c and
    tsmbr_release, written in heap_lang: threads that step in any order over one heap, in which a
    load, a store or a free of a cell that is not allocated is stuck, and so is a failed assertion.
    To own a block is to hold the points-to of each of its cells. Nobody else holds one then, so no
    other thread can read, write or free those cells without a proof that goes wrong here.

    What is proved, each closed under the global context:

    - [carve_spec]: chunk_carve is one atomic step. A block is aligned, within the chunk, and the
      caller's alone. NONE changes nothing, and is exact ([fit_None]): at that moment no aligned
      address of the room left had enough bytes after it. The ENSURE in it never fails.
    - [allocate_spec]: tsmbr_allocate on a resource that any number of threads use gives NONE or a
      block that is aligned, within a chunk, and the caller's alone; zero bytes are served as one. Chunks
      are replaced meanwhile; a chunk whose compare-and-swap on head is lost is given back, and
      nobody touches it again. The ENSURE in resource_obtain never fails: place_total is enough.
    - [release_spec]: when all threads are done and all blocks are given up, tsmbr_release gives
      every chunk back as a whole, blocks and record included, and leaves an empty resource.
    - [client_safe]: a closed program in which any number of threads allocate any number of blocks of
      any sizes and alignments, fill them, and check later that nobody wrote to them; then
      all is released, and all of it is done once more. No execution of it can get stuck, whatever the
      upstream refuses, wherever its memory lies and however large the chunks become.

    What is not proved:

    - This is a model, not the C text, and heap_lang is sequentially consistent: nothing here is
      about memory orders. The table in section 7 of spec.md is.
    - Integers do not wrap: the checks against SIZE_MAX and PTRDIFF_MAX are left out.
    - A pointer cannot be turned into a number. The upstream says at which address its memory lies,
      the record keeps it ([base]), and a block is answered as a pair: location and address.
    - heap_lang never allocates a freed location again, so nothing here is about its reuse.
    - Left out: the caller's buffer, chunks for one large block, kept chunks, the limit, try_resize,
      cleanups, counters, the check of the alignment, the pauses before the upstream is asked. The
      size of the next chunk is any number, so every policy of growth is covered.
    - Only safety: not progress, and not that nothing leaks. *)

From iris.algebra Require Import gmultiset.
From iris.algebra.lib Require Import frac_auth mono_list.
From iris.base_logic.lib Require Import invariants cancelable_invariants.
From iris.program_logic Require Import atomic.
From iris.heap_lang Require Import proofmode notation adequacy.
From iris.heap_lang.lib Require Import arith array assert par nondet_bool.
From iris.prelude Require Import options.

Set Default Proof Using "Type".
Local Open Scope Z_scope.

(** C's &, on integers. *)
Local Notation "e1 & e2" := (BinOp AndOp e1%E e2%E) (at level 75) : expr_scope.

(* --------------------------------------------------------------------------- place.h -- *)

(** PLACE_RECORD, PLACE_LINE. A cell stands for a byte, though a field of a record takes only one. *)
Definition record_bytes : Z := 64.
Definition line : Z := 64.

(** place_fit: where a block goes in the room after [next], as (offset, end). *)
Definition place_fit : val :=
  λ: "base" "capacity" "next" "bytes" "alignment",
    let: "padding" := (#0 - ("base" + "next")) & ("alignment" - #1) in
    let: "room" := "capacity" - "next" in
    if: ("room" < "padding") || ("room" - "padding" < "bytes") then NONE
    else SOME ("next" + "padding", "next" + "padding" + "bytes").

(** place_record: the capacity of a chunk with its record on the last whole line. *)
Definition place_record : val :=
  λ: "base" "total",
    if: "total" < #record_bytes then NONE
    else
      let: "record" := ("base" + "total" - #record_bytes) & ~ (#line - #1) in
      if: "record" < "base" then NONE else SOME ("record" - "base").

(** place_total: bytes of chunk that serve a block wherever the upstream puts the chunk. *)
Definition place_total : val :=
  λ: "bytes" "alignment", "bytes" + ("alignment" - #1) + (#record_bytes + #line - #1).

Definition place_bytes : val := λ: "bytes", if: "bytes" = #0 then #1 else "bytes".

(** The same arithmetic as functions, to state things with. *)
Definition is_alignment (a : Z) : Prop := ∃ k, 0 ≤ k ∧ a = 2 ^ k.

Definition padding (base next alignment : Z) : Z := Z.land (0 - (base + next)) (alignment - 1).

Definition fit (base capacity next bytes alignment : Z) : option Z :=
  let p := padding base next alignment in
  if decide (p ≤ capacity - next ∧ bytes ≤ capacity - next - p) then Some (next + p) else None.

Definition record_capacity (base total : Z) : Z :=
  Z.land (base + total - record_bytes) (Z.lnot (line - 1)) - base.

Lemma padding_mod base next a : is_alignment a → padding base next a = (- (base + next)) mod a.
Proof.
  intros (k & Hk & ->). rewrite /padding -Z.land_ones // Z.ones_equiv. f_equal; lia.
Qed.

Lemma alignment_pos a : is_alignment a → 0 < a.
Proof. intros (k & ? & ->). by apply Z.pow_pos_nonneg. Qed.

Lemma padding_bounds base next a : is_alignment a → 0 ≤ padding base next a < a.
Proof. intros Ha. rewrite padding_mod //. apply Z.mod_pos_bound. by apply alignment_pos. Qed.

(** A fit is aligned by address and within the chunk. *)
Lemma fit_Some base capacity next bytes a off :
  is_alignment a → fit base capacity next bytes a = Some off →
  next ≤ off ∧ off + bytes ≤ capacity ∧ (base + off) mod a = 0.
Proof.
  intros Ha. pose proof (padding_bounds base next a Ha) as Hp. rewrite /fit.
  destruct (decide _) as [[??]|]; intros [= <-]. split_and!; [lia..|].
  pose proof (alignment_pos a Ha). rewrite Z.add_assoc padding_mod // Z.add_mod_idemp_r; last lia.
  by rewrite Z.add_opp_diag_r.
Qed.

(** The "no" is exact. *)
Lemma fit_None base capacity next bytes a off :
  is_alignment a → 0 ≤ bytes → fit base capacity next bytes a = None →
  next ≤ off → (base + off) mod a = 0 → capacity < off + bytes.
Proof.
  intros Ha Hbytes Hfit Hoff Hmod. pose proof (alignment_pos a Ha).
  assert (padding base next a ≤ off - next).
  { rewrite padding_mod //.
    assert (- (base + next) = (off - next) + (- (base + off))) as -> by lia.
    rewrite Z.add_mod; last lia. rewrite (Z.mod_opp_l_z (base + off)); [|lia|done].
    rewrite Z.add_0_r Z.mod_mod; last lia. apply Z.mod_le; lia. }
  move: Hfit. rewrite /fit. case_decide; [done|lia].
Qed.

Lemma record_capacity_bounds base total :
  total - record_bytes - (line - 1) ≤ record_capacity base total ≤ total - record_bytes.
Proof.
  rewrite /record_capacity /line /record_bytes.
  change (Z.lnot (64 - 1)) with (Z.lnot (Z.ones 6)).
  rewrite -Z.ldiff_land Z.ldiff_ones_r // Z.shiftl_mul_pow2 // Z.shiftr_div_pow2 //.
  change (2 ^ 6) with 64. pose proof (Z.mod_pos_bound (base + total - 64) 64 eq_refl).
  pose proof (Z.div_mod (base + total - 64) 64 ltac:(done)). lia.
Qed.

(** place_total is enough: padding is always less than the alignment. *)
Lemma need_fits base capacity bytes a :
  is_alignment a → 0 ≤ bytes → bytes + (a - 1) ≤ capacity → fit base capacity 0 bytes a ≠ None.
Proof.
  intros Ha Hbytes Hcap. pose proof (padding_bounds base 0 a Ha). rewrite /fit. case_decide; [done|lia].
Qed.

Definition fit_val (place : option Z) (bytes : Z) : val :=
  match place with None => NONEV | Some offset => SOMEV (#offset, #(offset + bytes)) end.

Section place.
  Context `{!heapGS Σ}.

  Lemma place_fit_spec (base capacity next bytes a : Z) Φ :
    ▷ Φ (fit_val (fit base capacity next bytes a) bytes) -∗
    WP place_fit #base #capacity #next #bytes #a {{ Φ }}.
  Proof.
    iIntros "HΦ". rewrite /place_fit. wp_pures. rewrite -/(padding base next a) /fit.
    case_bool_decide; wp_pures.
    { rewrite decide_False; [done|lia]. }
    case_bool_decide; wp_pures.
    { rewrite decide_False; [done|lia]. }
    rewrite decide_True; [|lia]. done.
  Qed.

  Lemma place_record_spec (base total : Z) Φ :
    ▷ (∀ v, ⌜v = NONEV ∧ (total < record_bytes + line - 1) ∨
             v = SOMEV #(record_capacity base total) ∧ 0 ≤ record_capacity base total⌝ -∗ Φ v) -∗
    WP place_record #base #total {{ Φ }}.
  Proof.
    pose proof (record_capacity_bounds base total) as Hcap.
    iIntros "HΦ". rewrite /place_record. wp_pures. case_bool_decide; wp_pures.
    { iApply "HΦ". iPureIntro. left. split; [done|]. rewrite /line. lia. }
    rewrite /record_capacity in Hcap. case_bool_decide; wp_pures.
    { iApply "HΦ". iPureIntro. left. split; [done|]. lia. }
    iApply "HΦ". iPureIntro. right. split; [done|]. rewrite /record_capacity. lia.
  Qed.
End place.

(* ------------------------------------------------------------------ chunk.h, chunk.c -- *)

(** A record's fields. [base_] is not in the C record: there it is a cast of the start. *)
Definition next_ : Z := 0.
Definition start_ : Z := 1.
Definition base_ : Z := 2.
Definition size_ : Z := 3.
Definition capacity_ : Z := 4.
Definition prev_ : Z := 5.
Definition fields : Z := 6.

(** The loop of chunk_carve. After a loss it goes on with the value that won, as in C. *)
Definition carve_loop : val :=
  rec: "again" "c" "start" "base" "capacity" "bytes" "alignment" "seen" :=
    match: place_fit "base" "capacity" "seen" "bytes" "alignment" with
      NONE => NONE
    | SOME "place" =>
      let: "offset" := Fst "place" in
      let: "end" := Snd "place" in
      let: "was" := CmpXchg ("c" +ₗ #next_) "seen" "end" in
      if: Snd "was" then
        assert: (("base" + "offset") `rem` "alignment" = #0) && ("end" ≤ "capacity") ;;
        SOME ("start" +ₗ "offset", "base" + "offset")
      else "again" "c" "start" "base" "capacity" "bytes" "alignment" (Fst "was")
    end.

(** chunk_carve. The three constant fields are read once. *)
Definition carve : val :=
  λ: "c" "bytes" "alignment",
    let: "start" := !("c" +ₗ #start_) in
    let: "base" := !("c" +ₗ #base_) in
    let: "capacity" := !("c" +ₗ #capacity_) in
    carve_loop "c" "start" "base" "capacity" "bytes" "alignment" (!("c" +ₗ #next_)).

(** chunk_carve_private: a plain store, for a chunk no other thread can see. *)
Definition carve_private : val :=
  λ: "c" "bytes" "alignment",
    let: "base" := !("c" +ₗ #base_) in
    match: place_fit "base" !("c" +ₗ #capacity_) #0 "bytes" "alignment" with
      NONE => NONE
    | SOME "place" =>
      let: "offset" := Fst "place" in
      "c" +ₗ #next_ <- Snd "place" ;;
      SOME (!("c" +ₗ #start_) +ₗ "offset", "base" + "offset")
    end.

(** What a resource is given: an upstream, which may refuse, and the size that the next chunk would
    like to have. [up_allocate] answers (location, address). *)
Record environment := Environment { up_allocate : val; up_deallocate : val; grown : val }.

(** tsmbr_chunk_obtain: the record lies in the chunk's own memory, after the last block. *)
Definition chunk_obtain (env : environment) : val :=
  λ: "total",
    match: up_allocate env "total" with
      NONE => NONE
    | SOME "memory" =>
      let: "start" := Fst "memory" in
      let: "base" := Snd "memory" in
      match: place_record "base" "total" with
        NONE => up_deallocate env "start" "total" ;; NONE
      | SOME "capacity" =>
        let: "c" := "start" +ₗ "capacity" in
        "c" +ₗ #next_ <- #0 ;;
        "c" +ₗ #start_ <- "start" ;;
        "c" +ₗ #base_ <- "base" ;;
        "c" +ₗ #size_ <- "total" ;;
        "c" +ₗ #capacity_ <- "capacity" ;;
        "c" +ₗ #prev_ <- NONE ;;
        SOME "c"
      end
    end.

(** tsmbr_chunk_give_back: all of the memory, record included. The record is read first. *)
Definition chunk_give_back (env : environment) : val :=
  λ: "c",
    let: "start" := !("c" +ₗ #start_) in
    let: "total" := !("c" +ₗ #size_) in
    up_deallocate env "start" "total".

(** What is in a record, but [next]: it does not change once the chunk is published. *)
Record chunk := Chunk { start : loc; base : Z; size : Z; capacity : Z; prev : val }.
Definition record_of (i : chunk) : loc := start i +ₗ capacity i.

Definition chunk_fit (i : chunk) (next bytes a : Z) : option Z := fit (base i) (capacity i) next bytes a.

Section chunk.
  Context `{!heapGS Σ}.

  (** [n] cells from [l] on, with anything in them. *)
  Definition cells (l : loc) (n : Z) : iProp Σ := ∃ vs, ⌜Z.of_nat (length vs) = n⌝ ∗ l ↦∗ vs.

  Lemma cells_split l n m : 0 ≤ n → 0 ≤ m → cells l (n + m) ⊣⊢ cells l n ∗ cells (l +ₗ n) m.
  Proof.
    intros Hn Hm. iSplit.
    - iIntros "(%vs & %Hlen & Hl)". rewrite -(take_drop (Z.to_nat n) vs) array_app.
      iDestruct "Hl" as "[H1 H2]". rewrite take_length_le; last lia. rewrite Z2Nat.id; last lia.
      iSplitL "H1"; iExists _; iFrame; iPureIntro; rewrite ?take_length ?drop_length; lia.
    - iIntros "[(%vs & % & H1) (%ws & % & H2)]". iExists (vs ++ ws).
      rewrite app_length array_app. subst n. iFrame. iPureIntro. lia.
  Qed.

  Lemma cells_split_at l n m : 0 ≤ n ≤ m → cells l m ⊣⊢ cells l n ∗ cells (l +ₗ n) (m - n).
  Proof. intros ?. rewrite -cells_split; [|lia..]. by replace (n + (m - n)) with m by lia. Qed.

  Lemma cells_0 l : ⊢ cells l 0.
  Proof. iExists []. rewrite array_nil. eauto. Qed.

  Lemma cells_1 l v : l ↦ v -∗ cells l 1.
  Proof. iIntros "H". iExists [v]. rewrite array_singleton. eauto. Qed.

  Definition record (c : loc) (i : chunk) (next : Z) : iProp Σ :=
    (c +ₗ next_) ↦ #next ∗ (c +ₗ start_) ↦ #(start i) ∗ (c +ₗ base_) ↦ #(base i) ∗
    (c +ₗ size_) ↦ #(size i) ∗ (c +ₗ capacity_) ↦ #(capacity i) ∗ (c +ₗ prev_) ↦ prev i.

  (** A chunk that has handed out the cells before [next]: its record, the room that is left, and
      what is left of the last line after the record. *)
  Definition chunk_at (i : chunk) (next : Z) : iProp Σ :=
    ⌜0 ≤ next ≤ capacity i ∧ capacity i ≤ size i - record_bytes⌝ ∗
    record (record_of i) i next ∗
    cells (start i +ₗ next) (capacity i - next) ∗
    cells (record_of i +ₗ fields) (size i - capacity i - fields).

  Global Instance chunk_at_timeless i next : Timeless (chunk_at i next).
  Proof. apply _. Qed.

  Lemma chunk_next_bounds i next : chunk_at i next -∗ ⌜0 ≤ next ≤ capacity i⌝.
  Proof. iIntros "[[% _] _]". done. Qed.

  Lemma record_cells c i next : record c i next -∗ cells c fields.
  Proof.
    iIntros "(H0 & H1 & H2 & H3 & H4 & H5)".
    iExists [ #next; #(start i); #(base i); #(size i); #(capacity i); prev i].
    rewrite !array_cons array_nil !loc_add_assoc loc_add_0. iFrame. done.
  Qed.

  Lemma cells_record c :
    cells c fields -∗ ∃ v0 v1 v2 v3 v4 v5,
      (c +ₗ next_) ↦ v0 ∗ (c +ₗ start_) ↦ v1 ∗ (c +ₗ base_) ↦ v2 ∗
      (c +ₗ size_) ↦ v3 ∗ (c +ₗ capacity_) ↦ v4 ∗ (c +ₗ prev_) ↦ v5.
  Proof.
    iIntros "(%vs & %Hlen & H)". destruct vs as [|v0 [|v1 [|v2 [|v3 [|v4 [|v5 [|??]]]]]]];
      rewrite /fields /= in Hlen; try lia.
    rewrite !array_cons !loc_add_assoc loc_add_0. iDestruct "H" as "(H0 & H1 & H2 & H3 & H4 & H5 & _)".
    iExists v0, v1, v2, v3, v4, v5. iFrame.
  Qed.

  (** The whole of a chunk's memory, as the upstream granted it. *)
  Lemma chunk_whole i next : chunk_at i next -∗ cells (start i) next -∗ cells (start i) (size i).
  Proof.
    iIntros "(% & Hrec & Hfree & Hrest) Hused".
    rewrite (cells_split_at _ (capacity i) (size i)); last (rewrite /record_bytes in H; lia).
    rewrite (cells_split_at _ next (capacity i)); last lia. iFrame "Hused Hfree".
    rewrite -/(record_of i) (cells_split_at _ fields (size i - capacity i));
      last (rewrite /record_bytes /fields in H *; lia).
    iFrame "Hrest". by iApply record_cells.
  Qed.

  (** A chunk after a carve, and what left it: the padding, and the block. *)
  Definition carved (i : chunk) (next bytes : Z) (place : option Z) : iProp Σ :=
    match place with
    | None => chunk_at i next
    | Some offset =>
      chunk_at i (offset + bytes) ∗ cells (start i +ₗ next) (offset - next) ∗
      cells (start i +ₗ offset) bytes
    end.

  Definition block_val (i : chunk) (place : option Z) : val :=
    match place with
    | None => NONEV
    | Some offset => SOMEV (#(start i +ₗ offset), #(base i + offset))
    end.

  (** The room for a block leaves a chunk by one write of [next]. *)
  Lemma chunk_carve i next bytes a offset :
    is_alignment a → 0 ≤ bytes → chunk_fit i next bytes a = Some offset →
    chunk_at i next -∗
    (record_of i +ₗ next_) ↦ #next ∗
    ((record_of i +ₗ next_) ↦ #(offset + bytes) -∗ carved i next bytes (Some offset)).
  Proof.
    iIntros (Ha Hbytes Hfit) "(% & ($ & Hrec) & Hfree & Hrest) Hnext".
    destruct (fit_Some _ _ _ _ _ _ Ha Hfit) as (? & ? & _).
    rewrite (cells_split_at _ (offset - next) (capacity i - next)); last lia.
    rewrite (cells_split_at _ bytes (_ - _ - _)); last lia. rewrite !loc_add_assoc.
    iDestruct "Hfree" as "($ & Hblock & Hfree)".
    replace (next + (offset - next)) with offset by lia.
    replace (next + (offset - next + bytes)) with (offset + bytes) by lia.
    replace (capacity i - next - (offset - next) - bytes) with (capacity i - (offset + bytes)) by lia.
    rewrite /chunk_at /record /record_of !loc_add_assoc. iFrame. iPureIntro. lia.
  Qed.

  (** NONE is decided by the value read: what happens to [next] after that does not matter. *)
  Lemma carve_loop_refuses (c s : loc) (b cap bytes a seen : Z) :
    fit b cap seen bytes a = None →
    ⊢ WP carve_loop #c #s #b #cap #bytes #a #seen {{ v, ⌜v = NONEV⌝ }}.
  Proof.
    iIntros (Hfit). wp_rec. wp_pures. wp_apply place_fit_spec. rewrite Hfit /=. by wp_pures.
  Qed.

  Lemma carve_loop_spec (i : chunk) (bytes a seen offset : Z) :
    is_alignment a → 0 ≤ bytes → chunk_fit i seen bytes a = Some offset →
    ⊢ <<< ∀∀ next, chunk_at i next >>>
        carve_loop #(record_of i) #(start i) #(base i) #(capacity i) #bytes #a #seen @ ∅
      <<< carved i next bytes (chunk_fit i next bytes a),
          RET block_val i (chunk_fit i next bytes a) >>>.
  Proof.
    iIntros (Ha Hbytes Hfit Φ) "AU". iLöb as "IH" forall (seen offset Hfit).
    wp_rec. wp_pures. wp_apply place_fit_spec.
    fold (chunk_fit i seen bytes a). rewrite Hfit /=. wp_pures.
    wp_bind (CmpXchg _ _ _). iMod "AU" as (next) "[Hc Hclose]".
    destruct (decide (next = seen)) as [->|Hne].
    - iDestruct (chunk_carve with "Hc") as "[Hnext Hc]"; [done..|].
      wp_cmpxchg_suc. iDestruct ("Hc" with "Hnext") as "Hc".
      iDestruct "Hclose" as "[_ Hclose]". rewrite Hfit. iMod ("Hclose" with "Hc") as "HΦ". iModIntro.
      destruct (fit_Some _ _ _ _ _ _ Ha Hfit) as (? & ? & Hmod).
      wp_pures. wp_apply wp_assert. wp_pures.
      rewrite bool_decide_eq_true_2; last first.
      { do 2 f_equal. apply Z.rem_divide; [pose proof (alignment_pos a Ha); lia|].
        apply Z.mod_divide; [pose proof (alignment_pos a Ha); lia|done]. }
      wp_pures. rewrite bool_decide_eq_true_2 //. iModIntro. iSplit; first done. iNext. by wp_pures.
    - iDestruct (chunk_next_bounds with "Hc") as %Hb.
      iDestruct "Hc" as "(%Hwf & [Hnext Hrec] & Hfree)".
      wp_cmpxchg_fail.
      iAssert (chunk_at i next) with "[$Hnext $Hrec $Hfree]" as "Hc"; first done.
      destruct (chunk_fit i next bytes a) as [offset'|] eqn:Hfit'.
      + iDestruct "Hclose" as "[Hclose _]". iMod ("Hclose" with "Hc") as "AU". iModIntro.
        wp_pures. by iApply ("IH" with "[] AU").
      + iDestruct "Hclose" as "[_ Hclose]". iMod ("Hclose" with "Hc") as "HΦ". iModIntro.
        wp_pures. wp_apply wp_wand; first by iApply carve_loop_refuses. by iIntros (? ->).
  Qed.

  (** chunk_carve is one atomic step: CarveWon if the block fits, the read of [next] if not. The chunk
      is anybody's: the triple asks for it for that one step, not for the length of the call. *)
  Theorem carve_spec (i : chunk) (bytes a : Z) :
    is_alignment a → 0 ≤ bytes →
    ⊢ <<< ∀∀ next, chunk_at i next >>>
        carve #(record_of i) #bytes #a @ ∅
      <<< carved i next bytes (chunk_fit i next bytes a),
          RET block_val i (chunk_fit i next bytes a) >>>.
  Proof.
    iIntros (Ha Hbytes Φ) "AU". rewrite /carve. wp_pures.
    wp_bind (! _)%E. iMod "AU" as (n0) "[(%Hwf0 & (?&Hs&?) & ?) [Hclose _]]". wp_load.
    iMod ("Hclose" with "[-]") as "AU"; first by iFrame. iModIntro. wp_pures.
    wp_bind (! _)%E. iMod "AU" as (n1) "[(%Hwf1 & (?&?&Hb&?) & ?) [Hclose _]]". wp_load.
    iMod ("Hclose" with "[-]") as "AU"; first by iFrame. iModIntro. wp_pures.
    wp_bind (! _)%E. iMod "AU" as (n2) "[(%Hwf2 & (?&?&?&?&Hcap&?) & ?) [Hclose _]]". wp_load.
    iMod ("Hclose" with "[-]") as "AU"; first by iFrame. iModIntro. wp_pures.
    wp_bind (! _)%E. iMod "AU" as (seen) "[(%Hwf3 & (Hnext&?) & ?) Hclose]". wp_load.
    destruct (chunk_fit i seen bytes a) as [offset|] eqn:Hfit.
    - iDestruct "Hclose" as "[Hclose _]".
      iMod ("Hclose" with "[-]") as "AU"; first by iFrame. iModIntro.
      by iApply (carve_loop_spec with "AU").
    - iDestruct "Hclose" as "[_ Hclose]".
      iMod ("Hclose" with "[-]") as "HΦ"; first by iFrame. iModIntro.
      wp_apply wp_wand; first by iApply carve_loop_refuses. by iIntros (? ->).
  Qed.

  Lemma carve_private_spec i (bytes a : Z) :
    is_alignment a → 0 ≤ bytes →
    {{{ chunk_at i 0 }}}
      carve_private #(record_of i) #bytes #a
    {{{ RET block_val i (chunk_fit i 0 bytes a); carved i 0 bytes (chunk_fit i 0 bytes a) }}}.
  Proof.
    iIntros (Ha Hbytes Φ) "Hc HΦ". rewrite /carve_private. wp_pures.
    iDestruct "Hc" as "(%Hwf & (H0 & H1 & H2 & H3 & H4 & H5) & Hfree)". wp_load. wp_pures. wp_load.
    wp_apply place_fit_spec. fold (chunk_fit i 0 bytes a).
    iAssert (chunk_at i 0) with "[$H0 $H1 $H2 $H3 $H4 $H5 $Hfree]" as "Hc"; first done.
    destruct (chunk_fit i 0 bytes a) as [offset|] eqn:Hfit; wp_pures; last by iApply "HΦ".
    iDestruct (chunk_carve with "Hc") as "[Hnext Hc]"; [done..|]. wp_store.
    iDestruct ("Hc" with "Hnext") as "((%Hwf' & (H0 & H1 & H2 & H3 & H4 & H5) & Hfree) & Hblock)".
    wp_load. wp_pures. iModIntro. iApply "HΦ". by iFrame.
  Qed.
End chunk.

(* ---------------------------------------------------------------------- resource.c -- *)

(** resource_obtain: a private chunk with the block in it. The application of a number is ENSURE. *)
Definition resource_obtain (env : environment) : val :=
  λ: "bytes" "alignment" "total",
    match: chunk_obtain env "total" with
      NONE => NONE
    | SOME "n" =>
      match: carve_private "n" "bytes" "alignment" with
        NONE => #0 #0
      | SOME "block" => SOME ("n", "block")
      end
    end.

(** resource_install: the block goes into the chunk before the chunk is published. InstallLost gives
    the chunk back, block and all. *)
Definition resource_install (env : environment) : val :=
  λ: "r" "c" "bytes" "alignment" "total",
    match: resource_obtain env "bytes" "alignment" "total" with
      NONE => NONE
    | SOME "new" =>
      let: "n" := Fst "new" in
      let: "block" := Snd "new" in
      "n" +ₗ #prev_ <- "c" ;;
      if: CAS "r" "c" (SOME "n") then SOME "block"
      else chunk_give_back env "n" ;; NONE
    end.

(** resource_carve_any, without the lists left out here: any chunk that is held and has room. *)
Definition resource_carve_any : val :=
  rec: "again" "c" "bytes" "alignment" :=
    match: "c" with
      NONE => NONE
    | SOME "chunk" =>
      match: carve "chunk" "bytes" "alignment" with
        NONE => "again" !("chunk" +ₗ #prev_) "bytes" "alignment"
      | SOME "block" => SOME "block"
      end
    end.

(** resource_allocate: rounds of resource_round. *)
Definition resource_allocate (env : environment) : val :=
  rec: "again" "r" "bytes" "alignment" :=
    let: "c" := !"r" in
    let: "carved" := match: "c" with NONE => NONE | SOME "chunk" => carve "chunk" "bytes" "alignment" end in
    match: "carved" with
      SOME "block" => SOME "block"
    | NONE =>
      let: "need" := place_total "bytes" "alignment" in
      let: "grown" := grown env #() in
      let: "total" := maximum "need" "grown" in
      match: resource_install env "r" "c" "bytes" "alignment" "total" with
        SOME "block" => SOME "block"
      | NONE =>
        if: !"r" = "c" then resource_carve_any !"r" "bytes" "alignment"
        else "again" "r" "bytes" "alignment"
      end
    end.

(** tsmbr_allocate. *)
Definition allocate (env : environment) : val :=
  λ: "r" "bytes" "alignment", resource_allocate env "r" (place_bytes "bytes") "alignment".

(** tsmbr_release, newest chunk first; C turns the list around before, to be able to keep some. *)
Definition give_back_list (env : environment) : val :=
  rec: "again" "c" :=
    match: "c" with
      NONE => #()
    | SOME "chunk" =>
      let: "prev" := !("chunk" +ₗ #prev_) in
      chunk_give_back env "chunk" ;;
      "again" "prev"
    end.

Definition release (env : environment) : val :=
  λ: "r", give_back_list env !"r" ;; "r" <- NONE.

(** Ghost state: the list of chunks, which only grows between releases, so that a chunk that was seen
    once is there; and the blocks handed out, of which every thread holds its own share. *)
Class tsmbrG Σ := TsmbrG {
  tsmbr_cinvG :> cinvG Σ;
  tsmbr_listG :> inG Σ (mono_listR (leibnizO chunk));
  tsmbr_blocksG :> inG Σ (frac_authR (gmultisetUR (loc * Z)));
}.
Definition tsmbrΣ : gFunctors :=
  #[cinvΣ; GFunctor (mono_listR (leibnizO chunk)); GFunctor (frac_authR (gmultisetUR (loc * Z)))].
Global Instance subG_tsmbrΣ Σ : subG tsmbrΣ Σ → tsmbrG Σ.
Proof. solve_inG. Qed.

Record names := Names { inv_name : gname; list_name : gname; blocks_name : gname }.

(** A list of chunks is newest first, as [prev] goes. *)
Definition head_of (cs : list chunk) : val :=
  match cs with [] => NONEV | i :: _ => SOMEV #(record_of i) end.

Fixpoint linked (cs : list chunk) : Prop :=
  match cs with [] => True | i :: older => prev i = head_of older ∧ linked older end.

Lemma head_of_unboxed cs : val_is_unboxed (head_of cs).
Proof. by destruct cs. Qed.

Section resource.
  Context `{!heapGS Σ, !tsmbrG Σ}.
  Implicit Types (γ : names) (B : gmultiset (loc * Z)).

  Definition tsmbrN : namespace := nroot .@ "tsmbr".

  Definition blocks B : iProp Σ := [∗ mset] b ∈ B, cells b.1 b.2.

  (** These were all chunks at some time. It may be said forever, and by anybody. *)
  Definition known γ (cs : list chunk) : iProp Σ :=
    own (list_name γ) (◯ML (reverse cs : list (leibnizO chunk))) ∗ ⌜linked cs⌝.

  Definition all_chunks γ (cs : list chunk) : iProp Σ :=
    own (list_name γ) (●ML (reverse cs : list (leibnizO chunk))) ∗ ⌜linked cs⌝.

  (** The last line: whoever has all blocks that were handed out can have the cells of all chunks before
      [next]. The padding between the blocks waits in it. *)
  Definition resource_inv γ (r : loc) : iProp Σ :=
    ∃ (xs : list (chunk * Z)) B,
      r ↦ head_of xs.*1 ∗
      all_chunks γ xs.*1 ∗
      own (blocks_name γ) (●F B) ∗
      ([∗ list] x ∈ xs, chunk_at x.1 x.2) ∗
      (blocks B -∗ [∗ list] x ∈ xs, cells (start x.1) x.2).

  (** Shared by all threads, and ended by who holds the whole handle: nobody else is in a call then. *)
  Definition is_resource γ (r : loc) : iProp Σ := cinv tsmbrN (inv_name γ) (resource_inv γ r).

  (** A share of a resource, and the blocks that were handed out to it. It is needed for every call. *)
  Definition handle γ (q : Qp) B : iProp Σ :=
    cinv_own (inv_name γ) q ∗ own (blocks_name γ) (◯F{q} B).

  (** [l] has this address: that many bytes lie within a chunk, as far from its start as from its base. *)
  Definition at_address γ (l : loc) (n address : Z) : iProp Σ :=
    ∃ i older offset, known γ (i :: older) ∗
      ⌜l = start i +ₗ offset ∧ address = (base i + offset)%Z ∧ 0 ≤ offset ∧ offset + n ≤ capacity i⌝.

  (** What an allocation answers. *)
  Definition served γ q B (n a : Z) (v : val) : iProp Σ :=
    (⌜v = NONEV⌝ ∗ handle γ q B) ∨
    (∃ (l : loc) (address : Z),
      ⌜v = SOMEV (#l, #address) ∧ address mod a = 0⌝ ∗ at_address γ l n address ∗
      cells l n ∗ handle γ q (B ⊎ {[+ (l, n) +]})).

  (** What is asked of an upstream: it grants cells that nobody else has, or refuses, and takes back
      what it granted. *)
  Definition env_ok (env : environment) : iProp Σ :=
    □ (∀ total : Z, ⌜0 < total⌝ -∗ WP up_allocate env #total {{ v,
        ⌜v = NONEV⌝ ∨ ∃ (l : loc) (b : Z), ⌜v = SOMEV (#l, #b)⌝ ∗ cells l total }}) ∗
    □ (∀ (l : loc) (total : Z), cells l total -∗ WP up_deallocate env #l #total {{ _, True }}) ∗
    □ (WP grown env #() {{ v, ∃ n : Z, ⌜v = #n⌝ }})%I.

  Global Instance known_persistent γ cs : Persistent (known γ cs).
  Proof. apply _. Qed.
  Global Instance known_timeless γ cs : Timeless (known γ cs).
  Proof. apply _. Qed.
  Global Instance all_chunks_timeless γ cs : Timeless (all_chunks γ cs).
  Proof. apply _. Qed.
  Global Instance at_address_persistent γ l n address : Persistent (at_address γ l n address).
  Proof. apply _. Qed.
  Global Instance is_resource_persistent γ r : Persistent (is_resource γ r).
  Proof. apply _. Qed.
  Global Instance env_ok_persistent env : Persistent (env_ok env).
  Proof. apply _. Qed.

  Lemma all_known γ cs : all_chunks γ cs -∗ known γ cs.
  Proof.
    iIntros "[H $]". iApply (own_mono with "H"). apply mono_list_included.
  Qed.

  Lemma known_older γ i older : known γ (i :: older) -∗ known γ older ∗ ⌜prev i = head_of older⌝.
  Proof.
    iIntros "[H %Hl]". destruct Hl as [Hprev Hl]. iSplit; last done. iSplit; last done.
    iApply (own_mono with "H"). apply mono_list_lb_mono. rewrite reverse_cons. by eexists.
  Qed.

  Lemma known_prefix γ all cs : all_chunks γ all -∗ known γ cs -∗ ⌜∃ newer, all = newer ++ cs⌝.
  Proof.
    iIntros "[H _] [Hk _]". iDestruct (own_valid_2 with "H Hk") as %Hv%mono_list_both_valid_L.
    iPureIntro. by apply suffix_prefix_reverse in Hv.
  Qed.

  Lemma all_push γ cs i :
    prev i = head_of cs → all_chunks γ cs ==∗ all_chunks γ (i :: cs).
  Proof.
    iIntros (Hprev) "[H %Hl]". iSplitL; last done.
    iApply (own_update with "H"). apply mono_list_update. rewrite reverse_cons. by eexists.
  Qed.

  (** A chunk that was ever seen is there. *)
  Lemma known_index γ (xs : list (chunk * Z)) i older :
    all_chunks γ xs.*1 -∗ known γ (i :: older) -∗ ⌜∃ k next, xs !! k = Some (i, next)⌝.
  Proof.
    iIntros "H Hk". iDestruct (known_prefix with "H Hk") as %(newer & Heq).
    iPureIntro. exists (length newer).
    assert (xs.*1 !! length newer = Some i) as Hi by (rewrite Heq; by apply list_lookup_middle).
    rewrite list_lookup_fmap in Hi. destruct (xs !! length newer) as [[i' next]|]; simplify_eq/=. eauto.
  Qed.

  Lemma handle_split γ q1 q2 B1 B2 :
    handle γ (q1 + q2) (B1 ⊎ B2) ⊣⊢ handle γ q1 B1 ∗ handle γ q2 B2.
  Proof.
    rewrite /handle -gmultiset_op frac_auth_frag_op own_op.
    rewrite (cinv_own_fractional (inv_name γ) q1 q2). iSplit; iIntros "[[??] [??]]"; iFrame.
  Qed.

  (** tsmbr_init. *)
  Lemma resource_make (r : loc) :
    r ↦ NONEV ={⊤}=∗ ∃ γ, is_resource γ r ∗ handle γ 1 ∅.
  Proof.
    iIntros "Hr".
    iMod (own_alloc (●ML ([] : list (leibnizO chunk)))) as (γl) "Hl"; first by apply mono_list_auth_valid.
    iMod (own_alloc (●F (∅ : gmultiset (loc * Z)) ⋅ ◯F ∅)) as (γb) "[Hb Hh]"; first by apply frac_auth_valid.
    iMod (cinv_alloc_cofinite ∅ ⊤ tsmbrN) as (γi) "(_ & Hown & Halloc)".
    set (γ := Names γi γl γb).
    iMod ("Halloc" $! (resource_inv γ r) with "[Hr Hl Hb]") as "#Hinv".
    { iNext. iExists [], ∅. iFrame. iSplit; first done.
      iIntros "_". done. }
    iModIntro. iExists γ. iFrame "Hinv". iFrame.
  Qed.

  Lemma blocks_add B l n : blocks (B ⊎ {[+ (l, n) +]}) ⊣⊢ blocks B ∗ cells l n.
  Proof. by rewrite /blocks big_sepMS_disj_union big_sepMS_singleton. Qed.

  Lemma handed_add γ q B B' b :
    own (blocks_name γ) (●F B) -∗ own (blocks_name γ) (◯F{q} B') ==∗
    own (blocks_name γ) (●F (B ⊎ {[+ b +]})) ∗ own (blocks_name γ) (◯F{q} (B' ⊎ {[+ b +]})).
  Proof.
    iIntros "H1 H2". rewrite -own_op. iApply (own_update_2 with "H1 H2").
    apply frac_auth_update. apply gmultiset_local_update_alloc.
  Qed.

  (** [carve_spec], for a chunk of a resource. *)
  Lemma carve_shared γ r q B i older (bytes a : Z) :
    is_alignment a → 0 ≤ bytes →
    is_resource γ r -∗ known γ (i :: older) -∗ handle γ q B -∗
    WP carve #(record_of i) #bytes #a {{ served γ q B bytes a }}.
  Proof.
    iIntros (Ha Hbytes) "#Hinv #Hk [Hown Hh]".
    awp_apply carve_spec; [done..|].
    iInv "Hinv" with "Hown" as "[(%xs & %B' & >Hr & >Hall & >Hb & >Hcs & Hback) Hown]".
    iDestruct (known_index with "Hall Hk") as %(k & next & Hx).
    iDestruct (big_sepL_insert_acc with "Hcs") as "[Hc Hcs]"; first done.
    iDestruct (chunk_next_bounds with "Hc") as %Hb.
    iAaccIntro with "Hc".
    { iIntros "Hc". iDestruct ("Hcs" with "Hc") as "Hcs". rewrite list_insert_id //.
      iModIntro. iFrame. iExists xs, B'. by iFrame. }
    rewrite {1 2}/chunk_fit. destruct (fit _ _ _ _ _) as [offset|] eqn:Hfit; iIntros "Hc".
    - iDestruct "Hc" as "(Hc & Hpad & Hblock)".
      destruct (fit_Some _ _ _ _ _ _ Ha Hfit) as (? & ? & Hmod).

      iMod (handed_add _ _ _ _ (start i +ₗ offset, bytes) with "Hb Hh") as "[Hb Hh]".
      assert ((<[k:=(i, offset + bytes)]> xs).*1 = xs.*1) as Hfst.
      { rewrite list_fmap_insert list_insert_id // list_lookup_fmap Hx //. }
      iModIntro. iSplitR "Hown Hh Hblock".
      { iNext. iExists (<[k:=(i, offset + bytes)]> xs), _. rewrite Hfst. iFrame "Hr Hall Hb".
        iSplitL "Hcs Hc"; first by iApply ("Hcs" $! (i, offset + bytes) with "Hc").
        iIntros "HB". rewrite blocks_add. iDestruct "HB" as "[HB Hblock]".
        iDestruct ("Hback" with "HB") as "Hused".
        iDestruct (big_sepL_insert_acc with "Hused") as "[Hu Hused]"; first done.
        iApply ("Hused" $! (i, offset + bytes)). simpl in *.
        rewrite (cells_split_at _ next (offset + bytes)); last lia. iFrame "Hu".
        rewrite (cells_split_at _ (offset - next) (offset + bytes - next)); last lia.
        rewrite loc_add_assoc. replace (next + (offset - next)) with offset by lia.
        replace (offset + bytes - next - (offset - next)) with bytes by lia. iFrame. }
      iRight. iExists _, _. iSplit; first done. iFrame "Hown Hh Hblock".
      iExists i, older, offset. iFrame "Hk". iPureIntro. simpl in *. split_and!; [done|done|lia|lia].
    - iDestruct ("Hcs" with "Hc") as "Hcs". rewrite list_insert_id //.
      iModIntro. iSplitR "Hown Hh".
      { iNext. iExists xs, B'. by iFrame. }
      iLeft. by iFrame.
  Qed.

  (** A new chunk, not in any list. *)
  Lemma chunk_obtain_spec env (total : Z) :
    0 < total →
    {{{ env_ok env }}}
      chunk_obtain env #total
    {{{ v, RET v; ⌜v = NONEV⌝ ∨ ∃ i, ⌜v = SOMEV #(record_of i)⌝ ∗
          ⌜total - record_bytes - (line - 1) ≤ capacity i⌝ ∗ chunk_at i 0 }}}.
  Proof.
    iIntros (Htotal Φ) "#(Hallocate & Hdeallocate & _) HΦ". rewrite /chunk_obtain. wp_pures.
    iSpecialize ("Hallocate" $! total with "[//]").
    wp_apply (wp_wand with "Hallocate").
    iIntros (v) "[->|(%l & %b & -> & Hl)]"; wp_pures; first by (iApply "HΦ"; iLeft).
    wp_apply place_record_spec. iIntros (v) "%Hv". destruct Hv as [[-> _]|[-> Hcap]]; wp_pures.
    { iDestruct ("Hdeallocate" with "Hl") as "Hd". wp_apply (wp_wand with "Hd").
      iIntros (v) "_". wp_pures. iApply "HΦ". by iLeft. }
    pose proof (record_capacity_bounds b total) as Hbounds.
    set (cap := record_capacity b total) in *.
    rewrite (cells_split_at _ cap total); last (rewrite /record_bytes in Hbounds; lia).
    iDestruct "Hl" as "[Hfree Hrec]".
    rewrite (cells_split_at _ fields (total - cap)); last (rewrite /record_bytes /fields in Hbounds *; lia).
    iDestruct "Hrec" as "[Hrec Hrest]".
    iDestruct (cells_record with "Hrec") as (v0 v1 v2 v3 v4 v5) "(H0 & H1 & H2 & H3 & H4 & H5)".
    wp_store. wp_pures. wp_store. wp_pures. wp_store. wp_pures. wp_store. wp_pures. wp_store. wp_pures.
    wp_store. wp_pures.
    iApply "HΦ". iRight. iExists (Chunk l b total cap NONEV). iModIntro. iSplit; first done.
    iSplit; first by (iPureIntro; simpl; lia).
    rewrite /chunk_at /record /record_of /= loc_add_0 Z.sub_0_r. iFrame. iPureIntro. lia.
  Qed.

  Lemma chunk_give_back_spec env i next :
    {{{ env_ok env ∗ chunk_at i next ∗ cells (start i) next }}}
      chunk_give_back env #(record_of i)
    {{{ v, RET v; True }}}.
  Proof.
    iIntros (Φ) "(#(_ & Hdeallocate & _) & (%Hwf & (H0 & H1 & H2 & H3 & H4 & H5) & Hfree) & Hused) HΦ".
    rewrite /chunk_give_back. wp_pures. wp_load. wp_pures. wp_load. wp_pures.
    wp_apply (wp_wand with "[-HΦ]").
    { iApply "Hdeallocate". iApply (chunk_whole with "[-Hused] Hused"). by iFrame. }
    iIntros (v) "_". by iApply "HΦ".
  Qed.

  Lemma resource_obtain_spec env (bytes a total : Z) :
    is_alignment a → 0 ≤ bytes → bytes + (a - 1) + (record_bytes + line - 1) ≤ total →
    {{{ env_ok env }}}
      resource_obtain env #bytes #a #total
    {{{ v, RET v; ⌜v = NONEV⌝ ∨ ∃ i offset,
          ⌜v = SOMEV (#(record_of i), (#(start i +ₗ offset), #(base i + offset)))⌝ ∗
          ⌜0 ≤ offset ∧ offset + bytes ≤ capacity i ∧ (base i + offset) mod a = 0⌝ ∗
          carved i 0 bytes (Some offset) }}}.
  Proof.
    iIntros (Ha Hbytes Htotal Φ) "#Henv HΦ". rewrite /resource_obtain. wp_pures.
    pose proof (alignment_pos a Ha).
    wp_apply (chunk_obtain_spec with "Henv"); first (rewrite /record_bytes /line in Htotal; lia).
    iIntros (v) "[->|(%i & -> & %Hcap & Hc)]"; wp_pures; first by (iApply "HΦ"; iLeft).
    wp_apply (carve_private_spec with "Hc"); [done..|]. iIntros "Hc".
    destruct (chunk_fit i 0 bytes a) as [offset|] eqn:Hfit; last first.
    { exfalso. eapply need_fits; [done..| |exact Hfit]. lia. }
    wp_pures. iModIntro. iApply "HΦ". iRight. iExists i, offset. iFrame "Hc". iPureIntro. split; first done.
    by eapply fit_Some.
  Qed.

  Lemma resource_install_spec env γ r q B cs (bytes a total : Z) :
    is_alignment a → 0 ≤ bytes → bytes + (a - 1) + (record_bytes + line - 1) ≤ total →
    {{{ env_ok env ∗ is_resource γ r ∗ handle γ q B }}}
      resource_install env #r (head_of cs) #bytes #a #total
    {{{ v, RET v; served γ q B bytes a v }}}.
  Proof.
    iIntros (Ha Hbytes Htotal Φ) "(#Henv & #Hinv & [Hown Hh]) HΦ". rewrite /resource_install. wp_pures.
    wp_apply (resource_obtain_spec with "Henv"); [done..|].
    iIntros (v) "[->|(%i & %offset & -> & %Hoffset & (Hc & Hpad & Hblock))]"; wp_pures.
    { iApply "HΦ". iLeft. by iFrame. }
    iDestruct "Hc" as "(%Hwf & (H0 & H1 & H2 & H3 & H4 & H5) & Hfree)". wp_store. wp_pures.
    set (i' := Chunk (start i) (base i) (size i) (capacity i) (head_of cs)).
    iAssert (chunk_at i' (offset + bytes)) with "[$H0 $H1 $H2 $H3 $H4 $H5 $Hfree]" as "Hc"; first done.
    iAssert (cells (start i) offset) with "[Hpad]" as "Hpad".
    { by rewrite loc_add_0 Z.sub_0_r. }
    wp_bind (CmpXchg _ _ _).
    iInv "Hinv" with "Hown" as "[(%xs & %B' & >Hr & >Hall & >Hb & >Hcs & Hback) Hown]".
    destruct (decide (head_of xs.*1 = head_of cs)) as [Heq|Hne].
    - wp_cmpxchg_suc; first by (left; apply head_of_unboxed).
      iMod (all_push _ _ i' with "Hall") as "Hall"; first done.
      iDestruct (all_known with "Hall") as "#Hk".
      iMod (handed_add _ _ _ _ (start i +ₗ offset, bytes) with "Hb Hh") as "[Hb Hh]".
      iModIntro. iSplitL "Hr Hall Hb Hcs Hc Hback Hpad".
      { iNext. iExists ((i', offset + bytes) :: xs), _. iFrame "Hr Hall Hb Hcs Hc".
        iIntros "HB". rewrite blocks_add. iDestruct "HB" as "[HB Hblock]".
        iSplitR "HB Hback"; last by iApply "Hback". simpl.
        rewrite (cells_split_at _ offset (offset + bytes)); last lia. iFrame "Hpad".
        by replace (offset + bytes - offset) with bytes by lia. }
      wp_pures. iApply "HΦ". iRight. iExists _, _. iModIntro. iSplit; first (iPureIntro; naive_solver).
      iFrame "Hown Hh Hblock". iExists i', _, offset. iFrame "Hk". iPureIntro. naive_solver.
    - wp_cmpxchg_fail; first by (left; apply head_of_unboxed).
      iModIntro. iSplitL "Hr Hall Hb Hcs Hback".
      { iNext. iExists xs, B'. by iFrame. }
      wp_pures. wp_apply (chunk_give_back_spec env i' (offset + bytes) with "[$Henv $Hc Hpad Hblock]").
      { simpl. rewrite (cells_split_at _ offset (offset + bytes)); last lia. iFrame "Hpad".
        by replace (offset + bytes - offset) with bytes by lia. }
      iIntros (v) "_". wp_pures. iApply "HΦ". iLeft. by iFrame.
  Qed.

  (** LoadHead: what is read is a chunk that is there, and that stays. *)
  Lemma head_load_spec γ r q B :
    {{{ is_resource γ r ∗ handle γ q B }}}
      !#r
    {{{ cs, RET head_of cs; known γ cs ∗ handle γ q B }}}.
  Proof.
    iIntros (Φ) "[#Hinv [Hown Hh]] HΦ".
    iInv "Hinv" with "Hown" as "[(%xs & %B' & >Hr & >Hall & >Hb & >Hcs & Hback) Hown]".
    wp_load. iDestruct (all_known with "Hall") as "#Hk". iModIntro. iSplitR "HΦ Hown Hh".
    { iNext. iExists xs, B'. by iFrame. }
    iApply "HΦ". by iFrame.
  Qed.

  Lemma resource_carve_any_spec γ r q B cs (bytes a : Z) :
    is_alignment a → 0 ≤ bytes →
    {{{ is_resource γ r ∗ known γ cs ∗ handle γ q B }}}
      resource_carve_any (head_of cs) #bytes #a
    {{{ v, RET v; served γ q B bytes a v }}}.
  Proof.
    iIntros (Ha Hbytes Φ) "(#Hinv & #Hk & Hh) HΦ".
    iInduction cs as [|i older] "IH"; wp_rec; wp_pures.
    { iApply "HΦ". iLeft. by iFrame. }
    iDestruct (carve_shared _ _ _ _ _ _ bytes a with "Hinv Hk Hh") as "Hcarve"; [done..|].
    wp_apply (wp_wand with "Hcarve"). iIntros (v) "[[-> [Hown Hh]]|Hserved]"; last first.
    { iDestruct "Hserved" as (l address) "([-> %Haddr] & Hserved)". wp_pures. iModIntro. iApply "HΦ". iRight.
      iExists l, address. by iFrame. }
    wp_pures. wp_bind (! _)%E.
    iInv "Hinv" with "Hown" as "[(%xs & %B' & >Hr & >Hall & >Hb & >Hcs & Hback) Hown]".
    iDestruct (known_index with "Hall Hk") as %(k & next & Hx).
    iDestruct (big_sepL_lookup_acc with "Hcs") as "[Hc Hcs]"; first done.
    iDestruct "Hc" as "(%Hwf & (H0 & H1 & H2 & H3 & H4 & H5) & Hfree)". wp_load.
    iModIntro. iSplitR "HΦ Hown Hh".
    { iNext. iExists xs, B'. iFrame "Hr Hall Hb Hback". iApply "Hcs". by iFrame. }
    iDestruct (known_older with "Hk") as "[Hk' %Hprev]". rewrite /= Hprev.
    iApply ("IH" with "Hk' [$Hown $Hh] HΦ").
  Qed.

  Lemma resource_allocate_spec env γ r q B (bytes a : Z) :
    is_alignment a → 0 ≤ bytes →
    {{{ env_ok env ∗ is_resource γ r ∗ handle γ q B }}}
      resource_allocate env #r #bytes #a
    {{{ v, RET v; served γ q B bytes a v }}}.
  Proof.
    iIntros (Ha Hbytes Φ) "(#Henv & #Hinv & Hh) HΦ". iLöb as "IH". wp_rec. wp_pures.
    wp_apply (head_load_spec with "[$Hinv $Hh]"). iIntros (cs) "[#Hk Hh]". wp_pures.
    wp_bind (match: _ with InjL <> => _ | InjR "chunk" => _ end)%E.
    wp_apply (wp_wand _ _ _ (served γ q B bytes a) with "[Hh]").
    { destruct cs as [|i older]; wp_pures; first by iLeft; iFrame.
      by iApply (carve_shared with "Hinv Hk Hh"). }
    iIntros (v) "[[-> Hh]|Hserved]"; last first.
    { iDestruct "Hserved" as (l address) "([-> %Haddr] & Hserved)". wp_pures. iModIntro. iApply "HΦ". iRight.
      iExists l, address. by iFrame. }
    wp_pures. rewrite /place_total. wp_pures.
    iPoseProof "Henv" as "(_ & _ & Hgrown)".
    wp_apply (wp_wand with "Hgrown"). iIntros (v) "(%g & ->)". wp_pures.
    set (need := bytes + (a - 1) + (record_bytes + line - 1)).
    wp_apply maximum_spec. wp_pures.
    wp_apply (resource_install_spec _ _ _ _ _ cs with "[$Henv $Hinv $Hh]"); [done|done|lia|].
    iIntros (v) "[[-> Hh]|Hserved]"; last first.
    { iDestruct "Hserved" as (l address) "([-> %Haddr] & Hserved)". wp_pures. iModIntro. iApply "HΦ". iRight.
      iExists l, address. by iFrame. }
    wp_pures. wp_apply (head_load_spec with "[$Hinv $Hh]"). iIntros (cs') "[_ Hh]".
    pose proof (head_of_unboxed cs). wp_pures. case_bool_decide; wp_pures; last by iApply ("IH" with "Hh").
    wp_apply (head_load_spec with "[$Hinv $Hh]"). iIntros (cs'') "[#Hk'' Hh]".
    by wp_apply (resource_carve_any_spec with "[$Hinv $Hk'' $Hh]").
  Qed.

  Lemma place_bytes_spec (bytes : Z) :
    0 ≤ bytes → ⊢ WP place_bytes #bytes {{ v, ⌜v = #(1 `max` bytes)⌝ }}.
  Proof.
    iIntros (Hbytes). rewrite /place_bytes. wp_pures. case_bool_decide as Heq; wp_pures; iPureIntro.
    - simplify_eq. done.
    - do 2 f_equal. assert (bytes ≠ 0) by (intros ->; done). lia.
  Qed.

  Theorem allocate_spec env γ r q B (bytes a : Z) :
    is_alignment a → 0 ≤ bytes →
    {{{ env_ok env ∗ is_resource γ r ∗ handle γ q B }}}
      allocate env #r #bytes #a
    {{{ v, RET v; served γ q B (1 `max` bytes) a v }}}.
  Proof.
    iIntros (Ha Hbytes Φ) "(#Henv & #Hinv & Hh) HΦ". rewrite /allocate. wp_pures.
    wp_apply (wp_wand _ _ (place_bytes _)); first by iApply place_bytes_spec.
    iIntros (v ->). wp_apply (resource_allocate_spec with "[$Henv $Hinv $Hh]"); [done|lia|]. done.
  Qed.

  Lemma give_back_list_spec env (xs : list (chunk * Z)) :
    linked xs.*1 →
    {{{ env_ok env ∗ ([∗ list] x ∈ xs, chunk_at x.1 x.2) ∗ ([∗ list] x ∈ xs, cells (start x.1) x.2) }}}
      give_back_list env (head_of xs.*1)
    {{{ RET #(); True }}}.
  Proof.
    iIntros (Hlinked Φ) "(#Henv & Hcs & Hused) HΦ".
    iInduction xs as [|[i next] xs] "IH"; wp_rec; wp_pures; first by iApply "HΦ".
    destruct Hlinked as [Hprev Hlinked]. iDestruct "Hcs" as "[Hc Hcs]". iDestruct "Hused" as "[Hu Hused]".
    simpl. iDestruct "Hc" as "(%Hwf & (H0 & H1 & H2 & H3 & H4 & H5) & Hfree)". wp_load. wp_pures.
    iAssert (chunk_at i next) with "[$H0 $H1 $H2 $H3 $H4 $H5 $Hfree]" as "Hc"; first done.
    wp_apply (chunk_give_back_spec with "[$Henv $Hc $Hu]"). iIntros (v) "_". wp_pures. rewrite Hprev.
    by iApply ("IH" with "[//] Hcs Hused").
  Qed.

  Theorem release_spec env γ r B :
    {{{ env_ok env ∗ is_resource γ r ∗ handle γ 1 B ∗ blocks B }}}
      release env #r
    {{{ RET #(); r ↦ NONEV }}}.
  Proof.
    iIntros (Φ) "(#Henv & #Hinv & [Hown Hh] & HB) HΦ".
    iMod (cinv_cancel with "Hinv Hown") as (xs B') "(>Hr & >[_ %Hlinked] & >Hb & >Hcs & Hback)"; first done.
    iDestruct (own_valid_2 with "Hb Hh") as %->%frac_auth_agree_L.
    rewrite /release. wp_pures. wp_load. iDestruct ("Hback" with "HB") as "Hused".
    wp_apply (give_back_list_spec with "[$Henv $Hcs $Hused]"); first done.
    iIntros "_". wp_pures. wp_store. by iApply "HΦ".
  Qed.
End resource.

(* ------------------------------------------------------------------------- a client -- *)

(** Any natural number, chosen by the scheduler. *)
Definition count_up : val :=
  rec: "more" "n" := if: nondet_bool #() then "n" else "more" ("n" + #1).

Definition any : val := λ: <>, count_up #0.

(** An upstream that refuses when it likes and whose memory lies anywhere. [grown] may be 0: then every
    chunk is replaced for the next block. *)
Definition host : environment := {|
  up_allocate := λ: "total", if: nondet_bool #() then NONE else SOME (AllocN "total" #0, any #());
  up_deallocate := array_free;
  grown := any;
|}.

Definition fill : val :=
  rec: "fill" "block" "bytes" "mark" :=
    if: "bytes" = #0 then #()
    else "block" <- "mark" ;; "fill" ("block" +ₗ #1) ("bytes" - #1) "mark".

Definition check : val :=
  rec: "check" "block" "bytes" "mark" :=
    if: "bytes" = #0 then #()
    else assert: !"block" = "mark" ;; "check" ("block" +ₗ #1) ("bytes" - #1) "mark".

(** One thread: allocate a block, mark all of its cells, do the same [count - 1] times, and only then
    look whether each cell still has this block's mark. If two blocks overlapped, there would be
    executions in which one of the assertions fails. *)
Definition use (env : environment) : val :=
  rec: "use" "r" "count" :=
    if: "count" = #0 then #() else
    let: "bytes" := any #() in
    let: "alignment" := #1 ≪ any #() in
    match: allocate env "r" "bytes" "alignment" with
      NONE => "use" "r" ("count" - #1)
    | SOME "served" =>
      let: "block" := Fst "served" in
      let: "filled" := place_bytes "bytes" in
      let: "mark" := any #() in
      assert: (Snd "served" & ("alignment" - #1)) = #0 ;;
      fill "block" "filled" "mark" ;;
      "use" "r" ("count" - #1) ;;
      check "block" "filled" "mark"
    end.

(** That many threads at a time; returns when all have. *)
Definition share (env : environment) : val :=
  rec: "share" "r" "threads" "count" :=
    if: "threads" = #0 then #()
    else (use env "r" "count" ||| "share" "r" ("threads" - #1) "count") ;; #().

(** Use by many, release, and both again: a released resource is as good as new. *)
Definition client (env : environment) (threads count : nat) : expr :=
  let: "r" := ref NONE in
  share env "r" #threads #count ;; release env "r" ;;
  share env "r" #threads #count ;; release env "r" ;;
  Free "r".

Section client.
  Local Set Default Proof Using "Type*".
  Context `{!heapGS Σ, !tsmbrG Σ, !spawnG Σ}.

  Lemma any_spec : {{{ True }}} any #() {{{ (n : nat), RET #n; True }}}.
  Proof.
    iIntros (Φ) "_ HΦ". rewrite /any. wp_lam.
    iAssert (∀ n : nat, WP count_up #n {{ v, ∃ n : nat, ⌜v = #n⌝ }})%I as "Hmore".
    { iLöb as "IH". iIntros (n). wp_rec. wp_apply nondet_bool_spec; first done. iIntros ([]) "_"; wp_pures.
      - by iExists n.
      - rewrite -(Nat2Z.inj_add n 1). iApply "IH". }
    wp_apply (wp_wand with "[]"); first iApply ("Hmore" $! 0%nat). iIntros (v) "(%n & ->)". by iApply "HΦ".
  Qed.

  Lemma host_ok : ⊢ env_ok host.
  Proof.
    iSplit; [|iSplit]; iModIntro.
    - iIntros (total Htotal). simpl. wp_pures. wp_apply nondet_bool_spec; first done.
      iIntros ([]) "_"; wp_pures; first by iLeft.
      wp_apply any_spec; first done. iIntros (b) "_". wp_alloc l as "Hl"; first lia. wp_pures.
      iModIntro. iRight. iExists l, b. iSplit; first done. iExists _. iFrame. iPureIntro.
      rewrite replicate_length. lia.
    - iIntros (l total) "(%vs & <- & Hl)". by wp_apply (wp_array_free with "Hl").
    - wp_apply any_spec; first done. iIntros (n) "_". by iExists n.
  Qed.

  Lemma fill_spec l (n : Z) (mark : Z) :
    {{{ cells l n }}} fill #l #n #mark {{{ RET #(); l ↦∗ replicate (Z.to_nat n) #mark }}}.
  Proof.
    iIntros (Φ) "(%vs & <- & Hl) HΦ". rewrite Nat2Z.id.
    iInduction vs as [|v vs] "IH" forall (l Φ); wp_rec; wp_pures.
    { iApply "HΦ". by rewrite !array_nil. }
    rewrite /= !array_cons. iDestruct "Hl" as "[Hl Hrest]". wp_store. wp_pures.
    replace (S (length vs) - 1) with (Z.of_nat (length vs)) by lia.
    wp_apply ("IH" with "Hrest"). iIntros "Hrest". iApply "HΦ". iFrame.
  Qed.

  Lemma check_spec l (n : Z) (mark : Z) :
    0 ≤ n →
    {{{ l ↦∗ replicate (Z.to_nat n) #mark }}} check #l #n #mark {{{ RET #(); cells l n }}}.
  Proof.
    iIntros (Hn Φ) "Hl HΦ". rewrite -{2 3}(Z2Nat.id n) //. clear Hn.
    iInduction (Z.to_nat n) as [|m] "IH" forall (l Φ); wp_rec; wp_pures.
    { iApply "HΦ". iApply cells_0. }
    rewrite /= array_cons. iDestruct "Hl" as "[Hl Hrest]".
    wp_apply wp_assert. wp_load. wp_pures. iModIntro. iSplit; first by rewrite bool_decide_eq_true_2.
    iNext. wp_pures. replace (S m - 1) with (Z.of_nat m) by lia.
    wp_apply ("IH" with "Hrest"). iIntros "Hrest". iApply "HΦ".
    replace (Z.of_nat (S m)) with (1 + m) by lia. rewrite cells_split; [|lia..]. iFrame.
    by iApply cells_1.
  Qed.

  Lemma use_spec env γ r q B (count : nat) :
    {{{ env_ok env ∗ is_resource γ r ∗ handle γ q B }}}
      use env #r #count
    {{{ RET #(); ∃ B', handle γ q (B ⊎ B') ∗ blocks B' }}}.
  Proof.
    iIntros (Φ) "(#Henv & #Hinv & Hh) HΦ". iInduction count as [|count] "IH" forall (B Φ); wp_rec; wp_pures.
    { iApply "HΦ". iExists ∅. rewrite (right_id_L ∅ (⊎)). iFrame. by rewrite /blocks big_sepMS_empty. }
    wp_apply any_spec; first done. iIntros (bytes) "_". wp_pures.
    wp_apply any_spec; first done. iIntros (k) "_". wp_pures. rewrite Z.shiftl_1_l.
    assert (is_alignment (2 ^ k)) as Ha by (exists k; split; [lia|done]).
    replace (S count - 1) with (Z.of_nat count) by lia.
    wp_apply (allocate_spec with "[$Henv $Hinv $Hh]"); [done|lia|].
    iIntros (v) "[[-> Hh]|(%l & %address & [-> %Haddr] & _ & Hl & Hh)]"; wp_pures.
    { replace (S count - 1) with (Z.of_nat count) by lia. by iApply ("IH" with "Hh"). }
    wp_apply (wp_wand _ _ (place_bytes _)); first by (iApply place_bytes_spec; lia).
    iIntros (v ->). wp_pures. set (n := 1 `max` bytes).
    wp_apply any_spec; first done. iIntros (mark) "_". wp_pures.
    wp_apply wp_assert. wp_pures. iModIntro. iSplit.
    { iPureIntro. rewrite bool_decide_eq_true_2 //. do 2 f_equal.
      replace (2 ^ k - 1) with (Z.ones k) by (rewrite Z.ones_equiv; lia).
      rewrite Z.land_ones //. lia. }
    iNext. wp_pures. wp_apply (fill_spec with "Hl"). iIntros "Hl". wp_pures.
    replace (S count - 1) with (Z.of_nat count) by lia.
    wp_apply ("IH" with "Hh"). iIntros "(%B' & Hh & HB)". wp_pures.
    wp_apply (check_spec with "Hl"); first lia. iIntros "Hl". iApply "HΦ".
    iExists (B' ⊎ {[+ (l, n) +]}). rewrite blocks_add. iFrame "HB Hl".
    by replace (B ⊎ (B' ⊎ {[+ (l, n) +]})) with (B ⊎ {[+ (l, n) +]} ⊎ B') by multiset_solver.
  Qed.

  Lemma share_spec env γ r q (threads count : nat) :
    {{{ env_ok env ∗ is_resource γ r ∗ handle γ q ∅ }}}
      share env #r #threads #count
    {{{ RET #(); ∃ B, handle γ q B ∗ blocks B }}}.
  Proof.
    iIntros (Φ) "(#Henv & #Hinv & Hh) HΦ".
    iInduction threads as [|threads] "IH" forall (q Φ); wp_rec; wp_pures.
    { iApply "HΦ". iExists ∅. iFrame. by rewrite /blocks big_sepMS_empty. }
    replace (S threads - 1) with (Z.of_nat threads) by lia.
    iAssert (handle γ (q / 2) ∅ ∗ handle γ (q / 2) ∅)%I with "[Hh]" as "[H1 H2]".
    { by rewrite -handle_split Qp.div_2 (right_id_L ∅ (⊎) ∅). }
    wp_apply (wp_par (λ _, ∃ B, handle γ (q / 2) B ∗ blocks B)%I (λ _, ∃ B, handle γ (q / 2) B ∗ blocks B)%I
      with "[H1] [H2]").
    { wp_apply (use_spec with "[$Henv $Hinv $H1]"). iIntros "(%B & H)".
      rewrite (left_id_L ∅ (⊎) B). iExists B. iExact "H". }
    { wp_pures. replace (S threads - 1) with (Z.of_nat threads) by lia.
      wp_apply ("IH" with "H2"). by iIntros "$". }
    iIntros (v1 v2) "[(%B1 & H1 & HB1) (%B2 & H2 & HB2)]". iNext. wp_pures. iApply "HΦ".
    iExists (B1 ⊎ B2). iModIntro. rewrite -{3}(Qp.div_2 q) handle_split. iFrame "H1 H2".
    rewrite /blocks big_sepMS_disj_union. iFrame.
  Qed.

  Lemma client_spec env (threads count : nat) : env_ok env -∗ WP client env threads count {{ v, ⌜v = #()⌝ }}.
  Proof.
    iIntros "#Henv". rewrite /client. wp_alloc r as "Hr". wp_pures.
    iMod (resource_make with "Hr") as (γ) "[#Hinv Hh]".
    wp_apply (share_spec with "[$Henv $Hinv $Hh]"). iIntros "(%B & Hh & HB)". wp_pures.
    wp_apply (release_spec env γ r B with "[$Henv $Hinv $Hh $HB]"). iIntros "Hr". wp_pures.
    iMod (resource_make with "Hr") as (γ') "[#Hinv' Hh]".
    wp_apply (share_spec with "[$Henv $Hinv' $Hh]"). iIntros "(%B' & Hh & HB)". wp_pures.
    wp_apply (release_spec env γ' r B' with "[$Henv $Hinv' $Hh $HB]"). iIntros "Hr". wp_pures.
    by wp_free.
  Qed.
End client.

(** Closed: no Iris is left in the statement. *)
Theorem client_safe (threads count : nat) σ :
  adequate NotStuck (client host threads count) σ (λ v _, v = #()).
Proof.
  apply (heap_adequacy #[heapΣ; tsmbrΣ; spawnΣ]). iIntros (?) "_". iApply client_spec. iApply host_ok.
Qed.
