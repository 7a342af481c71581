/* slot.h - a small number for every thread that allocates, by which it finds its lanes.
 *
 * A slot belongs to one thread at a time. A thread takes the lowest free one when it first needs a
 * lane, and gives it back when it ends; whoever takes it next goes on in the same lanes. So slots
 * stay dense, and nothing has to be walked or freed when a thread ends.
 *
 * Key invariant: between TakeWon and Give a slot is one thread's alone, and so is every lane of it.
 *
 * Slots of lane tables are grouped: group 1 has slot 0, group 2 slot 1, group 3 slots 2 and 3, and each further
 * group twice as many as the one before, up to 32. A resource has tables for the groups whose threads use it. */
#ifndef TSMBR_SLOT_H
#define TSMBR_SLOT_H

#include "steps.h"

/* Group 0 has no slots: it is that of a thread without one. */
/*@ // After group - 1 halvings, the last of which was of one or more.
  @ predicate halved(integer slot, integer left, integer group) =
  @     (group == 1 && left == slot) || (group == 2 && left == slot / 2 && 1 <= slot) ||
  @     (group == 3 && left == slot / 4 && 2 <= slot) || (group == 4 && left == slot / 8 && 4 <= slot) ||
  @     (group == 5 && left == slot / 16 && 8 <= slot) || (group == 6 && left == slot / 32 && 16 <= slot);
  @*/

/*@ requires slot < SLOTS;
  @ assigns \nothing;
  @ ensures \result < SLOT_GROUPS;
  @ ensures slot == 0 ==> \result == 1;
  @ ensures 0 < slot < SLOT_GROUP_MOST ==>
  @     2 <= \result <= SLOT_DOUBLING && group_size(\result) <= slot && slot < 2 * group_size(\result);
  @ ensures SLOT_GROUP_MOST <= slot ==> \result == SLOT_DOUBLING + slot / SLOT_GROUP_MOST;
  @*/
static inline unsigned slot_group(unsigned slot)
{
    if (slot >= SLOT_GROUP_MOST)
        return SLOT_DOUBLING + slot / SLOT_GROUP_MOST;
    unsigned group = 1;
    /*@ loop invariant halved(\at(slot, Pre), slot, group);
      @ loop assigns slot, group;
      @ loop variant slot;
      @*/
    while (slot != 0) {
        slot /= 2;
        ++group;
    }
    return group;
}

/*@ requires 0 < group < SLOT_GROUPS;
  @ assigns \nothing;
  @ ensures \result == group_size(group) && 0 < \result <= SLOT_GROUP_MOST;
  @*/
static inline unsigned slot_group_size(unsigned group)
{
    if (group > SLOT_DOUBLING)
        return SLOT_GROUP_MOST;
    /*@ assert 2 <= group ==> 1 <= (1 << (group - 2)) <= 16; */
    return group < 2 ? group : 1u << (group - 2);
}

/* Where a slot's lane is in the table of its group, counted in lanes. */
/*@ requires slot < SLOTS;
  @ assigns \nothing;
  @ ensures slot == 0 ==> \result == 0;
  @ ensures 0 < slot < SLOT_GROUP_MOST ==>
  @     \exists integer group; 2 <= group <= SLOT_DOUBLING && group_size(group) <= slot < 2 * group_size(group) &&
  @     \result == slot - group_size(group);
  @ ensures SLOT_GROUP_MOST <= slot ==> \result == slot % SLOT_GROUP_MOST;
  @*/
static inline unsigned slot_in_group(unsigned slot)
{
    if (slot == 0 || slot >= SLOT_GROUP_MOST)
        return slot % SLOT_GROUP_MOST;
    return slot - slot_group_size(slot_group(slot));
}

/* The lowest free slot, which is the caller's then; SLOTS if there is none, or others were faster so often
 * that it is no time for it: a thread can do without, and try again.
 * Progress: wait-free. */
/*@ assigns \nothing;
  @ ensures \result == SLOTS || (\result < SLOTS && has(\result));
  @*/
