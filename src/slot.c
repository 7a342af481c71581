/* slot.c - the slots of this process, and how a thread's end is noticed. */
#if !defined(_WIN32)
#include <errno.h>
#include <pthread.h>
typedef pthread_key_t thread_key;
#else
#include <windows.h>
typedef DWORD thread_key;
#endif

#include "slot.h"

#ifdef TSMBR_THREAD_MODEL /* else a checker has them, where it can watch them */
static slots all_slots;
#if defined(_WIN32)
static thread_key key = TLS_OUT_OF_INDEXES;
#else
static thread_key key;
_Thread_local thread_state tsmbr_thread TSMBR_THREAD_MODEL;
#endif
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
static bool key_make(void)
{
    key = TlsAlloc();
    return key != TLS_OUT_OF_INDEXES;
}

/* The states of threads that go on stay in the heap. */
static void key_delete(void)
{
    (void)TlsFree(key);
    key = TLS_OUT_OF_INDEXES;
}

static bool key_set(thread_state *thread)
{
    (void)thread;
    return true; /* it was when the state was made */
}

/* Of threads that have ended, or can have none. Busy for good, so nobody writes to it. */
static thread_state no_state = {.busy = 1, .standing = THREAD_WITHOUT};

/* From the heap, as malloc would touch errno. */
thread_state *tsmbr_thread_here(void)
{
    thread_state *thread = TlsGetValue(key);
    if (thread != NULL)
        return thread;
    if (!key_ready_load_acquire(&all_slots))
        return &no_state;
    thread = HeapAlloc(GetProcessHeap(), HEAP_ZERO_MEMORY, sizeof *thread);
    if (thread != NULL && TlsSetValue(key, thread))
        return thread;
    if (thread != NULL)
        (void)HeapFree(GetProcessHeap(), 0, thread);
    return &no_state;
}

/* The loader calls what stands in this section, in the thread that ends; a callback of FlsAlloc may be called for
 * a fiber that is deleted while its thread goes on. */
static void NTAPI at_thread_end(void *module, DWORD reason, void *reserved)
{
    (void)module;
    (void)reserved;
    if (reason != DLL_THREAD_DETACH)
        return;
    thread_state *thread = TlsGetValue(key);
    (void)TlsSetValue(key, &no_state);
    if (thread == NULL || thread == &no_state)
        return;
    if (thread->standing == THREAD_HOLDS)
        thread_ends(thread);
    (void)HeapFree(GetProcessHeap(), 0, thread);
}

#if defined(__GNUC__)
__attribute__((__section__(".CRT$XLF"), __used__)) static PIMAGE_TLS_CALLBACK thread_end_callback = at_thread_end;
#endif
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

/* A key with a high number may take memory, and a failure there may show in errno. */
/*@ assigns errno;
  @ ensures errno == \old(errno);
  @*/
static bool key_set(thread_state *thread)
{
    int saved_errno = errno;
    bool set = pthread_setspecific(key, thread) == 0;
    errno = saved_errno;
    return set;
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
    thread->offset = slot_in_group(slot) * sizeof(lane);
    thread->standing = THREAD_HOLDS;
    thread->group = slot_group(slot);
    return true;
}
