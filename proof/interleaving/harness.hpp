/* harness.hpp - the surroundings of the library: an upstream, owners of blocks, and what is checked.
 *
 * Plain data here (regions, blocks, counts) belongs to the harness. Relacy runs one thread at a time
 * and knows nothing of it, so using it orders nothing between the threads of the library. */
#ifndef HARNESS_HPP
#define HARNESS_HPP

#include "model.hpp" /* gives the library's words their meaning */

#include "lane.h"
#include "resource.h"

namespace harness
{

#define CHECK(condition) ((condition) ? (void)0 : model::fail(#condition, $))

enum { REGIONS_MOST = 16, BLOCKS_MOST = 8, NO_LIMIT = 0, PREPARED_MOST = 4 << 10 };

/* The resource lies at the start of the memory. */
static tsmbr_resource *const self = reinterpret_cast<tsmbr_resource *>(model::memory);
static resource *const r = reinterpret_cast<resource *>(model::memory);
static slots *const all_slots = reinterpret_cast<slots *>(model::memory + model::SLOTS_AT);

/* What the upstream does while threads run. PERHAPS: both answers are explored, at every call. */
enum refusals { GRANTS, REFUSES, PERHAPS, PERHAPS_TO_FIRST };

struct scenario {
    const char *name;
    const char *what;
    /* Of the resource. */
    size_t buffer;      /* bytes of caller's buffer */
    size_t first_total; /* size of the first chunk */
    size_t limit;
    /* Of its surroundings. */
    refusals upstream;
    int looks;                                /* INSTALL_LOOKS and RESERVE_LOOKS */
    void (*prepare)();                        /* alone, before the threads start */
    void (*call)(unsigned id, unsigned turn); /* one call of one thread */
    void (*finish)(unsigned calls);           /* alone, when all have ended */
    void (*released)();                       /* alone, after destroy */
    bool lanes;                               /* else TSMBR_SHARED_ONLY */
};

/* One execution. Everything in it is as at first when the next one begins. */
struct region {
    unsigned char *start;
    size_t total;
    bool upstream; /* else the caller's buffer */
    int asked_by;  /* thread */
    bool given_back;
    int given_back_by;    /* thread */
    size_t given_back_at; /* time of that thread's clock */
    unsigned after;       /* the regions that were given back before this one was asked for */
};
struct block {
    unsigned char *at;
    size_t bytes;
};
struct owner {
    block blocks[BLOCKS_MOST];
    unsigned count;
    unsigned refused; /* by the upstream, so far */
};
struct life {
    thread_state state;
    bool noticed; /* the library wants to know when it ends */
};
struct execution {
    bool running;    /* threads are */
    unsigned acting; /* for this thread, before they are */
    life lives[model::THREADS_MOST];
    size_t taken; /* slots that no thread has */
    size_t top;   /* bytes of the memory in use */
    region regions[REGIONS_MOST];
    unsigned region_count;
    owner owners[model::THREADS_MOST];
    size_t before;                        /* bytes of blocks that were handed out then, and had no owner */
    size_t perhaps;                       /* bytes that were given up, and perhaps nobody can have */
    const unsigned char *room, *room_end; /* of the current chunk at that time */
    size_t prepared;                      /* bytes of the memory that were in use before the threads began */
    unsigned char uses[PREPARED_MOST / model::WORD][3]; /* of those, by word and kind of use: threads */
};
static execution now;
static const scenario *current;
static unsigned calls_of_each;
static bool replaying; /* one execution and no other */

/* ------------------------------------------------------------------------------- upstream -- */

/* Whether a was given back before b was asked for, as far as the program's own order says: not by
 * the time of this execution, but by what happens before what. */
static bool one_after_the_other(unsigned a, unsigned b)
{
    return (now.regions[b].after >> a & 1) != 0 || (now.regions[a].after >> b & 1) != 0;
}

/* The most bytes that can be held at once, in any order the threads' synchronization allows, of the
 * regions in `chosen`, and of those from `from` on. */
static size_t most_at_once(unsigned from, unsigned chosen)
{
    if (from == now.region_count)
        return 0;
    size_t most = most_at_once(from + 1, chosen);
    for (unsigned i = 0; i < from; i++)
        if ((chosen >> i & 1) != 0 && one_after_the_other(i, from))
            return most;
    size_t with = now.regions[from].total + most_at_once(from + 1, chosen | 1u << from);
    return now.regions[from].upstream && with > most ? with : most;
}

static region *add_region(size_t total)
{
    /* Aligned for max_align_t and not for more, so that blocks must be placed by address. */
    size_t begin = (now.top + 63) / 64 * 64 + 16;
    now.top = begin + total;
    CHECK(now.top <= model::MEMORY && now.region_count < REGIONS_MOST);
    region *g = &now.regions[now.region_count++];
    *g = region();
    g->start = model::memory + begin;
    g->total = total;
    return g;
}

/* Whether a chunk is no surplus: it is in a list, or was given back. A thread has one other at most. */
static bool settled(const region &g)
{
    size_t capacity = 0;
    return !g.upstream || g.given_back ||
           (place_record(reinterpret_cast<uintptr_t>(g.start), g.total, &capacity) &&
            model::cell_at(g.start + capacity)->published);
}

static void *upstream_allocate(void *, size_t bytes, size_t alignment)
{
    CHECK(alignment == alignof(max_align_t));
    bool perhaps =
        current->upstream == PERHAPS || (current->upstream == PERHAPS_TO_FIRST && rl::thread_index() == 0);
    if (now.running && (current->upstream == REFUSES || (perhaps && rl::rand(2) == 1))) {
        now.owners[rl::thread_index()].refused++;
        return NULL;
    }
    for (unsigned i = 0; i < now.region_count; i++)
        CHECK(!now.running || now.regions[i].asked_by != rl::thread_index() || settled(now.regions[i]));
    region *g = add_region(bytes);
    g->upstream = true;
    g->asked_by = rl::thread_index();
    for (unsigned i = 0; i < now.region_count; i++) {
        const region &other = now.regions[i];
        if (other.given_back && rl::ctx().threadx_->acq_rel_order_[other.given_back_by] >= other.given_back_at)
            g->after |= 1u << i;
    }
    CHECK(r->limit == NO_LIMIT || most_at_once(0, 0) <= r->limit);
    return g->start;
}

static void upstream_deallocate(void *, void *ptr, size_t bytes, size_t)
{
    region *g = now.regions;
    while (g < now.regions + now.region_count && g->start != ptr)
        ++g;
    CHECK(g < now.regions + now.region_count && g->upstream);
    CHECK(g->total == bytes);
    if (g->given_back)
        model::fail("given back twice", $, rl::test_result_double_free);
    g->given_back = true;
    g->given_back_by = rl::thread_index();
    g->given_back_at = ++rl::ctx().threadx_->own_acq_rel_order_;
    for (unsigned char *p = g->start; p < g->start + g->total; p += model::WORD) {
        model::cell *c = model::cell_at(p);
        if (c->is != NULL)
            c->is->end(c->model); /* races with every use that does not happen before */
        c->gone = true;
    }
}

static const tsmbr_upstream upstream = {upstream_allocate, upstream_deallocate, NULL};

static size_t bytes_held()
{
    size_t bytes = 0;
    for (unsigned i = 0; i < now.region_count; i++)
        if (now.regions[i].upstream && !now.regions[i].given_back)
            bytes += now.regions[i].total;
    return bytes;
}

static unsigned chunks_held()
{
    unsigned count = 0;
    for (unsigned i = 0; i < now.region_count; i++)
        count += now.regions[i].upstream && !now.regions[i].given_back;
    return count;
}

/* -------------------------------------------------------------------------------- threads -- */

static life *my_life()
{
    return &now.lives[now.running ? rl::thread_index() : now.acting];
}

/* The thread ends, and one that is new goes on in its place. */
static void end_thread()
{
    life *mine = my_life();
    if (mine->noticed)
        model::at_thread_end(&mine->state);
    *mine = life();
}

/* --------------------------------------------------------------------------------- blocks -- */

/* What a word of a block holds says whose it is. */
typedef rl::var<unsigned long long> content;
static unsigned long long mark(unsigned id, const block *b)
{
    return 1000 * (id + 1) + (b - now.owners[id].blocks);
}

static void write_block(unsigned id, block *b, size_t from)
{
    for (size_t i = from; i < b->bytes; i += model::WORD)
        model::at<content>(b->at + i)($) = mark(id, b);
}

static void read_block(unsigned id, const block *b)
{
    for (size_t i = 0; i < b->bytes; i += model::WORD)
        CHECK(model::at<content>(b->at + i)($) == mark(id, b));
}

/* Take a block that the library handed out. */
static block *own(unsigned id, void *ptr, size_t bytes, size_t alignment)
{
    if (ptr == NULL)
        return NULL;
    unsigned char *at = static_cast<unsigned char *>(ptr);
    CHECK(reinterpret_cast<uintptr_t>(at) % alignment == 0);
    bool inside = false;
    for (unsigned i = 0; i < now.region_count; i++) {
        const region &g = now.regions[i];
        inside = inside || (!g.given_back && at >= g.start && at + bytes <= g.start + g.total);
    }
    CHECK(inside && "the block lies in a region");
    owner &o = now.owners[id];
    CHECK(o.count < BLOCKS_MOST);
    block *b = &o.blocks[o.count++];
    *b = {at, bytes};
    write_block(id, b, 0);
    return b;
}

static block *get(unsigned id, size_t bytes, size_t alignment)
{
    return own(id, tsmbr_allocate(self, bytes, alignment), bytes, alignment);
}

static block *try_get(unsigned id, size_t bytes, size_t alignment)
{
    return own(id, tsmbr_try_allocate(self, bytes, alignment), bytes, alignment);
}

static unsigned blocks_owned()
{
    unsigned count = 0;
    for (const owner &o : now.owners)
        count += o.count;
    return count;
}

/* After a reset: the memory that is handed out next is not what it was. */
static void forget_contents()
{
    for (unsigned i = 0; i < now.region_count; i++)
        for (unsigned char *p = now.regions[i].start; p < now.regions[i].start + now.regions[i].total;
             p += model::WORD) {
            model::cell *c = model::cell_at(p);
            if (c->is != NULL)
                c->is->destroy(c->model);
            c->is = NULL;
            c->published = false;
        }
}

static void check_apart(const block &b, const owner &from)
{
    for (const block *other = from.blocks; other < from.blocks + from.count; other++)
        CHECK(other == &b || other->at >= b.at + b.bytes || b.at >= other->at + other->bytes);
}

/* Have been handed out, and nobody else has a part of them. */
static void check_all_of(const owner &mine)
{
    for (const block *b = mine.blocks; b < mine.blocks + mine.count; b++) {
        CHECK(tsmbr_owns(self, b->at) && tsmbr_owns(self, b->at + b->bytes - 1));
        check_apart(*b, mine);
        for (const owner &o : now.owners)
            check_apart(*b, o);
    }
}

/* No two live blocks overlap, and all hold what their owners wrote. */
static void check_blocks()
{
    for (unsigned id = 0; id < model::THREADS_MOST; id++) {
        for (unsigned i = 0; i < now.owners[id].count; i++)
            read_block(id, &now.owners[id].blocks[i]);
        check_all_of(now.owners[id]);
    }
}

/* The key invariant of lane.h: the bytes that lanes still have were carved, and nobody else has them. */
static void check_lanes()
{
    owner lanes = owner();
    for (unsigned group = 1; group < SLOT_GROUPS; group++) {
        const lane *table = lanes_load_acquire(r, group);
        for (unsigned i = 0; table != NULL && i < slot_group_size(group); i++) {
            tsmbr_lane run = lane_open(&table[i]);
            CHECK(run.cursor <= run.end && lanes.count < BLOCKS_MOST);
            if (run_left(&run) != 0)
                lanes.blocks[lanes.count++] = {run.cursor, run_left(&run)};
        }
    }
    check_all_of(lanes);
}

/* The key invariant of slot.h: every slot that is taken is one thread's. */
static void check_slots()
{
    size_t taken = now.taken;
    for (const life &l : now.lives) {
        if (l.state.standing != THREAD_HOLDS)
            continue;
        CHECK((taken >> l.state.slot & 1) == 0);
        taken |= size_t(1) << l.state.slot;
    }
    CHECK(slots_load_relaxed(all_slots, 0) == taken);
}

/* ------------------------------------------------------------------------- one execution -- */

template <class T>
static void zero(model::word<T> &w)
{
    w.store(T(), rl::mo_relaxed, $);
}

/* The bytes that tsmbr_init zeroes, in the model's terms. */
static void zero_resource()
{
    zero(r->head), zero(r->large), zero(r->cleanups), zero(r->buffer.next);
    zero(r->reserved), zero(r->published), zero(r->large_weight), zero(r->lanes_used), zero(r->unused),
        zero(r->lost);
    for (unsigned group = 0; group < SLOT_GROUPS; group++)
        zero(r->lanes[group]);
    r->buffer.allocation_ptr = NULL, r->buffer.prev = NULL, r->buffer.follow = NULL;
    r->buffer.allocation_size = 0, r->buffer.capacity = 0, r->buffer.held = 0;
}

/* As the process finds them. */
static void zero_slots()
{
    for (unsigned w = 0; w < SLOT_WORDS; w++)
        zero(all_slots->taken[w]);
    zero(all_slots->key_ready);
}

static void begin()
{
    /* Models left over by an execution that failed died with it. */
    for (model::cell *c = model::cell_at(model::memory);
         c < model::cell_at(model::memory) + now.top / model::WORD + 1; c++)
        c->is = NULL, c->gone = c->published = false;
    now = execution();
    now.top = model::FREE_AT;
    CHECK(sizeof(tsmbr_resource) <= model::SLOTS_AT && sizeof(slots) <= model::KEY_AT - model::SLOTS_AT);
    model::install_looks = model::reserve_looks = current->looks;
    zero_resource();
    zero_slots();
    tsmbr_config config = tsmbr_config();
    config.upstream = &upstream;
    config.limit = current->limit;
    config.flags = current->lanes ? 0 : TSMBR_SHARED_ONLY;
    if (current->buffer != 0) {
        config.buffer = add_region(current->buffer)->start;
        config.buffer_size = current->buffer;
    }
    CHECK(tsmbr_init(self, &config) == 0);
    r->first_total = current->first_total;
    if (current->prepare != NULL)
        current->prepare();
    if (const chunk *c = head_load_acquire(r)) {
        now.room = c->allocation_ptr + next_load_relaxed(c);
        now.room_end = c->allocation_ptr + size_t(c->capacity);
    }
    now.prepared = now.top;
    CHECK(now.prepared <= PREPARED_MOST);
}

static void run_thread(unsigned id)
{
    now.running = true;
    for (unsigned turn = 0; turn < calls_of_each; turn++)
        current->call(id, turn);
    for (unsigned i = 0; i < now.owners[id].count; i++)
        read_block(id, &now.owners[id].blocks[i]);
}

/* Allocated are the blocks that were handed out, and a byte of padding for each table, which has an odd
 * size. No byte of a lane is counted, and none is forgotten. */
static void check_allocated(size_t allocated)
{
    size_t blocks = now.before;
    for (const owner &o : now.owners)
        for (const block *b = o.blocks; b < o.blocks + o.count; b++)
            blocks += b->bytes;
    CHECK(allocated >= blocks);
    CHECK(allocated < blocks + now.perhaps + model::WORD);
}

static void end(unsigned threads)
{
    now.running = false;
    now.acting = 0;
    /* No surplus: what the upstream gave and did not get back is in the lists, and counted. */
    tsmbr_statistics s;
    tsmbr_get_statistics(self, &s);
    CHECK(s.reserved_bytes == bytes_held() && s.chunks == chunks_held());
    CHECK(reserved_load_relaxed(r) == bytes_held() && published_load_relaxed(r) == bytes_held());
    if (current->lanes)
        check_allocated(s.allocated_bytes);
    check_blocks();
    check_lanes();
    check_slots();
    if (current->finish != NULL)
        current->finish(threads * calls_of_each);
    tsmbr_destroy(self);
    CHECK(chunks_held() == 0 && "all chunks are given back");
    if (current->released != NULL)
        current->released();
    for (size_t i = 0; i <= now.top / model::WORD; i++) {
        model::cell *c = model::cell_at(model::memory) + i;
        if (c->is != NULL)
            c->is->destroy(c->model);
        c->is = NULL;
    }
    if (replaying)
        rl::ctx().rl_until("replayed", $);
}

template <int THREADS>
struct suite : rl::test_suite<suite<THREADS>, THREADS> {
    void before() { begin(); }
    void thread(unsigned id) { run_thread(id); }
    void after() { end(THREADS); }
};

} // namespace harness

#endif
