/* slot.c - the slots of this process, and how a thread's end is noticed. */
#if !defined(_WIN32)
#include <pthread.h>
typedef pthread_key_t thread_key;
#else
#include <windows.h>
typedef DWORD thread_key;
#endif

#include "slot.h"

#ifdef TSMBR_THREAD_MODEL /* else a checker has them, where it can watch them */
static slots all_slots;
static thread_key key;
_Thread_local thread_state tsmbr_thread TSMBR_THREAD_MODEL;
#endif

/* Memory handed out in a destructor that runs after this one comes by the shared path. */
static void thread_ends(thread_state *thread)
{
    thread->group = 0;
    thread->standing = THREAD_WITHOUT;
    slots_give(&all_slots, thread->slot);
}

/* The key exists while the library is loaded: made before main or by dlopen, deleted by dlclose, so that
 * no thread that ends later calls code that is gone. Without a key there are no slots, and all
 * allocation takes the shared path. */
#if defined(_WIN32)
static void NTAPI at_thread_end(void *value)
{
    if (value != NULL)
        thread_ends(value);
}

static bool key_make(void)
{
    key = FlsAlloc(at_thread_end);
    return key != FLS_OUT_OF_INDEXES;
}

static void key_delete(void)
{
    (void)FlsFree(key);
}

static bool key_set(thread_state *thread)
{
    return FlsSetValue(key, thread) != 0;
}
#else
static void at_thread_end(void *value)
{
    thread_ends(value);
}

static bool key_make(void)
{
    return pthread_key_create(&key, at_thread_end) == 0;
}

static void key_delete(void)
{
    (void)pthread_key_delete(key);
}

/*@ assigns \nothing; */
static bool key_set(thread_state *thread)
{
    return pthread_setspecific(key, thread) == 0;
}
#endif

#if defined(__GNUC__)
__attribute__((__constructor__)) static void library_begins(void)
{
    key_ready_store_release(&all_slots, key_make());
}

__attribute__((__destructor__)) static void library_ends(void)
{
    if (key_ready_load_acquire(&all_slots)) {
        key_ready_store_release(&all_slots, false);
        key_delete();
    }
}
#endif

/* The thread is busy: a handler that comes here now stays out, and takes no second slot. */
bool tsmbr_thread_take(thread_state *thread)
{
    if (thread->standing != THREAD_FRESH || !key_ready_load_acquire(&all_slots))
        return false;
    unsigned slot = slots_take(&all_slots);
    if (slot == SLOTS)
        return false;
    thread->slot = slot;
    if (!key_set(thread)) {
        thread->standing = THREAD_WITHOUT;
        slots_give(&all_slots, slot);
        return false;
    }
    unsigned group = slot_group(slot);
    thread->offset = (slot - (slot == 0 ? 0 : slot_group_size(group))) * sizeof(lane);
    thread->standing = THREAD_HOLDS;
    thread->group = group;
    return true;
}