static inline unsigned slots_take(slots *s)
{
    unsigned losses = 0;
    /*@ loop invariant 0 <= w <= SLOT_WORDS && losses < SLOT_LOSSES;
      @ loop assigns w, losses;
      @*/
    for (unsigned w = 0; w < SLOT_WORDS; w++) {
        size_t seen = slots_load_relaxed(s, w);
        /*@ loop invariant losses < SLOT_LOSSES;
          @ loop assigns seen, losses;
          @ loop variant SLOT_LOSSES - losses;
          @*/
        while (seen != SIZE_MAX) {
            size_t lowest = ~seen & (seen + 1);
            /*@ assert either(seen, lowest) == seen + lowest; */
            /*@ assert (seen | lowest) == seen + lowest; */
            /*@ assert power_of_two(lowest); */
            /*@ ghost size_t taken = lowest; */
            /*@ ghost size_t before = seen; */
            if (slots_cas_acquire(s, w, &seen, seen | lowest)) {
                unsigned bit = 0;
                /*@ loop invariant power_of_two(lowest) && taken == (lowest << bit) && bit < SLOT_BITS;
                  @ loop assigns lowest, bit;
                  @ loop variant lowest;
                  @*/
                for (; lowest != 1; lowest /= 2)
                    ++bit;
                /*@ assert taken == (1 << bit) && 0 <= bit < SLOT_BITS; */
                /*@ assert has(w * SLOT_BITS + bit); */
                return w * SLOT_BITS + bit;
            }
            if (++losses == SLOT_LOSSES)
                return SLOTS;
        }
    }
    return SLOTS;
}

/* Leave a slot to the next thread. Progress: wait-free. */
/*@ requires slot < SLOTS && has(slot);
  @ assigns \nothing;
  @*/
static inline void slots_give(slots *s, unsigned slot)
{
    slots_and_release(s, slot / SLOT_BITS, ~((size_t)1 << slot % SLOT_BITS));
}

enum thread_standing { THREAD_FRESH, THREAD_HOLDS, THREAD_WITHOUT };

/* What a thread knows of its slot. A signal handler may run while the thread is at work in a lane: `busy`
 * is set from before the thread looks at a lane until it has left it, and who finds it set stays out. So
 * a handler never finds a lane half changed. A word of its own, not read for anything else: a load that
 * waits for it would make every call wait for the one before. */
typedef struct thread_state {
    unsigned group;
    size_t offset; /* of its lane in the group's table, in bytes */
    volatile unsigned busy;
    unsigned slot;
    enum thread_standing standing;
} thread_state;

#ifndef TSMBR_THREAD /* a checker has threads of its own, and what slot.c has to do with them */
#if defined(_WIN32)
/* GCC emulates _Thread_local there, in memory that is gone before the system tells of the thread's end. */
#define TSMBR_THREAD_MODEL
thread_state *tsmbr_thread_here(void);
#define tsmbr_thread (*tsmbr_thread_here())
#else
#if defined(__GLIBC__) && defined(__GNUC__)
/* Found without a call. The few bytes fit the room that the C library keeps for dlopen. */
#define TSMBR_THREAD_MODEL __attribute__((__tls_model__("initial-exec"), __visibility__("hidden")))
#else
#define TSMBR_THREAD_MODEL
#endif
extern _Thread_local thread_state tsmbr_thread TSMBR_THREAD_MODEL;
#endif
#define TSMBR_THREAD (&tsmbr_thread)
#endif

/* Take a slot for this thread, which has entered. False if it has one, has ended, or there is none to be had.
 * Not for signal handlers: the system is asked to tell when the thread ends. */
/*@ requires thread == &this_thread && thread_ok;
  @ assigns SLOT, errno;
  @ ensures errno == \old(errno);
  @ ensures thread_ok;
  @ ensures \result ==> this_thread.group != 0;
  @*/
bool tsmbr_thread_take(thread_state *thread);

/* From here to thread_leave the thread's lanes are hidden from its signal handlers. */
/*@ requires \valid(thread);
  @ assigns thread->busy;
  @*/
static inline void thread_enter(thread_state *thread)
{
    thread->busy = 1;
    SIGNAL_FENCE();
}

/*@ requires \valid(thread);
  @ assigns thread->busy;
  @*/
static inline void thread_leave(thread_state *thread)
{
    SIGNAL_FENCE();
    thread->busy = 0;
}

#endif
