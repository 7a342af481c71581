/* scenarios.hpp - small encounters of threads, one for each pair of steps that can meet.
 *
 * The sizes follow from src/place.h. A block of 8 bytes needs 142 bytes of chunk, so it shares chunks
 * of 568 bytes and more; one of 256 bytes needs 390. A chunk of 640 bytes has room for 560.
 *
 * model.hpp makes lanes small: a chunk of 2048 bytes and more has them, in runs of 128 bytes. Those serve
 * blocks of 8 bytes; larger ones come from the chunk, or with ExtendWon. */
#ifndef SCENARIOS_HPP
#define SCENARIOS_HPP

#include "harness.hpp"

namespace harness
{

static void fill_current_but(size_t bytes)
{
    const chunk *c = head_load_acquire(r);
    size_t room = c->capacity - next_load_relaxed(c) - bytes;
    CHECK(room == 0 || tsmbr_try_allocate(self, room, 1) != NULL);
    now.before += room;
}
static void fill_current()
{
    fill_current_but(0);
}

static void get_8(unsigned id, unsigned)
{
    CHECK(get(id, 8, 8) != NULL);
}
static void get_256(unsigned id, unsigned)
{
    CHECK(get(id, 256, 8) != NULL);
}

/* ---- the current chunk has room -------------------------------------------------------------- */

static void carve(unsigned id, unsigned)
{
    size_t size = id % 2 == 0 ? 8 : 32;
    CHECK(get(id, size, size) != NULL);
}

/* A refusal changes nothing: others get what is there, also while it happens. */
static void refuse(unsigned id, unsigned)
{
    CHECK((try_get(id, id == 0 ? 40 : 8, 8) != NULL) == (id != 0));
}

/* ---- it has none ----------------------------------------------------------------------------- */

static void one_chunk(unsigned)
{
    CHECK(chunks_held() == 1);
}
static void two_chunks(unsigned)
{
    CHECK(chunks_held() == 2);
}

static void first_chunk_but(size_t bytes)
{
    CHECK(tsmbr_allocate(self, 8, 8) != NULL);
    fill_current_but(bytes);
}
static void first_chunk_full()
{
    first_chunk_but(0);
}
static void first_chunk_almost_full()
{
    first_chunk_but(8);
}

/* A call fails only if the upstream refused it twice: the next chunk, and one for this block. */
static void get_or_refused(unsigned id, unsigned)
{
    unsigned before = now.owners[id].refused;
    errno = 0;
    const block *b = get(id, 8, 8);
    CHECK(b != NULL ? errno == 0 : errno == ENOMEM && now.owners[id].refused >= before + 2);
}

/* The buffer is left behind with room for three more blocks. */
static void leave_room_behind()
{
    fill_current_but(24);
    CHECK(tsmbr_allocate(self, 25, 1) != NULL);
    fill_current();
    r->limit = bytes_held();
}
static void perhaps_8(unsigned id, unsigned)
{
    get(id, 8, 8);
}
static void three_got_it(unsigned calls)
{
    CHECK(blocks_owned() == (calls < 3 ? calls : 3));
}

static void chunk_for_each(unsigned calls)
{
    CHECK(chunks_held() == calls);
}

static void link_or_install(unsigned id, unsigned turn)
{
    size_t size = (id + turn) % 2 == 0 ? 256 : 8;
    CHECK(get(id, size, 8) != NULL);
}

/* ---- limit ----------------------------------------------------------------------------------- */

static void perhaps_256(unsigned id, unsigned)
{
    get(id, 256, 8);
}
static void one_got_it(unsigned)
{
    CHECK(blocks_owned() == 1);
}

/* First, two chunks are asked for and one is not needed. Then 638 bytes fit under the limit if the
 * upstream has that one back. */
static void small_then_large(unsigned id, unsigned turn)
{
    get(id, id == 2 || turn == 1 ? 504 : 96, 8);
}

/* ---- after reset ----------------------------------------------------------------------------- */

static unsigned chunks_kept;

static void keep_next_chunk()
{
    fill_current();
    CHECK(tsmbr_allocate(self, 16, 8) != NULL);
    tsmbr_reset(self, SIZE_MAX);
    chunks_kept = chunks_held();
}
static void get_16(unsigned id, unsigned)
{
    CHECK(get(id, 16, 8) != NULL);
}

static void keep_two_large()
{
    fill_current();
    CHECK(tsmbr_allocate(self, 256, 8) != NULL && tsmbr_allocate(self, 256, 8) != NULL);
    tsmbr_reset(self, SIZE_MAX);
    chunks_kept = chunks_held();
    fill_current();
}
static void kept_first(unsigned calls)
{
    CHECK(chunks_held() == (calls > chunks_kept ? calls : chunks_kept));
}

static void nothing_new(unsigned)
{
    CHECK(chunks_held() == chunks_kept);
}

/* ---- resizing -------------------------------------------------------------------------------- */

static void own_8()
{
    get(0, 8, 8);
}
static void own_24()
{
    get(0, 24, 8);
}

static void resize(unsigned id, size_t bytes)
{
    block *b = &now.owners[id].blocks[0];
    size_t old = b->bytes;
    if (tsmbr_try_resize(self, b->at, old, bytes)) {
        b->bytes = bytes;
        if (bytes > old)
            write_block(id, b, old);
    } else {
        CHECK(bytes > old && "shrinking always succeeds");
    }
}

static void grow(unsigned id, unsigned)
{
    if (id == 0)
        resize(0, now.owners[0].blocks[0].bytes + 16);
    else
        get_8(id, 0);
}

static void shrink(unsigned id, unsigned turn)
{
    if (id != 0) {
        CHECK(get(id, 16, 8) != NULL);
    } else if (turn == 0) {
        write_block(0, &now.owners[0].blocks[0], 0);
        resize(0, 8);
    } else {
        resize(0, 24);
    }
}

/* ---- cleanups -------------------------------------------------------------------------------- */

static struct registration {
    unsigned began, ended; /* when, on the clock of this execution; 0: never */
    unsigned ran;
} registrations[model::THREADS_MOST][2];
static unsigned clock_now;

static void forget_registrations()
{
    memset(registrations, 0, sizeof registrations);
    clock_now = 0;
}
static void run_cleanup(void *argument)
{
    registration *mine = static_cast<registration *>(argument);
    CHECK(mine->ran == 0 && "a cleanup runs once");
    mine->ran = ++clock_now;
}
static void register_one(unsigned id, unsigned turn)
{
    registration *mine = &registrations[id][turn];
    mine->began = ++clock_now;
    CHECK(tsmbr_on_release(self, run_cleanup, mine) == 0);
    mine->ended = ++clock_now;
}
static void all_ran_latest_first()
{
    registration *all = registrations[0];
    unsigned count = sizeof registrations / sizeof *all;
    for (unsigned i = 0; i < count; i++) {
        CHECK((all[i].ended != 0) == (all[i].ran != 0));
        for (unsigned j = 0; j < count; j++)
            if (all[i].ended != 0 && all[i].ended < all[j].began)
                CHECK(all[j].ran < all[i].ran);
    }
}

/* ---- questions while others allocate --------------------------------------------------------- */

static void ask()
{
    tsmbr_statistics s;
    tsmbr_get_statistics(self, &s);
    CHECK(s.allocated_bytes <= s.reserved_bytes + current->buffer);
    /* A lane that another thread changes meanwhile is counted wrong by two runs at most. */
    size_t in_motion = current->lanes ? (model::THREADS_MOST - 1) * 2 * PLACE_RUN_MOST : 0;
    CHECK(s.allocated_bytes + in_motion >= now.before);
    CHECK(s.reserved_bytes <= s.peak_reserved_bytes && s.chunks < REGIONS_MOST);
    CHECK(!tsmbr_owns(self, model::memory));
}
static void ask_or_get_8(unsigned id, unsigned)
{
    id == 0 ? ask() : get_8(id, 0);
}
static void ask_or_get_256(unsigned id, unsigned)
{
    id == 0 ? ask() : get_256(id, 0);
}

/* ---- lanes ----------------------------------------------------------------------------------- */

static void prepare_block(size_t bytes)
{
    CHECK(tsmbr_allocate(self, bytes, 8) != NULL);
    now.before += bytes;
}

/* Nobody has a slot. The chunk is not new: from now on it has lanes. */
static void no_lanes()
{
    model::library_begins();
    prepare_block(8);
}

/* This thread has a slot, a table and a lane, with so much room. */
static void lane_with(unsigned id, size_t bytes)
{
    now.acting = id;
    prepare_block(8);
    const lane *l = lane_mine(r, model::thread());
    CHECK(l != NULL);
    prepare_block(lane_end_load_relaxed(l) - lane_cursor_load_relaxed(l) - bytes);
}

/* Thread 0's lane is the last in the chunk. That of thread 1 has a rest that serves nobody. */
static void full_lanes()
{
    no_lanes();
    lane_with(1, 7);
    lane_with(2, 0);
    lane_with(0, 0);
}

/* ExtendWon, ExtendLost, and CarveWon of a run. Then Bump, or a block that is too large for a run. */
static void refill(unsigned id, unsigned turn)
{
    CHECK(get(id, turn == 0 ? 8 : 120 + 8 * id, 8) != NULL);
}
static void refill_or_get_64(unsigned id, unsigned turn)
{
    if (id == 0)
        refill(id, turn);
    else
        CHECK(get(id, 64, 8) != NULL);
}

/* Threads 0 and 1 are of one group: LoadLanes, OpenWon, OpenLost. That of thread 2 is too large for the
 * chunk. */
static void slots_without_tables()
{
    no_lanes();
    CHECK(slots_take(all_slots) == 0 && slots_take(all_slots) == 1);
    now.taken = 3;
    for (unsigned id = 0; id < model::THREADS_MOST; id++) {
        now.acting = id;
        CHECK(tsmbr_thread_take(model::thread()));
    }
    now.acting = 0;
}

/* A thread has been, and left a lane. */
static void lane_left()
{
    no_lanes();
    lane_with(0, 24);
    end_thread();
}

/* Each call is a thread of its own: LoadSlots, TakeWon, TakeLost, Bump, Give. Thread 0 leaves bytes in the
 * lane that it has written. */
static void live_and_end(unsigned id, unsigned)
{
    if (id == 0) {
        block *b = get(id, 16, 8);
        CHECK(b != NULL && tsmbr_try_resize(self, b->at, 16, 8));
        b->bytes = 8;
        now.perhaps += 8; /* after ShrinkLost, where the block is in no lane */
    } else {
        get_8(id, 0);
    }
    end_thread();
}

/* The library is still about to begin when other threads come. */
static void not_begun()
{
    prepare_block(8);
}
static void begin_or_get_8(unsigned id, unsigned turn)
{
    if (id == 0 && turn == 0)
        model::library_begins();
    else
        get_8(id, turn);
}

/* With more blocks than an answer may be wrong by. */
static void lanes_and_large_block()
{
    full_lanes();
    prepare_block(512);
}
static void ask_or_refill(unsigned id, unsigned turn)
{
    id == 0 ? ask() : refill(id, turn);
}

/* Thread 0 has a block at the cursor of its lane, which has 8 bytes more. */
static void own_8_in_lane()
{
    full_lanes();
    get(0, 8, 8);
    lane_with(0, 16);
    now.owners[0].count = 0;
    now.before += 8;
    get(0, 8, 8);
}
/* The same, but the block is so large that what it gives up is too much for a lane. */
static void own_384_in_lane()
{
    full_lanes();
    get(0, 384, 8);
}

/* Bump, ExtendWon, ExtendLost; then Bump over bytes that were given up. */
static void grow_in_lane(unsigned id, unsigned turn)
{
    if (id != 0) {
        CHECK(get(id, 64, 8) != NULL);
    } else if (turn == 0) {
        resize(0, 32);
    } else {
        resize(0, 8);
        CHECK(get(0, 16, 8) != NULL);
    }
}

/* ShrinkWon, ShrinkLost. */
static void shrink_in_lane(unsigned id, unsigned turn)
{
    if (id != 0) {
        CHECK(get(id, 64, 8) != NULL);
    } else if (turn == 0) {
        block *b = &now.owners[0].blocks[0];
        write_block(0, b, 0);
        resize(0, 8);
        now.perhaps += 384 - 8; /* after ShrinkLost they stay where they are */
    } else {
        CHECK(get(0, 16, 8) != NULL);
    }
}

/* Thread 0's lane ends in a block that belongs to thread 1, and is the last of the chunk. */
static void pass_block()
{
    full_lanes();
    block *b = &now.owners[1].blocks[now.owners[1].count++];
    *b = {static_cast<unsigned char *>(tsmbr_allocate(self, 128, 8)), 128};
    write_block(1, b, 0);
}
static void resize_passed(unsigned id, unsigned turn)
{
    if (id == 1) {
        resize(1, turn == 0 ? 120 : 136);
        now.perhaps += 8; /* after ShrinkLost, or if other blocks follow */
    } else if (id == 0 && turn == 1) {
        resize(0, now.owners[0].blocks[0].bytes + 8);
    } else {
        get_8(id, turn);
    }
}

/* Behind thread 0's lane thread 1 has bytes for a while: ExtendWon hands them out after it. */
static void lend_bytes(unsigned id, unsigned)
{
    if (id == 1) {
        resize(1, 136);
        resize(1, 128);
        now.perhaps += 8; /* after ShrinkLost, if it has grown */
    } else {
        get_8(id, 0);
    }
}

/* An explicit lane: CarveWon, then CloseWon or CloseLost. Thread 1's block may lie where the run
 * was; closing once more does not touch it. */
static void open_and_close(unsigned id, unsigned turn)
{
    if (id == 1) {
        CHECK(get(id, 120, 8) != NULL);
        return;
    }
    tsmbr_lane l;
    tsmbr_lane_open(&l, self);
    CHECK(own(id, tsmbr_lane_allocate(&l, 8, 8), 8, 8) != NULL);
    if (turn == 1)
        CHECK(own(id, tsmbr_lane_allocate(&l, 128, 8), 128, 8) != NULL);
    tsmbr_lane_close(&l);
    tsmbr_lane_close(&l);
}

/* Lanes are forgotten with the blocks. */
static void lanes_then_reset()
{
    full_lanes();
    lane_with(1, 64); /* the rest of the run before is unused */
    now.acting = 0;
    tsmbr_reset(self, SIZE_MAX);
    forget_contents();
    now.before = 0;
    prepare_block(8);
}

/* Thread 0's lane is the last of the chunk still. */
static void lanes_in_full_chunk()
{
    full_lanes();
    fill_current();
}

/* The same, and less than a run is left. */
static void lanes_in_almost_full_chunk()
{
    full_lanes();
    fill_current_but(24);
}
static void one_chunk_at_most(unsigned)
{
    CHECK(chunks_held() <= 1);
}

/* ---------------------------------------------------------------------------------------------- */

/* name, what; bytes of buffer, first chunk, limit; upstream, looks; prepare, call, finish, released; lanes */
static const scenario scenarios[] = {
    {"carve", "blocks of two sizes from one chunk", 192, 0, 0, REFUSES, 0, NULL, carve},
    {"refuse", "a request that is too large for the room, and some that are not", 32, 0, 0, REFUSES, 0, NULL,
     refuse},
    {"install", "the first chunk", 0, 640, 0, GRANTS, 0, NULL, get_8, one_chunk},
    {"install-next", "the next chunk", 0, 640, 0, GRANTS, 0, first_chunk_full, get_8, two_chunks},
    {"carve-install", "the last block of a chunk, and the next chunk", 0, 640, 0, GRANTS, 0,
     first_chunk_almost_full, get_8, two_chunks},
    {"await", "the first chunk, with patience", 0, 640, 0, GRANTS, 1, NULL, get_8, one_chunk},
    {"refused", "an upstream that may refuse any call", 8, 640, 0, PERHAPS, 0, fill_current, get_or_refused},
    {"refused-first", "an upstream that may refuse the first thread", 8, 640, 0, PERHAPS_TO_FIRST, 0, fill_current,
     get_or_refused},
    {"last-resort", "no more under the limit, but room left behind", 32, 640, 0, GRANTS, 1, leave_room_behind,
     perhaps_8, three_got_it},
    {"link", "chunks for one block each", 8, 256, 0, GRANTS, 0, fill_current, get_256, chunk_for_each},
    {"link-install", "a chunk for one block, and a next chunk", 8, 640, 0, GRANTS, 0, fill_current,
     link_or_install},
    {"limit", "two chunks, of which one fits under the limit", 8, 256, 500, GRANTS, 1, fill_current, perhaps_256,
     one_got_it},
    {"limit-return", "bytes that come back and are asked for again", 0, 640, 1280, GRANTS, 1, NULL,
     small_then_large},
    {"advance", "a kept chunk becomes current", 8, 640, 0, GRANTS, 0, keep_next_chunk, get_16, nothing_new},
    {"claim", "kept chunks for one block each", 8, 256, 0, GRANTS, 0, keep_two_large, get_256, kept_first},
    {"grow", "a block grows where others are carved", 128, 0, 0, REFUSES, 0, own_8, grow},
    {"shrink", "a block gives up bytes that others get", 128, 0, 0, REFUSES, 0, own_24, shrink},
    {"register", "cleanups", 256, 0, 0, REFUSES, 0, forget_registrations, register_one, NULL,
     all_ran_latest_first},
    {"ask-install", "statistics and owns while chunks become current", 8, 640, 0, GRANTS, 0, fill_current,
     ask_or_get_8},
    {"ask-link", "statistics and owns while chunks join the large list", 8, 256, 0, GRANTS, 0, fill_current,
     ask_or_get_256},
    {"lane-refill", "a lane becomes longer where others get runs", 2048, 0, 0, REFUSES, 0, full_lanes, refill,
     NULL, NULL, true},
    {"lane-large", "a lane becomes longer where others get blocks", 2048, 0, 0, REFUSES, 0, full_lanes,
     refill_or_get_64, NULL, NULL, true},
    {"lane-open", "threads of one group make its table", 2048, 0, 0, REFUSES, 0, slots_without_tables, refill,
     NULL, NULL, true},
    {"lane-exit", "threads that begin take over from threads that end", 2048, 0, 0, REFUSES, 0, lane_left,
     live_and_end, NULL, NULL, true},
    {"lane-begin", "the library begins", 2048, 0, 0, REFUSES, 0, not_begun, begin_or_get_8, NULL, NULL, true},
    {"lane-ask", "statistics and owns while lanes are used", 2048, 0, 0, REFUSES, 0, lanes_and_large_block,
     ask_or_refill, NULL, NULL, true},
    {"lane-grow", "a block in a lane grows where others are carved", 2048, 0, 0, REFUSES, 0, own_8_in_lane,
     grow_in_lane, NULL, NULL, true},
    {"lane-shrink", "a block in a lane gives up bytes that others get", 2048, 0, 0, REFUSES, 0, own_384_in_lane,
     shrink_in_lane, NULL, NULL, true},
    {"lane-pass", "a block at the end of another thread's lane is resized", 2048, 0, 0, REFUSES, 0, pass_block,
     resize_passed, NULL, NULL, true},
    {"lane-lend", "bytes behind a lane that another thread has for a while", 2048, 0, 0, REFUSES, 0, pass_block,
     lend_bytes, NULL, NULL, true},
    {"lane-close", "a lane in the caller's hands gives back its rest", 2048, 0, 0, REFUSES, 0, no_lanes,
     open_and_close, NULL, NULL, true},
    {"lane-reset", "lanes after a reset", 2048, 0, 0, REFUSES, 0, lanes_then_reset, refill, NULL, NULL, true},
    {"lane-end", "a lane becomes longer by the last bytes of a chunk", 2048, 640, 0, GRANTS, 0,
     lanes_in_almost_full_chunk, get_8, one_chunk_at_most, NULL, true},
    {"lane-install", "lanes at the end of a chunk", 0, 2176, 0, GRANTS, 0, lanes_in_full_chunk, refill, two_chunks,
     NULL, true},
};

} // namespace harness

#endif
